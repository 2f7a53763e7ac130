"""Makes a transcript of what an agent's command prints: events of a known format, else plain lines.

Each format has a module with a class: `takes(event)` says whether an event is one of its own, `read(event)` tells the
conversation of it, `end()` of what is left.
"""

from __future__ import annotations

import json

from subagents.backends.streams.codex import Codex
from subagents.backends.streams.gemini import Gemini
from subagents.backends.streams.opencode import Opencode
from subagents.contract import EntryKind
from subagents.conversation import Conversation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from subagents.reporting import Reporter

FORMATS = (Codex, Gemini, Opencode)
LINE_BYTES = 8 * 1024 * 1024  # a longer line is text
WHOLE_CHARACTERS = 4 * 1024 * 1024  # of one object over several lines


class StreamReader:
    """Takes an agent's output in pieces, as it comes. The first event decides on the format."""

    def __init__(self, reporter: Reporter, checkout: str) -> None:
        self._conversation = Conversation(reporter, checkout)
        self._format: Codex | Gemini | Opencode | None = None
        self._rest = b""
        self._lines: list[str] = []  # plain ones that came together
        self._whole: list[str] | None = None  # of an object that began with a line of its own
        self._length = 0

    def add(self, data: bytes) -> None:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._line(line.decode("utf-8", "replace").rstrip("\r"))
        self._say_lines()

    def end(self) -> None:
        """The output is over."""
        if self._rest:
            self._line(self._rest.decode("utf-8", "replace"))
            self._rest = b""
        if self._whole is not None:
            self._end_whole()
        self._say_lines()
        if self._format is not None:
            self._format.end()

    def _line(self, line: str) -> None:
        if self._whole is not None:
            self._whole.append(line)
            self._length += len(line)
            if line == "}" or self._length > WHOLE_CHARACTERS:
                self._end_whole()
        elif line == "{":
            self._say_lines()
            self._whole, self._length = [line], 1
        elif (event := _event(line)) is None or not self._reads(event):
            self._lines.append(line)

    def _reads(self, event: dict[str, Any]) -> bool:
        if self._format is None:
            chosen = next((one for one in FORMATS if one.takes(event)), None)
            if chosen is None:
                return False
            self._say_lines()
            self._format = chosen(self._conversation)
        elif not self._format.takes(event):
            return False
        self._say_lines()
        self._format.read(event)
        return True

    def _end_whole(self) -> None:
        lines, self._whole = self._whole or [], None
        event = _event("\n".join(lines))
        if event is None or not self._reads(event):
            self._lines += lines

    def _say_lines(self) -> None:
        text = "\n".join(self._lines).strip("\n")
        self._lines.clear()
        self._conversation.say(EntryKind.MESSAGE if self._format is None else EntryKind.NOTE, text)


def _event(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
