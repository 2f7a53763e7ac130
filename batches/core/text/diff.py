"""Unified diffs for a page: files, numbered lines, changes inside a line, both sides next to each other."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import zip_longest

LINE_CHARACTERS = 2_000  # longer lines are cut
COMPARED_CHARACTERS = 400  # longer lines are not compared word by word
COMPARED_PAIRS = 400  # per file
LIKENESS = 0.4  # two lines less alike than this are not compared
_HUNK = re.compile(r"@@ -(\d{1,9})(?:,\d+)? \+(\d{1,9})(?:,\d+)? @@")
_WORDS = re.compile(r"\w+|\s+|.")
_NAMES = ("--- ", "+++ ", "index ")  # the heading of the file shows these already


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line without its sign; `kind` is add, del, hunk, meta or "". Line numbers count from 1; None where that side has no such line.

    `marks` are the (start, end) of the parts that differ from the line on the other side.
    """

    kind: str
    text: str
    old: int | None = None
    new: int | None = None
    marks: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class DiffFile:
    """One file of a unified diff, with the numbers of added and removed lines."""

    name: str
    lines: tuple[DiffLine, ...]
    added: int
    removed: int

    @property
    def digest(self) -> str:
        """SHA-256 of its name and lines: the same for the same change."""
        text = "\n".join((self.name, *(f"{line.kind} {line.text}" for line in self.lines if line.kind != "hunk")))
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()

    @property
    def what(self) -> str:
        """What happened to the file: created, deleted or modified."""
        headers = [line.text for line in self.lines[:8] if line.kind == "meta"]
        if any(text.startswith("new file") for text in headers):
            return "created"
        return "deleted" if any(text.startswith("deleted file") for text in headers) else "modified"


@dataclass(frozen=True, slots=True)
class UnifiedDiff:
    """A unified diff for a page. `left_out` counts the lines beyond the limit, which are not shown."""

    files: tuple[DiffFile, ...]
    left_out: int

    @property
    def added(self) -> int:
        return sum(file.added for file in self.files)

    @property
    def removed(self) -> int:
        return sum(file.removed for file in self.files)


def read_diff(text: str, *, limit: int = 4_000) -> UnifiedDiff:
    """Split a git diff into files and lines, at most `limit` lines in total."""
    files: list[DiffFile] = []
    name, lines = "", list[DiffLine]()
    old = new = 0
    in_hunk = False

    def close() -> None:
        if lines or name:
            added = sum(line.kind == "add" for line in lines)
            removed = sum(line.kind == "del" for line in lines)
            files.append(DiffFile(name or "(diff)", tuple(lines), added, removed))

    all_lines = text.split("\n")
    if all_lines and not all_lines[-1]:
        all_lines.pop()
    for line in all_lines[:limit]:
        sign, shown = line[:1], line[1 : LINE_CHARACTERS + 1]
        if line.startswith("diff --git "):
            close()
            name, lines, in_hunk = line.rpartition(" b/")[2] or line[11:], [], False
        elif line.startswith("@@"):
            hunk = _HUNK.match(line)
            old, new = (int(hunk[1]), int(hunk[2])) if hunk else (1, 1)
            in_hunk = True
            lines.append(DiffLine("hunk", line[:LINE_CHARACTERS]))
        elif not in_hunk or sign == "\\":
            if not line.startswith(_NAMES):
                lines.append(DiffLine("meta", line[:LINE_CHARACTERS]))
        elif sign == "+":
            lines.append(DiffLine("add", shown, None, new))
            new += 1
        elif sign == "-":
            lines.append(DiffLine("del", shown, old, None))
            old += 1
        else:
            lines.append(DiffLine("", shown, old, new))
            old, new = old + 1, new + 1
    close()
    return UnifiedDiff(tuple(files), max(0, len(all_lines) - limit))


def compared(lines: Sequence[DiffLine]) -> list[DiffLine]:
    """The lines with marks for changes inside them: in a block the first removed line is compared with the first added one, and so on."""
    marked = list(lines)
    pairs = 0
    for removed, added in _changed_blocks(marked):
        for before, after in zip(removed, added, strict=False):
            pairs += 1
            if pairs > COMPARED_PAIRS:
                return marked
            old, new = marked[before], marked[after]
            if max(len(old.text), len(new.text)) <= COMPARED_CHARACTERS and (marks := _word_changes(old.text, new.text)):
                marked[before], marked[after] = replace(old, marks=marks[0]), replace(new, marks=marks[1])
    return marked


def side_by_side(lines: Sequence[DiffLine]) -> Iterator[tuple[DiffLine | None, DiffLine | None]]:
    """(left, right) pairs: unchanged lines twice, replaced lines beside their replacements, None for a missing side."""
    blocks = {removed[0] if removed else added[0]: (removed, added) for removed, added in _changed_blocks(lines)}
    place = 0
    while place < len(lines):
        if block := blocks.get(place):
            removed, added = block
            for before, after in zip_longest(removed, added):
                yield (None if before is None else lines[before], None if after is None else lines[after])
            place += len(removed) + len(added)
        else:
            yield lines[place], lines[place]
            place += 1


def _changed_blocks(lines: Sequence[DiffLine]) -> Iterator[tuple[range, range]]:
    """(indexes of removed lines, indexes of the added lines that follow them), in order."""
    place = 0
    while place < len(lines):
        if lines[place].kind not in ("add", "del"):
            place += 1
            continue
        start = place
        while place < len(lines) and lines[place].kind == "del":
            place += 1
        middle = place
        while place < len(lines) and lines[place].kind == "add":
            place += 1
        yield range(start, middle), range(middle, place)


def _word_changes(old: str, new: str) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]] | None:
    """Where two lines differ, word by word; None when they have too little in common."""
    left, right = _WORDS.findall(old), _WORDS.findall(new)
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    if matcher.quick_ratio() < LIKENESS or matcher.ratio() < LIKENESS:
        return None
    ends_left, ends_right = _ends(left), _ends(right)
    changes = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    return (
        tuple((ends_left[a], ends_left[b]) for _tag, a, b, _c, _d in changes if b > a),
        tuple((ends_right[c], ends_right[d]) for _tag, _a, _b, c, d in changes if d > c),
    )


def _ends(words: Sequence[str]) -> list[int]:
    places = [0]
    for word in words:
        places.append(places[-1] + len(word))
    return places
