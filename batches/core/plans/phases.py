"""From written sections to phases: which occurrence counts, what its fields say, and what is wrong with them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from batches.core.gates.binding import understand
from batches.core.plans.dependencies import PhaseNames, read_references
from batches.core.plans.files import is_protected, read_files
from batches.core.plans.front_matter import read_front_matter
from batches.core.plans.globs import MAX_GLOB_COMPARISONS, glob_comparisons, is_glob
from batches.core.plans.graph import find_cycles
from batches.core.plans.labels import FIELD_OF, GATE_NAMES, REQUIRED, STEP_NAMES, Field, phase_heading
from batches.core.plans.sections import MAX_PHASES, Document, Entry, Section, Written, read_document
from batches.core.plans.types import (
    GateText,
    IssueCode,
    PhaseSpec,
    PlanIssue,
    PlanReading,
    PlanSpec,
    Repair,
    StepSpec,
)
from batches.core.plans.values import hours_in_title, read_complexity, read_hours

MAX_ITEMS = 2_000  # in one field of a phase
MAX_ISSUES = 1_000  # errors, and as many warnings
_RANK = {name: rank for rank, name in enumerate(FIELD_OF)}
_ASCII_KEY = re.compile(r"^[0-9A-Za-z]+(?:\.[0-9A-Za-z]+)*$")


@dataclass(slots=True)
class Faults:
    """The faults found so far."""

    errors: list[PlanIssue] = field(default_factory=list)
    warnings: list[PlanIssue] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def _keep(self, into: list[PlanIssue], kind: str, issue: PlanIssue) -> None:
        if len(into) < MAX_ISSUES:
            into.append(issue)
        else:
            self.left_out[kind] = self.left_out.get(kind, 0) + 1

    def error(self, line: int, code: IssueCode, message: str, *, field: str = "", phase: str = "", repair: Repair | None = None) -> None:
        self._keep(self.errors, "errors", PlanIssue(line, code, message, field, phase, repair))

    def warning(self, line: int, code: IssueCode, message: str, *, field: str = "", phase: str = "", repair: Repair | None = None) -> None:
        self._keep(self.warnings, "warnings", PlanIssue(line, code, message, field, phase, repair))

    def is_full(self, kind: str = "errors") -> bool:
        """Whether a further fault of a kind would only be counted, so that its message need not be made; it is counted then."""
        if len(self.errors if kind == "errors" else self.warnings) < MAX_ISSUES:
            return False
        self.left_out[kind] = self.left_out.get(kind, 0) + 1
        return True

    def reading(self, plan: PlanSpec) -> PlanReading:
        """The reading of `plan` with these faults; the last of a kind says how many more there were than are kept."""
        for kind, issues in (("errors", self.errors), ("warnings", self.warnings)):
            more = self.left_out.pop(kind, 0)
            if more:
                issues[-1] = replace(issues[-1], message=f"{issues[-1].message} ({more:,} more {kind} below are not listed.)")
        return PlanReading(plan, tuple(self.errors), tuple(self.warnings))


def build_plan(text: str) -> PlanReading:
    """The plan in a markdown text that read_source has passed, with its faults (in no order)."""
    lines = text.split("\n")
    front = read_front_matter(lines)
    faults = Faults(list(front.errors))
    if front.end:
        lines[: front.end] = [""] * front.end
    document = read_document(lines)
    title = document.title or front.title
    sections = _chosen(document, faults)
    if not title:
        repair = Repair(front.end, "insert_after", "# Plan\n", "Add a title")
        faults.error(1, IssueCode.NO_TITLE, "The plan has no title. Begin it with a line “# Title”.", repair=repair)
    if document.unclosed_fence:
        message = "The code fence that opens here is never closed, so everything below counts as code. Close it with the same marks."
        faults.error(document.unclosed_fence, IssueCode.UNCLOSED_FENCE, message)
    if document.stopped_at:
        message = "From here on the plan is not read: it has far more lists, quotes and markup than a plan needs. Split or simplify it."
        faults.error(document.stopped_at, IssueCode.TOO_INTRICATE, message)
    for bad in document.bad_keys:
        message = f"“{bad.heading.key}” cannot be a phase's key. Write a number, a number and a letter, or a letter: 1, 2a, 0.5, B."
        faults.error(bad.line, IssueCode.BAD_KEY, message, phase=bad.heading.key)
    if not sections and not document.bad_keys:
        faults.error(*_no_phases(document, lines))
    if document.too_many_at:
        message = f"The plan has more than {MAX_PHASES:,} phases; from here on it is not read. Split it into several plans."
        faults.error(document.too_many_at, IssueCode.TOO_MANY_PHASES, message)
    names = PhaseNames([section.heading.key for section in sections], [section.heading.title for section in sections])
    phases = [_phase(section, place, names, lines, faults) for place, section in enumerate(sections)]
    for twin in document.twins:  # its own faults are told now, not after it has got a key of its own
        _phase(twin, names.key(twin.heading.key) or 0, names, lines, faults)
    check_whole(phases, {section.heading.key: _dependency_line(section) for section in sections}, faults)
    return faults.reading(PlanSpec(title, tuple(phases)))


def _no_phases(document: Document, lines: Sequence[str]) -> tuple[int, IssueCode, str]:
    if document.fenced_headings:
        where = ", ".join(str(line) for line in document.fenced_headings[:8])
        more = len(document.fenced_headings) - 8
        where += f" and {more} more" if more > 0 else ""
        plural = "s" if len(document.fenced_headings) > 1 else ""
        message = (
            f"No phases. Phase headings were seen inside code fences only (line{plural} {where}), where they are text. "
            "Take them out of the fence."
        )
        return document.fenced_headings[0], IssueCode.NO_PHASES, message
    bold = next((at for at, line in enumerate(lines, start=1) if line.lstrip().startswith(("**", "__")) and phase_heading(line)), 0)
    if bold:
        message = f"No phases. What line {bold} says in bold has to be a heading: write “### {lines[bold - 1].strip(' *_:')[:80]}”."
        return bold, IssueCode.NO_PHASES, message
    return 0, IssueCode.NO_PHASES, "No phases. Write a heading “### Phase 1: Title” for each, with its fields below."


def _first_of_a_run(key: str) -> bool:
    return key.lower() in ("0", "1", "a", "i", "1a", "0.1", "1.1", "0.5", "1.0")


def _chosen(document: Document, faults: Faults) -> list[Section]:
    """One section a key: that with most fields; others of the same key are mentions, or errors where they are phases too."""
    sections = document.sections
    has_fields = any(section.written or hours_in_title(section.heading.title) for section in sections)
    if sections and not has_fields and not _first_of_a_run(sections[0].heading.key):
        # Without a single field only a run of headings that starts at the start is a plan; a chapter “Phase 2: …” alone is prose.
        return []
    by_key: dict[str, list[Section]] = {}
    for section in sections:
        by_key.setdefault(section.heading.key.lower(), []).append(section)
    taken = set(by_key)
    chosen: list[Section] = []
    for same in by_key.values():
        if len(same) == 1:
            chosen.append(same[0])
            continue
        best = max(same, key=lambda section: (len(section.required()), len(section.written)))
        chosen.append(best)
        for other in same:
            if other is best:
                continue
            if len(other.required()) >= 2 or (other.required() and not _same_title(best, other)):
                fresh = _free_key(best.heading.key, taken)
                taken.add(fresh.lower())
                faults.error(
                    other.line,
                    IssueCode.DUPLICATE_KEY,
                    f"Phase {other.heading.key} is there already, on line {best.line}. Give one of them another key.",
                    phase=other.heading.key,
                    repair=_rename(other, fresh),
                )
                document.twins.append(other)
            else:
                message = f"Phase {other.heading.key} is read from line {best.line}; this second heading is passed over."
                faults.warning(other.line, IssueCode.REPEATED_HEADING, message, phase=other.heading.key)
    return sorted(chosen, key=lambda section: section.line)


def _same_title(one: Section, other: Section) -> bool:
    """Whether two headings of a key carry one title, with or without remarks in brackets: the second then is no second phase."""
    first, second = (re.sub(r"\s*\(.*", "", section.heading.title).casefold().strip() for section in (one, other))
    return not first or not second or first == second


def _free_key(key: str, taken: set[str]) -> str:
    """A key like `key` that nobody has: the next letter for 2a, a letter added to 2, and so on."""
    stem = key[:-1] if len(key) > 1 and key[-1].isalpha() else key
    for letter in "bcdefghijklmnopqrstuvwxyz":
        if (candidate := stem + letter if stem[-1:].isdigit() else f"{stem}{ord(letter) - 96}").lower() not in taken:
            return candidate
    number = 2
    while f"{stem}.{number}".lower() in taken:
        number += 1
    return f"{stem}.{number}"


def _rename(section: Section, key: str) -> Repair | None:
    """The heading's line with another key, where it is written on one line."""
    if section.end_line != section.line or section.indent:
        return None
    title = f": {section.heading.title}" if section.heading.title else ""
    return Repair(section.line, "replace", f"{'#' * section.level} Phase {key}{title}", f"Call it Phase {key}")


def _dependency_line(section: Section) -> int:
    return next((written.line for written in section.written if written.field is Field.DEPENDENCIES), section.line)


def _held(section: Section, entries: Sequence[Entry], wanted: Field, faults: Faults) -> Sequence[Entry]:
    """The items of one list, no more than MAX_ITEMS of them."""
    if len(entries) <= MAX_ITEMS:
        return entries
    message = f"{wanted} of Phase {section.heading.key} has {len(entries):,} items; at most {MAX_ITEMS:,} are read. Split the phase."
    faults.error(entries[MAX_ITEMS].line, IssueCode.TOO_MANY_ITEMS, message, field=wanted, phase=section.heading.key)
    return entries[:MAX_ITEMS]


def _pick(section: Section, wanted: Field, faults: Faults) -> Written | None:
    """The occurrence of a field that holds a single value: the best-named one; the same name twice is an error."""
    own = section.counted(wanted)
    if len(own) < 2:
        return own[0] if own else None
    best = min(own, key=lambda written: (_RANK.get(written.name, 99), written.line))
    for written in own:
        if written is not best and written.name == best.name:
            message = f"{wanted} stands twice in Phase {section.heading.key}, first on line {best.line}. Keep one."
            faults.error(written.line, IssueCode.REPEATED_FIELD, message, field=wanted, phase=section.heading.key)
    return best


def _value(written: Written) -> str:
    """The words of a field that holds a single value."""
    if written.inline or not (written.texts or written.entries):
        return written.inline
    parts = [text for _, text in written.texts] or [entry.text for entry in written.entries]
    return " ".join(" ".join(parts).split())


_INSERT = {
    Field.GOAL: "**Goal**: {title}",
    Field.HOURS: "**Estimated Hours**: 1",
    Field.COMPLEXITY: "**Complexity**: medium",
    Field.FILES: "**Files Modified**: None",
    Field.DEPENDENCIES: "**Dependencies**: None",
}


def _missing(section: Section, wanted: Field, lines: Sequence[str], faults: Faults) -> None:
    if faults.is_full():
        return
    key = section.heading.key
    line = _INSERT[wanted].format(title=section.heading.title or f"Phase {key}")
    after = section.end_line
    below = lines[after] if after < len(lines) else ""
    text = f"\n{' ' * section.indent}{line}" + ("\n" if below.strip() else "")
    faults.error(
        section.line,
        IssueCode.MISSING_FIELD,
        f"Phase {key} has no {wanted}. Add a line “{line}” below its heading.",
        field=wanted,
        phase=key,
        repair=Repair(after, "insert_after", text, f"Add “{line}”"),
    )


def _empty(written: Written, wanted: Field, key: str, faults: Faults) -> None:
    faults.error(
        written.line, IssueCode.EMPTY_FIELD, f"{wanted} of Phase {key} is empty. Write its value after the colon.", field=wanted, phase=key
    )


def _phase(section: Section, place: int, names: PhaseNames, lines: Sequence[str], faults: Faults) -> PhaseSpec:
    heading = section.heading
    key = heading.key
    written = {wanted: _pick(section, wanted, faults) for wanted in (Field.GOAL, Field.HOURS, Field.COMPLEXITY)}
    goal_written = written[Field.GOAL]
    goal = " ".join(_value(goal_written).split()) if goal_written else ""
    hours, hours_text = _hours(section, written[Field.HOURS], lines, faults)
    complexity = _complexity(section, written[Field.COMPLEXITY], faults)
    has = section.required()
    for wanted in REQUIRED:
        if wanted not in has and not (wanted is Field.HOURS and hours_text):
            _missing(section, wanted, lines, faults)
    if goal_written is not None and not goal:
        _empty(goal_written, Field.GOAL, key, faults)
    for line, name in section.unknown:
        message = f"“{name}” is no field of a phase; what it says is not used."
        faults.warning(line, IssueCode.UNKNOWN_FIELD, message, field=name, phase=key)
    phase = PhaseSpec(
        key=key,
        title=heading.title,
        goal=goal,
        hours=hours,
        hours_text=hours_text,
        complexity=complexity,
        files=_files(section, faults),
        dependencies=_dependencies(section, place, names, lines, faults),
        steps=_steps(section, faults),
        gates=_gates(section, faults),
        line=section.line,
    )
    check_work(phase, faults)
    check_commands(phase, faults, lines)
    return phase


def _hours(section: Section, written: Written | None, lines: Sequence[str], faults: Faults) -> tuple[float | None, str]:
    """Hours and the text they were read from; those in the heading's brackets count where there is no field."""
    key = section.heading.key
    text = _value(written) if written is not None else hours_in_title(section.heading.title)
    line = written.line if written is not None else section.line
    if not text:
        if written is not None:
            _empty(written, Field.HOURS, key, faults)
        return None, ""
    reading = read_hours(text)
    if reading.code is not None:
        repair = None
        if reading.rewrite and lines[line - 1].count(text) == 1:
            repair = Repair(line, "replace", lines[line - 1].replace(text, reading.rewrite), f"Write {reading.rewrite}")
        faults.error(line, reading.code, reading.message, field=Field.HOURS, phase=key, repair=repair)
    return reading.hours, text


def _complexity(section: Section, written: Written | None, faults: Faults) -> str:
    if written is None:
        return ""
    text = _value(written)
    if not text:
        _empty(written, Field.COMPLEXITY, section.heading.key, faults)
        return ""
    complexity = read_complexity(text)
    if not complexity:
        message = f"Complexity “{text[:60]}” is none of low, medium, high."
        faults.error(written.line, IssueCode.UNKNOWN_COMPLEXITY, message, field=Field.COMPLEXITY, phase=section.heading.key)
    return complexity


def _files(section: Section, faults: Faults) -> tuple[str, ...]:
    key = section.heading.key
    files: dict[str, int] = {}
    folded: dict[str, str] = {}
    for written in section.counted(Field.FILES):
        values = [(written.line, written.inline, True)] if written.inline else []
        values.extend((line, text, True) for line, text in written.texts)
        values.extend((entry.line, entry.text.split("\n", 1)[0], False) for entry in _held(section, written.entries, Field.FILES, faults))
        if not values and not written.nested:
            _empty(written, Field.FILES, key, faults)
        for line, value, inline in values:
            for reading in read_files(value, inline):
                if reading.code is IssueCode.FILE_PROSE:
                    faults.warning(line, reading.code, reading.message, field=Field.FILES, phase=key)
                elif reading.code is not None:
                    faults.error(line, reading.code, reading.message, field=Field.FILES, phase=key)
                elif reading.path not in files:
                    files[reading.path] = line
                    twin = folded.setdefault(reading.path.lower(), reading.path)
                    if twin != reading.path:
                        message = f"“{reading.path}” and “{twin}” differ in case only; on some systems they are one file."
                        faults.warning(line, IssueCode.FILE_CASE_CLASH, message, field=Field.FILES, phase=key)
                    if is_protected(reading.path):
                        message = f"“{reading.path}” alters how the repository itself is worked on. Look at it with care before Execute."
                        faults.warning(line, IssueCode.FILE_PROTECTED, message, field=Field.FILES, phase=key)
    return tuple(files)


def _dependencies(section: Section, place: int, names: PhaseNames, lines: Sequence[str], faults: Faults) -> tuple[str, ...]:
    """The keys a phase depends on, each once."""
    key = section.heading.key
    every = section.counted(Field.DEPENDENCIES)
    seen_names: set[str] = set()
    found: dict[int, None] = {}
    none_line = 0
    for written in sorted(every, key=lambda one: (_RANK.get(one.name, 99), one.line)):
        if written.name in seen_names:
            message = f"Dependencies stands twice in Phase {key}. Keep one."
            faults.error(written.line, IssueCode.REPEATED_FIELD, message, field=Field.DEPENDENCIES, phase=key)
            continue
        seen_names.add(written.name)
        values = [(written.line, written.inline)] if written.inline else []
        values.extend(written.texts)
        listed = _held(section, written.entries, Field.DEPENDENCIES, faults)
        values.extend((entry.line, entry.text.split("\n", 1)[0]) for entry in listed)
        if not values:
            _empty(written, Field.DEPENDENCIES, key, faults)
        repeated = False
        for line, value in values:
            references = read_references(value, names, place)
            none_line = none_line or (line if references.says_none else 0)
            for number in references.places:
                if number == place:
                    message = f"Phase {key} depends on itself. Remove it from its own dependencies."
                    faults.error(line, IssueCode.SELF_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)
                elif number in found and not repeated:
                    message = f"Phase {key} names Phase {names.keys[number]} twice among its dependencies."
                    faults.warning(line, IssueCode.REPEATED_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)
                    repeated = True
                if number != place:
                    found[number] = None
            for name in references.undefined:
                _undefined(section, line, name, names, lines, faults)
            for prose in references.prose:
                _prose(key, line, prose, names, faults)
    if none_line and found:
        message = f"Phase {key} says “None” and names dependencies as well. Keep one of the two."
        faults.error(none_line, IssueCode.NONE_AND_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)
    return tuple(names.keys[number] for number in found)


def _valid(names: PhaseNames) -> str:
    shown = ", ".join(names.keys[:30])
    return f"{shown} and {len(names.keys) - 30} more" if len(names.keys) > 30 else shown


def _undefined(section: Section, line: int, name: str, names: PhaseNames, lines: Sequence[str], faults: Faults) -> None:
    if faults.is_full():
        return
    key = section.heading.key
    nearest = names.nearest(name)
    repair = None
    hint = ""
    if nearest and nearest != key:
        hint = f" Did you mean {nearest}?"
        spelled = re.compile(rf"(?<![\w.]){re.escape(name)}(?![\w])")
        if len(spelled.findall(lines[line - 1])) == 1:
            fixed = spelled.sub(lambda _: nearest, lines[line - 1])
            repair = Repair(line, "replace", fixed, f"Depend on {nearest} instead")
    faults.error(
        line,
        IssueCode.UNDEFINED_DEPENDENCY,
        f'Phase {key} depends on "{name[:80]}", which does not exist. Valid phases: {_valid(names)}.{hint}',
        field=Field.DEPENDENCIES,
        phase=key,
        repair=repair,
    )


def _prose(key: str, line: int, prose: str, names: PhaseNames, faults: Faults) -> None:
    if faults.is_full():
        return
    message = f"Phase {key}: “{prose[:80]}” names no phase. Name one ({_valid(names)}), or write None and put the remark in brackets."
    nearest = names.nearest(prose) if len(prose) < 100 else ""
    if nearest:
        message += f" Did you mean Phase {nearest}?"
    faults.error(line, IssueCode.UNREADABLE_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)


def _list_of(section: Section, wanted: Field, ranks: Sequence[str], merge: bool) -> list[Written]:
    """The lists that count: of the best-named kind that has items at all; the first of it, or all of them."""
    filled = [written for written in section.counted(wanted) if written.entries]
    if not filled:
        return []
    name = min((written.name for written in filled), key=lambda one: ranks.index(one) if one in ranks else 99)
    same = [written for written in filled if written.name == name]
    own = [written for written in same if not written.nested] or same
    return own if merge else own[:1]


def _items(section: Section, lists: Iterable[Written], wanted: Field, faults: Faults) -> list[Entry]:
    kept: list[Entry] = []
    for written in lists:
        for entry in _held(section, written.entries, wanted, faults):
            if entry.text.strip() or entry.commands:
                kept.append(entry)
            else:
                message = f"An item of {wanted} is empty. Fill it in or remove it."
                faults.error(entry.line, IssueCode.EMPTY_ITEM, message, field=wanted, phase=section.heading.key)
    return kept


def _steps(section: Section, faults: Faults) -> tuple[StepSpec, ...]:
    key = section.heading.key
    entries = _items(section, _list_of(section, Field.STEPS, STEP_NAMES, merge=True), Field.STEPS, faults)
    numbers = [(entry.number, entry.line) for entry in entries if entry.number is not None]
    for (before, _), (number, line) in pairwise(numbers):
        if number not in (before + 1, 1) and before != number:
            message = f"Step {number} follows step {before} in Phase {key}; they are taken in the order written."
            faults.warning(line, IssueCode.NUMBERING_GAP, message, field=Field.STEPS, phase=key)
            break
    return tuple(StepSpec(number, entry.text.strip(), entry.commands, entry.line) for number, entry in enumerate(entries, start=1))


def _gates(section: Section, faults: Faults) -> tuple[GateText, ...]:
    entries = _items(section, _list_of(section, Field.GATES, GATE_NAMES, merge=False), Field.GATES, faults)
    return tuple(GateText(entry.text.strip(), bool(entry.box), entry.line) for entry in entries)


def check_work(phase: PhaseSpec, faults: Faults) -> None:
    """Work that was never described is not done: neither steps nor gates is an error, one of the two missing a warning."""
    if not phase.steps and not phase.gates:
        if not faults.is_full():
            message = (
                f"Phase {phase.key} has neither Implementation Steps nor Validation Gates: nothing says what is to be done, "
                "or how it shows. Write at least one of the two lists below its fields, or remove the phase."
            )
            faults.error(phase.line, IssueCode.NO_WORK, message, field=Field.STEPS, phase=phase.key)
    elif not phase.steps and not faults.is_full("warnings"):
        faults.warning(
            phase.line, IssueCode.NO_STEPS, f"Phase {phase.key} has no Implementation Steps.", field=Field.STEPS, phase=phase.key
        )
    elif not phase.gates and not faults.is_full("warnings"):
        message = f"Phase {phase.key} has no Validation Gates, so nothing will check its work."
        faults.warning(phase.line, IssueCode.NO_GATES, message, field=Field.GATES, phase=phase.key)


def check_commands(phase: PhaseSpec, faults: Faults, lines: Sequence[str] = ()) -> None:
    """Say of each command in a gate that is not run why, and offer the line that runs it (where `lines` are the plan's)."""
    for position, gate in enumerate(phase.gates, start=1):
        if "`" not in gate.text or faults.is_full("warnings"):
            continue
        read = understand(position, gate.text, phase.files)
        if not read.offer:
            continue
        message = f"Gate {position} of Phase {phase.key}: “{read.offer[:120]}” is not run: {read.why_not}."
        chosen = f"(checked: `{read.offer}`)"
        line = lines[gate.line - 1].rstrip() if 0 < gate.line <= len(lines) else ""
        repair = None
        if line.endswith(gate.text):
            repair = Repair(gate.line, "replace", f"{line} {chosen}", f"Run it: add “{chosen}”")
        else:
            message += f" End the gate with {chosen} to run it."
        faults.warning(gate.line, IssueCode.GATE_NOT_RUN, message, field=Field.GATES, phase=phase.key, repair=repair)


def check_whole(phases: Sequence[PhaseSpec], line_of: dict[str, int], faults: Faults) -> None:
    """What only the plan as a whole can have wrong: cycles (each at the line of its first phase's dependencies), too many globs."""
    for cycle in find_cycles({phase.key: phase.dependencies for phase in phases}):
        path = " → ".join(cycle)
        message = f"Circular dependency: {path} (an arrow means “depends on”). Remove one of these dependencies."
        faults.error(line_of.get(cycle[0], 0), IssueCode.CYCLE, message, field=Field.DEPENDENCIES, phase=cycle[0])
    if glob_comparisons({path for phase in phases for path in phase.files}) > MAX_GLOB_COMPARISONS:
        first = next(phase for phase in phases if any(is_glob(path) for path in phase.files))
        message = "The plan has too many globs among too many files to compare them all. Name directories instead."
        faults.error(first.line, IssueCode.TOO_MANY_GLOBS, message, field=Field.FILES, phase=first.key)
