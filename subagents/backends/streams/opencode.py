"""opencode: `opencode run --format json`, an event a line. A tool's event comes when the tool has ended, with its input and times."""

from __future__ import annotations

from subagents.backends.streams.fields import count_of, fields_of, text_of
from subagents.contract import EntryKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from subagents.conversation import Conversation

EDITING = ("edit", "write", "patch", "multiedit", "apply_patch")


class Opencode:
    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._tools = 0

    @staticmethod
    def takes(event: dict[str, Any]) -> bool:
        return isinstance(event.get("type"), str) and "sessionID" in event

    def read(self, event: dict[str, Any]) -> None:
        part = fields_of(event.get("part"))
        match event["type"]:
            case "text":
                self._conversation.say(EntryKind.MESSAGE, text_of(part.get("text")))
            case "reasoning":
                self._conversation.say(EntryKind.THINKING, text_of(part.get("text")))
            case "tool_use":
                self._tool(part, fields_of(part.get("state")))
            case "step_finish":
                self._finished(fields_of(part.get("tokens")), text_of(part.get("reason")))
            case "error":
                problem = event.get("error")
                data = fields_of(fields_of(problem).get("data"))
                said = data.get("message") or fields_of(problem).get("message") or problem
                self._conversation.say(EntryKind.ERROR, text_of(said))

    def end(self) -> None:
        """Nothing waits for the end."""

    def _tool(self, part: dict[str, Any], state: dict[str, Any]) -> None:
        self._tools += 1
        ident, tool = text_of(part.get("callID")) or f"tool {self._tools}", text_of(part.get("tool")) or "tool"
        if not self._conversation.called(ident):
            self._conversation.call(ident, tool, fields_of(state.get("input")))
        if (status := state.get("status")) not in ("completed", "error"):
            return
        times, failed = fields_of(state.get("time")), status == "error"
        began, ended = count_of(times.get("start")), count_of(times.get("end"))
        seconds = None if began is None or ended is None or ended < began else (ended - began) / 1000
        edit = text_of(fields_of(state.get("metadata")).get("diff")) if tool in EDITING and not failed else ""
        output = "" if edit else text_of(state.get("error") if failed else state.get("output"))
        self._conversation.result(ident, output, failed=failed, edit=edit, seconds=seconds)

    def _finished(self, used: dict[str, Any], reason: str) -> None:
        cache = fields_of(used.get("cache"))
        tokens = {
            "input_tokens": count_of(used.get("input")),
            "output_tokens": count_of(used.get("output")),
            "cache_read_tokens": count_of(cache.get("read")),
            "cache_write_tokens": count_of(cache.get("write")),
        }
        self._conversation.say(EntryKind.NOTE, f"A request is answered ({reason})" if reason else "A request is answered", tokens)
