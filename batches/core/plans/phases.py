"""Turn the sections of a document into phases: which occurrence of a field counts, its value, and its issues."""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from batches.core.gates.binding import understand
from batches.core.gates.shell import command_of_step
from batches.core.plans.dependencies import PhaseNames, read_references
from batches.core.plans.drawings import Drawing, drawings_of
from batches.core.plans.files import is_protected, paths_in, read_files, says_none
from batches.core.plans.front_matter import read_front_matter
from batches.core.plans.globs import MAX_GLOB_COMPARISONS, glob_comparisons, is_glob
from batches.core.plans.graph import find_cycles
from batches.core.plans.labels import DELIVERABLES, FIELD_OF, KEY, REQUIRED, Field, phase_heading
from batches.core.plans.no_phases import look_for_phases
from batches.core.plans.order import by_numbering, written_order
from batches.core.plans.section_fields import UNLABELLED, FieldOccurrence, ListEntry, Section, mark_occurrence
from batches.core.plans.sections import MAX_PHASES, Document, read_document
from batches.core.plans.types import (
    GateText,
    IssueCode,
    PhaseSpec,
    PlanIssue,
    PlanReading,
    PlanSpec,
    Repair,
    StepSpec,
    apply_repair,
)
from batches.core.plans.unread import Account, Accounting, ReadAs, Unread, UnreadKind
from batches.core.plans.values import hours_in_title, is_struck, read_complexity, read_hours, says_that_there_is_none, without_struck
from batches.core.text.words import counted

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

    def error(
        self,
        line: int,
        code: IssueCode,
        message: str,
        *,
        field: str = "",
        phase: str = "",
        repair: Repair | None = None,
        others: tuple[Repair, ...] = (),
    ) -> None:
        self._add(self.errors, "errors", PlanIssue(line, code, message, field, phase, repair, others))

    def warning(
        self,
        line: int,
        code: IssueCode,
        message: str,
        *,
        field: str = "",
        phase: str = "",
        repair: Repair | None = None,
        others: tuple[Repair, ...] = (),
    ) -> None:
        self._add(self.warnings, "warnings", PlanIssue(line, code, message, field, phase, repair, others))

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
    sections = _with_parts(_choose_sections(document, issues), document)
    if not title:
        repair = Repair(front.end, "insert_after", "# Plan\n", "Add a title")
        issues.error(1, IssueCode.NO_TITLE, "The plan has no title. Begin it with a line “# Title”.", repair=repair)
    if document.unclosed_fence:
        message = "The code fence that opens here is never closed, so everything below counts as code. Close it with the same marks."
        issues.error(document.unclosed_fence, IssueCode.UNCLOSED_FENCE, message)
    if document.stopped_at:
        message = "The plan is not read beyond this line: it has far more lists, quotes and markup than a plan needs. Split or simplify it."
        issues.error(document.stopped_at, IssueCode.TOO_INTRICATE, message)
    taken = {section.heading.key.lower() for section in sections}
    for bad in document.bad_keys:
        message = f"“{bad.heading.key}” cannot be the key of a phase. Write a number, a number and a letter, or a letter: 1, 2a, 0.5, B."
        renamed = _rename(bad, _key_near(bad, sections, taken))
        issues.error(bad.line, IssueCode.BAD_KEY, message, phase=bad.heading.key, repair=renamed)
    _say_unread_sections(document, sections, taken, issues)
    if not sections and not document.bad_keys:
        _no_phases(document, lines, issues)
    if document.too_many_at:
        message = f"The plan has more than {MAX_PHASES:,} phases and is not read beyond this line. Split it into several plans."
        issues.error(document.too_many_at, IssueCode.TOO_MANY_PHASES, message)
    names = PhaseNames(
        [section.heading.key for section in sections],
        [section.heading.title for section in sections],
        [section.heading.alias for section in sections],
        {container.heading.key: parts for container, parts in document.containers},
    )
    drawings = drawings_of(lines, names, (), [(section.line, section.last_line) for section in sections])
    drawn = {place: (drawing.line, before) for drawing in drawings for place, before in (drawing.before or {}).items()}
    order = Order(by_numbering(names.keys), drawn | (written_order(lines, document.about_order, names) if document.about_order else {}))
    account = Account(lines)
    texts = _texts(lines, sections)
    phases = [_phase(section, place, names, order, lines, issues, texts[place]) for place, section in enumerate(sections)]
    for duplicate in document.duplicates:  # report its issues now, not only after it has got its own key
        _phase(duplicate, names.key(duplicate.heading.key) or 0, names, order, lines, issues)
    _check_blocks(phases, sections, names, lines, issues)
    check_plan(phases, {section.heading.key: _dependency_line(section) for section in sections}, issues)
    if drawings:
        check_drawings(drawings, phases, all(section.occurrences_of(Field.DEPENDENCIES) for section in sections), issues)
    for drawing in drawings:
        if drawing.before is not None:
            account.mark(ReadAs.DEPENDENCIES, drawing.line, drawing.end)
    accounting = _account(account, document, sections, front.end, order)
    _say_unread_lists(accounting, document, sections, taken, lines, issues)
    plan = PlanSpec(title, tuple(phases), _overview(lines, sections, front.end))
    return replace(issues.reading(plan), accounting=accounting)


@dataclass(frozen=True, slots=True)
class Order:
    """What a document shows of its order beside the Dependencies fields.

    `numbered`: for each place, the places before it by its key; `written`: {place: (line, places)} from a section about order.
    """

    numbered: Sequence[tuple[int, ...]]
    written: Mapping[int, tuple[int, tuple[int, ...]]]


def _with_parts(sections: list[Section], document: Document) -> list[Section]:
    """`sections` without those that only contain other phases: “Phase 1” with nothing of its own around “Phase 1a” and “Phase 1b”."""
    kept: list[Section] = []
    for place, section in enumerate(sections):
        following = sections[place + 1] if place + 1 < len(sections) else None
        if following is not None and following.line <= section.last_line and not section.occurrences:
            parts = [inner.heading.key for inner in sections[place + 1 :] if inner.line <= section.last_line]
            document.containers.append((section, parts))
        else:
            kept.append(section)
    return kept


def _texts(lines: Sequence[str], sections: Sequence[Section]) -> list[str]:
    """The whole text of each section, without the phases inside it."""
    texts: list[str] = []
    for place, section in enumerate(sections):
        text: list[str] = []
        at = section.line - 1
        following = place + 1
        while following < len(sections) and (inner := sections[following]).line <= section.last_line:
            if inner.line > at:
                text += lines[at : inner.line - 1]
            at = max(at, inner.last_line)
            following += 1
        text += lines[at : section.last_line]
        texts.append("\n".join(text).strip())
    return texts


def _overview(lines: Sequence[str], sections: Sequence[Section], front_end: int) -> str:
    """The text outside the phases, for the agent."""
    kept: list[str] = []
    at = front_end
    for section in sections:
        if section.line > at:
            kept += lines[at : section.line - 1]
        at = max(at, section.last_line)
    kept += lines[at:]
    return "\n".join(kept).strip()


def _account(account: Account, document: Document, sections: Sequence[Section], front_end: int, order: Order) -> Accounting:
    """What each line was read as."""
    if front_end:
        account.mark(ReadAs.FRONT_MATTER, 1, front_end)
    if document.title_line[0]:
        account.mark(ReadAs.TITLE, *document.title_line)
    read = {section.line for section in sections}
    for section in document.sections:
        account.mark(ReadAs.PHASE if section.line in read else ReadAs.MENTION, section.line, section.end_line)
    for section in sections:
        if section.grouped is not None and len(section.grouped) == len(section.occurrences):  # each field once: all of them count
            for written in section.occurrences:
                mark_occurrence(account, written)
            _say_left_out(section, account)
            continue
        for wanted in Field:
            if wanted in _SINGLE:
                best = _best_occurrence(section, wanted, None)
                counted = [best] if best is not None else []
            else:
                counted = _lists_that_count(section, wanted)
            for written in counted:
                mark_occurrence(account, written)
        _say_left_out(section, account)
    for line, _ in order.written.values():
        account.mark(ReadAs.DEPENDENCIES, line)
    for section in document.unread:
        if section.required():
            account.unread(section.line, section.last_line, UnreadKind.SECTION)
    for section in (*document.bad_keys, *document.duplicates):
        account.unread(section.line, section.last_line, UnreadKind.SECTION, "Its key cannot be used.")
    return account.close((section.line, section.last_line) for section in sections)


def _say_left_out(section: Section, account: Account) -> None:
    """Steps and gates that are struck through, or say that there is none, are listed as not read."""
    for written in section.occurrences:
        if written.field in (Field.STEPS, Field.GATES):
            for entry in written.entries:
                if why := _why_left_out(entry):
                    kind = UnreadKind.LIST_ITEM if entry.box is None else UnreadKind.CHECK_BOX
                    account.unread(entry.line, max(entry.line, entry.end), kind, why)


def _why_left_out(entry: ListEntry) -> str:
    """Why an item of steps or gates is none, such as “None” and “- [ ] N/A”; "" for one that counts."""
    if is_struck(entry.text):
        return "It is struck through."
    return "It says that there is none." if not entry.commands and says_that_there_is_none(entry.text) else ""


def _say_unread_sections(document: Document, sections: Sequence[Section], taken: set[str], issues: Issues) -> None:
    """Say of each section with the fields of a phase, whose heading opens none, that it is not read."""
    for section in document.unread:
        required = section.required()
        name = section.heading.alias or section.heading.title or f"Phase {section.heading.key}"
        repair = _rename(section, _key_near(section, sections, taken))
        if len(required) < 2:
            message = f"“{name[:80]}” is not read as a phase: it has not the fields of one. Call it by its key, and write its fields."
            issues.warning(section.line, IssueCode.UNREAD_SECTION, message, repair=repair)
            continue
        message = f"“{name[:80]}” has the fields of a phase, but its heading opens none. Call it “Phase KEY: title”."
        beside = [other for other in sections if other.level == section.level and other.line < section.line]
        say = issues.error if len(required) > 2 and beside else issues.warning
        say(section.line, IssueCode.UNREAD_SECTION, message, repair=repair)


def _say_unread_lists(
    accounting: Accounting, document: Document, sections: Sequence[Section], taken: set[str], lines: Sequence[str], issues: Issues
) -> None:
    """Say of each list of check-boxes that is not read, in a phase or (where there are phases) outside, how it would be."""
    if not sections:
        return
    starts = [section.line for section in document.sections]
    chosen = {section.line for section in sections}
    boxes = [piece for piece in accounting.unread if piece.kind is UnreadKind.CHECK_BOX]
    at = 0
    while at < len(boxes) and not issues.is_full("warnings"):
        piece, after = boxes[at], end_of_list(boxes, at, lines)
        at = after
        place = bisect_right(starts, piece.line) - 1
        while place >= 0 and document.sections[place].last_line < piece.line and document.sections[place].level > 1:
            place -= 1
        inside = document.sections[place] if place >= 0 and document.sections[place].last_line >= piece.line else None
        if inside is not None and inside.line not in chosen:
            continue  # its heading has a warning already
        if inside is not None:
            text = ("\n" if lines[piece.line - 2].strip() else "") + "**Implementation Steps**:"
            repair = Repair(piece.line - 1, "insert_after", text, "Read these as steps")
            message = f"These check-boxes of Phase {inside.heading.key} are read neither as steps nor as gates. {piece.why}"
            issues.warning(piece.line, IssueCode.UNREAD_LIST, message, phase=inside.heading.key, repair=repair)
        else:
            repair = _heading_repair(piece.line, _key_at(piece.line, sections, taken), lines)
            message = "These check-boxes are outside every phase, so nobody works on them. Make them a phase, or leave them as a note."
            issues.warning(piece.line, IssueCode.UNREAD_LIST, message, repair=repair)


def end_of_list(boxes: Sequence[Unread], at: int, lines: Sequence[str]) -> int:
    """The index after the list that begins with the piece at `at`: the pieces with only blank lines between."""
    after = at + 1
    while after < len(boxes) and not any(line.strip() for line in lines[boxes[after - 1].end_line : boxes[after].line - 1]):
        after += 1
    return after


def _heading_repair(line: int, key: str, lines: Sequence[str]) -> Repair:
    """A repair that makes the section around `line` a phase: its heading is rewritten, or one is inserted above the list."""
    for at in range(line - 2, -1, -1):
        heading = ATX.match(lines[at])
        if heading and len(heading[1]) > 1:
            title = heading[2].strip()
            return Repair(at + 1, "replace", f"{heading[1]} Phase {key}: {title}", f"Call “{title[:40]}” Phase {key}")
        if heading:
            break
    return Repair(line - 1, "insert_after", f"\n## Phase {key}: Check-list\n", f"Make them Phase {key}")


ATX = re.compile(r"(#{1,6})[ \t]+(.+?)[ \t]*#*$")
_SINGLE = frozenset({Field.GOAL, Field.HOURS, Field.COMPLEXITY})


def _key_near(section: Section, sections: Sequence[Section], taken: set[str]) -> str:
    """A free key for a section that is not read: the number in its own name if that is free, or one that fits its place."""
    own = re.search(r"[0-9]+(?:\.[0-9]+)*[a-z]?", f"{section.heading.key} {section.heading.title}", re.IGNORECASE)
    if own and re.fullmatch(KEY, own[0]) and own[0].lower() not in taken and not section.heading.title.startswith(own[0]):
        taken.add(own[0].lower())
        return own[0]
    return _key_at(section.line, sections, taken)


def _key_at(line: int, sections: Sequence[Section], taken: set[str]) -> str:
    """A free key for a phase at `line`: the number after the phase above, or one between its neighbours. It counts as taken then."""
    above = next((section.heading.key for section in reversed(sections) if section.line < line), "")
    below = next((section.heading.key for section in sections if section.line > line), "")
    whole = re.match(r"[0-9]+", above)
    if not above:
        fresh = "0" if "1" in taken and "0" not in taken else "1" if "1" not in taken else _free_key("0", taken)
    elif whole and not below:
        number = int(whole[0]) + 1
        while str(number) in taken:
            number += 1
        fresh = str(number)
    else:
        number = int(whole[0]) + 1 if whole else 0
        fresh = str(number) if whole and str(number) not in taken else _free_key(above, taken)
    taken.add(fresh.lower())
    return fresh


def _no_phases(document: Document, lines: Sequence[str], issues: Issues) -> None:
    """The error of a document without phases: where they may be, what else was seen, and how it could be read."""
    if document.fenced_headings:
        where = ", ".join(str(line) for line in document.fenced_headings[:8])
        more = len(document.fenced_headings) - 8
        where += f" and {more} more" if more > 0 else ""
        noun = "lines" if len(document.fenced_headings) > 1 else "line"
        message = (
            f"No phases. The only phase headings are inside code fences ({noun} {where}), where they are plain text. "
            "Move them out of the fence."
        )
        issues.error(document.fenced_headings[0], IssueCode.NO_PHASES, message)
        return
    seen = look_for_phases(lines)
    works = bool(seen.repairs) and bool(read_document(apply_repair("\n".join(lines), seen.repairs[0]).split("\n")).sections)
    repair, others = (seen.repairs[0], seen.repairs[1:]) if works else (None, ())
    bold = next((at for at, line in enumerate(lines, start=1) if line.lstrip()[:2] in ("**", "__") and _says_phase(line)), 0)
    if bold:
        message = f"No phases. The bold text on line {bold} must be a heading: write “### {lines[bold - 1].strip(' *_:')[:80]}”."
    else:
        found = f"Seen: {seen.sentence}. " if seen.sentence else ""
        message = f"No phases. {found}Write a heading “### Phase 1: Title” for each phase, with its fields below."
    issues.error(bold, IssueCode.NO_PHASES, message, repair=repair, others=others)


def _says_phase(line: str) -> bool:
    heading = phase_heading(line)
    return heading is not None and not heading.weak and not heading.bad_key


def _can_be_first_key(key: str) -> bool:
    return key.lower() in ("0", "1", "a", "i", "1a", "0.1", "1.1", "0.5", "1.0")


def _choose_sections(document: Document, issues: Issues) -> list[Section]:
    """One section per key: the one with most fields. Others with the same key are ignored, or errors if they are phases too."""
    sections = document.sections
    has_fields = any(any(written.name for written in section.occurrences) or hours_in_title(section.heading.title) for section in sections)
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


def _best_occurrence(section: Section, wanted: Field, issues: Issues | None) -> FieldOccurrence | None:
    """The occurrence that counts for a field with one value: the one with the best name. The same name twice is an error in `issues`."""
    own = section.occurrences_of(wanted)
    if len(own) < 2:
        return own[0] if own else None
    best = min(own, key=lambda written: (_RANK.get(written.name, 99), written.line))
    for written in own if issues is not None else ():
        if issues is not None and written is not best and written.name == best.name:
            message = f"{wanted} occurs twice in Phase {section.heading.key}, first on line {best.line}. Keep one."
            issues.error(written.line, IssueCode.REPEATED_FIELD, message, field=wanted, phase=section.heading.key)
    return best


def _value(written: FieldOccurrence) -> str:
    """The text of a field that has one value."""
    if written.inline or not (written.texts or written.entries):
        return written.inline
    parts = [text for _, text in written.texts] or [entry.text for entry in written.entries]
    return " ".join(" ".join(parts).split())


_ASSUMED = frozenset({Field.HOURS, Field.COMPLEXITY})  # a repair can only assume them, and says so


def _missing(section: Section, wanted: Field, value: str, lines: Sequence[str], issues: Issues, other: str = "") -> None:
    """The error of a field that is not there. Its repair adds the field with `value`; `other` is a second choice."""
    if issues.is_full():
        return
    key = section.heading.key
    after = section.end_line
    below = lines[after] if after < len(lines) else ""

    assumed = " (assumed)" if wanted in _ASSUMED else ""

    def added(text: str, remark: str = "") -> Repair:
        line = f"**{wanted}{assumed}**: {text}"
        inserted = f"\n{' ' * section.indent}{line}" + ("\n" if below.strip() else "")
        return Repair(after, "insert_after", inserted, f"Add “{line}”{remark}")

    repair = added(value, " (one after the other)" if other else "")
    issues.error(
        section.line,
        IssueCode.MISSING_FIELD,
        f"Phase {key} has no {wanted}. Add a line “**{wanted}{assumed}**: {value}” below its heading.",
        field=wanted,
        phase=key,
        repair=repair,
        others=(added(other, " (at once)"),) if other else (),
    )


def _empty(written: FieldOccurrence, wanted: Field, key: str, issues: Issues) -> None:
    issues.error(
        written.line, IssueCode.EMPTY_FIELD, f"{wanted} of Phase {key} is empty. Write a value after the colon.", field=wanted, phase=key
    )


def _phase(
    section: Section, place: int, names: PhaseNames, order: Order, lines: Sequence[str], issues: Issues, text: str = ""
) -> PhaseSpec:
    heading = section.heading
    key = heading.key
    written = {wanted: _best_occurrence(section, wanted, issues) for wanted in (Field.GOAL, Field.HOURS, Field.COMPLEXITY)}
    goal_written = written[Field.GOAL]
    goal = " ".join(_value(goal_written).split()) if goal_written else ""
    hours, hours_text = _hours(section, written[Field.HOURS], lines, issues)
    complexity = _complexity(section, written[Field.COMPLEXITY], issues)
    steps, gates = _steps(section, issues), _gates(section, issues)
    has = section.required()
    for wanted in REQUIRED:
        if wanted in has or (wanted is Field.HOURS and hours_text):
            continue
        if wanted is Field.DEPENDENCIES:
            if place not in order.written:
                before = ", ".join(f"Phase {names.keys[other]}" for other in order.numbered[place])
                _missing(section, wanted, before or "None", lines, issues, "None" if before else "")
            continue
        named = dict.fromkeys(path for step in steps for path in paths_in(step.text)) if wanted is Field.FILES else {}
        value = {
            Field.GOAL: heading.title or f"Phase {key}",
            Field.HOURS: "1",
            Field.COMPLEXITY: "medium",
            Field.FILES: ", ".join(named) or "None",
        }[wanted]
        _missing(section, wanted, value, lines, issues)
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
        dependencies=(
            _dependencies(section, place, names, lines, issues)
            if Field.DEPENDENCIES in has or place not in order.written
            else tuple(names.keys[other] for other in order.written[place][1])
        ),
        steps=steps,
        gates=gates,
        line=section.line,
        assumed=tuple(sorted({written.field for written in section.occurrences if written.assumed})) if section.assumes else (),
        section=text,
    )
    for wanted in (Field.STEPS, Field.GATES):
        written_lists = section.occurrences_of(wanted)
        counts = _lists_that_count(section, wanted) if len(written_lists) > 1 else written_lists
        for one in written_lists if len(written_lists) > 1 else ():
            if one.entries and one.name and one not in counts:
                _say_beside(section, one, lines, issues)
    for one in section.occurrences_of(Field.GATES):
        if not _worded(one) and not says_none(one.inline or "x"):
            message = f"“{one.name.capitalize()}” of Phase {key} names no gate that is read: write a list below it, one check an item."
            issues.warning(one.line, IssueCode.UNREAD_GATE, message, field=Field.GATES, phase=key)
    if any(step.done for step in steps):
        _ask_about_done(section, steps, lines, issues)
    check_work(phase, issues)
    check_commands(phase, issues, lines)
    return phase


def _say_beside(section: Section, written: FieldOccurrence, lines: Sequence[str], issues: Issues) -> None:
    """Say that a list does not count beside another one, and offer to give it the check-boxes that make it count."""
    name, key = written.name.capitalize(), section.heading.key
    what = "gates" if written.field is Field.GATES else "steps"
    first, last = written.entries[0].line, max(max(entry.line, entry.end) for entry in written.entries)
    starts = {entry.line for entry in written.entries}
    boxed = [_BULLET.sub(r"\1[ ] ", line) if at in starts else line for at, line in enumerate(lines[first - 1 : last], start=first)]
    repair = Repair(first, "replace", "\n".join(boxed), f"Count them as {what}", last)
    message = f"“{name}” of Phase {key} is not read as {what}: it has no check-boxes, and stands beside a list of {what} that counts."
    issues.warning(written.line, IssueCode.UNREAD_LIST, message, field=written.field, phase=key, repair=repair)


_BULLET = re.compile(r"^(\s*(?:>\s*)*(?:[-*+]|[0-9]{1,9}[.)])\s+)")


def _ask_about_done(section: Section, steps: Sequence[StepSpec], lines: Sequence[str], issues: Issues) -> None:
    """Ask whether ticked steps are left out or done again. As the plan stands, they are done again."""
    key = section.heading.key
    entries = [entry for written in _lists_that_count(section, Field.STEPS) for entry in written.entries]
    ticked = [entry for entry in entries if entry.box]
    first, last = ticked[0].line, max(max(entry.line, entry.end) for entry in ticked)
    boxes = {entry.line for entry in ticked}
    again = [_TICKED.sub(r"\1[ ]", line) if at in boxes else line for at, line in enumerate(lines[first - 1 : last], start=first)]
    others = [Repair(first, "replace", "\n".join(again), "Do them again: untick them", last)]
    if len(ticked) < len(entries):
        gone = {at for entry in ticked for at in range(entry.line, max(entry.line, entry.end) + 1)}
        rest = [line for at, line in enumerate(lines[first - 1 : last], start=first) if at not in gone]
        others.insert(0, Repair(first, "replace" if rest else "delete", "\n".join(rest), "Leave them out", last))
    message = f"{len(ticked)} of {counted(len(entries), 'step')} of Phase {key} are ticked as done. As written they are done again."
    issues.warning(first, IssueCode.ALREADY_DONE, message, field=Field.STEPS, phase=key, others=tuple(others))


_TICKED = re.compile(r"^(\s*(?:>\s*)*(?:[-*+]|[0-9]{1,9}[.)])\s+)\[[xX]\]")


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
            for reading in read_files(without_struck(value), inline):
                if reading.code is IssueCode.FILE_PROSE:
                    issues.warning(line, reading.code, reading.message, field=Field.FILES, phase=key)
                elif reading.code is not None:
                    issues.error(line, reading.code, reading.message, field=Field.FILES, phase=key)
                elif reading.path not in files:
                    files[reading.path] = line
                    check_file(reading.path, folded, line, key, issues)
    return tuple(files)


def check_file(path: str, folded: dict[str, str], line: int, key: str, issues: Issues) -> None:
    """Warn of a file that differs from another of the phase only in case, or that configures how people work on the repository.

    `folded` are the phase's files so far, {in lower case: as written}; the path is added to it.
    """
    same_folded = folded.setdefault(path.lower(), path)
    if same_folded != path:
        message = f"“{path}” and “{same_folded}” differ only in case; some systems treat them as one file."
        issues.warning(line, IssueCode.FILE_CASE_CLASH, message, field=Field.FILES, phase=key)
    if is_protected(path):
        message = f"“{path}” changes how people and tools work on the repository. Check it before Execute."
        issues.warning(line, IssueCode.FILE_PROTECTED, message, field=Field.FILES, phase=key)


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
            for turned in references.turned:
                message = (
                    f"Phase {key}: “{turned[:80]}” says which phases wait for this one, or denies a dependency in a way that is not "
                    "understood. Name only the phases that this one waits for; write the others’ dependencies at the others."
                )
                issues.error(line, IssueCode.UNREADABLE_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)
            for unsure in references.unsure:
                message = (
                    f"Phase {key}: “{unsure[:80]}” is not understood, so it may say something else than that this phase waits. "
                    "Name only the phases that it waits for, and put a remark in brackets."
                )
                issues.error(line, IssueCode.UNREADABLE_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)
            for remark in references.loose if references.places else ():
                message = f"Phase {key}: “{remark[:80]}” is a remark that nothing follows: the phase waits until what it names is done."
                issues.warning(line, IssueCode.UNREADABLE_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)
            for prose in references.prose:
                _add_unreadable(key, line, prose, names, issues)
    if none_line and dependencies:
        message = f"Phase {key} says “None” but also names dependencies. Keep one of the two."
        issues.error(none_line, IssueCode.NONE_AND_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)
    return tuple(names.keys[number] for number in dependencies)


_BLOCKS = re.compile(r"^(?:blocks|blocking|unblocks|enables|(?:required|needed) (?:by|for)|prerequisite (?:of|for))$", re.IGNORECASE)


def _check_blocks(
    phases: Sequence[PhaseSpec], sections: Sequence[Section], names: PhaseNames, lines: Sequence[str], issues: Issues
) -> None:
    """“Blocks: Phase 5” is no field, but the plan must not say the contrary: Phase 5 has to wait for the phase that says so."""
    needs = {phase.key: phase.dependencies for phase in phases}
    for place, section in enumerate(sections):
        for line, name in section.unknown:
            if not _BLOCKS.match(name.strip(" :*")):
                continue
            value = lines[line - 1].partition(":")[2].strip(" *")
            key = section.heading.key
            for other in read_references(value, names, place).places:
                if other != place and not _waits_for(names.keys[other], key, needs):
                    message = (
                        f"Phase {key} says that it blocks Phase {names.keys[other]}, but that phase does not wait for it. "
                        f"Name Phase {key} in its Dependencies, or remove this line."
                    )
                    issues.error(line, IssueCode.UNREADABLE_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=key)


def _waits_for(key: str, wanted: str, needs: Mapping[str, Sequence[str]]) -> bool:
    """Whether a phase waits for another, also through others."""
    seen, waiting = {key}, [key]
    while waiting:
        for other in needs.get(waiting.pop(), ()):
            if other == wanted:
                return True
            if other not in seen:
                seen.add(other)
                waiting.append(other)
    return False


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


def _worded(written: FieldOccurrence) -> list[ListEntry]:
    """The items of an occurrence of steps or gates: those of its list, or else its prose, a paragraph each."""
    if written.entries:
        return written.entries
    prose = [(written.line, written.inline)] if written.inline and not written.texts else []
    return [ListEntry(text, line) for line, text in (*prose, *written.texts) if not says_none(text)]


def _lists_that_count(section: Section, wanted: Field) -> list[FieldOccurrence]:
    """The occurrences that count. Steps and gates add up, but

    - gates without check-boxes do not count beside gates with them,
    - deliverables without check-boxes, and numbers without a label, do not count beside a list of steps.
    """
    found = section.occurrences_of(wanted)
    if len(found) < 2:
        return found
    if wanted is Field.GATES:
        if any(_is_boxed(written) for written in found):
            return [written for written in found if not written.entries or _is_boxed(written)]
        return found
    if wanted is Field.STEPS:
        labelled = any(written.name != UNLABELLED and _worded(written) for written in found)
        if labelled:
            found = [written for written in found if written.name != UNLABELLED or _is_boxed(written)]
        if any(written.name != DELIVERABLES and written.name != UNLABELLED and _worded(written) for written in found):
            found = [written for written in found if written.name != DELIVERABLES or _is_boxed(written)]
    return found


def _is_boxed(written: FieldOccurrence) -> bool:
    return any(entry.box is not None for entry in written.entries)


def _items(section: Section, wanted: Field, issues: Issues) -> list[ListEntry]:
    kept: list[ListEntry] = []
    for written in _lists_that_count(section, wanted):
        for entry in _limited(section, _worded(written), wanted, issues):
            if _why_left_out(entry):
                continue
            if entry.text.strip() or entry.commands:
                kept.append(entry)
            else:
                message = f"An item in {wanted} is empty. Fill it in or remove it."
                issues.error(entry.line, IssueCode.EMPTY_ITEM, message, field=wanted, phase=section.heading.key)
    return kept


def _steps(section: Section, issues: Issues) -> tuple[StepSpec, ...]:
    key = section.heading.key
    entries = _items(section, Field.STEPS, issues)
    numbers = [(entry.number, entry.line) for entry in entries if entry.number is not None]
    for (before, _), (number, line) in pairwise(numbers):
        if number not in (before + 1, 1) and before != number:
            message = f"Step {number} follows step {before} in Phase {key}; steps run in the order written."
            issues.warning(line, IssueCode.NUMBERING_GAP, message, field=Field.STEPS, phase=key)
            break
    return tuple(
        step_of(number, entry.text.strip(), entry.commands, entry.line, bool(entry.box)) for number, entry in enumerate(entries, start=1)
    )


def step_of(number: int, text: str, commands: tuple[str, ...] = (), line: int = 0, done: bool = False) -> StepSpec:
    """A step as it was written. Without commands of its own, a text that is a command in back-ticks and nothing else is its command."""
    whole = () if commands else (command_of_step(text),)
    return StepSpec(number, text, commands or tuple(filter(None, whole)), line, done)


def _gates(section: Section, issues: Issues) -> tuple[GateText, ...]:
    return tuple(GateText(_gate_text(entry), bool(entry.box), entry.line) for entry in _items(section, Field.GATES, issues))


def _gate_text(entry: ListEntry) -> str:
    """A gate's text, with the commands of its fences in back-ticks, where gates are looked for commands."""
    commands = [command for script in entry.commands for command in script.split("\n") if command.strip() and "`" not in command]
    return " ".join([entry.text.strip(), *(f"`{command.strip()}`" for command in commands)]).strip()


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
        chosen = read.chosen
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


def check_drawings(drawings: Sequence[Drawing], phases: Sequence[PhaseSpec], is_said: bool, issues: Issues) -> None:
    """Warn of a drawing that shows an order that the plan does not keep, and of one that is not understood where it could have counted.

    `is_said`: every phase says itself what it waits for.
    """
    needs = {phase.key: phase.dependencies for phase in phases}
    for drawing in drawings:
        if drawing.before is None:
            if not is_said:
                message = (
                    "This drawing names phases, but what it says of their order is not understood, so the order is not taken from it. "
                    "Write “Dependencies: Phase …” in each phase whose order differs."
                )
                issues.warning(drawing.line, IssueCode.NO_ORDER, message, field=Field.DEPENDENCIES)
            continue
        for place, others in drawing.before.items():
            key = phases[place].key
            missing = [phases[other].key for other in others if not _waits_for(key, phases[other].key, needs)]
            if missing:
                message = (
                    f"This drawing shows Phase {key} after Phase {missing[0]}, but Phase {key} does not wait for it. "
                    f"Name Phase {missing[0]} in its Dependencies, or correct the drawing."
                )
                issues.warning(drawing.line, IssueCode.NO_ORDER, message, field=Field.DEPENDENCIES, phase=key)
                break
