"""A plan given as JSON: {"title", "items"|"phases": [...]} or a plain list of phase objects."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from batches.core.plans.dependencies import PhaseNames, read_references
from batches.core.plans.files import expand_braces, normalise
from batches.core.plans.labels import KEY, WORD, Field
from batches.core.plans.phases import Faults, check_commands, check_whole, check_work
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
    """Whether the names of files, git references and tasks can be made of this key (a stage's check is called stage-2)."""
    return ".." not in key and not key.lower().endswith((".", ".lock")) and not key.lower().startswith("stage-")


class _Invalid(ValueError):
    """JSON that is well formed for Python but not for us."""


def looks_like_json(text: str) -> bool:
    """Whether the text is meant as JSON: a brace or bracket first, and no markdown link or check-box."""
    head = text.lstrip()[:200]
    return head.startswith("{") or bool(re.match(r"\[\s*(?:[{\]]|$)", head))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Invalid(f"“{name}” stands twice in one object")
        found[name] = value
    return found


def _constant(name: str) -> Any:
    raise _Invalid(f"{name} is no JSON value")


def _number(text: str) -> int | float:
    if len(text) > 30:
        raise _Invalid("a number of more than 30 digits")
    return int(text)


def _load(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_constant, parse_int=_number)


def _refused(line: int, message: str) -> PlanReading:
    return PlanReading(PlanSpec(""), (PlanIssue(line, IssueCode.BAD_JSON, message),))


def read_json_plan(text: str) -> PlanReading:
    """The plan in a JSON text. Lines are those of each phase object's opening brace."""
    try:
        data = _load(text)
    except json.JSONDecodeError as fault:
        return _refused(fault.lineno, f"This is not valid JSON: {fault.msg} (column {fault.colno}).")
    except _Invalid as fault:
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
    faults = Faults()
    lines = _object_lines(text, len(items))
    if len(items) > MAX_PHASES:
        message = f"The plan has {len(items):,} phases; at most {MAX_PHASES:,} are read."
        faults.error(lines[MAX_PHASES], IssueCode.TOO_MANY_PHASES, message)
        items = items[:MAX_PHASES]
    drafts = _drafts(items, lines, faults)
    names = PhaseNames([key for key, _, _ in drafts], [_text(item, "title") for _, item, _ in drafts])
    phases = [_phase(key, item, line, place, names, faults) for place, (key, item, line) in enumerate(drafts)]
    check_whole(phases, {phase.key: phase.line for phase in phases}, faults)
    return faults.reading(PlanSpec(title, tuple(phases)))


def _object_lines(text: str, count: int) -> list[int]:
    """The 1-based line at which each of the `count` phase objects opens."""
    begin = re.search(r'"(?:items|phases)"\s*:\s*\[', text) if text.lstrip().startswith("{") else re.search(r"\[", text)
    depth, line, inside = 0, text.count("\n", 0, begin.end()) + 1 if begin else 1, False
    found: list[int] = []
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
                found.append(line)
            depth += 1
        else:
            depth -= 1
            if depth < 0:
                break
    return (found + [1] * count)[:count]


def _drafts(items: Sequence[Any], lines: Sequence[int], faults: Faults) -> list[tuple[str, dict[str, Any], int]]:
    drafts: list[tuple[str, dict[str, Any], int]] = []
    seen: dict[str, int] = {}
    for place, (item, line) in enumerate(zip(items, lines, strict=True), start=1):
        if not isinstance(item, dict):
            faults.error(line, IssueCode.BAD_JSON, f"Entry {place} is no object with “id”, “dependencies” and “files”.")
            continue
        raw = next((item[name] for name in _NAMES["key"] if name in item), None)
        found = _KEY.match(str(raw)) if isinstance(raw, (str, int, float)) and not isinstance(raw, bool) else None
        if found is None or not str(raw).isascii() or not can_name(found["key"]):
            faults.error(line, IssueCode.BAD_KEY, f"Entry {place} has no usable “id”: {str(raw)[:60]}.", phase=str(raw)[:60])
            continue
        key = found["key"]
        if key.lower() in seen:
            message = f"Phase {key} is there already, on line {seen[key.lower()]}."
            faults.error(line, IssueCode.DUPLICATE_KEY, message, phase=key)
            continue
        seen[key.lower()] = line
        drafts.append((key, item, line))
    return drafts


def _raw(item: dict[str, Any], name: str) -> Any:
    return next((item[known] for known in _NAMES[name] if known in item), None)


def _text(item: dict[str, Any], name: str) -> str:
    value = _raw(item, name)
    return " ".join(value.split()) if isinstance(value, str) else ""


def _strings(value: Any) -> list[str]:
    """A string, a list of strings or numbers, or of objects with a text, as strings; anything else is left out."""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return [str(value)]
    found: list[str] = []
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict):
            one = next(
                (one[name] for name in ("text", "title", "description", "id", "path", "file") if isinstance(one.get(name), str)), None
            )
        if isinstance(one, (str, int, float)) and not isinstance(one, bool):
            found.append(str(one))
    return found


def _phase(key: str, item: dict[str, Any], line: int, place: int, names: PhaseNames, faults: Faults) -> PhaseSpec:
    hours, hours_text = _hours(key, item, line, faults)
    complexity_text = _text(item, "complexity")
    complexity = read_complexity(complexity_text) if complexity_text else ""
    if complexity_text and not complexity:
        message = f"Complexity “{complexity_text[:60]}” is none of low, medium, high."
        faults.error(line, IssueCode.UNKNOWN_COMPLEXITY, message, field=Field.COMPLEXITY, phase=key)
    files: dict[str, None] = {}
    for reading in (normalise(name) for written in _strings(_raw(item, "files")) for name in expand_braces(written)):
        if reading.code is None:
            files[reading.path] = None
        else:
            faults.error(line, reading.code, reading.message, field=Field.FILES, phase=key)
    phase = PhaseSpec(
        key=key,
        title=_text(item, "title"),
        goal=_text(item, "goal"),
        hours=hours,
        hours_text=hours_text,
        complexity=complexity,
        files=tuple(files),
        dependencies=_dependencies(key, item, line, place, names, faults),
        steps=tuple(
            StepSpec(number, text, commands, line)
            for number, (text, commands) in enumerate(_entries(_raw(item, "steps"), Field.STEPS, key, line, faults), start=1)
        ),
        gates=tuple(GateText(text, False, line) for text, _ in _entries(_raw(item, "gates"), Field.GATES, key, line, faults)),
        line=line,
    )
    check_work(phase, faults)
    check_commands(phase, faults)
    return phase


def _entries(value: Any, field: Field, key: str, line: int, faults: Faults) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The texts and commands of a list of steps or gates; one that says nothing is an error, as in markdown."""
    for one in value if isinstance(value, list) else () if value is None else (value,):
        text = " ".join(_strings([one])).strip()
        commands = tuple(_strings(one.get("commands"))) if isinstance(one, dict) and field is Field.STEPS else ()
        if text or commands:
            yield text, commands
        else:
            faults.error(line, IssueCode.EMPTY_ITEM, f"An item of {field} of Phase {key} is empty.", field=field, phase=key)


def _hours(key: str, item: dict[str, Any], line: int, faults: Faults) -> tuple[float | None, str]:
    raw = _raw(item, "hours")
    if raw is None:
        return None, ""
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str)) or (isinstance(raw, float) and not math.isfinite(raw)):
        faults.error(line, IssueCode.BAD_HOURS, f"Hours of Phase {key} are no number.", field=Field.HOURS, phase=key)
        return None, ""
    text = raw.strip() if isinstance(raw, str) else f"{raw:g}" if isinstance(raw, float) and abs(raw) < 1e6 else str(raw)
    reading = read_hours(text)
    if reading.code is not None:
        faults.error(line, reading.code, reading.message, field=Field.HOURS, phase=key)
    return reading.hours, text


def _dependencies(key: str, item: dict[str, Any], line: int, place: int, names: PhaseNames, faults: Faults) -> tuple[str, ...]:
    found: dict[int, None] = {}
    for written in _strings(_raw(item, "dependencies")):
        known = names.key(written.strip())
        references = None if known is not None else read_references(written, names, place)
        for number in (known,) if known is not None else references.places if references else ():
            if number == place:
                faults.error(line, IssueCode.SELF_DEPENDENCY, f"Phase {key} depends on itself.", field=Field.DEPENDENCIES, phase=key)
            else:
                found[number] = None
        for name in _unread(references):
            message = f'Phase {key} depends on "{name[:80]}", which does not exist. Valid phases: {", ".join(names.keys[:30])}.'
            faults.error(line, IssueCode.UNDEFINED_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)
    return tuple(names.keys[number] for number in found)


def _unread(references: Any) -> Iterable[str]:
    return (*references.undefined, *references.prose) if references is not None else ()
