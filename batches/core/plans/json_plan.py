"""A plan given as JSON: {"title", "items": [...]}, a list under another known name up to two levels deep, or a plain list."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

from batches.core.plans.dependencies import PhaseNames, read_references
from batches.core.plans.files import expand_braces, normalise
from batches.core.plans.labels import GATE_NAMES, KEY, STEP_NAMES, WORD, Field
from batches.core.plans.phases import Issues, check_commands, check_file, check_plan, check_work, step_of
from batches.core.plans.sections import MAX_PHASES
from batches.core.plans.types import (
    GateText,
    IssueCode,
    PhaseSpec,
    PlanIssue,
    PlanReading,
    PlanSpec,
)
from batches.core.plans.unread import Account, ReadAs
from batches.core.plans.values import read_complexity, read_hours
from batches.core.text.words import counted

_KEY = re.compile(rf"^(?:phase[\s-]*)?(?P<key>{KEY}|(?!.*\.lock$)(?=.{{2,40}}$){WORD})$", re.IGNORECASE)
# Names of members, in any case, with blanks, dashes, underscores or nothing between their words. The values of several
# names of steps, gates or files add up.
_WRITTEN_NAMES: dict[str, tuple[str, ...]] = {
    "key": ("key", "id", "phase", "number", "phase id", "task id", "phase number"),
    "title": ("title", "name", "phase name", "summary"),
    "goal": ("goal", "objective", "purpose", "description"),
    "hours": (
        "hours",
        "estimated hours",
        "estimate",
        "effort",
        "duration",
        "time",
        "estimated effort",
        "estimated time",
        "estimated duration",
        "expected duration",
        "estimate hours",
        "hours estimate",
        "time estimate",
    ),
    "complexity": ("complexity",),
    "files": (
        "files",
        "file",
        "files modified",
        "files to modify",
        "files to create",
        "files created",
        "files changed",
        "files to change",
        "affected files",
        "key files",
        "modified files",
        "new files",
        "paths",
    ),
    "dependencies": (
        "dependencies",
        "depends on",
        "dependency",
        "deps",
        "blocked by",
        "prerequisites",
        "prerequisite",
        "requires",
        "after",
    ),
    "steps": (*STEP_NAMES, "checklist"),
    "gates": (*GATE_NAMES, "acceptance criterion", "checks", "test strategy"),
}
_TITLES = ("title", "name", "project", "plan")
_OF_THE_PLAN = frozenset(
    {*_TITLES, "description", "goal", "overview", "summary", "version", "created", "updated", "author", "metadata", "schema"}
)


@lru_cache(maxsize=512)
def _plain(name: str) -> str:
    """A name as it is compared: “dependsOn”, “depends_on”, “Depends-On” and “DEPENDS ON” are all “dependson”."""
    return re.sub(r"[\W_]+", "", name).lower()


_NAMES = {field: tuple(dict.fromkeys(map(_plain, names))) for field, names in _WRITTEN_NAMES.items()}
_CONTAINERS = tuple(
    map(_plain, ("items", "phases", "tasks", "user stories", "stories", "milestones", "steps", "work items", "features", "epics", "stages"))
)
_KNOWN = {known for names in _NAMES.values() for known in names}


def can_name(key: str) -> bool:
    """Whether the key can be part of the names of files, git references and tasks (stage-2 is the name of a stage check)."""
    return ".." not in key and not key.lower().endswith((".", ".lock")) and not key.lower().startswith("stage-")


class _UnusableJson(ValueError):
    """JSON that Python accepts but a plan must not contain."""


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise _UnusableJson(f"“{name}” occurs twice in one object")
        members[name] = value
    return members


def _refuse_constant(name: str) -> Any:
    raise _UnusableJson(f"{name} is not a JSON value")


def _short_integer(text: str) -> int | float:
    if len(text) > 30:
        raise _UnusableJson("a number of more than 30 digits")
    return int(text)


def _load(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object_without_duplicates, parse_constant=_refuse_constant, parse_int=_short_integer)


def _refused(line: int, message: str) -> PlanReading:
    return PlanReading(PlanSpec(""), (PlanIssue(line, IssueCode.BAD_JSON, message),))


def read_json_plan(text: str) -> PlanReading:
    """The plan in a JSON text. The line of a phase is that of its opening brace."""
    try:
        data = _load(text)
    except json.JSONDecodeError as fault:
        return _refused(fault.lineno, f"This is not valid JSON: {fault.msg} (column {fault.colno}).")
    except _UnusableJson as fault:
        return _refused(1, f"This JSON cannot be used: {fault}.")
    except RecursionError:
        return _refused(1, "This JSON is nested too deep to be a plan.")
    found = _find_phases(data)
    title = _title_of(data, found)
    if found is None:
        seen = ", ".join(f"“{str(name)[:40]}”" for name in data)[:200] if isinstance(data, dict) else "a list of other values"
        message = (
            'There is no list of phases in this JSON. Write {"title": …, "items": [{"id", "dependencies", "files", "steps", "gates"}, …]} '
            f"or a list of such objects. Seen: {seen or 'an empty object'}."
        )
        return _refused(1, message)
    items = found.items
    if not items:
        return PlanReading(PlanSpec(title), (PlanIssue(1, IssueCode.NO_PHASES, "The list of phases is empty."),))
    issues = Issues()
    lines = _object_lines(text, found.path, len(items))
    if found.others:
        named = ", ".join(f"“{other}”" for other in found.others)
        issues.warning(1, IssueCode.UNKNOWN_FIELD, f"Only “{'.'.join(found.path)}” is read; {named} could hold phases too, and is not.")
    if len(items) > MAX_PHASES:
        message = f"The plan has {len(items):,} phases; at most {MAX_PHASES:,} are read."
        issues.error(lines[MAX_PHASES], IssueCode.TOO_MANY_PHASES, message)
        items = items[:MAX_PHASES]
        lines = lines[:MAX_PHASES]
    account = Account(text.split("\n"))
    account.mark(ReadAs.FIELD, 1, text.count("\n") + 1)
    items = [{_plain(str(name)): value for name, value in item.items()} if isinstance(item, dict) else item for item in items]
    _warn_of_unknown(items, lines, data, found, issues)
    if not any(isinstance(item, dict) and any(name in item for name in _NAMES["key"]) for item in items):
        # Without any key, the place in the list is the key.
        items = [{"id": str(place), **item} if isinstance(item, dict) else item for place, item in enumerate(items, start=1)]
    drafts = _drafts(items, lines, issues)
    in_order = len(drafts) > 1 and not any(name in item for _, item, _ in drafts for name in _NAMES["dependencies"])
    if in_order:
        message = (
            "No phase has “dependencies”, so they come one after the other, as written. Write “dependencies”: [] where one waits for none."
        )
        issues.warning(0, IssueCode.NO_ORDER, message, field=Field.DEPENDENCIES)
    names = PhaseNames([key for key, _, _ in drafts], [_one_line(item, "title") for _, item, _ in drafts])
    phases = [_phase(key, item, line, place, names, issues) for place, (key, item, line) in enumerate(drafts)]
    if in_order:
        said = Field.DEPENDENCIES
        phases[1:] = [replace(two, dependencies=(one.key,), assumed=(*two.assumed, said)) for one, two in pairwise(phases)]
    check_plan(phases, {phase.key: phase.line for phase in phases}, issues)
    sections = {line: json.dumps(item, ensure_ascii=False, indent=1) for _, item, line in drafts} if len(drafts) <= _WITH_SECTIONS else {}
    phases = [replace(phase, section=sections.get(phase.line, "")) for phase in phases] if len(set(lines)) == len(lines) else phases
    return replace(issues.reading(PlanSpec(title, tuple(phases))), accounting=account.close())


_WITH_SECTIONS = 2_000  # phases; the objects of more are not kept as text


@dataclass(frozen=True, slots=True)
class _Found:
    """The list of phases, the names on the way to it, and other places that hold lists of objects."""

    items: list[Any]
    path: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def _find_phases(data: Any) -> _Found | None:
    """The list of phases: the data itself, or a list of objects (or an empty list) under a known name, at most two levels deep."""
    if isinstance(data, list):
        return _Found(data)
    if not isinstance(data, dict):
        return None
    found: list[tuple[int, int, tuple[str, ...], list[Any]]] = []
    for path, members in [((), data), *(((name,), value) for name, value in data.items() if isinstance(value, dict))]:
        for name, value in members.items():
            plain = _plain(str(name))
            if isinstance(value, list) and plain in _CONTAINERS and (not value or any(isinstance(item, dict) for item in value)):
                found.append((len(path), _CONTAINERS.index(plain), (*map(str, path), str(name)), value))
    if not found:
        return None
    found.sort(key=lambda one: (not one[3], one[0], one[1]))
    _, _, path, items = found[0]
    return _Found(items, path, tuple(".".join(other) for _, _, other, values in found[1:] if values))


def _title_of(data: Any, found: _Found | None) -> str:
    """The title of the plan: of the object that holds the phases, or of the one around it."""
    around = [data]
    if found is not None and len(found.path) == 2:
        around.insert(0, data[found.path[0]])
    for members in around:
        plain = {_plain(str(name)): value for name, value in members.items()} if isinstance(members, dict) else {}
        for name in _TITLES:
            if isinstance(plain.get(name), str) and plain[name].strip():
                return " ".join(str(plain[name]).split())
    return ""


def _warn_of_unknown(items: Sequence[Any], lines: Sequence[int], data: Any, found: _Found, issues: Issues) -> None:
    """Warn once of each name that is not known, at its first place."""
    places: dict[str, list[int]] = {}
    for item, line in zip(items, lines, strict=True):
        for name in item if isinstance(item, dict) else ():
            if name not in _KNOWN:
                places.setdefault(name, []).append(line)
    for name, where in places.items():
        times = f" ({counted(len(where), 'time')})" if len(where) > 1 else ""
        message = f"“{name[:60]}” is not a field of a phase; it is ignored{times}."
        issues.warning(where[0], IssueCode.UNKNOWN_FIELD, message, field=name[:60])
    for name in data if isinstance(data, dict) else ():
        if _plain(str(name)) not in _OF_THE_PLAN and str(name) not in found.path:
            issues.warning(1, IssueCode.UNKNOWN_FIELD, f"“{str(name)[:60]}” is not a field of a plan; it is ignored.", field=str(name)[:60])


def _object_lines(text: str, path: Sequence[str], count: int) -> list[int]:
    """The line, from 1, of the opening brace of each of the `count` phase objects in the list at `path`."""
    begin, at = None, 0
    for place, name in enumerate(path):
        opening = r"\[" if place == len(path) - 1 else r"\{"
        begin = re.compile(rf"{re.escape(json.dumps(name, ensure_ascii=False))}\s*:\s*{opening}").search(text, at)
        at = begin.end() if begin else at
    begin = begin if path else re.search(r"\[", text)
    depth, line, inside = 0, text.count("\n", 0, begin.end()) + 1 if begin else 1, False
    opening_lines: list[int] = []
    for token in re.finditer(r'\\.|["{}\[\]\n]', text[begin.end() :] if begin else "", re.DOTALL):
        mark = token.group()
        if mark == "\n":
            line += 1
        elif mark == '"':
            inside = not inside
        elif inside or len(mark) > 1:
            continue
        elif mark in "{[":
            if depth == 0:
                opening_lines.append(line)
            depth += 1
        else:
            depth -= 1
            if depth < 0:
                break
    return (opening_lines + [1] * count)[:count]


def _drafts(items: Sequence[Any], lines: Sequence[int], issues: Issues) -> list[tuple[str, dict[str, Any], int]]:
    drafts: list[tuple[str, dict[str, Any], int]] = []
    line_of: dict[str, int] = {}
    for place, (item, line) in enumerate(zip(items, lines, strict=True), start=1):
        if not isinstance(item, dict):
            issues.error(line, IssueCode.BAD_JSON, f"Entry {place} is not an object with “id”, “dependencies” and “files”.")
            continue
        raw = next((item[name] for name in _NAMES["key"] if name in item), None)
        written_key = _KEY.match(str(raw)) if isinstance(raw, (str, int, float)) and not isinstance(raw, bool) else None
        if written_key is None or not str(raw).isascii() or not can_name(written_key["key"]):
            issues.error(line, IssueCode.BAD_KEY, f"Entry {place} has no usable “id”: {str(raw)[:60]}.", phase=str(raw)[:60])
            continue
        key = written_key["key"]
        if key.lower() in line_of:
            message = f"Phase {key} exists already, on line {line_of[key.lower()]}."
            issues.error(line, IssueCode.DUPLICATE_KEY, message, phase=key)
            continue
        line_of[key.lower()] = line
        drafts.append((key, item, line))
    return drafts


def _value_of(item: dict[str, Any], name: str) -> Any:
    """The value of a field: under the first of its names, or, for files, steps and gates, the values under all of them."""
    values = [item[known] for known in _NAMES[name] if known in item]
    if len(values) > 1 and name in ("files", "steps", "gates", "dependencies"):
        return [one for value in values for one in (value if isinstance(value, list) else [value] if value is not None else [])]
    return values[0] if values else None


def _one_line(item: dict[str, Any], name: str) -> str:
    return " ".join(" ".join(_strings(_value_of(item, name))).split())


def _strings(value: Any) -> list[str]:
    """The strings in a string, number or list of strings, numbers or objects with a text. Anything else is ignored."""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return [str(value)]
    strings: list[str] = []
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict):
            item = next(
                (item[name] for name in ("text", "title", "description", "id", "path", "file") if isinstance(item.get(name), str)), None
            )
        if isinstance(item, (str, int, float)) and not isinstance(item, bool):
            strings.append(str(item))
    return strings


def _phase(key: str, item: dict[str, Any], line: int, place: int, names: PhaseNames, issues: Issues) -> PhaseSpec:
    hours, hours_text = _hours(key, item, line, issues)
    complexity_text = _one_line(item, "complexity")
    complexity = read_complexity(complexity_text) if complexity_text else ""
    if complexity_text and not complexity:
        message = f"Complexity “{complexity_text[:60]}” is not one of low, medium, high."
        issues.error(line, IssueCode.UNKNOWN_COMPLEXITY, message, field=Field.COMPLEXITY, phase=key)
    files: dict[str, None] = {}
    folded: dict[str, str] = {}
    for reading in (normalise(name) for written in _strings(_value_of(item, "files")) for name in expand_braces(written)):
        if reading.code is None:
            if reading.path not in files:
                check_file(reading.path, folded, line, key, issues)
            files[reading.path] = None
        else:
            issues.error(line, reading.code, reading.message, field=Field.FILES, phase=key)
    phase = PhaseSpec(
        key=key,
        title=_one_line(item, "title"),
        goal=_one_line(item, "goal"),
        hours=hours,
        hours_text=hours_text,
        complexity=complexity,
        files=tuple(files),
        dependencies=_dependencies(key, item, line, place, names, issues),
        steps=tuple(
            step_of(number, text, commands, line)
            for number, (text, commands) in enumerate(_entries(_value_of(item, "steps"), Field.STEPS, key, line, issues), start=1)
        ),
        gates=tuple(GateText(text, False, line) for text, _ in _entries(_value_of(item, "gates"), Field.GATES, key, line, issues)),
        line=line,
    )
    check_work(phase, issues)
    check_commands(phase, issues)
    return phase


def _entries(value: Any, field: Field, key: str, line: int, issues: Issues) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The texts and commands of a list of steps or gates. An empty item is an error, as in markdown."""
    for item in value if isinstance(value, list) else () if value is None else (value,):
        text = " ".join(_strings([item])).strip()
        commands = tuple(_strings(item.get("commands"))) if isinstance(item, dict) and field is Field.STEPS else ()
        if text or commands:
            yield text, commands
        else:
            issues.error(line, IssueCode.EMPTY_ITEM, f"An item in {field} of Phase {key} is empty.", field=field, phase=key)


def _hours(key: str, item: dict[str, Any], line: int, issues: Issues) -> tuple[float | None, str]:
    raw = _value_of(item, "hours")
    if raw is None:
        return None, ""
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str)) or (isinstance(raw, float) and not math.isfinite(raw)):
        issues.error(line, IssueCode.BAD_HOURS, f"The hours of Phase {key} are not a number.", field=Field.HOURS, phase=key)
        return None, ""
    text = raw.strip() if isinstance(raw, str) else f"{raw:g}" if isinstance(raw, float) and abs(raw) < 1e6 else str(raw)
    reading = read_hours(text)
    if reading.code is not None:
        issues.error(line, reading.code, reading.message, field=Field.HOURS, phase=key)
    return reading.hours, text


def _dependencies(key: str, item: dict[str, Any], line: int, place: int, names: PhaseNames, issues: Issues) -> tuple[str, ...]:
    depends_on: dict[int, None] = {}
    repeated = False
    if isinstance(_value_of(item, "dependencies"), (dict, bool)):
        message = f"The dependencies of Phase {key} are no list of keys."
        issues.error(line, IssueCode.UNREADABLE_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)
    for written in _strings(_value_of(item, "dependencies")):
        known = names.key(written.strip())
        references = None if known is not None else read_references(written, names, place)
        for number in (known,) if known is not None else references.places if references else ():
            if number == place:
                issues.error(line, IssueCode.SELF_DEPENDENCY, f"Phase {key} depends on itself.", field=Field.DEPENDENCIES, phase=key)
            elif number in depends_on and not repeated:
                message = f"Phase {key} names Phase {names.keys[number]} twice among its dependencies."
                issues.warning(line, IssueCode.REPEATED_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)
                repeated = True
            else:
                depends_on[number] = None
        for name in _unread(references):
            message = f'Phase {key} depends on "{name[:80]}", which does not exist. Valid phases: {", ".join(names.keys[:30])}.'
            issues.error(line, IssueCode.UNDEFINED_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)
    return tuple(names.keys[number] for number in depends_on)


def _unread(references: Any) -> Iterable[str]:
    return (*references.undefined, *references.prose, *references.turned) if references is not None else ()
