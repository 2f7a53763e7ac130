"""Gemini CLI: `--output-format stream-json`, an event a line, and `--output-format json`, one object at the end.

An answer comes in pieces (delta). They are put together until something else comes.
"""

from __future__ import annotations

from subagents.backends.streams.fields import count_of, fields_of, text_of
from subagents.contract import EntryKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from subagents.conversation import Conversation

KINDS = ("init", "message", "tool_use", "tool_result", "error", "result")


class Gemini:
    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._said: list[str] = []

    @staticmethod
    def takes(event: dict[str, Any]) -> bool:
        kind = event.get("type")
        if kind is None:
            return "stats" in event and ("response" in event or "error" in event)
        return kind in KINDS and "part" not in event and "sessionID" not in event

    def read(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if kind != "message" or event.get("role") != "assistant":
            self._say()
        match kind:
            case "init":
                self._conversation.say(EntryKind.NOTE, f"A session with the model {text_of(event.get('model'))} begins")
            case "message" if event.get("role") == "assistant":
                self._said.append(text_of(event.get("content")))
                if not event.get("delta"):
                    self._say()
            case "tool_use":
                self._conversation.call(
                    text_of(event.get("tool_id")), text_of(event.get("tool_name")) or "tool", fields_of(event.get("parameters"))
                )
            case "tool_result":
                failed = event.get("status") == "error"
                problem = fields_of(event.get("error")).get("message") if failed else None
                self._conversation.result(text_of(event.get("tool_id")), text_of(event.get("output") or problem), failed=failed)
            case "error":
                warns = event.get("severity") == "warning"
                self._conversation.say(EntryKind.NOTE if warns else EntryKind.ERROR, text_of(event.get("message")))
            case "result":
                self._ended(event)
            case None:
                self._conversation.say(EntryKind.MESSAGE, text_of(event.get("response")))
                self._conversation.say(EntryKind.ERROR, text_of(fields_of(event.get("error")).get("message")))

    def end(self) -> None:
        self._say()

    def _say(self) -> None:
        text = "".join(self._said)
        self._said.clear()
        self._conversation.say(EntryKind.MESSAGE, text)

    def _ended(self, event: dict[str, Any]) -> None:
        stats = fields_of(event.get("stats"))
        given, cached = count_of(stats.get("input_tokens")), count_of(stats.get("cached"))
        tokens = {
            "input_tokens": given if given is None or cached is None else max(0, given - cached),
            "output_tokens": count_of(stats.get("output_tokens")),
            "cache_read_tokens": cached,
            "cache_write_tokens": None,
        }
        problem = text_of(fields_of(event.get("error")).get("message"))
        failed = event.get("status") == "error"
        self._conversation.say(EntryKind.ERROR if failed else EntryKind.NOTE, problem or f"The agent ended: {event.get('status')}", tokens)
