"""The end of a CI job's log as people and agents read it: without colours, times and what a host puts between the lines."""

import re

from batches.core.text.excerpt import excerpt
from batches.core.text.words import strip_ansi

LINES = 60
_TIME = re.compile(r"^\ufeff?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z (?:\d\d[OE][ +])?")  # GitHub; GitLab also says which stream
_SECTION = re.compile(r"section_(?:start|end):\d+:[\w.-]+(?:\[[^\]]*\])?")
_MARK = re.compile(r"^##\[(?:(error)|\w+)\]")


def end_of_log(text: str) -> str:
    """At most LINES lines of a log: its end, after lines further up that say what failed."""
    lines = []
    for line in text.splitlines():
        line = _SECTION.sub("", strip_ansi(_TIME.sub("", line)).replace("\r", "")).rstrip()
        line = _MARK.sub(lambda found: "Error: " if found[1] else "", line)
        if line.strip():
            lines.append(line)
    return excerpt("\n".join(lines), LINES)
