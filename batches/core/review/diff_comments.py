"""Comments on lines of a diff: the code around a line, and what an agent is told of them."""

from collections.abc import Iterable

from batches.core.text.diff import read_diff

AROUND = 3  # lines before and after
LIMIT = 200_000
SIGNS = {"add": "+", "del": "-"}
Comment = tuple[str, int, bool, str, str]  # file, line, whether it is one before the change, code, text


def code_around(diff: str, file: str, line: int, removed: bool) -> str | None:
    """The lines around line `line` of `file` as a diff; None when the diff does not show that line."""
    for one in read_diff(diff, limit=LIMIT).files:
        if one.name != file:
            continue
        shown = [found for found in one.lines if found.kind in ("", "add", "del")]
        place = next((place for place, found in enumerate(shown) if (found.old if removed else found.new) == line), None)
        if place is not None:
            around = shown[max(0, place - AROUND) : place + AROUND + 1]
            return "\n".join(f"{SIGNS.get(found.kind, ' ')}{found.text}" for found in around)
    return None


def told_to_agent(comments: Iterable[Comment]) -> str:
    """What the agent of the next attempt reads; "" without comments."""
    parts = []
    for file, line, removed, code, text in comments:
        where = f"line {line} before the change" if removed else f"line {line}"
        quoted = "\n".join(f"    {one}" for one in code.split("\n"))
        parts.append(f"{file}, {where}: {text}\n\n{quoted}")
    return "\n\n".join(["A person commented on lines of the diff of an earlier attempt:", *parts]) if parts else ""
