"""Unified diffs read for a page: files, numbered lines, what changed inside a line, pairs side by side."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import zip_longest

LINE_CHARACTERS = 2_000  # of one line; the rest is cut
COMPARED_CHARACTERS = 400  # longer lines are not compared within
COMPARED_PAIRS = 400  # of one file
LIKENESS = 0.4  # below it two lines have nothing to do with each other
_HUNK = re.compile(r"@@ -(\d{1,9})(?:,\d+)? \+(\d{1,9})(?:,\d+)? @@")
_WORDS = re.compile(r"\w+|\s+|.")
_NAMES = ("--- ", "+++ ", "index ")  # what the head of the file says already


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line without its sign; `kind` is add, del, hunk, meta or "". Numbers from 1, None where the side has no such line.

    `marks` are the (start, end) of what differs from the line that it replaced or was replaced by.
    """

    kind: str
    text: str
    old: int | None = None
    new: int | None = None
    marks: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class DiffFile:
    """One file of a unified diff, with how many lines came and went."""

    name: str
    lines: tuple[DiffLine, ...]
    added: int
    removed: int

    @property
    def what(self) -> str:
        """What became of the file: created, deleted or modified."""
        said = [line.text for line in self.lines[:8] if line.kind == "meta"]
        if any(text.startswith("new file") for text in said):
            return "created"
        return "deleted" if any(text.startswith("deleted file") for text in said) else "modified"


@dataclass(frozen=True, slots=True)
class UnifiedDiff:
    """A unified diff read for a page; `left_out` lines are past the limit and are said, not shown."""

    files: tuple[DiffFile, ...]
    left_out: int

    @property
    def added(self) -> int:
        return sum(file.added for file in self.files)

    @property
    def removed(self) -> int:
        return sum(file.removed for file in self.files)


def read_diff(text: str, *, limit: int = 4_000) -> UnifiedDiff:
    """Split a git diff into files and lines, at most `limit` lines in all."""
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
            found = _HUNK.match(line)
            old, new = (int(found[1]), int(found[2])) if found else (1, 1)
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
    """The lines with what changed inside them: the first line taken out of a block against the first put in, and so on."""
    found = list(lines)
    pairs = 0
    for gone, come in _blocks(found):
        for before, after in zip(gone, come, strict=False):
            pairs += 1
            if pairs > COMPARED_PAIRS:
                return found
            old, new = found[before], found[after]
            if max(len(old.text), len(new.text)) <= COMPARED_CHARACTERS and (marks := _changed(old.text, new.text)):
                found[before], found[after] = replace(old, marks=marks[0]), replace(new, marks=marks[1])
    return found


def side_by_side(lines: Sequence[DiffLine]) -> Iterator[tuple[DiffLine | None, DiffLine | None]]:
    """(left, right): the same line twice where nothing changed, a replaced one beside its replacement, None beside a lone one."""
    blocks = {gone[0] if gone else come[0]: (gone, come) for gone, come in _blocks(lines)}
    place = 0
    while place < len(lines):
        if block := blocks.get(place):
            gone, come = block
            for before, after in zip_longest(gone, come):
                yield (None if before is None else lines[before], None if after is None else lines[after])
            place += len(gone) + len(come)
        else:
            yield lines[place], lines[place]
            place += 1


def _blocks(lines: Sequence[DiffLine]) -> Iterator[tuple[range, range]]:
    """(places of lines taken out, places of those put in at once behind them), in order."""
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


def _changed(old: str, new: str) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]] | None:
    """Where two lines differ, word by word; None when they have too little in common for that to say anything."""
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
