"""A document without a phase: what was seen in it, and which of its parts could be read as phases."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from batches.core.plans.labels import KEY, Field, clean_title, field_named, read_label
from batches.core.plans.phase_tables import find_phase_table
from batches.core.plans.types import Repair
from batches.core.text.words import counted

_ATX = re.compile(r"(#{1,6})[ \t]+(?P<text>.+?)[ \t]*#*$")
_BOLD_LINE = re.compile(r"(?:\*\*|__)(?P<text>[^*_]{3,120})(?:\*\*|__):?[ \t]*$")
_FENCE = re.compile(r"[ \t>]*(`{3,}|~{3,})")
_NAMED = re.compile(
    rf"(?P<word>[A-Za-z][A-Za-z-]*(?: [A-Za-z-]+)?)[ #_-]*(?P<key>(?=[0-9A-Z]){KEY})(?![\w.])[ \t]*"
    r"(?:[:.)|\u2013\u2014-]+[ \t]*|$)(?P<title>.*)$"
)
_CODED = re.compile(r"(?P<letter>[A-Z])(?P<more>[A-Z]{0,3})-(?P<number>[0-9]{1,3})[ \t]*[:.)\u2013\u2014-]+[ \t]*(?P<title>\S.*)$")
_CODE = re.compile(r"\b([A-Z])-([0-9]{1,3})\b")  # “R-1”, which becomes the key R1
_NUMBERED = re.compile(r"(?P<key>[0-9]{1,4}(?:\.[0-9]{1,3}){0,3})[.):]?[ \t]+(?P<title>\S.*)$")
_BOX = re.compile(r"[ \t>]*(?:[-*+]|[0-9]{1,9}[.)])[ \t]+\[[ xX]\][ \t]")
_NUMBER_ITEM = re.compile(r"[ \t>]*[0-9]{1,9}[.)][ \t]+\S")
_BULLET = re.compile(r"[ \t>]*[-*+][ \t]+\S")
_BEGINS = frozenset("#*_`~-+0123456789")  # what a line that one of these patterns matches begins with
_MOST = 2_000  # parts that are offered as phases
_NO_WORK = frozenset(
    {"overview", "summary", "introduction", "background", "context", "notes", "goals", "goal", "non-goals", "requirements", "references"}
)
_NOT_A_UNIT = frozenset(
    {"option", "question", "appendix", "figure", "table", "note", "example", "version", "q", "risk", "decision", "level"}
)


@dataclass(frozen=True, slots=True)
class Part:
    """A heading (level 1 to 6) or a line in bold (level 7) on `line` (from 1), with the kind of its name and its key."""

    line: int
    level: int
    kind: str  # "task" for “Task 3: …”, "#" for “3. …”, "" without a number
    key: str
    title: str
    end: int = 0  # the last line before the next part
    items: int = 0  # list items right below it


@dataclass(frozen=True, slots=True)
class Seen:
    """What stands in a document without phases: a sentence about it, and the repairs that make parts of it phases."""

    sentence: str
    repairs: tuple[Repair, ...] = ()


def look_for_phases(lines: Sequence[str]) -> Seen:
    """What a document without phases holds, and how it could be read: one part after the other (first), or all at once."""
    parts, boxes, numbers = _parts(lines)
    chosen = _unit(parts)
    seen = []
    if chosen:
        first = chosen[0]
        name = f"“{lines[first.line - 1].strip('#*_ ')[:60]}” and others like it" if len(chosen) > 1 else f"“{first.title[:60]}”"
        what = ("heading", "") if first.level < 7 else ("line in bold", "lines in bold")
        seen.append(f"{counted(len(chosen), *what)} ({name})")
    elif parts:
        seen.append(counted(len(parts), "heading"))
    if boxes:
        seen.append(counted(boxes, "check-box", "check-boxes"))
    if numbers:
        seen.append(counted(numbers, "numbered item"))
    table = find_phase_table(lines)
    repairs: tuple[Repair, ...] = ()
    if table is not None and not (chosen and any(part.items for part in chosen)):
        seen.append(f"a table whose {len(table.rows)} rows may be phases (line {table.line})")
        repairs = table.repairs
    elif chosen:
        repairs = (_as_phases(chosen, lines, at_once=False),)
        if len(chosen) > 1:
            repairs += (_as_phases(chosen, lines, at_once=True),)
        # A heading that says “Phase 3” already, and is no phase for another reason, is not helped by the same words.
        repairs = tuple(one for one in repairs if one.text != "\n".join(lines[one.line - 1 : one.end_line]))
    elif boxes or numbers:
        at = next(at for at, line in enumerate(lines) if _BOX.match(line) or _NUMBER_ITEM.match(line))
        repairs = (Repair(at, "insert_after", "\n## Phase 1: The whole list\n", "Read this list as the steps of one phase"),)
    return Seen(", ".join(seen), repairs)


def _parts(lines: Sequence[str]) -> tuple[list[Part], int, int]:
    """The headings and lines in bold outside code, and the number of check-boxes and of other numbered items."""
    parts: list[Part] = []
    boxes = numbers = items = 0
    fence = ""
    for at, line in enumerate(lines):
        if line.lstrip(" \t>")[:1] not in _BEGINS:
            continue
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
            continue
        if fence:
            continue
        heading = _ATX.match(line) or _BOLD_LINE.match(line)
        if heading and not (read_label(line) and field_named(heading["text"])):
            if parts:
                parts[-1] = _ended(parts[-1], at, items)
            items = 0
            parts.append(_part(at + 1, len(heading[1]) if line.startswith("#") else 7, heading["text"]))
        elif _BOX.match(line):
            boxes += 1
            items += 1
        elif _NUMBER_ITEM.match(line):
            numbers += 1
            items += 1
        elif _BULLET.match(line):
            items += 1
    if parts:
        parts[-1] = _ended(parts[-1], len(lines), items)
    return parts, boxes, numbers


def _ended(part: Part, end: int, items: int) -> Part:
    return Part(part.line, part.level, part.kind, part.key, part.title, end, items)


def _part(line: int, level: int, text: str) -> Part:
    text = " ".join(text.replace("**", "").split())
    coded = _CODED.match(text)
    if coded:  # “R-1” and “W-1” are of one kind: a plan of which one half is read would be another plan
        key = "" if coded["more"] else f"{coded['letter']}{int(coded['number'])}"
        return Part(line, level, "code", key, clean_title(coded["title"]))
    named = _NAMED.match(text)
    if named and (word := named["word"].split()[-1].lower()) not in _NOT_A_UNIT:
        return Part(line, level, word, named["key"], clean_title(named["title"]) or text)
    numbered = _NUMBERED.match(text)
    if numbered:
        return Part(line, level, "#", numbered["key"], clean_title(numbered["title"]))
    return Part(line, level, "", "", clean_title(text))


def _unit(parts: Sequence[Part]) -> list[Part]:
    """The parts that are most likely the units of work: of one kind and level, named with a number, or with lists below them."""
    families: dict[tuple[int, str], list[Part]] = {}
    for part in parts:
        families.setdefault((part.level, part.kind), []).append(part)
    best: list[Part] = []
    best_score = (0, 0, 0)
    for (level, kind), members in families.items():
        if not kind:
            if level in (1, 7):
                continue
            members = [part for part in members if part.items and part.title.lower() not in _NO_WORK and field_named(part.title) is None]
        worth = sum(1 for part in members if part.items)
        if len(members) < 2 and not (kind and kind != "#" and members):
            continue
        score = (bool(kind) * 2 + (kind != "#"), worth, len(members)) if worth or kind else (0, 0, 0)
        if score > best_score:
            best, best_score = members, score
    return best[:_MOST]


def _as_phases(chosen: Sequence[Part], lines: Sequence[str], at_once: bool) -> Repair:
    """The repair that makes each part a phase, with the order in its Dependencies unless it has some."""
    counts = Counter(part.key.lower() for part in chosen)
    own_keys = all(part.key for part in chosen) and max(counts.values()) == 1
    first, last = chosen[0].line, chosen[-1].line
    heading_of = {part.line: place for place, part in enumerate(chosen)}
    keys = [part.key if own_keys else str(place) for place, part in enumerate(chosen, start=1)]
    ends = [part.line - 1 for part in chosen[1:]] + [len(lines)]
    bullets = {_first_bullet(lines, part.line, end) for part, end in zip(chosen, ends, strict=True)}
    last = max(last, *bullets)
    text: list[str] = []
    within = 0  # the place of the part that a line stands in
    for number in range(first, last + 1):
        line = lines[number - 1]
        place = heading_of.get(number)
        if place is None:
            if chosen[0].kind == "code" and (label := read_label(line.strip())) is not None and label.field is Field.DEPENDENCIES:
                letters = {code[1] for code in _CODE.finditer(line)}
                line = _CODE.sub(lambda code: f"{code[1]}{int(code[2])}", line)
                before = keys[within - 1] if within else ""
                if letters and before[:1] == keys[within][:1] and before[:1] not in letters and not at_once:
                    line = f"{line.rstrip()}, {before}"  # what another row of codes must have done is no order of this row
            text += ["**Implementation Steps**:", line] if number in bullets else [line]
            continue
        part, within = chosen[place], place
        text.append(f"{'#' * (part.level if 1 < part.level < 7 else 2 if part.level == 1 else 3)} Phase {keys[place]}: {part.title}")
        says = any(
            (label := read_label(re.sub(r"^[-*+]\s+", "", one.strip()))) is not None and label.field is Field.DEPENDENCIES
            for one in lines[part.line : ends[place]]
        )
        if not says:
            before = "None" if at_once or not place else f"Phase {keys[place - 1]}"
            text += ["", f"**Dependencies**: {before}"]
            if number < len(lines) and lines[number].strip():
                text.append("")
    count = counted(len(chosen), "phase")
    if len(chosen) == 1:
        button = "Read this as a phase"
    else:
        button = f"Read these as {count}, all at once" if at_once else f"Read these as {count}, one after the other"
    return Repair(first, "replace", "\n".join(text), button, last)


def _first_bullet(lines: Sequence[str], after: int, end: int) -> int:
    """The line (from 1) of the first list below a heading, if it is one of plain bullets without a label; 0 otherwise."""
    for number in range(after + 1, end + 1):
        line = lines[number - 1]
        label = read_label(line.strip())
        if _BOX.match(line) or _NUMBER_ITEM.match(line) or _FENCE.match(line) or (label is not None and label.field is not None):
            return 0
        if _BULLET.match(line):
            inner = read_label(line.strip().lstrip("-*+ "))
            return 0 if inner is not None and inner.field is not None else number
    return 0
