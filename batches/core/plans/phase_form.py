"""One phase of a plan as a form: its fields as they are written, and the plan's text with changed fields, all other lines untouched.

What is written is read again: where the plan would not say what the form says, and everything else as before, nothing is changed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from batches.core.errors import BatchError
from batches.core.plans.front_matter import read_front_matter
from batches.core.plans.labels import Field
from batches.core.plans.reader import read_plan
from batches.core.plans.section_fields import FieldOccurrence, ListEntry, Section
from batches.core.plans.sections import read_document
from batches.core.plans.text_diff import lines_of
from batches.core.plans.types import PhaseSpec, PlanReading

_MARKED = re.compile(r"\s*(?:[-*+]|[0-9]{1,9}[.)])\s+\S")
_INDENTED = re.compile(r"[ \t]")
_FENCE = re.compile(r"\s*(?:```|~~~)")
_SINGLE = {"goal": Field.GOAL, "hours": Field.HOURS, "complexity": Field.COMPLEXITY, "dependencies": Field.DEPENDENCIES}
_LISTS = {"steps": Field.STEPS, "gates": Field.GATES}
_ORDER = (Field.GOAL, Field.HOURS, Field.COMPLEXITY, Field.FILES, Field.DEPENDENCIES)


class FormRefused(BatchError):
    """The form cannot be shown or written; the message says why, and that the text can be edited."""


@dataclass(frozen=True, slots=True)
class PhaseForm:
    """A phase's fields as text: files one a line, steps and gates as the lines of their lists. "" for what is not there."""

    title: str
    goal: str
    hours: str
    complexity: str
    files: str
    dependencies: str
    steps: str
    gates: str

    def changes(self, given: Mapping[str, str]) -> dict[str, str]:
        """What of `given` differs from this form, by name."""
        return {name: new for name in NAMES if name in given and (new := _tidy(given[name])) != getattr(self, name)}


NAMES = tuple(field.name for field in fields(PhaseForm))


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in lines_of(text)).strip("\n")


def form_of(text: str, key: str) -> PhaseForm:
    """The form of a phase. Raises FormRefused for a phase that is not there, or in a document of another tool."""
    return _Place(text, key).form()


def write_form(text: str, key: str, given: Mapping[str, str]) -> str:
    """The text of the plan with what of `given` (by the names of PhaseForm) was changed. Raises FormRefused."""
    place = _Place(text, key)
    changed = place.form().changes(given)
    if not changed:
        return text
    for name, value in changed.items():
        place = _Place(place.write(name, value), key)
    _check(read_plan(text), place.reading, key, changed)
    return place.text


class _Place:
    """Where the fields of one phase stand in a text."""

    def __init__(self, text: str, key: str) -> None:
        self.text, self.key = text, key
        self.lines = lines_of(text)
        self.reading = read_plan(text)
        if self.reading.format is not None or text.lstrip()[:1] in ("{", "["):
            raise FormRefused("This plan is in the format of another tool. Edit its text, or save it in our format first.")
        self.phase = next((phase for phase in self.reading.plan.phases if phase.key == key), None)
        line = self.phase.line if self.phase else 0
        found = [section for section in _sections(self.lines) if section.heading.key == key and section.line == line]
        if self.phase is None or len(found) != 1 or sum(phase.key == key for phase in self.reading.plan.phases) != 1:
            raise FormRefused(f"The plan has no single phase {key}. Edit its text.")
        self.section: Section = found[0]

    def form(self) -> PhaseForm:
        assert self.phase is not None  # the constructor has refused otherwise
        phase = self.phase
        return PhaseForm(
            title=phase.title,
            goal=self._value(Field.GOAL) or phase.goal,
            hours=self._value(Field.HOURS),
            complexity=phase.complexity,
            files="\n".join(phase.files),
            dependencies=self._value(Field.DEPENDENCIES) or ", ".join(f"Phase {other}" for other in phase.dependencies),
            steps=self._list(Field.STEPS),
            gates=self._list(Field.GATES),
        )

    def write(self, name: str, value: str) -> str:
        """The text with one field of the form changed. Raises FormRefused."""
        if name == "title":
            return self._title(" ".join(value.split()))
        if name == "files":
            return self._files([line.strip() for line in value.split("\n") if line.strip()])
        if name in _LISTS:
            return self._write_list(_LISTS[name], value)
        return self._single(_SINGLE[name], " ".join(value.split()))

    # What is written

    def _of(self, wanted: Field) -> list[FieldOccurrence]:
        return self.section.occurrences_of(wanted)

    def _value(self, wanted: Field) -> str:
        found = self._of(wanted)
        return " ".join([found[0].inline, *(text for _, text in found[0].texts)]).strip() if len(found) == 1 else ""

    def _region(self, wanted: Field) -> tuple[int, int] | None:
        """First and last line of the one list of steps or gates; None without one. Raises FormRefused for several."""
        found = self._of(wanted)
        if not found:
            return None
        if len(found) > 1 or found[0].covered or not found[0].entries or found[0].in_groups or found[0].inline:
            raise FormRefused(f"The {wanted} of Phase {self.key} stand in several parts, a table or prose. Edit them in the text.")
        entries = found[0].entries
        last = max(max(entry.line, entry.end) for entry in entries)
        while last > entries[0].line and not self.lines[last - 1].strip():
            last -= 1
        return entries[0].line, last

    def _list(self, wanted: Field) -> str:
        try:
            region = self._region(wanted)
        except FormRefused:
            return ""
        if region is None:
            return ""
        written = self.lines[region[0] - 1 : region[1]]
        margin = min((len(line) - len(line.lstrip(" ")) for line in written if line.strip()), default=0)
        return _tidy("\n".join(line[margin:] for line in written))

    # Changes

    def _with(self, first: int, last: int, new: Sequence[str]) -> str:
        """The text with the lines from `first` to `last` (from 1, inclusive; an empty span inserts before `first`) replaced."""
        return "\n".join([*self.lines[: first - 1], *new, *self.lines[last:]])

    def _refuse(self, what: str) -> FormRefused:
        return FormRefused(f"The {what} of Phase {self.key} is written in a way that the form does not change. Edit it in the text.")

    def _title(self, value: str) -> str:
        assert self.phase is not None
        line, old = self.lines[self.section.line - 1], self.phase.title
        if not old or not value or line.count(old) != 1:
            raise self._refuse("title")
        return self._with(self.section.line, self.section.line, [line.replace(old, value)])

    def _single(self, wanted: Field, value: str) -> str:
        if not value:
            raise FormRefused(f"{wanted} cannot be empty.")
        found = self._of(wanted)
        if len(found) > 1:
            raise self._refuse(wanted)
        if not found:
            return self._insert(wanted, value)
        return self._replace_value(found[0], value)

    def _replace_value(self, written: FieldOccurrence, value: str) -> str:
        if written.entries or written.covered:
            raise self._refuse(written.field)
        if not written.inline and written.texts:
            first = written.texts[0][0]
            return self._with(first, max(first, written.end), [value])
        line = self.lines[written.line - 1].rstrip()
        at = next((place for place in range(1, len(line)) if line[place] != " " and written.inline.startswith(line[place:])), 0)
        if not written.inline:
            return self._with(written.line, written.line, [f"{line} {value}"])
        if not at or written.texts:
            raise self._refuse(written.field)
        return self._with(written.line, max(written.line, written.end), [line[:at] + value])

    def _insert(self, wanted: Field, value: str) -> str:
        """Add a field that is not there: below the last one that stands on a line of its own, else below the heading."""
        above = [one for other in _ORDER for one in self._of(other) if not one.nested and not one.entries and not one.texts]
        new = f"{' ' * self.section.indent}**{wanted}**: {value}"
        if above:
            after = max(max(one.line, one.end) for one in above)
            return self._with(after + 1, after, [new])
        after = self.section.end_line
        below = self.lines[after] if after < len(self.lines) else ""
        return self._with(after + 1, after, ["", new, *([""] if below.strip() else [])])

    def _files(self, paths: Sequence[str]) -> str:
        found = self._of(Field.FILES)
        value = ", ".join(paths) or "None"
        if not found:
            return self._insert(Field.FILES, value)
        if len(found) > 1 or found[0].covered:
            raise self._refuse(Field.FILES)
        entries = found[0].entries
        if not entries:
            return self._replace_value(found[0], value)
        if found[0].inline or not paths:
            raise self._refuse(Field.FILES)
        return self._file_lines(entries, paths)

    def _file_lines(self, entries: Sequence[ListEntry], paths: Sequence[str]) -> str:
        """A list of files with the lines of those that stay as they are."""
        first, last = entries[0].line, max(max(entry.line, entry.end) for entry in entries)
        left = dict.fromkeys(paths)
        kept: list[str] = []
        bullet = re.match(r"\s*(?:[-*+]|[0-9]{1,9}[.)])\s+", self.lines[first - 1])
        for entry in entries:
            path = next((one for one in sorted(left, key=len, reverse=True) if one in entry.text), None)
            if path is not None:
                del left[path]
                kept += self.lines[entry.line - 1 : max(entry.line, entry.end)]
        kept += [f"{bullet[0] if bullet else '- '}`{path}`" for path in left]
        return self._with(first, last, kept)

    def _write_list(self, wanted: Field, value: str) -> str:
        region = self._region(wanted)
        new = _items(value, wanted)
        if region is not None:
            indent = self.lines[region[0] - 1]
            margin = indent[: len(indent) - len(indent.lstrip(" "))]
            if not new:
                raise FormRefused(f"The {wanted} of Phase {self.key} cannot be emptied here. Remove them in the text.")
            return self._with(*region, [margin + line if line else line for line in new])
        if not new:
            return self.text
        gates = self._of(Field.GATES) if wanted is Field.STEPS else []
        at = gates[0].line if gates and gates[0].name else self._end() + 1
        block = [f"**{wanted}**:", *new]
        before = [""] if self.lines[at - 2].strip() else []
        return self._with(at, at - 1, [*before, *block, *([""] if at <= len(self.lines) and self.lines[at - 1].strip() else [])])

    def _end(self) -> int:
        """The last line of the section that is not blank, before any phase inside it."""
        assert self.phase is not None
        inner = [one.line for one in self.reading.plan.phases if self.section.line < one.line <= self.section.last_line]
        last = min(inner) - 1 if inner else self.section.last_line
        while last > self.section.line and not self.lines[last - 1].strip():
            last -= 1
        return last


def _sections(lines: Sequence[str]) -> list[Section]:
    front = read_front_matter(lines).end
    return read_document([*([""] * front), *lines[front:]]).sections


def _items(value: str, wanted: Field) -> list[str]:
    """The lines of a list as typed; a line without the mark of a list gets one. Deeper lines and fences stay below their item."""
    made: list[str] = []
    fenced, number = False, 0
    for line in _tidy(value).split("\n"):
        starts = bool(line) and not fenced and not _INDENTED.match(line)
        if _FENCE.match(line):
            fenced = not fenced
        if starts and not _MARKED.match(line) and not _FENCE.match(line):
            number += 1
            line = f"{number}. {line}" if wanted is Field.STEPS else f"- [ ] {line}"
        elif starts:
            number += 1
        made.append(line)
    return [] if made == [""] else made


def _check(before: PlanReading, after: PlanReading, key: str, changed: Mapping[str, str]) -> None:
    """Raise FormRefused unless the plan says what the form says, and all else as before."""
    untouched = [_bare(phase) for phase in before.plan.phases if phase.key != key]
    if [_bare(phase) for phase in after.plan.phases if phase.key != key] != untouched:
        raise FormRefused("With this change the plan would say something else of another phase, too. Edit its text.")
    old, new = (next(phase for phase in reading.plan.phases if phase.key == key) for reading in (before, after))
    names = {"hours": ("hours", "hours_text"), "steps": ("steps",), "gates": ("gates",)}
    kept = {name for field in changed for name in names.get(field, (field,))} | {"line", "section", "assumed"}
    wrong = [field.name for field in fields(PhaseSpec) if field.name not in kept and _shown(old, field.name) != _shown(new, field.name)]
    if wrong:
        raise FormRefused(f"With this change {wrong[0].replace('_', ' ')} of Phase {key} would be read in another way, too. Edit its text.")
    more = [issue for issue in after.errors if issue.phase == key]
    had = {(issue.code, issue.field) for issue in before.errors}
    if new_ones := [issue for issue in more if (issue.code, issue.field) not in had]:
        raise FormRefused(new_ones[0].message)


def _bare(phase: PhaseSpec) -> PhaseSpec:
    """The phase without its lines, which move when lines are added above it."""
    steps = tuple(replace(step, line=0) for step in phase.steps)
    return replace(phase, line=0, steps=steps, gates=tuple(replace(gate, line=0) for gate in phase.gates))


def _shown(phase: PhaseSpec, name: str) -> object:
    return getattr(_bare(phase), name)
