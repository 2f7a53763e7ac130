"""Comments on lines of a diff: the code around a line, and what an agent is told of them."""

from bisect import bisect
from collections.abc import Iterable
from itertools import accumulate

from batches.core.text.diff import read_diff
from batches.core.text.words import counted

AROUND = 3  # lines before and after
LIMIT = 200_000
TOLD_CHARACTERS = 7_000  # of what an agent is told; a remark beside it fits
SIGNS = {"add": "+", "del": "-"}
Comment = tuple[int, str, int, bool, str, str]  # number, file, line, whether it is one before the change, code, text


def place_of(file: str, line: int, removed: bool) -> str:
    """"a.py, line 3"; a comment on line 0 is one on the whole file."""
    return f"{file}, line {line}{' before the change' if removed else ''}" if line else file


def code_around(diff: str, file: str, line: int, removed: bool) -> str | None:
    """The lines around line `line` of `file` as a diff, "" for line 0; None when the diff does not show that line."""
    for one in read_diff(diff, limit=LIMIT).files:
        if one.name != file:
            continue
        if line == 0:
            return ""
        shown = [found for found in one.lines if found.kind in ("", "add", "del")]
        place = next((place for place, found in enumerate(shown) if (found.old if removed else found.new) == line), None)
        if place is not None:
            around = shown[max(0, place - AROUND) : place + AROUND + 1]
            return "\n".join(f"{SIGNS.get(found.kind, ' ')}{found.text}" for found in around)
    return None


def told_to_agent(comments: Iterable[Comment]) -> str:
    """What the agent of the next attempt reads, without the code around where that would be too long; "" without comments.

    The oldest that fit are told, and how many are not.
    """
    bare, quoted = [], []
    for number, file, line, removed, code, text in comments:
        bare.append(f"Comment {number}, {place_of(file, line, removed)}: {text}")
        quoted.append("\n\n".join([bare[-1], *(["\n".join(f"    {one}" for one in code.split("\n"))] if code else [])]))
    parts = quoted if _fitting(quoted) == len(quoted) else bare[: _fitting(bare)]
    if more := len(bare) - len(parts):
        parts = [*parts, f"{counted(more, 'more comment')} {'is not told; it stays' if more == 1 else 'are not told; they stay'} open."]
    return "\n\n".join(["A person commented on the diff of an earlier attempt:", *parts]) if parts else ""


def _fitting(parts: Iterable[str]) -> int:
    """How many of the first parts may be told together, with an empty line between them."""
    return bisect(list(accumulate(len(part) + 2 for part in parts)), TOLD_CHARACTERS)
