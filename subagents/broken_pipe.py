"""Why a pipeline ends with 141 although nothing is wrong, and the line that does not."""

from __future__ import annotations

import re

BROKEN_PIPE = 141  # 128 + SIGPIPE, as pipefail passes it on
WHY = "a program was still writing when the one after it stopped reading (141 is SIGPIPE): let the last one read everything"
MOST_LINES = 3
HEAD = re.compile(r"\|\s*head\b(?:\s+(?:-n\s*|--lines=|-)(\d+))?(?=\s*(?:$|[|;&)<>]|\d?>|\\$|#))")
QUIET = re.compile(r"(?P<before>\|\s*[ef]?grep\s(?:\s*-\w+\s)*\s*)-(?P<option>-quiet|-silent|\w*q\w*)(?=\s)")


def why_141(script: str) -> str:
    """The reason, with each line of the script that stops reading early as it would read everything; at most MOST_LINES."""
    lines = script.strip().split("\n")
    better = [(number, new) for number, line in enumerate(lines, start=1) if (new := _reading_all(line)) != line]
    if not better:
        return WHY
    if len(lines) == 1:
        return f"{WHY}: {better[0][1]}"
    return f"{WHY}: " + "; ".join(f"line {number}: {new.strip()}" for number, new in better[:MOST_LINES])


def _reading_all(line: str) -> str:
    return QUIET.sub(_count, HEAD.sub(lambda found: f"| sed -n 1,{found[1] or 10}p", line))


def _count(found: re.Match[str]) -> str:
    """grep -c ends as grep -q does, and reads on."""
    option = found["option"]
    return found["before"] + ("--count" if option.startswith("-") else "-" + option.replace("q", "c", 1))
