"""The whole log of an attempt, read a page at a time where it lies; see docs/decisions/logs-are-read-where-they-are.md.

A log may have a hundred megabytes. Nothing here takes in more than a chunk and a page of it at once, and a search stops
after a while and says how far it came. What is known of the places of the lines is cached, and is added to as a log grows.
"""

import json
import os
import re
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

from django.conf import settings
from django.core.cache import cache

from batches.core.text.log_lines import LogLine, read_line
from batches.models import Attempt
from subagents.contract import ContractError, OrchestrationFiles, clean_text, task_file_name
from subagents.files import open_regular

CHUNK_BYTES = 1 << 20
PAGE_LINES = 500
PAGE_BYTES = 2 << 20  # a page of very long lines ends there
LINE_BYTES = 64 << 10  # of one line
SEARCH_SECONDS = 3.0
HITS = 2_000
NEAR_LINES = 10_000  # a line so near is read up to rather than looked up
CACHE_SECONDS = 600
NEEDLE_CHARACTERS = 200

# Colour sequences as JSON writes them: what stands between the letters of a word that is searched for.
_WRITTEN_COLOUR = re.compile(r"\\u001b\[[0-9;:]*m", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Search:
    """Line numbers from line `start` on that have the text, at most HITS of them.

    `go_on` is the line to search on from when there were more, or the time was up; None when the end was reached.
    """

    needle: str
    start: int
    hits: tuple[int, ...]
    go_on: int | None
    bytes_searched: int

    def before(self, line: int) -> int | None:
        return next((hit for hit in reversed(self.hits) if hit < line), None)

    def after(self, line: int) -> int | None:
        return next((hit for hit in self.hits if hit > line), None)


class Log:
    """One log, open for reading; from `open_log`. Lines are counted from 1.

    `whole` is False when only the end that was kept in the row is here; its lines are counted from its own first one.
    """

    def __init__(self, descriptor: int | None, kept: bytes, name: str) -> None:
        self._descriptor, self._kept = descriptor, kept
        self.whole = descriptor is not None
        status = None if descriptor is None else os.fstat(descriptor)
        self.size = len(kept) if status is None else status.st_size
        self._name = f"log:{name}:{status.st_ino if status else 'kept'}"
        self._starts: list[int] | None = None

    def _read(self, offset: int, count: int) -> bytes:
        if self._descriptor is None:
            return self._kept[offset : offset + count]
        return os.pread(self._descriptor, min(count, max(0, self.size - offset)), offset)

    @property
    def _lines_before(self) -> list[int]:
        """How many lines end before each whole chunk, and before what follows the last one."""
        if self._starts is None:
            known: list[int] = cache.get(self._name) or [0]
            whole = self.size // CHUNK_BYTES
            if len(known) > whole + 1:  # cut off since: not a log of ours any more
                known = [0]
            grown = len(known) <= whole
            while len(known) <= whole:
                known.append(known[-1] + self._read((len(known) - 1) * CHUNK_BYTES, CHUNK_BYTES).count(b"\n"))
            if grown:
                cache.set(self._name, known, CACHE_SECONDS)
            self._starts = known
        return self._starts

    @property
    def lines(self) -> int:
        """How many lines there are; one without an end is not counted: it is still being written."""
        starts = self._lines_before
        return starts[-1] + self._read((len(starts) - 1) * CHUNK_BYTES, CHUNK_BYTES).count(b"\n")

    def _offset_of(self, line: int) -> int:
        """Where that line begins; the size of the log for a line past its end."""
        if line <= 1:
            return 0
        starts = self._lines_before
        chunk = bisect_left(starts, line - 1) - 1  # where the line before it ends
        missing, offset = line - 1 - starts[chunk], chunk * CHUNK_BYTES
        while missing and offset < self.size:
            data = self._read(offset, CHUNK_BYTES)
            place = -1
            while missing and (place := data.find(b"\n", place + 1)) >= 0:
                missing -= 1
            if not missing:
                return offset + place + 1
            offset += len(data)
        return self.size

    def page(self, first: int, count: int = PAGE_LINES) -> list[LogLine]:
        """Up to `count` lines from line `first` on, fewer when they are long."""
        found: list[LogLine] = []
        taken = 0
        for number, raw in self._from(max(1, first)):
            found.append(_line(raw, number))
            taken += len(raw)
            if len(found) >= count or taken >= PAGE_BYTES:
                break
        return found

    def these(self, numbers: Sequence[int]) -> list[LogLine]:
        """The lines with these numbers, which are in order."""
        found: list[LogLine] = []
        taken = reached = 0
        reading: Iterator[tuple[int, bytes]] = iter(())
        for wanted in numbers:
            if wanted - reached > NEAR_LINES or not reached:
                reading = self._from(wanted)
            for reached, raw in reading:
                if reached == wanted:
                    found.append(_line(raw, wanted))
                    taken += len(raw)
                    break
            if taken >= PAGE_BYTES:
                break
        return found

    def _from(self, first: int) -> Iterator[tuple[int, bytes]]:
        """(number, bytes) of each whole line from that one on; of a longer line the first LINE_BYTES."""
        offset, number, rest = self._offset_of(first), first, b""
        while data := self._read(offset, CHUNK_BYTES):
            offset += len(data)
            *lines, rest = (rest + data).split(b"\n")
            for raw in lines:
                yield number, raw[:LINE_BYTES]
                number += 1
            if len(rest) > LINE_BYTES:  # what follows of this line is not kept, only its end is awaited
                rest = rest[:LINE_BYTES]

    def search(self, needle: str, start: int = 1) -> Search:
        """Lines from line `start` on whose text has `needle`, whatever its case, in about SEARCH_SECONDS at most."""
        needle = needle[:NEEDLE_CHARACTERS]
        name = f"{self._name}:{self.size}:{start}:{sha256(needle.encode('utf-8', 'replace')).hexdigest()}"
        known: list | None = cache.get(name)  # what JSON can hold, for a cache of files
        if known is not None:
            return Search(needle, start, tuple(known[0]), known[1], known[2])
        found = self._search(needle, start)
        cache.set(name, [list(found.hits), found.go_on, found.bytes_searched], CACHE_SECONDS)
        return found

    def _search(self, needle: str, start: int) -> Search:
        wanted = json.dumps(needle.lower(), ensure_ascii=False)[1:-1]
        until = time.monotonic() + SEARCH_SECONDS
        hits: list[int] = []
        begun = offset = self._offset_of(start)
        number, rest, over = start - 1, b"", False  # `number` lines are behind `offset`, less what is in `rest`
        while not over and (data := self._read(offset, CHUNK_BYTES)):
            offset += len(data)
            block, line_end, rest = (rest + data).rpartition(b"\n")
            if not line_end:
                rest = rest[:LINE_BYTES]
                continue
            for line in _lines_with(block, wanted, needle):
                hits.append(number + line)
                if len(hits) >= HITS or (over := time.monotonic() > until):
                    return Search(needle, start, tuple(hits), hits[-1] + 1, offset - begun)
            number += block.count(b"\n") + 1
            over = time.monotonic() > until
        return Search(needle, start, tuple(hits), number + 1 if offset < self.size else None, offset - begun)

    def text(self) -> Iterator[bytes]:
        """The whole log as plain text, "time kind text" a line, a chunk at a time."""
        parts: list[str] = []
        for number, raw in self._from(1):
            line = _line(raw, number)
            stamp = line.at.isoformat(timespec="seconds") if line.at else "-"
            parts.append(f"{stamp} {line.kind or '-'} {line.text}\n")
            if len(parts) >= 1_000:
                yield "".join(parts).encode("utf-8", "replace")
                parts.clear()
        yield "".join(parts).encode("utf-8", "replace")


def _line(raw: bytes, number: int) -> LogLine:
    return read_line(clean_text(raw.decode("utf-8", "replace")), number=number)


def _lines_with(block: bytes, wanted: str, needle: str) -> Iterator[int]:
    """Lines of the block, counted from 1, whose text has it; `wanted` is how JSON writes it, in lower case."""
    text = block.decode("utf-8", "replace")
    if "\\u001b" in text:
        text = _WRITTEN_COLOUR.sub("", text)
    lowered = text.lower()
    # Where lower case takes more letters than it was made of, places differ; whole lines never do.
    source = text if len(lowered) == len(text) else lowered
    number, start, place = 1, 0, lowered.find(wanted)
    while place >= 0:
        number += lowered.count("\n", start, place)
        begin, end = lowered.rfind("\n", 0, place) + 1, lowered.find("\n", place)
        end = len(lowered) if end < 0 else end
        if needle.lower() in read_line(source[begin:end]).text.lower():  # not only in the names of its fields
            yield number
        start = end
        place = lowered.find(wanted, end)


@contextmanager
def open_log(attempt: Attempt) -> Iterator[Log]:
    """The log of `attempt`: its file when this host ran it and still has it, else the end that its row keeps.

    Needs the attempt's task, run, batch and project.
    """
    descriptor = _open(attempt) if is_here(attempt) else None
    try:
        yield Log(descriptor, b"" if descriptor is not None else _kept(attempt), str(attempt.pk))
    finally:
        if descriptor is not None:
            os.close(descriptor)


def is_here(attempt: Attempt) -> bool:
    """Whether the host that answers is the one that ran it: nobody else reads its files."""
    return attempt.host == settings.CE_HOST


def _kept(attempt: Attempt) -> bytes:
    tail = attempt.log_tail
    return (tail if not tail or tail.endswith("\n") else f"{tail}\n").encode("utf-8", "replace")


def _open(attempt: Attempt) -> int | None:
    """The file where the attempt writes it, or in the archive when it has been put away."""
    run = attempt.task.run
    files = OrchestrationFiles(run.batch.project.repository)
    name = task_file_name(attempt.task.name, run.operation)
    try:
        place = files.task(run.batch.number, name).log
        kept, before = (
            os.path.join(files.archive(run.batch.number, run.number, one, attempt.number), f"task-{one}.log")
            for one in (name, attempt.task.name)  # the latter: put away when the files of every operation had that name
        )
        if (found := open_regular(kept) or open_regular(before)) is not None:
            return found
        # Looked at after it is open: were the next attempt to begin meanwhile, this file would be the archived one.
        found = open_regular(place)
        if found is not None and files.attempt_there(run.batch.number, name) != (run.number, attempt.number):
            os.close(found)
            return open_regular(kept)
    except ContractError:
        return None
    return found
