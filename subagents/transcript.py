"""What an agent said and did, one JSON object per line, for people to follow: messages, tool calls with their results, edits.

The log tells in lines what happened; the transcript keeps who said what, with what a tool was given and gave back. Secrets are
masked as in the log. An entry is cut to a size, the whole to another, and each cut says so.
"""

from __future__ import annotations

from subagents.appending import Appended
from subagents.contract import EntryKind
from subagents.files import clean_text, dump_json
from subagents.journal import timestamp
from subagents.redaction import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

TEXT_CHARACTERS = 16_000  # of each long text in an entry
LABEL_CHARACTERS = 200
TRANSCRIPT_BYTES = 32 * 1024 * 1024
CONTEXT_LINES = 2  # around each change of an edit
DIFFED_LINES = 4_000  # of a text; the comparison of longer ones takes too long


class Transcript:
    """Appends entries to the file at `path`, which the first one makes. `limit` bytes are kept.

    Nothing here fails an attempt: a file that cannot be written is reported once through `warn`.
    """

    def __init__(self, path: str, warn: Callable[[str], None], limit: int = TRANSCRIPT_BYTES) -> None:
        self._path, self._warn, self._limit = path, warn, limit
        self._file: Appended | None = None
        self._stored, self._over = 0, False
        self.count = 0  # entries so far; the last one's number

    def add(
        self,
        kind: EntryKind,
        text: str = "",
        *,
        tool: str = "",
        given: str = "",
        output: str = "",
        seconds: float | None = None,
        tokens: dict[str, int | None] | None = None,
        edit: str = "",
        of: int | None = None,
    ) -> int:
        """Add an entry and return its number, from 1; 0 when it is not kept.

        `text` is what was said, or the tool call in short. `given` is a tool's input, `output` what it gave back after
        `seconds`, `edit` a unified diff, `tokens` a request's USAGE_FIGURES. A result is `of` the entry with its call.
        """
        if self._over:
            return 0
        entry: dict[str, Any] = {"number": 0, "at": timestamp(), "kind": str(kind), "text": shortened(text)}
        entry |= {"tool": _masked(tool)[:LABEL_CHARACTERS], "input": shortened(given), "output": shortened(output)}
        entry |= {"duration": None if seconds is None else round(seconds, 3), "tokens": tokens, "edit": shortened(edit)}
        entry["of"] = of or None
        if self._file is not None and self._file.lost:
            lost = f"{self._file.lost} bytes of the transcript could not be written here: the disk was full or not writable"
            self._append({"kind": str(EntryKind.NOTE), "at": timestamp(), "text": lost})
        return self._append({name: value for name, value in entry.items() if value not in ("", None)})

    def _append(self, entry: dict[str, Any]) -> int:
        line = dump_json({**entry, "number": self.count + 1}) + b"\n"
        if self._stored + len(line) > self._limit:
            self._over = True
            text = f"the transcript is longer than {self._limit} bytes: the rest is not kept, the log goes on"
            note = {"number": self.count + 1, "at": timestamp(), "kind": str(EntryKind.NOTE), "text": text}
            line = dump_json(note) + b"\n"
        try:
            if self._file is None:
                self._file = Appended(self._path)
            self._file.append(line)
        except OSError as error:
            self._over = True
            self._warn(f"the transcript cannot be written: {error.strerror}")
            return 0
        self._stored += len(line)
        self.count += 1
        return 0 if self._over else self.count


def _masked(text: str) -> str:
    return redact(clean_text(text))


def shortened(text: str, limit: int = TEXT_CHARACTERS) -> str:
    """The text without secrets; of a long one the beginning and the end, with what is left out in between."""
    text = _masked(text)
    if len(text) <= limit:
        return text
    head, tail = limit * 2 // 3, limit // 3
    return f"{text[:head]}\n… {len(text) - head - tail} characters left out …\n{text[-tail:]}"


def small_diff(path: str, before: str, after: str) -> str:
    """A unified diff of two texts of the file `path`, with little around each change; "" when they are alike.

    Of very long texts only their lines are counted.
    """
    old, new = before.splitlines(), after.splitlines()
    if len(old) + len(new) > DIFFED_LINES:
        return f"--- {path}\n+++ {path}\n@@ {len(old)} lines before, {len(new)} after: too long to compare @@\n"
    import difflib  # here: every attempt imports this module, and few tell of an edit

    lines = difflib.unified_diff(old, new, path, path, n=CONTEXT_LINES, lineterm="")
    return "".join(f"{line}\n" for line in lines)
