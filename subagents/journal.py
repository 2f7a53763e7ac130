"""A task's log: one JSON object per line. Output of programs is stored here and nowhere else."""

from __future__ import annotations

import time

from subagents.appending import Appended
from subagents.files import clean_text, dump_json
from subagents.redaction import redact, redact_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LINE_CHARACTERS = 8_000  # a longer line of output is split


def timestamp() -> str:
    """Now, in UTC, ISO 8601 with milliseconds."""
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"


class Journal:
    """Appends to a log. After `limit` bytes of program output it notes that once and drops the rest; events are always kept.

    When the machine fails (a full disk), it counts the bytes that are lost and notes them once writing works again. An
    attempt does not fail for its log: its work meets the same fault, and fails for that.
    """

    def __init__(self, path: str, limit: int) -> None:
        """Raises OSError, also when `path` is not a regular file."""
        self._file = Appended(path)
        self._limit, self._stored = limit, 0

    def event(self, level: str, kind: str, message: str, **more: Any) -> None:
        """Add an event. Raises OSError, but not for a fault of the machine."""
        line = {"at": timestamp(), "level": level, "kind": kind, **redact_value({"message": clean_text(message), **more})}
        self._append(dump_json(line) + b"\n")

    def output(self, lines: list[bytes], step: int) -> None:
        """Store lines printed by a program of step `step` (0: of a gate), up to the limit. Raises as `event` does."""
        at, parts = timestamp(), []
        for line in lines:
            if self._stored > self._limit:
                break
            text = redact(clean_text(line.decode("utf-8", "replace")))
            for start in range(0, max(len(text), 1), LINE_CHARACTERS):
                message = text[start : start + LINE_CHARACTERS]
                parts.append(dump_json({"at": at, "level": "info", "kind": "output", "message": message, "step": step}) + b"\n")
            self._stored += len(line) + 1
            if self._stored > self._limit:
                note = f"more than {self._limit} bytes of output: the rest is not kept"
                parts.append(dump_json({"at": at, "level": "warning", "kind": "output_limit", "message": note}) + b"\n")
        if parts:
            self._append(b"".join(parts))

    def _append(self, data: bytes) -> None:
        if self._file.lost:
            note = f"{self._file.lost} bytes of the log could not be written here: the disk was full or not writable"
            line = {"at": timestamp(), "level": "warning", "kind": "log_incomplete", "message": note}
            data = dump_json(line) + b"\n" + data
        self._file.append(data)
