"""What an agent says and does while it runs, told to its transcript and, as the current activity, to its heartbeat."""

from __future__ import annotations

import json
import time

from subagents.activity import WAITS, doing, what_of
from subagents.contract import EntryKind
from subagents.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from subagents.reporting import Reporter


@record
class _Call:
    number: int
    tool: str
    text: str
    began: float


class Conversation:
    """Joins results to their calls by the agent's own ids, and measures how long the tools took."""

    def __init__(self, reporter: Reporter, checkout: str) -> None:
        self.reporter, self.checkout = reporter, checkout
        self._calls: dict[str, _Call] = {}

    def say(self, kind: EntryKind, text: str, tokens: dict[str, int | None] | None = None) -> None:
        """Add a text; an empty one says nothing."""
        if text.strip():
            self.reporter.transcript.add(kind, text, tokens=tokens)

    def call(self, ident: str, tool: str, given: dict[str, Any]) -> None:
        """A tool is called."""
        text = f"{tool} {what_of(given, self.checkout)}".strip()
        number = self.reporter.transcript.add(EntryKind.TOOL_CALL, text, tool=tool, given=told_input(given))
        self._calls[ident] = _Call(number, tool, text, time.monotonic())
        self.reporter.doing(doing(tool, given, self.checkout))

    def called(self, ident: str) -> bool:
        """Whether a call with this id waits for its result."""
        return ident in self._calls

    def result(
        self, ident: str, output: str = "", *, failed: bool = False, edit: str = "", edited: bool = False, seconds: float | None = None
    ) -> None:
        """The call `ident` is over; `seconds` as the agent measured them, else our own measure. Unknown ids say nothing."""
        call = self._calls.pop(ident, None)
        if call is None:
            return
        kind = EntryKind.ERROR if failed else EntryKind.EDIT if edit or edited else EntryKind.RESULT
        took = time.monotonic() - call.began if seconds is None else seconds
        self.reporter.transcript.add(kind, call.text, tool=call.tool, output=output, seconds=took, edit=edit, of=call.number)
        if not self._calls:
            self.reporter.doing(WAITS)


def told_input(given: dict[str, Any]) -> str:
    """A tool's input for people: a single text as it is, more as JSON."""
    if isinstance(command := given.get("command"), str):
        return command
    if len(given) == 1 and isinstance(only := next(iter(given.values())), str):
        return only
    return json.dumps(given, indent=1, ensure_ascii=False) if given else ""
