"""Turn the sections of a document into phases: which occurrence of a field counts, its value, and its issues."""

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
from batches.core.plans.sections import MAX_PHASES, Document, FieldOccurrence, ListEntry, Section, read_document
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


@dataclass(slots=True)
class Issues:
    """The issues found so far."""

    errors: list[PlanIssue] = field(default_factory=list)
    warnings: list[PlanIssue] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def _add(self, kept: list[PlanIssue], kind: str, issue: PlanIssue) -> None:
        if len(kept) < MAX_ISSUES:
            kept.append(issue)
        else:
            self.left_out[kind] = self.left_out.get(kind, 0) + 1

    def error(self, line: int, code: IssueCode, message: str, *, field: str = "", phase: str = "", repair: Repair | None = None) -> None:
        self._add(self.errors, "errors", PlanIssue(line, code, message, field, phase, repair))

    def warning(self, line: int, code: IssueCode, message: str, *, field: str = "", phase: str = "", repair: Repair | None = None) -> None:
        self._add(self.warnings, "warnings", PlanIssue(line, code, message, field, phase, repair))

    def is_full(self, kind: str = "errors") -> bool:
        """Whether the list is full, so that the caller can skip the next issue's message. If so, that issue is counted here."""
        if len(self.errors if kind == "errors" else self.warnings) < MAX_ISSUES:
            return False
        self.left_out[kind] = self.left_out.get(kind, 0) + 1
        return True

    def reading(self, plan: PlanSpec) -> PlanReading:
        """The reading of `plan` with these issues; the last of a kind says how many more there were than are kept."""
        for kind, kept in (("errors", self.errors), ("warnings", self.warnings)):
            more = self.left_out.pop(kind, 0)
            if more:
                kept[-1] = replace(kept[-1], message=f"{kept[-1].message} ({more:,} more {kind} are not listed.)")
        return PlanReading(plan, tuple(self.errors), tuple(self.warnings))


def build_plan(text: str) -> PlanReading:
    """The plan in a markdown text that read_source has passed, with its issues (in no order)."""
    lines = text.split("\n")
    front = read_front_matter(lines)
    issues = Issues(list(front.errors))
    if front.end:
        lines[: front.end] = [""] * front.end
    document = read_document(lines)
    title = document.title or front.title
    sections = _choose_sections(document, issues)
    if not title:
        repair = Repair(front.end, "insert_after", "# Plan\n", "Add a title")
        issues.error(1, IssueCode.NO_TITLE, "The plan has no title. Begin it with a line “# Title”.", repair=repair)
    if document.unclosed_fence:
        message = "The code fence that opens here is never closed, so everything below counts as code. Close it with the same marks."
        issues.error(document.unclosed_fence, IssueCode.UNCLOSED_FENCE, message)
    if document.stopped_at:
        message = "The plan is not read beyond this line: it has far more lists, quotes and markup than a plan needs. Split or simplify it."
        issues.error(document.stopped_at, IssueCode.TOO_INTRICATE, message)
    for bad in document.bad_keys:
        message = f"“{bad.heading.key}” cannot be the key of a phase. Write a number, a number and a letter, or a letter: 1, 2a, 0.5, B."
        issues.error(bad.line, IssueCode.BAD_KEY, message, phase=bad.heading.key)
    if not sections and not document.bad_keys:
        issues.error(*_no_phases(document, lines))
    if document.too_many_at:
        message = f"The plan has more than {MAX_PHASES:,} phases and is not read beyond this line. Split it into several plans."
        issues.error(document.too_many_at, IssueCode.TOO_MANY_PHASES, message)
    names = PhaseNames([section.heading.key for section in sections], [section.heading.title for section in sections])
    phases = [_phase(section, place, names, lines, issues) for place, section in enumerate(sections)]
    for duplicate in document.duplicates:  # report its issues now, not only after it has got its own key
        _phase(duplicate, names.key(duplicate.heading.key) or 0, names, lines, issues)
    check_plan(phases, {section.heading.key: _dependency_line(section) for section in sections}, issues)
    return issues.reading(PlanSpec(title, tuple(phases)))


def _no_phases(document: Document, lines: Sequence[str]) -> tuple[int, IssueCode, str]:
    if document.fenced_headings:
        where = ", ".join(str(line) for line in document.fenced_headings[:8])
        more = len(document.fenced_headings) - 8
        where += f" and {more} more" if more > 0 else ""
        noun = "lines" if len(document.fenced_headings) > 1 else "line"
        message = (
            f"No phases. The only phase headings are inside code fences ({noun} {where}), where they are plain text. "
            "Move them out of the fence."
        )
        return document.fenced_headings[0], IssueCode.NO_PHASES, message
    bold = next((at for at, line in enumerate(lines, start=1) if line.lstrip().startswith(("**", "__")) and phase_heading(line)), 0)
    if bold:
        message = f"No phases. The bold text on line {bold} must be a heading: write “### {lines[bold - 1].strip(' *_:')[:80]}”."
        return bold, IssueCode.NO_PHASES, message
    return 0, IssueCode.NO_PHASES, "No phases. Write a heading “### Phase 1: Title” for each phase, with its fields below."


def _can_be_first_key(key: str) -> bool:
    return key.lower() in ("0", "1", "a", "i", "1a", "0.1", "1.1", "0.5", "1.0")


def _choose_sections(document: Document, issues: Issues) -> list[Section]:
    """One section per key: the one with most fields. Others with the same key are ignored, or errors if they are phases too."""
    sections = document.sections
    has_fields = any(section.occurrences or hours_in_title(section.heading.title) for section in sections)
    if sections and not has_fields and not _can_be_first_key(sections[0].heading.key):
        # Without any field, headings are a plan only if they start with a first key; “Phase 2: …” alone is a chapter.
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
        best = max(same, key=lambda section: (len(section.required()), len(section.occurrences)))
        chosen.append(best)
        for other in same:
            if other is best:
                continue
            if len(other.required()) >= 2 or (other.required() and not _same_title(best, other)):
                fresh = _free_key(best.heading.key, taken)
                taken.add(fresh.lower())
                issues.error(
                    other.line,
                    IssueCode.DUPLICATE_KEY,
                    f"Phase {other.heading.key} exists already, on line {best.line}. Give one of them another key.",
                    phase=other.heading.key,
                    repair=_rename(other, fresh),
                )
                document.duplicates.append(other)
            else:
                message = f"Phase {other.heading.key} is read from line {best.line}; this second heading is ignored."
                issues.warning(other.line, IssueCode.REPEATED_HEADING, message, phase=other.heading.key)
    return sorted(chosen, key=lambda section: section.line)


def _same_title(section: Section, other: Section) -> bool:
    """Whether two headings with the same key have the same title, ignoring remarks in brackets."""
    first, second = (re.sub(r"\s*\(.*", "", section.heading.title).casefold().strip() for section in (section, other))
    return not first or not second or first == second


def _free_key(key: str, taken: set[str]) -> str:
    """An unused key similar to `key`: the next letter for 2a, an added letter for 2, and so on."""
    stem = key[:-1] if len(key) > 1 and key[-1].isalpha() else key
    for letter in "bcdefghijklmnopqrstuvwxyz":
        if (candidate := stem + letter if stem[-1:].isdigit() else f"{stem}{ord(letter) - 96}").lower() not in taken:
            return candidate
    number = 2
    while f"{stem}.{number}".lower() in taken:
        number += 1
    return f"{stem}.{number}"


def _rename(section: Section, key: str) -> Repair | None:
    """A repair that gives the heading another key; None if the heading takes several lines."""
    if section.end_line != section.line or section.indent:
        return None
    title = f": {section.heading.title}" if section.heading.title else ""
    return Repair(section.line, "replace", f"{'#' * section.level} Phase {key}{title}", f"Call it Phase {key}")


def _dependency_line(section: Section) -> int:
    return next((written.line for written in section.occurrences if written.field is Field.DEPENDENCIES), section.line)


def _limited(section: Section, entries: Sequence[ListEntry], wanted: Field, issues: Issues) -> Sequence[ListEntry]:
    """The first MAX_ITEMS items of a list."""
    if len(entries) <= MAX_ITEMS:
        return entries
    message = f"{wanted} of Phase {section.heading.key} has {len(entries):,} items; at most {MAX_ITEMS:,} are read. Split the phase."
    issues.error(entries[MAX_ITEMS].line, IssueCode.TOO_MANY_ITEMS, message, field=wanted, phase=section.heading.key)
    return entries[:MAX_ITEMS]


def _best_occurrence(section: Section, wanted: Field, issues: Issues) -> FieldOccurrence | None:
    """The occurrence that counts for a field with one value: the one with the best name. The same name twice is an error."""
    own = section.occurrences_of(wanted)
    if len(own) < 2:
        return own[0] if own else None
    best = min(own, key=lambda written: (_RANK.get(written.name, 99), written.line))
    for written in own:
        if written is not best and written.name == best.name:
            message = f"{wanted} occurs twice in Phase {section.heading.key}, first on line {best.line}. Keep one."
            issues.error(written.line, IssueCode.REPEATED_FIELD, message, field=wanted, phase=section.heading.key)
    return best


def _value(written: FieldOccurrence) -> str:
    """The text of a field that has one value."""
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


def _missing(section: Section, wanted: Field, lines: Sequence[str], issues: Issues) -> None:
    if issues.is_full():
        return
    key = section.heading.key
    line = _INSERT[wanted].format(title=section.heading.title or f"Phase {key}")
    after = section.end_line
    below = lines[after] if after < len(lines) else ""
    text = f"\n{' ' * section.indent}{line}" + ("\n" if below.strip() else "")
    issues.error(
        section.line,
        IssueCode.MISSING_FIELD,
        f"Phase {key} has no {wanted}. Add a line “{line}” below its heading.",
        field=wanted,
        phase=key,
        repair=Repair(after, "insert_after", text, f"Add “{line}”"),
    )


def _empty(written: FieldOccurrence, wanted: Field, key: str, issues: Issues) -> None:
    issues.error(
        written.line, IssueCode.EMPTY_FIELD, f"{wanted} of Phase {key} is empty. Write a value after the colon.", field=wanted, phase=key
    )


def _phase(section: Section, place: int, names: PhaseNames, lines: Sequence[str], issues: Issues) -> PhaseSpec:
    heading = section.heading
    key = heading.key
    written = {wanted: _best_occurrence(section, wanted, issues) for wanted in (Field.GOAL, Field.HOURS, Field.COMPLEXITY)}
    goal_written = written[Field.GOAL]
    goal = " ".join(_value(goal_written).split()) if goal_written else ""
    hours, hours_text = _hours(section, written[Field.HOURS], lines, issues)
    complexity = _complexity(section, written[Field.COMPLEXITY], issues)
    has = section.required()
    for wanted in REQUIRED:
        if wanted not in has and not (wanted is Field.HOURS and hours_text):
            _missing(section, wanted, lines, issues)
    if goal_written is not None and not goal:
        _empty(goal_written, Field.GOAL, key, issues)
    for line, name in section.unknown:
        message = f"“{name}” is not a field of a phase; it is ignored."
        issues.warning(line, IssueCode.UNKNOWN_FIELD, message, field=name, phase=key)
    phase = PhaseSpec(
        key=key,
        title=heading.title,
        goal=goal,
        hours=hours,
        hours_text=hours_text,
        complexity=complexity,
        files=_files(section, issues),
        dependencies=_dependencies(section, place, names, lines, issues),
        steps=_steps(section, issues),
        gates=_gates(section, issues),
        line=section.line,
    )
    check_work(phase, issues)
    check_commands(phase, issues, lines)
    return phase


def _hours(section: Section, written: FieldOccurrence | None, lines: Sequence[str], issues: Issues) -> tuple[float | None, str]:
    """The hours and their text. Without the field, hours in the heading's brackets count."""
    key = section.heading.key
    text = _value(written) if written is not None else hours_in_title(section.heading.title)
    line = written.line if written is not None else section.line
    if not text:
        if written is not None:
            _empty(written, Field.HOURS, key, issues)
        return None, ""
    reading = read_hours(text)
    if reading.code is not None:
        repair = None
        if reading.rewrite and lines[line - 1].count(text) == 1:
            repair = Repair(line, "replace", lines[line - 1].replace(text, reading.rewrite), f"Write {reading.rewrite}")
        issues.error(line, reading.code, reading.message, field=Field.HOURS, phase=key, repair=repair)
    return reading.hours, text


def _complexity(section: Section, written: FieldOccurrence | None, issues: Issues) -> str:
    if written is None:
        return ""
    text = _value(written)
    if not text:
        _empty(written, Field.COMPLEXITY, section.heading.key, issues)
        return ""
    complexity = read_complexity(text)
    if not complexity:
        message = f"Complexity “{text[:60]}” is not one of low, medium, high."
        issues.error(written.line, IssueCode.UNKNOWN_COMPLEXITY, message, field=Field.COMPLEXITY, phase=section.heading.key)
    return complexity


def _files(section: Section, issues: Issues) -> tuple[str, ...]:
    key = section.heading.key
    files: dict[str, int] = {}
    folded: dict[str, str] = {}
    for written in section.occurrences_of(Field.FILES):
        values = [(written.line, written.inline, True)] if written.inline else []
        values.extend((line, text, True) for line, text in written.texts)
        entries = _limited(section, written.entries, Field.FILES, issues)
        values.extend((entry.line, entry.text.split("\n", 1)[0], False) for entry in entries)
        if not values and not written.nested:
            _empty(written, Field.FILES, key, issues)
        for line, value, inline in values:
            for reading in read_files(value, inline):
                if reading.code is IssueCode.FILE_PROSE:
                    issues.warning(line, reading.code, reading.message, field=Field.FILES, phase=key)
                elif reading.code is not None:
                    issues.error(line, reading.code, reading.message, field=Field.FILES, phase=key)
                elif reading.path not in files:
                    files[reading.path] = line
                    same_folded = folded.setdefault(reading.path.lower(), reading.path)
                    if same_folded != reading.path:
                        message = f"“{reading.path}” and “{same_folded}” differ only in case; some systems treat them as one file."
                        issues.warning(line, IssueCode.FILE_CASE_CLASH, message, field=Field.FILES, phase=key)
                    if is_protected(reading.path):
                        message = f"“{reading.path}” changes how people and tools work on the repository. Check it before Execute."
                        issues.warning(line, IssueCode.FILE_PROTECTED, message, field=Field.FILES, phase=key)
    return tuple(files)


def _dependencies(section: Section, place: int, names: PhaseNames, lines: Sequence[str], issues: Issues) -> tuple[str, ...]:
    """The keys that a phase depends on, each once."""
    key = section.heading.key
    names_used: set[str] = set()
    dependencies: dict[int, None] = {}
    none_line = 0
    occurrences = section.occurrences_of(Field.DEPENDENCIES)
    for written in sorted(occurrences, key=lambda other: (_RANK.get(other.name, 99), other.line)):
        if written.name in names_used:
            message = f"Dependencies occurs twice in Phase {key}. Keep one."
            issues.error(written.line, IssueCode.REPEATED_FIELD, message, field=Field.DEPENDENCIES, phase=key)
            continue
        names_used.add(written.name)
        values = [(written.line, written.inline)] if written.inline else []
        values.extend(written.texts)
        listed = _limited(section, written.entries, Field.DEPENDENCIES, issues)
        values.extend((entry.line, entry.text.split("\n", 1)[0]) for entry in listed)
        if not values:
            _empty(written, Field.DEPENDENCIES, key, issues)
        repeated = False
        for line, value in values:
            references = read_references(value, names, place)
            none_line = none_line or (line if references.says_none else 0)
            for number in references.places:
                if number == place:
                    message = f"Phase {key} depends on itself. Remove it from its own dependencies."
                    issues.error(line, IssueCode.SELF_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)
                elif number in dependencies and not repeated:
                    message = f"Phase {key} names Phase {names.keys[number]} twice among its dependencies."
                    issues.warning(line, IssueCode.REPEATED_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)
                    repeated = True
                if number != place:
                    dependencies[number] = None
            for name in references.undefined:
                _add_undefined(section, line, name, names, lines, issues)
            for prose in references.prose:
                _add_unreadable(key, line, prose, names, issues)
    if none_line and dependencies:
        message = f"Phase {key} says “None” but also names dependencies. Keep one of the two."
        issues.error(none_line, IssueCode.NONE_AND_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)
    return tuple(names.keys[number] for number in dependencies)


def _valid_keys(names: PhaseNames) -> str:
    shown = ", ".join(names.keys[:30])
    return f"{shown} and {len(names.keys) - 30} more" if len(names.keys) > 30 else shown


def _add_undefined(section: Section, line: int, name: str, names: PhaseNames, lines: Sequence[str], issues: Issues) -> None:
    if issues.is_full():
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
    issues.error(
        line,
        IssueCode.UNDEFINED_DEPENDENCY,
        f'Phase {key} depends on "{name[:80]}", which does not exist. Valid phases: {_valid_keys(names)}.{hint}',
        field=Field.DEPENDENCIES,
        phase=key,
        repair=repair,
    )


def _add_unreadable(key: str, line: int, prose: str, names: PhaseNames, issues: Issues) -> None:
    if issues.is_full():
        return
    message = f"Phase {key}: “{prose[:80]}” names no phase. Name one ({_valid_keys(names)}), or write None with the remark in brackets."
    nearest = names.nearest(prose) if len(prose) < 100 else ""
    if nearest:
        message += f" Did you mean Phase {nearest}?"
    issues.error(line, IssueCode.UNREADABLE_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)


def _lists_that_count(section: Section, wanted: Field, ranks: Sequence[str], merge: bool) -> list[FieldOccurrence]:
    """The lists that count: those with items under the best name; with `merge` all of them, otherwise the first."""
    filled = [written for written in section.occurrences_of(wanted) if written.entries]
    if not filled:
        return []
    name = min((written.name for written in filled), key=lambda name: ranks.index(name) if name in ranks else 99)
    same = [written for written in filled if written.name == name]
    own = [written for written in same if not written.nested] or same
    return own if merge else own[:1]


def _items(section: Section, lists: Iterable[FieldOccurrence], wanted: Field, issues: Issues) -> list[ListEntry]:
    kept: list[ListEntry] = []
    for written in lists:
        for entry in _limited(section, written.entries, wanted, issues):
            if entry.text.strip() or entry.commands:
                kept.append(entry)
            else:
                message = f"An item in {wanted} is empty. Fill it in or remove it."
                issues.error(entry.line, IssueCode.EMPTY_ITEM, message, field=wanted, phase=section.heading.key)
    return kept


def _steps(section: Section, issues: Issues) -> tuple[StepSpec, ...]:
    key = section.heading.key
    entries = _items(section, _lists_that_count(section, Field.STEPS, STEP_NAMES, merge=True), Field.STEPS, issues)
    numbers = [(entry.number, entry.line) for entry in entries if entry.number is not None]
    for (before, _), (number, line) in pairwise(numbers):
        if number not in (before + 1, 1) and before != number:
            message = f"Step {number} follows step {before} in Phase {key}; steps run in the order written."
            issues.warning(line, IssueCode.NUMBERING_GAP, message, field=Field.STEPS, phase=key)
            break
    return tuple(StepSpec(number, entry.text.strip(), entry.commands, entry.line) for number, entry in enumerate(entries, start=1))


def _gates(section: Section, issues: Issues) -> tuple[GateText, ...]:
    entries = _items(section, _lists_that_count(section, Field.GATES, GATE_NAMES, merge=False), Field.GATES, issues)
    return tuple(GateText(entry.text.strip(), bool(entry.box), entry.line) for entry in entries)


def check_work(phase: PhaseSpec, issues: Issues) -> None:
    """Work that was never described is not done: neither steps nor gates is an error, one of the two missing a warning."""
    if not phase.steps and not phase.gates:
        if not issues.is_full():
            message = (
                f"Phase {phase.key} has neither Implementation Steps nor Validation Gates: nothing says what is to be done, "
                "or how it shows. Write at least one of the two lists below its fields, or remove the phase."
            )
            issues.error(phase.line, IssueCode.NO_WORK, message, field=Field.STEPS, phase=phase.key)
    elif not phase.steps and not issues.is_full("warnings"):
        issues.warning(
            phase.line, IssueCode.NO_STEPS, f"Phase {phase.key} has no Implementation Steps.", field=Field.STEPS, phase=phase.key
        )
    elif not phase.gates and not issues.is_full("warnings"):
        message = f"Phase {phase.key} has no Validation Gates, so nothing will check its work."
        issues.warning(phase.line, IssueCode.NO_GATES, message, field=Field.GATES, phase=phase.key)


def check_commands(phase: PhaseSpec, issues: Issues, lines: Sequence[str] = ()) -> None:
    """Say of each command in a gate that is not run why, and offer the line that runs it (where `lines` are the plan's)."""
    for position, gate in enumerate(phase.gates, start=1):
        if "`" not in gate.text or issues.is_full("warnings"):
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
        issues.warning(gate.line, IssueCode.GATE_NOT_RUN, message, field=Field.GATES, phase=phase.key, repair=repair)


def check_plan(phases: Sequence[PhaseSpec], line_of: dict[str, int], issues: Issues) -> None:
    """Issues of the plan as a whole: cycles (at the dependencies of their first phase), and too many globs."""
    for cycle in find_cycles({phase.key: phase.dependencies for phase in phases}):
        path = " → ".join(cycle)
        message = f"Circular dependency: {path} (an arrow means “depends on”). Remove one of these dependencies."
        issues.error(line_of.get(cycle[0], 0), IssueCode.CYCLE, message, field=Field.DEPENDENCIES, phase=cycle[0])
    if glob_comparisons({path for phase in phases for path in phase.files}) > MAX_GLOB_COMPARISONS:
        first = next(phase for phase in phases if any(is_glob(path) for path in phase.files))
        message = "The plan has too many globs among too many files to compare them all. Name directories instead."
        issues.error(first.line, IssueCode.TOO_MANY_GLOBS, message, field=Field.FILES, phase=first.key)
