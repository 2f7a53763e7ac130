"""Read the log of an attempt page by page from its file; see docs/decisions/logs-are-read-where-they-are.md.

A log may have a hundred megabytes. This module holds at most a chunk and a page of it in memory, and a search stops after
a time limit and says how far it got. Line offsets are cached, and the cache is extended as a log grows.
"""

import gzip
import json
import os
import re
import tempfile
import time
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.core.cache import cache

from batches.core.text.log_lines import LogLine, read_line
from batches.models import Attempt
from subagents.contract import ContractError, OrchestrationFiles, clean_text, task_file_name
from subagents.files import open_regular

CHUNK_BYTES = 1 << 20
PAGE_LINES = 500
PAGE_BYTES = 2 << 20  # a page of very long lines ends at this size
LINE_BYTES = 64 << 10  # longer lines are cut
SEARCH_SECONDS = 3.0
HITS = 2_000
NEAR_LINES = 10_000  # up to this distance, reading on is faster than looking up the offset
CACHE_SECONDS = 600
NEEDLE_CHARACTERS = 200
UNPACKED_BYTES = 1 << 30  # of a compressed file no more is read

# Colour sequences as JSON writes them; they may stand between the letters of a word that is searched for.
_WRITTEN_COLOUR = re.compile(r"\\u001b\[[0-9;:]*m", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Search:
    """The numbers of lines that contain the text, from line `start` on, at most HITS of them.

    `go_on` is the line to continue the search from after HITS or the time limit; None when the search reached the end.
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


class LineFile:
    """A file of lines that may grow while it is read. Lines are counted from 1.

    `complete` is False without a file: then `kept` stands for its end, and the first line of that counts as line 1.
    """

    line_bytes = LINE_BYTES

    def __init__(self, descriptor: int | None, kept: bytes, name: str) -> None:
        self._descriptor, self._kept = descriptor, kept
        self.complete = descriptor is not None
        status = None if descriptor is None else os.fstat(descriptor)
        self.size = len(kept) if status is None else status.st_size
        self._name = f"lines:{name}:{status.st_ino if status else 'kept'}"
        self._starts: list[int] | None = None

    def _read(self, offset: int, count: int) -> bytes:
        if self._descriptor is None:
            return self._kept[offset : offset + count]
        return os.pread(self._descriptor, min(count, max(0, self.size - offset)), offset)

    @property
    def _lines_before(self) -> list[int]:
        """[number of lines that end before each complete chunk, and before the rest after the last one]."""
        if self._starts is None:
            known: list[int] = cache.get(self._name) or [0]
            chunks = self.size // CHUNK_BYTES
            if len(known) > chunks + 1:  # the file is shorter than before, so it is another file
                known = [0]
            grown = len(known) <= chunks
            while len(known) <= chunks:
                known.append(known[-1] + self._read((len(known) - 1) * CHUNK_BYTES, CHUNK_BYTES).count(b"\n"))
            if grown:
                cache.set(self._name, known, CACHE_SECONDS)
            self._starts = known
        return self._starts

    @property
    def lines(self) -> int:
        """The number of lines. A last line without a newline does not count: it is still being written."""
        starts = self._lines_before
        return starts[-1] + self._read((len(starts) - 1) * CHUNK_BYTES, CHUNK_BYTES).count(b"\n")

    def _offset_of(self, line: int) -> int:
        """The offset where that line begins; the size of the log for a line past its end."""
        if line <= 1:
            return 0
        starts = self._lines_before
        chunk = bisect_left(starts, line - 1) - 1  # the chunk in which the line before it ends
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

    def lines_from(self, first: int, count: int) -> list[tuple[int, bytes]]:
        """(number, bytes) of up to `count` lines from line `first` on, fewer when they are long."""
        found: list[tuple[int, bytes]] = []
        taken = 0
        for number, raw in self._from(max(1, first)):
            found.append((number, raw))
            taken += len(raw)
            if len(found) >= count or taken >= PAGE_BYTES:
                break
        return found

    def lines_at(self, numbers: Sequence[int]) -> list[tuple[int, bytes]]:
        """(number, bytes) of the lines with these ascending numbers, fewer when they are long."""
        found: list[tuple[int, bytes]] = []
        taken = reached = 0
        reading: Iterator[tuple[int, bytes]] = iter(())
        for wanted in numbers:
            if wanted - reached > NEAR_LINES or not reached:
                reading = self._from(wanted)
            for reached, raw in reading:
                if reached == wanted:
                    found.append((wanted, raw))
                    taken += len(raw)
                    break
            if taken >= PAGE_BYTES:
                break
        return found

    def _from(self, first: int) -> Iterator[tuple[int, bytes]]:
        """(number, bytes) of each complete line from line `first` on, each cut to `line_bytes`."""
        offset, number, rest = self._offset_of(first), first, b""
        while data := self._read(offset, CHUNK_BYTES):
            offset += len(data)
            *lines, rest = (rest + data).split(b"\n")
            for raw in lines:
                yield number, raw[: self.line_bytes]
                number += 1
            if len(rest) > self.line_bytes:  # skip the rest of this line
                rest = rest[: self.line_bytes]


class Log(LineFile):
    """One log, open for reading; from `open_log`."""

    def page(self, first: int, count: int = PAGE_LINES) -> list[LogLine]:
        """Up to `count` lines from line `first` on, fewer when they are long."""
        return [_line(raw, number) for number, raw in self.lines_from(first, count)]

    def these(self, numbers: Sequence[int]) -> list[LogLine]:
        """The lines with these numbers; the numbers must be ascending."""
        return [_line(raw, number) for number, raw in self.lines_at(numbers)]

    def search(self, needle: str, start: int = 1) -> Search:
        """Lines from line `start` on whose text contains `needle` in any case; takes about SEARCH_SECONDS at most."""
        needle = needle[:NEEDLE_CHARACTERS]
        name = f"{self._name}:{self.size}:{start}:{sha256(needle.encode('utf-8', 'replace')).hexdigest()}"
        known: list[Any] | None = cache.get(name)  # a list, since the cache stores JSON
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
        number, rest, over = start - 1, b"", False  # `number` lines end before `offset`; `rest` is the start of the next one
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
        """Yield the whole log as plain text in chunks; each line is "time kind text"."""
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
    """Numbers, from 1, of the block's lines whose text contains `needle`; `wanted` is its JSON form in lower case."""
    text = block.decode("utf-8", "replace")
    if "\\u001b" in text:
        text = _WRITTEN_COLOUR.sub("", text)
    lowered = text.lower()
    # Lower case can have more letters than the original. Then offsets differ, so lines are cut from the lowered text.
    source = text if len(lowered) == len(text) else lowered
    number, start, place = 1, 0, lowered.find(wanted)
    while place >= 0:
        number += lowered.count("\n", start, place)
        begin, end = lowered.rfind("\n", 0, place) + 1, lowered.find("\n", place)
        end = len(lowered) if end < 0 else end
        if needle.lower() in read_line(source[begin:end]).text.lower():  # a match only in the names of JSON fields does not count
            yield number
        start = end
        place = lowered.find(wanted, end)


@contextmanager
def open_log(attempt: Attempt) -> Iterator[Log]:
    """Open the log of `attempt`: its file when this host ran it and still has it, else the end of the log from its row.

    Needs the attempt's task, run, batch and project.
    """
    descriptor = open_file_of(attempt, "log") if is_here(attempt) else None
    try:
        yield Log(descriptor, b"" if descriptor is not None else _kept(attempt), str(attempt.pk))
    finally:
        if descriptor is not None:
            os.close(descriptor)


def is_here(attempt: Attempt) -> bool:
    """Whether this host ran the attempt; only that host reads its files."""
    return attempt.host == settings.CE_HOST


def _kept(attempt: Attempt) -> bytes:
    tail = attempt.log_tail
    return (tail if not tail or tail.endswith("\n") else f"{tail}\n").encode("utf-8", "replace")


def open_file_of(attempt: Attempt, ending: str) -> int | None:
    """A descriptor for one of the files of an attempt of this host ("log"), None without one. Needs what `open_log` needs.

    It lies where the attempt writes it, or in the archive after the attempt was archived.
    """
    run = attempt.task.run
    files = OrchestrationFiles(run.batch.project.repository)
    name = task_file_name(attempt.task.name, run.operation)
    try:
        place = f"{files.task(run.batch.number, name).spec.removesuffix('json')}{ending}"
        kept, before = (
            os.path.join(files.archive(run.batch.number, run.number, one, attempt.number), f"task-{one}.{ending}")
            for one in (name, attempt.task.name)  # the latter: put away when the files of every operation had that name
        )
        if (found := open_regular(kept) or open_regular(before) or _open_compressed(f"{kept}.gz")) is not None:
            return found
        # Check after opening: if the next attempt starts meanwhile, the opened file is the archived one.
        found = open_regular(place)
        if found is not None and files.current_attempt(run.batch.number, name) != (run.number, attempt.number):
            os.close(found)
            return open_regular(kept) or _open_compressed(f"{kept}.gz")
    except ContractError:
        return None
    return found


def _open_compressed(path: str) -> int | None:
    """A descriptor for what a compressed file holds, in a file without a name; None without one that can be read."""
    packed = open_regular(path)
    if packed is None:
        return None
    try:
        with open(packed, "rb") as source, gzip.open(source) as unpacked, tempfile.TemporaryFile(dir=settings.CE_DATA_DIR) as plain:
            while (data := unpacked.read(1 << 20)) and plain.tell() < UNPACKED_BYTES:
                plain.write(data)
            plain.flush()
            return os.dup(plain.fileno())
    except (OSError, EOFError, zlib.error):
        return None
