"""BMAD: `epics.md` (epics with stories and acceptance criteria) and the file of one story (tasks and subtasks)."""

import re
from bisect import bisect_right

from batches.core.plans.blocks import MarkdownBlock
from batches.core.plans.formats.document import Document, Section, folded, label_of, one_line, phase_of
from batches.core.plans.formats.draft import Draft, DraftPhase, step_text
from batches.core.plans.formats.roles import PhaseReader, Role, final_checks
from batches.core.plans.types import GateText, IssueCode, PlanReading
from batches.core.plans.unread import ReadAs, UnreadKind

NAME = "BMAD"
SIGN = re.compile(r"^#{1,4} (?:Story|User Story) #?[\w.]*\d", re.MULTILINE | re.IGNORECASE)
_STORY = re.compile(
    r"^(?:User\s+)?Story\s+#?(?P<key>[A-Za-z]?\d+(?:[.-]\d+)*[a-z]?)(?:\s*(?:[:.\u2013\u2014]|-(?=\s))|(?<=\.\d)\s|(?<=\.\d\d)\s)\s*(?P<title>.*)$",
    re.IGNORECASE,
)
_EPIC = re.compile(r"^Epic\s+[A-Za-z]?\d", re.IGNORECASE)
_SENTENCE = re.compile(r"^\**\s*as (?:an?|the)\b", re.IGNORECASE)
_CRITERION = re.compile(r"^\**(?:AC\s*#?\d+|Scenario\b|Given\b)", re.IGNORECASE)
_TASKS = frozenset(
    {"tasks / subtasks", "tasks/subtasks", "tasks", "technical tasks", "implementation tasks", "dev tasks", "tasks and subtasks"}
)
_CRITERIA = frozenset({"acceptance criteria", "acceptance criteria (acs)", "definition of done", "definition of done checklist"})
_NOTES = frozenset({"implementation notes", "technical notes", "technical considerations", "dev notes", "technical implementation"})
_WAITS = frozenset({"prerequisites", "dependencies", "depends on", "blocked by"})
_ROLES = {**dict.fromkeys(_TASKS, Role.STEPS), "story": Role.NOTES}


def recognise(document: Document) -> bool:
    """Whether there are stories under headings of their own with acceptance criteria."""
    return bool(_stories(document)) and "cceptance Criteria" in document.text


def read(document: Document) -> PlanReading:
    """The plan: a phase for each story, in the order written; of one story's file a phase, or one for each part of its tasks."""
    stories = _stories(document)
    if len(stories) == 1 and stories[0].level == 1:
        return _read_story_file(document, stories[0])
    draft = Draft(document, NAME, tasks="step", order="stories in the order written")
    for section in stories:
        named = _STORY.match(section.title)
        phase = draft.phase(named["key"] if named else "", named["title"] if named else section.title, section.line, section.end_line)
        for part in section.walk():
            _read_story(draft, phase, part)
        _default_step(draft, phase)
    _lonely_sections(draft, stories)
    final_checks(draft)
    return draft.finish()


def _stories(document: Document) -> list[Section]:
    return [section for section in document.sections if _STORY.match(section.title)]


def _read_story(draft: Draft, phase: DraftPhase, section: Section) -> None:
    """Read the blocks of a story: its sentence, acceptance criteria, notes and tasks."""
    part = folded(section.title) if section.line != phase.line else ""
    account = draft.account
    spelled = False  # the block before is a criterion in Given, When, Then: a list below it belongs to it
    for block in section.blocks:
        if block.kind == "list" and spelled:
            for item in draft.document.items_of(block):
                _add_to_gate(phase, step_text(item))
            account.mark(ReadAs.GATE, block.start + 1, block.end)
            continue
        spelled = False
        if block.kind == "paragraph":
            label = label_of(block.text.split("\n", 1)[0])
            name = label.name if label else ""
            if _SENTENCE.match(block.text):
                phase.goal = phase.goal or one_line(block.text.replace("**", ""))
                account.mark(ReadAs.FIELD, block.start + 1, block.end)
            elif _CRITERION.match(block.text):
                _criterion(draft, phase, block)
                spelled = True
            elif re.match(r"\**(?:When|Then|And|But)\b", block.text) and phase.gates:
                _continue(draft, phase, block)
                spelled = True
            elif name in _WAITS and label and label.value:
                draft.waiting.append((phase, re.sub(r"\bstor(?:y|ies)\b", "Phase", label.value, flags=re.IGNORECASE), block.start + 1))
                account.mark(ReadAs.DEPENDENCIES, block.start + 1, block.end)
            elif part in _CRITERIA and re.match(r"\d+\s*[:.)]\s", block.text):
                for at, line in enumerate(block.text.split("\n")):
                    phase.add_gate(re.sub(r"^\d+\s*[:.)]\s+", "", line.strip()), block.start + 1 + at)
                account.mark(ReadAs.GATE, block.start + 1, block.end)
            elif label and (name in _CRITERIA or name in _TASKS or name in _NOTES):
                part = name
                account.mark(ReadAs.FIELD, block.start + 1)
            elif label and label.bold:
                part = name
        elif block.kind == "list":
            for item in draft.document.items_of(block):
                if part in _CRITERIA:
                    draft.gate(phase, item)
                elif part in _TASKS or item.has_box:
                    PhaseReader(draft, phase, _ROLES, role=Role.STEPS)._plain_item(item)
                elif part in _NOTES:
                    account.mark(ReadAs.NOTES, item.line, item.end_line)
                elif re.match(r"\**(?:When|Then|And|Given)\b", item.text) and phase.gates:
                    account.mark(ReadAs.GATE, item.line, item.end_line)


def _criterion(draft: Draft, phase: DraftPhase, block: MarkdownBlock) -> None:
    phase.add_gate(" ".join(block.text.replace("**", "").split()), block.start + 1)
    draft.account.mark(ReadAs.GATE, block.start + 1, block.end)


def _continue(draft: Draft, phase: DraftPhase, block: MarkdownBlock) -> None:
    _add_to_gate(phase, block.text.replace("**", ""))
    draft.account.mark(ReadAs.GATE, block.start + 1, block.end)


def _add_to_gate(phase: DraftPhase, text: str) -> None:
    gate = phase.gates[-1]
    phase.gates[-1] = GateText(f"{gate.text} {' '.join(text.split())}", gate.checked, gate.line)


def _default_step(draft: Draft, phase: DraftPhase) -> None:
    """A story without tasks is one step: what its sentence wants."""
    if not phase.steps and phase.goal:
        phase.add_step(f"{phase.title}: {phase.goal}", phase.line)


def _lonely_sections(draft: Draft, stories: list[Section]) -> None:
    """A section among the epics that holds no story is listed as not read, with a warning."""
    lines = [story.line for story in stories]

    def holds(section: Section) -> bool:
        return bisect_right(lines, section.line) < bisect_right(lines, section.end_line)

    levels = {section.level for section in draft.document.sections if _EPIC.match(section.title) and holds(section)}
    epics = [section for section in draft.document.sections if section.level in levels and section.level < stories[0].level]
    full = [section.line for section in epics if holds(section)]
    for section in epics:
        if full and full[0] < section.line < full[-1] and not holds(section):
            why = "It stands among the epics, but holds no story. Give it a heading “### Story N.M: …” to have it carried out."
            draft.account.unread(section.line, section.end_line, UnreadKind.SECTION, why)
            message = f"“{one_line(section.title)[:80]}” stands among the epics, but holds no story, so nothing of it is carried out."
            draft.issues.warning(section.line, IssueCode.UNREAD_SECTION, message)


def _read_story_file(document: Document, story: Section) -> PlanReading:
    named = _STORY.match(story.title)
    key, title = (named["key"], named["title"]) if named else ("1", story.title)
    draft = Draft(document, NAME, title=one_line(story.title), tasks="task")
    tasks = next((section for section in document.sections if folded(section.title) in _TASKS), None)
    parts = [part for part in tasks.sections if any(item.has_box for item in document.items_in(part, deep=True))] if tasks else []
    if tasks and len(parts) > 1:
        for part in parts:
            heading = phase_of(part.title)
            phase = draft.phase(
                heading.key if heading else folded(part.title), heading.title if heading else part.title, part.line, part.end_line
            )
            PhaseReader(draft, phase, {}, role=Role.STEPS).read(part)
    else:
        phase = draft.phase(key, title, 0, 0)
        phase.line, phase.end_line = (tasks.line, tasks.end_line) if tasks else (story.line, story.end_line)
        if tasks:
            draft.account.mark(ReadAs.FIELD, tasks.line)
            PhaseReader(draft, phase, {}, role=Role.STEPS).read(tasks)
    last = draft.phases[-1]
    for section in document.sections:
        if folded(section.title) in _CRITERIA:
            _story_gates(draft, last, section)
        for block in section.blocks:
            if block.kind == "paragraph" and _SENTENCE.match(block.text):
                for phase in draft.phases:
                    phase.goal = phase.goal or one_line(block.text.replace("**", ""))
                draft.account.mark(ReadAs.FIELD, block.start + 1, block.end)
    if len(draft.phases) == 1:
        _default_step(draft, last)
    draft.order = "parts of the tasks in the order written" if len(draft.phases) > 1 else "one story"
    return draft.finish()


def _story_gates(draft: Draft, phase: DraftPhase, section: Section) -> None:
    """Acceptance criteria and definition of done of a whole story: each sub-heading “AC1: …”, each item, each Given."""
    draft.account.mark(ReadAs.FIELD, section.line)
    for part in section.sections:
        phase.add_gate(one_line(part.title), part.line)
        draft.account.mark(ReadAs.GATE, part.line, part.end_line)
    for block in section.blocks:
        if block.kind == "list":
            for item in draft.document.items_of(block):
                draft.gate(phase, item)
        elif block.kind == "paragraph" and _CRITERION.match(block.text):
            _criterion(draft, phase, block)
        elif block.kind == "paragraph" and phase.gates and re.match(r"\**(?:When|Then|And|But)\b", block.text):
            _continue(draft, phase, block)
