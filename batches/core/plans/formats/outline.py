"""Plans written as an outline: phases, stages, milestones or steps under headings, in the order written.

Claude Code's plan mode writes such plans, and so do people. Where a plan has no phases, but says what to change and how to
verify it, it is one phase. A plan with the fields of our own format is never taken.
"""

import re
from collections.abc import Sequence

from batches.core.plans.formats.document import Document, Section, folded, label_of, phase_of, table_of
from batches.core.plans.formats.draft import Draft, DraftPhase
from batches.core.plans.formats.roles import PART, PhaseReader, Role, role_of
from batches.core.plans.labels import Field, field_named
from batches.core.plans.languages import PHASE
from batches.core.plans.types import PlanReading
from batches.core.plans.unread import ReadAs

NAME = "implementation plan"
CLAUDE = "Claude Code plan"
SIGN = re.compile(
    rf"^(?:#{{1,5}} |\*\*)(?:`\[[\w ]*\]`)?\W{{0,4}}(?:phase|stage|milestone|sprint|step|iteration|part|task|week|m|epic|wave|{PHASE})"
    r"(?:[ -]?#?\d| (?-i:[A-Z])\b)"
    r"|^#{1,4} (?:\d+\.\s+)?"
    r"(?:implementation|changes|file changes|files? to|critical files|steps|verification|proposed changes|approach|plan\b)",
    re.MULTILINE | re.IGNORECASE,
)
_KIND = re.compile(
    rf"^\W{{0,4}}(?P<kind>phase|stage|milestone|sprint|step|iteration|part|task|week|m|epic|wave|{PHASE})"
    r"(?:(?:\s+#?|-)?(?P<key>\d+(?:\.\d+)*[a-z]?)|\s+(?P<letter>(?-i:[A-Z]))(?=\s*[:.\u2013\u2014(]|\s+-\s|$))"
    r"\s*(?P<after>[:.\u2013\u2014]|-(?=\s)|\(|$)\s*(?P<title>.*)$",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"^(?:feature|option|part|[A-Z]{1,4})[ -]?\d+\b", re.IGNORECASE)
_BOLD_LINE = re.compile(r"^\*\*(?P<text>[^*\n]{3,120})\*\*:?[ \t]*(?P<note>\([^()\n]{1,80}\))?[ \t]*$", re.MULTILINE)
_ROLES = {
    **dict.fromkeys(("objective", "problem", "outcome", "intent"), Role.GOAL),
    "file targets": Role.FILES,
    **dict.fromkeys(
        (
            "tdd approach",
            "tests to write",
            "tests to write first",
            "implementation to make them pass",
            "deliverables",
            "implementation steps",
            "approach",
            "work items",
            "key tasks",
            "features",
            "steps to complete",
            "scope of work",
        ),
        Role.STEPS,
    ),
    "validate": Role.GATES,
    **dict.fromkeys(("effort estimate", "estimated effort", "time estimate"), Role.HOURS),
    **dict.fromkeys(
        ("outcome", "session start", "suggested progress marker", "phase completion", "target date", "current layout"), Role.NOTES
    ),
}
_STRONG = frozenset({Field.HOURS, Field.COMPLEXITY, Field.DEPENDENCIES})
_OURS = _STRONG | {Field.GOAL, Field.FILES}
_CHANGES = frozenset(
    {
        "implementation",
        "implementation steps",
        "implementation plan",
        "implementation sequence",
        "implementation order",
        "changes",
        "file changes",
        "proposed changes",
        "changes required",
        "required changes",
        "steps",
        "plan",
        "tasks",
        "task list",
        "step-by-step plan",
        "code changes",
        "detailed steps",
        "proposed solution",
        "modifications",
        "files to modify",
        "implementation details",
        "order of work",
        "work plan",
        "task sequence",
        "execution steps",
        "execution plan",
        "implementation approach",
        "action plan",
        "testing strategy",
    }
)
_CHECKS = frozenset(
    {
        "verification",
        "verification plan",
        "testing",
        "test plan",
        "tests",
        "success criteria",
        "definition of done",
        "acceptance criteria",
        "acceptance tests",
        "validation",
        "how to verify",
        "verification steps",
        "verification checklist",
        "testing plan",
        "done when",
    }
)
_TESTS = frozenset({"testing strategy"})
_FILES = frozenset(
    {
        "critical files",
        "files to modify",
        "critical files to modify",
        "files to change",
        "files to create",
        "key files",
        "files modified",
        "critical files for implementation",
        "files to update",
        "affected files",
        "files",
    }
)
_CLAUDE_SIGNS = frozenset(
    {"context", "critical files", "critical files to modify", "critical files for implementation", "verification", "files to modify"}
)


def recognise(document: Document) -> bool:
    """Whether it has two or more phases with work in them, or is one piece of work with changes and checks."""
    outline = _with_headings(document)
    if outline is document and _is_ours(document):
        return False
    return len(_phases(outline)) > 1 or _is_one_piece(outline)


def _is_one_piece(document: Document) -> bool:
    """Whether one section of the document says what to change, and another what to test or which files; and nothing divides it."""
    if any(
        _KIND.match(section.title) or _NUMBERED.match(section.title)
        for section in document.sections
        if section is not document.title_section
    ):
        return False
    level = 2 if document.title_section is not None else min((section.level for section in document.sections), default=1)
    changes = [section for section in _changes(document) if _name(section) != "testing strategy"]
    others = [section for section in (*_named(document, _CHECKS | _FILES | _TESTS),) if section not in changes]
    return len(changes) == 1 and changes[0].level == level and any(section.level == level for section in others)


def read(document: Document) -> PlanReading:
    """The plan: a phase for each heading of the kind that divides the document, or one for the whole."""
    document = _with_headings(document)
    names = {folded(section.title) for section in document.sections}
    draft = Draft(document, CLAUDE if len(names & _CLAUDE_SIGNS) > 1 else NAME)
    phases = _phases(document)
    if len(phases) > 1:
        for section in phases:
            named = _KIND.match(section.title)
            kind = named["kind"].lower() if named else ""
            title = (named["title"] if named["after"] != "(" else f"({named['title']}") if named else section.title
            key = (_key(section) if kind != "m" else f"M{named['key']}") if named else ""
            phase = draft.phase(key, title, section.line, section.end_line)
            boxes = any(item.has_box for item in document.items_in(section, deep=True))
            PhaseReader(draft, phase, _ROLES, heading_role=lambda part: _part_role(document, part), only_boxes=boxes).read(section)
            if not phase.steps and (kind in ("step", "task") or not phase.gates):  # prose says what is to do, and the agent reads it whole
                phase.add_step(phase.title, section.line, phase.done)
    else:
        _read_whole(draft)
    _finished(draft)
    _final_checks(draft, phases)
    return draft.finish()


def _with_headings(document: Document) -> Document:
    """The document with its bold lines as headings, if its phases are bold lines."""
    bold = [found["text"] for found in _BOLD_LINE.finditer(document.text)]
    if sum(bool(_KIND.match(text)) for text in bold) < 2 or any(
        _KIND.match(section.title) for section in document.sections if section.level > 1
    ):
        return document
    changed = Document(_BOLD_LINE.sub(_as_heading, document.text))
    changed.text = document.text
    return changed


def _as_heading(found: re.Match[str]) -> str:
    """A bold line as a heading. A note behind one that is no phase leaves it the label that it is."""
    if not found["note"]:
        return f"###### {found['text']}"
    return f"###### {found['text'].rstrip(':')} {found['note']}" if _KIND.match(found["text"]) else found.group()


def _phases(document: Document) -> list[Section]:
    """The headings that divide the document: those of the kind and level that occurs most, if there is work below them.

    Where they stand twice, those below a heading of checks (“Acceptance tests”) say how each is checked.
    """
    groups: dict[tuple[str, int], list[Section]] = {}
    for section in document.sections:
        named = _KIND.match(section.title)
        if named and section is not document.title_section:
            groups.setdefault((named["kind"].lower(), section.level), []).append(section)
    checks = {below.line for section in document.sections if _name(section) in _CHECKS for below in section.walk()}
    for group, sections in groups.items():
        if len({_key(section) for section in sections}) < len(sections):
            groups[group] = [section for section in sections if section.line not in checks]
    filled = {
        group: [section for section in sections if _has_work(section)]
        for group, sections in groups.items()
        if len({_key(section) for section in sections}) == len(sections)
    }
    best = max(filled, key=lambda group: (len(filled[group]) > 1, -group[1], len(filled[group])), default=None)
    return groups[best] if best is not None and len(filled[best]) > 1 else []


def _key(section: Section) -> str:
    named = _KIND.match(section.title)
    return ((named["key"] or "").lower() or named["letter"]) if named else ""


def _has_work(section: Section) -> bool:
    return any(block.kind == "list" or table_of(block) for part in section.walk() for block in part.blocks) or bool(section.sections)


def _part_role(document: Document, section: Section) -> Role | None:
    """A numbered sub-heading (“1A. Delete …”) is a step; where it has steps of its own, those are the steps."""
    if not PART.match(section.title) or role_of(section.title, _ROLES) is not None:
        return None
    return Role.STEPS if _has_steps(document, section) else Role.STEP


def _has_steps(document: Document, section: Section) -> bool:
    """Whether steps stand below a sub-heading: smaller parts, boxes that are no gates, or a list with a label of steps."""
    for part in section.walk():
        if part is not section and PART.match(part.title):
            return True
        role = role_of(part.title, _ROLES) if part is not section else None
        for block in part.blocks:
            label = label_of(block.text.strip()) if block.kind == "paragraph" else None
            if label is not None:
                role = role_of(label.name, _ROLES)
            for item in document.items_of(block) if block.kind == "list" else ():
                named = label_of(item.text)
                if (item.has_box and role is not Role.GATES) or role is Role.STEPS:
                    return True
                if named is not None and item.items and role_of(named.name, _ROLES) is Role.STEPS:
                    return True
    return False


def _is_ours(document: Document) -> bool:
    """Whether a phase has fields of our own format: hours, complexity or dependencies, or two of any kind."""
    inside = 0  # the last line of the phase that was looked at: what its tasks say of themselves are no fields of a phase
    for section in document.sections:
        named = _KIND.match(section.title)
        if phase_of(section.title) is not None:
            inside = section.end_line
        elif section.line <= inside and PART.match(section.title):
            continue
        if (not named and phase_of(section.title) is None) or (named and re.fullmatch(PHASE, named["kind"], re.IGNORECASE)):
            continue
        found = {field for part in section.sections if (field := field_named(part.title)) is not None}
        for block in section.blocks:
            lines = block.text.split("\n") if block.kind == "paragraph" else []
            lines += [item.text for item in document.items_of(block)] if block.kind == "list" else []
            labels = [label_of(line.strip()) for line in lines]
            found |= {field for label in labels if label is not None and (field := field_named(label.name)) is not None}
        few = 1 if named is None or named["kind"].lower() == "phase" else 2
        if len(found & _STRONG) >= few or len(found & _OURS) > few:
            return True
    return False


def _name(section: Section) -> str:
    """The heading in the form that is compared, without “for Stage 1” at its end."""
    return re.sub(r"\s+(?:for|in)\s+\S.*$", "", folded(section.title))


def _named(document: Document, names: frozenset[str]) -> list[Section]:
    found: list[Section] = []
    for section in document.sections:
        if _name(section) in names and not any(outer.line <= section.line <= outer.end_line for outer in found):
            found.append(section)
    return found


def _changes(document: Document) -> list[Section]:
    return [section for section in _named(document, _CHANGES) if _has_work(section)]


def _checks(document: Document) -> list[Section]:
    return [section for section in _named(document, _CHECKS) if _has_work(section) or section.blocks]


def _read_whole(draft: Draft) -> None:
    """A plan without phases: its changes are the steps of one phase."""
    document = draft.document
    phase = draft.phase("1", draft.title or "The whole plan", 0, 0)
    phase.line, phase.end_line = document.body + 1, len(document.lines)
    for section in _changes(document):
        headings = [part for part in section.sections if folded(part.title) not in _CHECKS]
        if headings and not any(item.has_box or item.number is not None for item in document.items_in(section)):
            draft.account.mark(ReadAs.FIELD, section.line)
            for part in headings:
                reader = PhaseReader(draft, phase, _ROLES, heading_role=lambda _: Role.STEP)
                reader.read(part, include_heading=True)
        else:
            draft.account.mark(ReadAs.FIELD, section.line)
            PhaseReader(draft, phase, _ROLES, role=Role.STEPS).read(section)
    for section in _named(document, _FILES):
        if section not in _changes(document):
            PhaseReader(draft, phase, _ROLES, role=Role.FILES).read(section, include_heading=True)
    goal = next(
        (section for section in document.sections if folded(section.title) in ("goal", "objective", "overview", "context", "intent")), None
    )
    first = next((block for block in goal.blocks if block.kind == "paragraph"), None) if goal else None
    if first is not None:
        phase.goal = first.text
    draft.order = "one phase, because the plan is not divided"


def _finished(draft: Draft) -> None:
    """“Status: Phase 2 complete” says that the phases up to that one are done."""
    for found in re.finditer(
        r"^\**Status\**:\**\s*Phases?\s+(?:\d+\s*[-\u2013]\s*)?(\w+)\s+(?:is |are )?complete", draft.document.text, re.M | re.I
    ):
        place = next((at for at, phase in enumerate(draft.phases) if phase.key.lower() == found[1].lower()), -1)
        for phase in draft.phases[: place + 1]:
            phase.done = True


def _final_checks(draft: Draft, phases: Sequence[Section]) -> None:
    """What the document says of verification outside its phases holds at the end: gates of the last phase, or of the one it names."""
    draft.checks_at_end = True
    last: DraftPhase = draft.phases[-1]
    by_key = {phase.key: phase for phase in draft.phases} if len(phases) > 1 else {}
    for section in _checks(draft.document):
        if any(phase.line <= section.line <= phase.end_line for phase in phases) or draft.account.is_marked(section.line):
            continue
        draft.account.mark(ReadAs.FIELD, section.line)
        named = [(below, by_key.get(_key(below))) for below in section.sections]
        if not all(phase for _, phase in named):
            _Gates(draft, last, _ROLES, role=Role.GATES).read(section)
            continue
        _Gates(draft, last, _ROLES, role=Role.GATES).blocks(section.blocks)
        for below, phase in named:
            draft.account.mark(ReadAs.MENTION, below.line)
            _Gates(draft, phase or last, _ROLES, role=Role.GATES).read(below)


class _Gates(PhaseReader):
    """Reads everything below a heading of checks as gates, whatever its sub-headings say."""

    def _heading(self, section: Section) -> None:
        self.role = Role.GATES
