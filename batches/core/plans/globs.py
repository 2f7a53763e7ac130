"""Match globs with paths and with other globs. No pattern makes this slow."""

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from fnmatch import translate
from functools import lru_cache

MAX_GLOB_COMPARISONS = 100_000  # in one plan; the reader refuses a plan that needs more
_GLOB = re.compile(r"[*?\[]")


class GlobRelation(StrEnum):
    """How a glob relates to a path."""

    NONE = "none"
    COVERS = "covers"  # the glob matches the path, or a directory above it
    REACHES = "reaches"  # the path, taken as a directory, can hold something that the glob matches


def is_glob(path: str) -> bool:
    """Whether `path` has wildcards."""
    return _GLOB.search(path) is not None


@lru_cache(maxsize=20_000)
def _segment(pattern: str) -> re.Pattern[str]:
    """The regular expression for one part of a glob. fnmatch writes atomic groups, so no pattern makes it backtrack."""
    return re.compile(translate(pattern))


def glob_relation(glob: str, path: str) -> GlobRelation:
    """How `glob` relates to `path`. `*`, `?` and `[ab]` match within one part, `**` matches any number of parts."""
    wanted = glob.rstrip("/").split("/")
    states = {0}
    for part in path.rstrip("/").split("/"):
        following: set[int] = set()
        for at in _past_stars(states, wanted):
            if at == len(wanted):
                return GlobRelation.COVERS
            if wanted[at] == "**":
                following.add(at)
            elif _segment(wanted[at]).match(part):
                following.add(at + 1)
        states = following
    states = set(_past_stars(states, wanted))
    if len(wanted) in states:
        return GlobRelation.COVERS
    return GlobRelation.REACHES if states else GlobRelation.NONE


def _past_stars(states: Iterable[int], wanted: Sequence[str]) -> Iterator[int]:
    """The states, and those reached by skipping a `**`."""
    for at in states:
        yield at
        while at < len(wanted) and wanted[at] == "**":
            at += 1
            yield at


_TOKEN = re.compile(r"\*\*/?|\*|\[[!^]?.[^]]*\]|.", re.DOTALL)


def _plain_ends(glob: str) -> tuple[str, str]:
    """The text before the first wildcard of a glob, and the text after its last one."""
    parts = re.split(r"\*+|\?|\[[!^]?.[^]]*\]", glob)
    return parts[0], parts[-1]


class GlobPairs:
    """Whether two globs can match the same file.

    Character classes count as any character, and pairs beyond the budget of `cells` count as overlapping. Both can report a
    conflict that does not exist, but never miss one.
    """

    def __init__(self, cells: int = 1_000_000) -> None:
        self.cells = cells

    def overlap(self, first: str, second: str) -> bool:
        (head, tail), (other_head, other_tail) = _plain_ends(first), _plain_ends(second)
        shorter = min(len(head), len(other_head))
        if head[:shorter] != other_head[:shorter]:
            return False
        shorter = min(len(tail), len(other_tail))
        if shorter and tail[-shorter:] != other_tail[-shorter:]:
            return False
        left, right = _TOKEN.findall(first), _TOKEN.findall(second)
        self.cells -= len(left) * len(right)
        return self.cells < 0 or _tokens_overlap(left, right)


def _tokens_overlap(left: Sequence[str], right: Sequence[str]) -> bool:
    """Whether some path matches both token lists: a search over the pairs of positions that a common path can reach."""
    visited = {(0, 0)}
    waiting = [(0, 0)]
    while waiting:
        at, other = waiting.pop()
        if at == len(left) and other == len(right):
            return True
        token = left[at] if at < len(left) else ""
        other_token = right[other] if other < len(right) else ""
        steps = []
        if token.startswith("*"):
            steps.append((at + 1, other))
            if other_token and (token != "*" or other_token != "/"):  # noqa: S105 -- a part of a pattern
                steps.append((at, other + 1))
        if other_token.startswith("*"):
            steps.append((at, other + 1))
            if token and (other_token != "*" or token != "/"):  # noqa: S105 -- a part of a pattern
                steps.append((at + 1, other))
        if token and other_token and not token.startswith("*") and not other_token.startswith("*") and _same_character(token, other_token):
            steps.append((at + 1, other + 1))
        for step in steps:
            if step not in visited:
                visited.add(step)
                waiting.append(step)
    return False


def _same_character(token: str, other_token: str) -> bool:
    is_wild, other_is_wild = (text == "?" or len(text) > 1 for text in (token, other_token))
    if is_wild or other_is_wild:
        return "/" not in (token, other_token)
    return token == other_token


def _first_part(glob: str) -> str | None:
    """The first part of a glob if it has no wildcard: only paths that begin with it can match."""
    first = glob.split("/", 1)[0]
    return None if is_glob(first) or first == glob else first


def glob_comparisons(entries: Iterable[str]) -> int:
    """The number of comparisons needed to compare each glob with all entries that it could match."""
    listed = list(entries)
    globs = list(filter(is_glob, listed))
    if not globs:
        return 0
    sizes: dict[str, int] = {}
    for entry in listed:
        first = entry.split("/", 1)[0]
        sizes[first] = sizes.get(first, 0) + 1
    total = 0
    for entry in globs:
        first_part = _first_part(entry)
        total += len(listed) if first_part is None else sizes[first_part]
    return total


def covering_globs(entries: Iterable[str]) -> dict[str, list[str]]:
    """{entry: the globs among `entries` that cover it}. Of two overlapping globs the first by name covers the other.

    A glob covers the files it matches, and the directories (with a trailing slash) that it matches or reaches into from outside.
    The result is empty above MAX_GLOB_COMPARISONS, because the reader refuses such a plan.
    """
    spelled = list(entries)
    covers: dict[str, list[str]] = {}
    if not 0 < glob_comparisons(spelled) <= MAX_GLOB_COMPARISONS:
        return covers
    pairs = GlobPairs()
    by_first: dict[str, list[str]] = {}
    for entry in spelled:
        by_first.setdefault(entry.split("/", 1)[0], []).append(entry)
    for glob in filter(is_glob, spelled):
        first_part = _first_part(glob)
        for entry in spelled if first_part is None else by_first[first_part]:
            if is_glob(entry):
                is_covered = glob < entry and pairs.overlap(glob, entry)
            else:
                relation = glob_relation(glob, entry)
                reaches = relation is GlobRelation.REACHES and entry.endswith("/") and not glob.startswith(entry)
                is_covered = relation is GlobRelation.COVERS or reaches
            if is_covered:
                covers.setdefault(entry, []).append(glob)
    return covers
