"""A plan given as JSON: {"title", "items"|"phases": [...]} or a plain list of phase objects."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from batches.core.plans.dependencies import PhaseNames, read_references
from batches.core.plans.files import expand_braces, normalise
from batches.core.plans.labels import KEY, WORD, Field
from batches.core.plans.phases import Issues, check_commands, check_plan, check_work
from batches.core.plans.sections import MAX_PHASES
from batches.core.plans.types import (
    GateText,
    IssueCode,
    PhaseSpec,
    PlanIssue,
    PlanReading,
    PlanSpec,
    StepSpec,
)
from batches.core.plans.values import read_complexity, read_hours

_KEY = re.compile(rf"^(?:phase[\s-]*)?(?P<key>{KEY}|(?!.*\.lock$)(?=.{{2,40}}$){WORD})$", re.IGNORECASE)
_NAMES = {
    "key": ("key", "id", "phase", "number"),
    "title": ("title", "name", "phase_name"),
    "goal": ("goal", "objective", "description"),
    "hours": ("hours", "estimated_hours", "estimate", "effort", "duration"),
    "complexity": ("complexity",),
    "files": ("files", "files_modified", "files_to_modify"),
    "dependencies": ("dependencies", "depends_on", "deps", "blocked_by", "prerequisites"),
    "steps": ("steps", "implementation_steps", "tasks", "deliverables"),
    "gates": ("gates", "validation_gates", "verification", "acceptance_criteria"),
}


def can_name(key: str) -> bool:
    """Whether the key can be part of the names of files, git references and tasks (stage-2 is the name of a stage check)."""
    return ".." not in key and not key.lower().endswith((".", ".lock")) and not key.lower().startswith("stage-")


class _UnusableJson(ValueError):
    """JSON that Python accepts but a plan must not contain."""


def looks_like_json(text: str) -> bool:
    """Whether the text is meant as JSON: it starts with a brace or bracket, but not with a markdown link or checkbox."""
    head = text.lstrip()[:200]
    return head.startswith("{") or bool(re.match(r"\[\s*(?:[{\]]|$)", head))


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
    title = ""
    if isinstance(data, dict):
        title = data.get("title") or data.get("name") or ""
        title = " ".join(title.split()) if isinstance(title, str) else ""
        items = next((data[name] for name in ("items", "phases") if isinstance(data.get(name), list)), None)
    else:
        items = data if isinstance(data, list) else None
    if items is None:
        return _refused(1, 'JSON input is {"items": [{"id", "dependencies", "files"}, …]} or a list of such objects.')
    if not items:
        return PlanReading(PlanSpec(title), (PlanIssue(1, IssueCode.NO_PHASES, "The list of phases is empty."),))
    issues = Issues()
    lines = _object_lines(text, len(items))
    if len(items) > MAX_PHASES:
        message = f"The plan has {len(items):,} phases; at most {MAX_PHASES:,} are read."
        issues.error(lines[MAX_PHASES], IssueCode.TOO_MANY_PHASES, message)
        items = items[:MAX_PHASES]
    drafts = _drafts(items, lines, issues)
    names = PhaseNames([key for key, _, _ in drafts], [_one_line(item, "title") for _, item, _ in drafts])
    phases = [_phase(key, item, line, place, names, issues) for place, (key, item, line) in enumerate(drafts)]
    check_plan(phases, {phase.key: phase.line for phase in phases}, issues)
    return issues.reading(PlanSpec(title, tuple(phases)))


def _object_lines(text: str, count: int) -> list[int]:
    """The line, from 1, of the opening brace of each of the `count` phase objects."""
    begin = re.search(r'"(?:items|phases)"\s*:\s*\[', text) if text.lstrip().startswith("{") else re.search(r"\[", text)
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
    return next((item[known] for known in _NAMES[name] if known in item), None)


def _one_line(item: dict[str, Any], name: str) -> str:
    value = _value_of(item, name)
    return " ".join(value.split()) if isinstance(value, str) else ""


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
    for reading in (normalise(name) for written in _strings(_value_of(item, "files")) for name in expand_braces(written)):
        if reading.code is None:
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
            StepSpec(number, text, commands, line)
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
    for written in _strings(_value_of(item, "dependencies")):
        known = names.key(written.strip())
        references = None if known is not None else read_references(written, names, place)
        for number in (known,) if known is not None else references.places if references else ():
            if number == place:
                issues.error(line, IssueCode.SELF_DEPENDENCY, f"Phase {key} depends on itself.", field=Field.DEPENDENCIES, phase=key)
            else:
                depends_on[number] = None
        for name in _unread(references):
            message = f'Phase {key} depends on "{name[:80]}", which does not exist. Valid phases: {", ".join(names.keys[:30])}.'
            issues.error(line, IssueCode.UNDEFINED_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)
    return tuple(names.keys[number] for number in depends_on)


def _unread(references: Any) -> Iterable[str]:
    return (*references.undefined, *references.prose) if references is not None else ()
