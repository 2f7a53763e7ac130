"""What the messages of the Claude Agent SDK add to a transcript."""

from __future__ import annotations

import os
import time

from subagents.contract import USAGE_FIGURES, EntryKind
from subagents.conversation import told_input
from subagents.record import record
from subagents.spending import PROVIDER_FIGURES
from subagents.transcript import small_diff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from subagents.transcript import Transcript

EDITING = ("Edit", "Write")


@record
class _Call:
    number: int
    name: str
    given: dict[str, Any]
    text: str
    began: float


class ClaudeTranscript:
    """Tells a transcript of each message. `describe` puts a tool call in short: (name, input) → text.

    The tokens of a request are known only after its last block. So the newest block waits for them until something else comes.
    """

    def __init__(self, transcript: Transcript, checkout: str, describe: Callable[[str, dict[str, Any]], str]) -> None:
        self._transcript, self._checkout, self._describe = transcript, checkout, describe
        self._calls: dict[str, _Call] = {}
        self._waiting: Callable[[dict[str, int | None] | None], None] | None = None
        self._begun: dict[str, Any] = {}

    def see(self, message: Any) -> None:
        """Add what the message tells. Messages of other kinds tell nothing."""
        match type(message).__name__:
            case "StreamEvent":
                self._event(message.event)
            case "AssistantMessage":
                for block in message.content:
                    self._block(block)
            case "UserMessage" if isinstance(message.content, list):
                self.close()
                results = [block for block in message.content if type(block).__name__ == "ToolResultBlock"]
                for block in results:
                    told = message.tool_use_result if len(results) == 1 else None
                    self._result(block, told if isinstance(told, dict) else {})
            case "SystemMessage" if message.subtype == "init":
                self._transcript.add(EntryKind.NOTE, f"A session with the model {message.data.get('model', '')} begins")
            case "ResultMessage":
                self.close()
                self._transcript.add(EntryKind.NOTE, f"The agent ended after {message.num_turns} turns: {message.subtype}")

    def close(self) -> None:
        """Add what still waits for its tokens."""
        self._flush(None)

    def _flush(self, tokens: dict[str, int | None] | None) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting(tokens)

    def _event(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case "message_start":
                self.close()
                self._begun = event.get("message", {}).get("usage") or {}
            case "content_block_start":
                self.close()
            case "message_delta":
                usage = {**self._begun, **(event.get("usage") or {})}
                self._flush({ours: usage.get(theirs) for ours, theirs in zip(USAGE_FIGURES, PROVIDER_FIGURES, strict=True)})

    def _block(self, block: Any) -> None:
        self.close()
        match type(block).__name__:
            case "TextBlock" if block.text.strip():
                self._waiting = lambda tokens: self._say(EntryKind.MESSAGE, block.text, tokens)
            case "ThinkingBlock" if block.thinking.strip():
                self._waiting = lambda tokens: self._say(EntryKind.THINKING, block.thinking, tokens)
            case "ToolUseBlock":
                began, given = time.monotonic(), block.input if isinstance(block.input, dict) else {}
                self._waiting = lambda tokens: self._call(block.id, block.name, given, began, tokens)

    def _say(self, kind: EntryKind, text: str, tokens: dict[str, int | None] | None) -> None:
        self._transcript.add(kind, text, tokens=tokens)

    def _call(self, ident: str, name: str, given: dict[str, Any], began: float, tokens: dict[str, int | None] | None) -> None:
        text = self._describe(name, given)
        shown = {key: value for key, value in given.items() if not (name in EDITING and key in ("content", "old_string", "new_string"))}
        number = self._transcript.add(EntryKind.TOOL_CALL, text, tool=name, given=told_input(shown), tokens=tokens)
        self._calls[ident] = _Call(number, name, given, text, began)

    def _result(self, block: Any, told: dict[str, Any]) -> None:
        call = self._calls.pop(block.tool_use_id, None)
        if call is None:
            return
        seconds = time.monotonic() - call.began
        output = plain_text(block.content)
        if block.is_error:
            self._transcript.add(EntryKind.ERROR, call.text, tool=call.name, output=output, seconds=seconds, of=call.number)
        elif call.name in EDITING and (edit := self._edit(call.given, told)):
            self._transcript.add(EntryKind.EDIT, call.text, tool=call.name, seconds=seconds, edit=edit, of=call.number)
        else:
            self._transcript.add(EntryKind.RESULT, call.text, tool=call.name, output=output, seconds=seconds, of=call.number)

    def _edit(self, given: dict[str, Any], told: dict[str, Any]) -> str:
        """The change of a file: as the program reports it, else from what the tool was given."""
        path = str(given.get("file_path", "")).removeprefix(self._checkout + os.sep)
        hunks = told.get("structuredPatch")
        if isinstance(hunks, list) and hunks and all(isinstance(hunk, dict) for hunk in hunks):
            return f"--- {path}\n+++ {path}\n" + "".join(_hunk(hunk) for hunk in hunks)
        before = given.get("old_string", "") if told.get("originalFile") is None else told["originalFile"]
        after = given.get("content", given.get("new_string", ""))
        return small_diff(path, str(before), str(after))


def _hunk(hunk: dict[str, Any]) -> str:
    places = [hunk.get(name, 0) for name in ("oldStart", "oldLines", "newStart", "newLines")]
    lines = hunk.get("lines")
    head = "@@ -{},{} +{},{} @@".format(*places)
    return "".join(f"{line}\n" for line in (head, *(lines if isinstance(lines, list) else ())))


def plain_text(content: Any) -> str:
    """The text of a tool's result, which is a text or a list of parts."""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content or () if isinstance(part, dict))
