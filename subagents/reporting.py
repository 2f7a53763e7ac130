"""Reports a runner's progress: to the supervisor through a pipe, to people in the log."""

from __future__ import annotations

import os
import time

from subagents.contract import EntryKind, TaskResult, TaskSpec
from subagents.files import clean_text, dump_json
from subagents.journal import Journal
from subagents.transcript import Transcript

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TITLE_CHARACTERS = 100


def title_of(text: str) -> str:
    """The first line of a step, short enough for a commit subject or a card."""
    first = next((line.strip() for line in text.split("\n") if line.strip()), "")
    return first if len(first) <= TITLE_CHARACTERS else first[: TITLE_CHARACTERS - 1].rstrip() + "…"


class Reporter:
    """Passed to roles and backends. Only the supervisor writes what is reported here to the heartbeat and result files."""

    def __init__(self, spec: TaskSpec, pipe: int, journal: Journal) -> None:
        self.spec, self.journal = spec, journal
        self._pipe = pipe
        self._partial = b""
        self._alive_sent_at = 0.0
        self.transcript = Transcript(spec.files.transcript, lambda problem: self.journal.event("warning", "transcript", problem))

    def progress(self, step: int, text: str, activity: str) -> None:
        """Report that `activity` is under way at step `step` (0: before or after the steps); `text` is shown unchanged."""
        self._send({"progress": clean_text(text), "step": step, "activity": activity})
        self.journal.event("info", activity, text, step=step)

    def step(self, number: int, text: str) -> None:
        """Report that step `number` starts (1 is the first)."""
        what = f"Step {number} of {len(self.spec.steps)}: {title_of(text)}"
        self.progress(number, what, "step")
        if self.transcript.count:
            self.transcript.add(EntryKind.NOTE, what)

    def steps_done(self, count: int) -> None:
        self._send({"steps_completed": count})

    def head(self, commit: str) -> None:
        """Report that `commit` now has the attempt's work."""
        self._send({"head_commit": commit})

    def checked_out(self, links: tuple[str, ...]) -> None:
        """Report that the checkout is complete, with these links into the project's environment: from now on it holds work."""
        self._send({"checked_out": list(links)})

    def alive(self) -> None:
        """Report that the agent made progress; sent at most once a second."""
        now = time.monotonic()
        if now - self._alive_sent_at >= 1:
            self._alive_sent_at = now
            self._send({})

    def doing(self, text: str) -> None:
        """Report what the agent does now within the step: a tool and its file, or what it waits for."""
        self._send({"activity": title_of(clean_text(text))})

    def asks(self, question: dict[str, Any]) -> None:
        """Report that the agent waits for a person's answer to this question; {}: it has one. Clocks stand still meanwhile."""
        self._send({"question": question})

    def session(self, session: str) -> None:
        """Report the agent's session early, so that it can be continued however the attempt ends."""
        self._send({"session": session})

    def usage(self, tokens: int | None, cost_usd: float | None, usage: dict[str, Any]) -> None:
        self._send({"tokens_used": tokens, "cost_usd": cost_usd, "usage": usage})

    def note(self, level: str, kind: str, message: str, **more: Any) -> None:
        """Add an event to the log; what went wrong is also in the transcript of an agent."""
        self.journal.event(level, kind, message, **more)
        if self.transcript.count and level in ("warning", "error") and kind != "tool_failed":  # that one has its result there
            self.transcript.add(EntryKind.ERROR if level == "error" else EntryKind.NOTE, message)

    def output(self, data: bytes, step: int) -> None:
        """Store program output line by line; an incomplete last line is kept until `end_output`."""
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
        """Send the result, the last message."""
        self._send({"result": result.to_json()})

    def _send(self, message: dict[str, Any]) -> None:
        view = memoryview(dump_json(message) + b"\n")
        while view:
            view = view[os.write(self._pipe, view) :]
