"""Whether a phase takes back what another phase of the batch did to a file. Pure: lines in, words out (docs/git.md).

A change is taken back where its own lines are gone and what it replaced stands there again. Whoever rewrites lines that
another phase wrote does not take them back: what is new stands in their place.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Span = tuple[int, int]

LARGEST_LINES = 20_000  # of a file; of a larger one only whole versions are compared


def taken_back(before: str, merged: str, base: str, result: str) -> str:
    """"all" or "part" of a change from `before` to `merged` that a phase, from `base` to `result`, undid; "" for none of it.

    What others changed of it before the phase began does not count. Lines that are empty do not count alone.
    """
    if merged == before or result == base:
        return ""
    if result == before and base == merged:
        return "all"
    texts = [text.split("\n") for text in (before, merged, base, result)]
    if max(map(len, texts)) > LARGEST_LINES:
        return ""
    old, new, start, end = texts
    moved = _spans(new, start)
    edits = _edits(start, end)
    hunks = undone = 0
    for (old_from, old_to), (new_from, new_to) in _edits(old, new):
        replaced, written = old[old_from:old_to], new[new_from:new_to]
        if not any(line.strip() for line in (*replaced, *written)):
            continue
        place = _moved((new_from, new_to), moved)
        if place is None:
            continue
        hunks += 1
        undone += any(_undoes(edit, place, replaced, end) for edit in edits)
    return "" if not undone else "all" if undone == hunks else "part"


def _undoes(edit: tuple[Span, Span], place: Span, replaced: Sequence[str], end: Sequence[str]) -> bool:
    (start_from, start_to), (end_from, end_to) = edit
    if not (start_from <= place[0] and place[1] <= start_to):
        return False
    stands = [line for line in end[end_from:end_to] if line.strip()]
    wanted = [line for line in replaced if line.strip()]
    if not wanted:
        return not stands  # nothing was there before, and nothing has come in its place
    return any(stands[at : at + len(wanted)] == wanted for at in range(len(stands) - len(wanted) + 1))


def _edits(old: Sequence[str], new: Sequence[str]) -> list[tuple[Span, Span]]:
    """((from, to) in `old`, (from, to) in `new`) of what differs."""
    import difflib  # here: few phases touch a file that another one changed

    found = difflib.SequenceMatcher(None, old, new).get_opcodes()
    return [((old_from, old_to), (new_from, new_to)) for kind, old_from, old_to, new_from, new_to in found if kind != "equal"]


def _spans(new: Sequence[str], start: Sequence[str]) -> list[tuple[Span, int]]:
    """((from, to) in `new`, how far it has moved in `start`) of what is the same in both."""
    import difflib

    blocks = difflib.SequenceMatcher(None, new, start).get_matching_blocks()
    return [((block.a, block.a + block.size), block.b - block.a) for block in blocks]


def _moved(span: Span, moved: Sequence[tuple[Span, int]]) -> Span | None:
    """Where these lines are now; None when somebody has changed them since."""
    for (begin, end), shift in moved:
        if begin <= span[0] and span[1] <= end:
            return (span[0] + shift, span[1] + shift)
    return None
