"""The changes between two versions of a text, line by line, for a page."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice, zip_longest

CONTEXT_LINES = 3
MATCHING_BUDGET = 2_000_000  # pairs of equal lines; above this a changed block is shown as all removed, all added


@dataclass(frozen=True, slots=True)
class TextDiffLine:
    """`kind` is same, add, del or gap (hidden unchanged lines; `text` says how many). Line numbers count from 1."""

    kind: str
    old: int | None
    new: int | None
    text: str


@dataclass(frozen=True, slots=True)
class TextDiff:
    """The changes with some lines around them. `left_out` counts the changed lines beyond the limit, which are not shown."""

    lines: tuple[TextDiffLine, ...]
    added: int
    removed: int
    left_out: int

    @property
    def is_same(self) -> bool:
        return not self.added and not self.removed


def lines_of(text: str) -> list[str]:
    """The lines of a text; LF, CRLF and CR end a line, as for the reader."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def diff_texts(old: str, new: str, *, limit: int = 4_000) -> TextDiff:
    """The changes from `old` to `new`, at most `limit` lines. The time is bounded, even for hostile texts."""
    before, after = lines_of(old), lines_of(new)
    blocks = list(_diff_blocks(before, after))
    added = sum(block[4] - block[3] for block in blocks if block[0] == "change")
    removed = sum(block[2] - block[1] for block in blocks if block[0] == "change")
    lines = tuple(islice(_diff_lines(before, after, blocks), limit))
    changed = sum(line.kind in ("add", "del") for line in lines)
    return TextDiff(lines, added, removed, added + removed - changed)


def _diff_blocks(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """("same" or "change", start and end in `before`, start and end in `after`), in order."""
    head = 0
    while head < min(len(before), len(after)) and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    old_end, new_end = len(before) - tail, len(after) - tail
    if head:
        yield "same", 0, head, 0, head
    middle_old, middle_new = before[head:old_end], after[head:new_end]
    counts = Counter(middle_new)
    if sum(counts[line] for line in middle_old) > MATCHING_BUDGET:
        yield "change", head, old_end, head, new_end
    else:
        for tag, i1, i2, j1, j2 in SequenceMatcher(None, middle_old, middle_new, autojunk=False).get_opcodes():
            yield "same" if tag == "equal" else "change", head + i1, head + i2, head + j1, head + j2
    if tail:
        yield "same", old_end, len(before), new_end, len(after)


def _diff_lines(before: Sequence[str], after: Sequence[str], blocks: Sequence[tuple[str, int, int, int, int]]) -> Iterator[TextDiffLine]:
    for (kind, i1, i2, j1, j2), following in zip_longest(blocks, blocks[1:]):
        if kind == "change":
            yield from (TextDiffLine("del", i + 1, None, before[i]) for i in range(i1, i2))
            yield from (TextDiffLine("add", None, j + 1, after[j]) for j in range(j1, j2))
            continue
        first = 0 if i1 == 0 and j1 == 0 else CONTEXT_LINES
        last = 0 if following is None else CONTEXT_LINES
        if i2 - i1 <= first + last + 1:
            yield from (TextDiffLine("same", i1 + k + 1, j1 + k + 1, before[i1 + k]) for k in range(i2 - i1))
            continue
        yield from (TextDiffLine("same", i1 + k + 1, j1 + k + 1, before[i1 + k]) for k in range(first))
        yield TextDiffLine("gap", None, None, f"{i2 - i1 - first - last} lines unchanged")
        yield from (TextDiffLine("same", i2 - k, j2 - k, before[i2 - k - 1]) for k in range(last - 1, -1, -1))
