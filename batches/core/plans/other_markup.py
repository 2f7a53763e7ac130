"""org-mode, reStructuredText and underlined titles as markdown, line by line, so that the lines keep their numbers."""

import re
from collections.abc import Sequence
from itertools import pairwise

from batches.core.plans.labels import phase_heading

_ORG = re.compile(
    r"(?P<stars>\*+)[ \t]+(?:(?P<state>TODO|NEXT|STARTED|WAITING|DONE|CANCELLED)[ \t]+)?"
    r"(?:\[#[A-Z]\][ \t]+)?(?P<title>\S.*?)(?:[ \t]+:[\w@:]+:)?[ \t]*$"
)
_IS_ORG = re.compile(r"^(?:\*+ (?:TODO|NEXT|DONE)|\*{2,} [^\s*][^*\n]*$)", re.MULTILINE)
_ORG_TITLE = re.compile(r"#\+title:[ \t]*(?P<title>.+)$", re.IGNORECASE)
_ORG_CODE = re.compile(r"[ \t]*#\+(?P<what>begin|end)_(?:src|example)(?:[ \t]+(?P<language>[\w-]+))?", re.IGNORECASE)
_ORG_LEFT_OUT = re.compile(r"[ \t]*(?:#\+\w+:|:\w+:|(?:SCHEDULED|DEADLINE|CLOSED):)")
_BOXES = {"DONE": "x", "CANCELLED": "-", "STARTED": "~"}
_RULE = re.compile(r"(?P<mark>[=\-~^\"'*+#.:`_])(?P=mark){2,}[ \t]*$")
_ATX = re.compile(r"^#{1,6} \S", re.MULTILINE)
_FIRST_TITLE = re.compile(r"\A# \S[^\n]*\n")  # as the repair “Add a title” puts it above a plan in org-mode
_IS_RULED = re.compile(r"^[^\s#>|`*+-].*\n(?:={3,}|-{3,}|~{3,}|\^{3,}|\"{3,})[ \t]*$", re.MULTILINE)
_NUMBER = re.compile(r"^([ \t]*)#\.[ \t]+")
MAX_LINES = 20_000


def in_markdown(text: str) -> str | None:
    """The text with its headings, boxes and code in markdown; None for one that is neither org-mode nor has underlined titles."""
    is_org = bool(_IS_ORG.search(text[:100_000]))
    if _ATX.search((_FIRST_TITLE.sub("", text) if is_org else text)[:100_000]):
        return None
    if not is_org and len(_IS_RULED.findall(text[:100_000])) < 2:
        return None
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        return None
    return "\n".join(_from_org(lines) if is_org else _from_rules(lines))


def _from_org(lines: Sequence[str]) -> list[str]:
    """A heading with a state is a box, if no heading with a state stands below it and it is no “Phase 1”; any other is a heading.

    One without a state below a box belongs to its text.
    """
    found = [(at, head) for at, line in enumerate(lines) if (head := _ORG.match(line))]
    outer = {at for (at, head), (_, below) in pairwise(found) if len(below["stars"]) > len(head["stars"]) and below["state"]}
    outer |= {at for at, head in found if (heading := phase_heading(head["title"])) is not None and heading.says_phase}
    heads = dict(found)
    text = []
    box = 0  # the stars of the box above; 0 outside one
    for at, line in enumerate(lines):
        head, code = heads.get(at), _ORG_CODE.match(line)
        if title := _ORG_TITLE.match(line):
            text.append(f"# {title['title']}")
        elif code:
            text.append(f"```{code['language'] or ''}" if code["what"].lower() == "begin" else "```")
        elif _ORG_LEFT_OUT.match(line):
            text.append("")
        elif head is None:
            text.append(line)
        elif head["state"] and at not in outer:
            text.append(f"- [{_BOXES.get(head['state'], ' ')}] {head['title']}")
            box = len(head["stars"])
        elif box and not head["state"] and len(head["stars"]) > box:
            text.append(f"  {head['title']}")
        else:
            text.append(f"{'#' * min(len(head['stars']) + 1, 6)} {head['title']}")
            box = 0
    return text


def _from_rules(lines: Sequence[str]) -> list[str]:
    """The marks of titles are levels: “=” before “-” where there are no others, else in the order in which they first occur."""
    titles: dict[int, tuple[bool, str]] = {}  # {index of a title: whether a rule stands above it too, its mark}
    for at, (line, below) in enumerate(pairwise(lines)):
        rule = _RULE.match(below)
        if rule and line[:1].strip() and not _RULE.match(line) and len(below.rstrip()) >= len(line.rstrip()) - 2:
            titles[at] = (at > 0 and bool(_RULE.match(lines[at - 1])) and lines[at - 1][0] == rule["mark"], rule["mark"])
    marks = list(dict.fromkeys(titles.values()))
    levels = marks if set(marks) - {(False, "="), (False, "-")} else [(False, "="), (False, "-")]
    text = [_NUMBER.sub(r"\g<1>1. ", line) for line in lines]
    for at, mark in titles.items():
        text[at] = f"{'#' * min(levels.index(mark) + 1, 6)} {lines[at].strip()}"
        text[at + 1] = ""
        if mark[0]:
            text[at - 1] = ""
    return text
