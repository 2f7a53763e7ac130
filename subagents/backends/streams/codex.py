"""Codex CLI: `codex exec --json`, an event a line. Items are what the agent says and does; they start and are completed.

A command's item has command, aggregated_output, exit_code and status; a file_change has the paths but not what changed.
"""

from __future__ import annotations

from subagents.backends.streams.fields import count_of, fields_of, list_of, text_of
from subagents.contract import EntryKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from subagents.conversation import Conversation

FAILED = ("failed", "declined")
SAID = {"agent_message": EntryKind.MESSAGE, "reasoning": EntryKind.THINKING}


class Codex:
    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    @staticmethod
    def takes(event: dict[str, Any]) -> bool:
        kind = event.get("type")
        return isinstance(kind, str) and (kind.startswith(("thread.", "turn.", "item.")) or (kind == "error" and "message" in event))

    def read(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "thread.started":
                self._conversation.say(EntryKind.NOTE, "A session of Codex begins")
            case "item.started" | "item.updated" | "item.completed" as kind:
                self._item(fields_of(event.get("item")), kind == "item.completed")
            case "turn.completed":
                used = fields_of(event.get("usage"))
                given, cached = count_of(used.get("input_tokens")), count_of(used.get("cached_input_tokens"))
                tokens = {
                    "input_tokens": given if given is None or cached is None else max(0, given - cached),
                    "output_tokens": count_of(used.get("output_tokens")),
                    "cache_read_tokens": cached,
                    "cache_write_tokens": None,
                }
                self._conversation.say(EntryKind.NOTE, "The turn is completed", tokens)
            case "turn.failed":
                self._conversation.say(EntryKind.ERROR, text_of(fields_of(event.get("error")).get("message")) or "The turn failed")
            case "error":
                self._conversation.say(EntryKind.ERROR, text_of(event.get("message")))

    def end(self) -> None:
        """Nothing waits for the end."""

    def _item(self, item: dict[str, Any], completed: bool) -> None:
        kind, ident = text_of(item.get("type")), text_of(item.get("id"))
        if kind in SAID:
            if completed:
                self._conversation.say(SAID[kind], text_of(item.get("text")))
        elif kind == "error":
            if completed:
                self._conversation.say(EntryKind.ERROR, text_of(item.get("message")))
        elif kind == "todo_list":
            if completed:
                boxes = (f"[{'x' if one.get('completed') else ' '}] {text_of(one.get('text'))}" for one in list_of(item.get("items")))
                self._conversation.say(EntryKind.NOTE, "\n".join(boxes))
        else:
            self._tool(kind, ident, item, completed)

    def _tool(self, kind: str, ident: str, item: dict[str, Any], completed: bool) -> None:
        if not self._conversation.called(ident):
            self._conversation.call(ident, *_call(kind, item))
        if not completed:
            return
        code = count_of(item.get("exit_code"))
        failed = item.get("status") in FAILED or bool(code)
        output = text_of(item.get("aggregated_output")) or text_of(item.get("result")) or text_of(item.get("error"))
        if code:
            output = f"{output.rstrip()}\nexit code {code}".lstrip()
        self._conversation.result(ident, output, failed=failed, edited=kind == "file_change")


def _call(kind: str, item: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(tool, input) of an item."""
    match kind:
        case "command_execution":
            return "shell", {"command": text_of(item.get("command"))}
        case "file_change":
            changes = list_of(item.get("changes"))
            return kind, {"path": ", ".join(f"{text_of(one.get('path'))} ({text_of(one.get('kind'))})" for one in changes)}
        case "mcp_tool_call":
            return f"{text_of(item.get('server'))}.{text_of(item.get('tool'))}", fields_of(item.get("arguments"))
        case "web_search":
            return kind, {"query": text_of(item.get("query"))}
    hidden = ("id", "type", "status")
    return kind or "tool", {name: value for name, value in item.items() if name not in hidden}
