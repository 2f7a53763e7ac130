"""What a runner says while it works: to its wrapper over a pipe, to people in the log."""

from __future__ import annotations

import os
import time

from subagents.contract import TaskResult, TaskSpec
from subagents.files import clean_text, dump_json
from subagents.journal import Journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TITLE_CHARACTERS = 100


def title_of(text: str) -> str:
    """The first line of a step, short enough for a commit subject or a card."""
    first = next((line.strip() for line in text.split("\n") if line.strip()), "")
    return first if len(first) <= TITLE_CHARACTERS else first[: TITLE_CHARACTERS - 1].rstrip() + "…"


class Reporter:
    """Passed to roles and backends; only the wrapper turns what is said here into heartbeat and result files."""

    def __init__(self, spec: TaskSpec, pipe: int, journal: Journal) -> None:
        self.spec, self.journal = spec, journal
        self._pipe = pipe
        self._partial = b""
        self._told_alive = 0.0

    def progress(self, step: int, text: str, activity: str) -> None:
        """We are now at step `step` (0: before or after the steps) doing `activity`; `text` is shown as it is."""
        self._send({"progress": clean_text(text), "step": step, "activity": activity})
        self.journal.event("info", activity, text, step=step)

    def step(self, number: int, text: str) -> None:
        """We begin step `number` (1 is the first)."""
        self.progress(number, f"Step {number} of {len(self.spec.steps)}: {title_of(text)}", "step")

    def steps_done(self, count: int) -> None:
        self._send({"steps_completed": count})

    def head(self, commit: str) -> None:
        """The attempt's work is now kept in `commit`."""
        self._send({"head_commit": commit})

    def alive(self) -> None:
        """The agent did something worth the name of progress; passed on once a second at most."""
        now = time.monotonic()
        if now - self._told_alive >= 1:
            self._told_alive = now
            self._send({})

    def doing(self, text: str) -> None:
        """What the agent does at this moment, within the step: a tool and its file, or what it waits for."""
        self._send({"activity": title_of(clean_text(text))})

    def session(self, session: str) -> None:
        """The agent's session; known so early, it can be gone on with however the attempt ends."""
        self._send({"session": session})

    def usage(self, tokens: int | None, cost_usd: float | None, usage: dict[str, Any]) -> None:
        self._send({"tokens_used": tokens, "cost_usd": cost_usd, "usage": usage})

    def note(self, level: str, kind: str, message: str, **more: Any) -> None:
        self.journal.event(level, kind, message, **more)

    def output(self, data: bytes, step: int) -> None:
        """Store a piece of program output, line by line; a last line without end waits for `end_output`."""
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()
        if len(self._partial) > 1 << 16:
            lines.append(self._partial)
            self._partial = b""
        self.journal.output(lines, step)

    def end_output(self, step: int) -> None:
        if self._partial:
            self.journal.output([self._partial], step)
            self._partial = b""

    def result(self, result: TaskResult) -> None:
        """The last word."""
        self._send({"result": result.to_json()})

    def _send(self, message: dict[str, Any]) -> None:
        view = memoryview(dump_json(message) + b"\n")
        while view:
            view = view[os.write(self._pipe, view) :]
