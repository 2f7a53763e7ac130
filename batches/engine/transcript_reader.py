"""Read the transcript of an attempt in windows, from its file; see docs/decisions/transcripts-are-read-where-they-are.md.

Without a filter a window is found by the places of the lines, as in a log. With one the file is read through, which its
size bounds.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from django.core.cache import cache

from batches.core.text.transcript import Entry, as_markdown, kind_of, read_entry
from batches.engine.log_reader import CACHE_SECONDS, NEEDLE_CHARACTERS, LineFile, is_here, open_file_of
from batches.models import Attempt
from subagents.contract import clean_text

ENDING = "transcript.jsonl"
WINDOW = 100  # entries
BLOCK_BYTES = 1 << 16


class TranscriptFile(LineFile):
    """One transcript, open for reading; from `open_transcript`. `complete` is False when this host does not have it."""

    line_bytes = 1 << 20

    def entries(self, numbers: Sequence[int]) -> list[Entry]:
        """The entries with these ascending numbers, fewer when they are very long."""
        return [_entry(raw, number) for number, raw in self.lines_at(numbers)]

    def counts(self) -> Mapping[str, int]:
        """{kind: how many entries} of those that are there; kept until the file grows."""
        name = f"{self._name}:{self.size}:kinds"
        found: dict[str, int] | None = cache.get(name)
        if found is None:
            found = dict(Counter(kind_of(raw) for _number, raw in self._from(1)))
            cache.set(name, found, CACHE_SECONDS)
        return found

    def matching(self, kinds: Sequence[str], needle: str, start: int = 1) -> Sequence[int]:
        """The numbers from `start` on of entries of one of the `kinds` (none: all) in which people read `needle`."""
        if not kinds and not needle:
            return range(start, self.lines + 1)
        wanted = json.dumps(needle.lower(), ensure_ascii=False)[1:-1]
        found = []
        for number, raw in self._from(start):
            if kinds and kind_of(raw) not in kinds:
                continue
            if needle and (wanted not in raw.decode("utf-8", "replace").lower() or not _entry(raw, number).says(needle)):
                continue
            found.append(number)
        return found

    def raw(self) -> Iterator[bytes]:
        """The file as it is, in blocks."""
        offset = 0
        while data := self._read(offset, BLOCK_BYTES):
            offset += len(data)
            yield data

    def markdown(self, title: str) -> Iterator[bytes]:
        """The whole transcript as a markdown document, in blocks."""
        yield f"# {title}\n\n".encode()
        for number, raw in self._from(1):
            yield "".join(f"{line}\n" for line in as_markdown(_entry(raw, number))).encode("utf-8", "replace")


def _entry(raw: bytes, number: int) -> Entry:
    return read_entry(clean_text(raw.decode("utf-8", "replace")), number)


@contextmanager
def open_transcript(attempt: Attempt) -> Iterator[TranscriptFile]:
    """Open the transcript of `attempt`. Needs the attempt's task, run, batch and project."""
    descriptor = open_file_of(attempt, ENDING) if is_here(attempt) else None
    try:
        yield TranscriptFile(descriptor, b"", f"{attempt.pk}.transcript")
    finally:
        if descriptor is not None:
            os.close(descriptor)


def wanted_kinds(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The kinds of a filter that exist, in their usual order."""
    return tuple(kind for kind in known if kind in names)


def wanted_needle(text: str) -> str:
    return text[:NEEDLE_CHARACTERS].strip()
