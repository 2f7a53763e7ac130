"""A short excerpt of what a failed command printed: its end, and before that the lines that say what failed."""

import re

# How runners, compilers and shells begin or mark the line that says what is wrong.
TELLING = re.compile(
    r"^\s*(?:FAILED|FAIL|ERROR|not ok\b|--- FAIL|panic:|fatal:|E {2,}\S|[●✕✗✖×]\s|make.*\*\*\*|AssertionError|npm (?:ERR!|error) )"
    r"|\b(?i:error)(?:\[\w+\])?:|\bpanicked at\b|\.\.\. (?:FAILED|ERROR|FAIL)$|^\w*(?:Error|Exception)\b|: command not found$"
)
LEFT_OUT = "…"


def telling_lines(text: str, most: int) -> list[str]:
    """The first lines that say what failed, at most `most`, each once."""
    found: dict[str, None] = {}
    for line in text.splitlines():
        if len(found) == most:
            break
        if TELLING.search(line[:1000]):
            found.setdefault(line)
    return list(found)


def excerpt(output: str, lines: int) -> str:
    """At most `lines` lines: the last ones, after up to a half that say what failed and stand further up."""
    every = output.rstrip().splitlines()
    if len(every) <= lines:
        return "\n".join(every)
    told = telling_lines("\n".join(every[:-lines]), lines // 2)
    if not told:
        return "\n".join(every[-lines:])
    return "\n".join([*told, LEFT_OUT, *every[-(lines - len(told) - 1) :]])
