"""CCPM: `epic.md` with the tasks that were created, and the file of one task."""

import re

from batches.core.plans.files import says_none
from batches.core.plans.formats.document import Document, Item, Section, folded
from batches.core.plans.formats.draft import Draft, DraftPhase
from batches.core.plans.formats.roles import PhaseReader, Role
from batches.core.plans.types import IssueCode, PlanReading
from batches.core.plans.unread import ReadAs

NAME = "CCPM"
SIGN = re.compile(
    r"^#{1,3} (?:Epic|Task)\s*:|^## (?:Tasks Created|Task Breakdown Preview)|^(?:prd|conflicts_with|depends_on)\s*:", re.MULTILINE
)
_CREATED = re.compile(r"^(?:\[[ xX]\]\s*)?\[?#?(?P<key>\d+)(?:\.md)?\]?(?:\([^)]*\))?\s*(?:[-\u2013\u2014:]\s*)?(?P<title>.*)$", re.DOTALL)
_NOTE = re.compile(r"\((?P<note>[^()]{0,200}parallel[^()]{0,200})\)$", re.IGNORECASE)
_PREVIEW = re.compile(r"^\**(?:Task\s+)?(?P<key>\d+)\s*[:.)\u2013-]\s*(?P<title>.*)$", re.IGNORECASE | re.DOTALL)
_FILES = re.compile(r"^[-*]\s*\**Files?(?: affected)?\**\s*:\s*(?P<value>.+)$", re.IGNORECASE)
_DEPENDS = re.compile(r"depends\s+on\s*:?\s*(?P<value>[#\d,\s.and&-]+)", re.IGNORECASE)


def recognise(document: Document) -> bool:
    """Whether it is an epic with a list of tasks, or the file of a task."""
    return bool(_created(document) or _preview(document)) or _is_task(document)


def read(document: Document) -> PlanReading:
    """The plan: a phase for each task. Tasks marked “parallel: true” wait only for the last task that is not parallel."""
    return read_task(document, NAME) if _is_task(document) else _read_epic(document)


def _section(document: Document, *names: str) -> Section | None:
    return next((section for section in document.sections if folded(section.title) in names), None)


def _created(document: Document) -> list[Item]:
    section = _section(document, "tasks created", "created tasks")
    return [item for item in document.items_in(section) if _CREATED.match(item.text)] if section else []


def _preview(document: Document) -> list[Item]:
    section = _section(document, "task breakdown preview", "task breakdown")
    return [item for item in document.items_in(section, deep=True) if item.has_box] if section else []


def _read_epic(document: Document) -> PlanReading:
    title = re.sub(r"^Epic\s*:\s*", "", document.title, flags=re.IGNORECASE)
    draft = Draft(document, NAME, title=title, tasks="step")
    created, preview = _created(document), _preview(document)
    details = {folded(_title(item, _PREVIEW)): item for item in preview}
    rank = {name: place for place, name in enumerate(details)}
    if created and all(folded(_title(item, _CREATED)) in details for item in created):
        created.sort(key=lambda item: rank[folded(_title(item, _CREATED))])
    else:
        created.sort(key=lambda item: int(found["key"]) if (found := _CREATED.match(item.text)) else 0)
    alone: DraftPhase | None = None  # the last task that may not run beside others
    since: list[DraftPhase] = []  # the tasks after it
    pattern = _CREATED if created else _PREVIEW
    for item in created or preview:
        named = pattern.match(item.text)
        phase = draft.phase(named["key"] if named else "", _title(item, pattern), item.line, item.end_line)
        detail = details.get(folded(phase.title), item)
        if detail is not item:
            draft.account.mark(ReadAs.MENTION, detail.line, detail.end_line)
            phase.preface = document.text_between(detail.line, detail.end_line)
        phase.add_step(f"{phase.title}\n{detail.below}".strip(), item.line, item.done)
        if item.end_line > item.line:
            draft.account.mark(ReadAs.STEP, item.line + 1, item.end_line)
        for line in detail.below.split("\n"):
            if files := _FILES.match(line.strip()):
                draft.files(phase, files["value"], item.line)
                draft.account.mark(ReadAs.PHASE, item.line)
        noted = _NOTE.search(item.title) if created else None
        note = noted["note"] if noted else ""
        waits = _DEPENDS.search(note)
        if waits:
            draft.waiting.append((phase, ", ".join(str(int(key)) for key in re.findall(r"\d+", waits["value"])) or "None", item.line))
            since.append(phase)
        elif re.search(r"parallel\s*:\s*true", note, re.IGNORECASE):
            phase.dependencies = [alone.key] if alone else []
            since.append(phase)
        else:
            phase.dependencies = [other.key for other in since] or ([alone.key] if alone else [])
            alone, since = phase, []
    draft.order = "order from “parallel”" if any("parallel" in item.text for item in created) else ""
    _gates(draft)
    return draft.finish()


def _title(item: Item, pattern: re.Pattern[str]) -> str:
    named = pattern.match(_NOTE.sub("", item.title).strip())
    return named["title"].strip("* ") if named and named["title"] else item.title


def _gates(draft: Draft) -> None:
    """The success criteria of the epic hold at its end."""
    if not draft.phases:
        return
    last = max(draft.phases, key=lambda phase: phase.line)
    for section in draft.document.sections:
        if folded(section.title) in ("success criteria", "acceptance criteria", "definition of done"):
            draft.account.mark(ReadAs.FIELD, section.line)
            for item in draft.document.items_in(section, deep=True):
                draft.gate(last, item)


def _is_task(document: Document) -> bool:
    return (
        bool({"depends_on", "parallel", "conflicts_with"} & document.meta.keys()) and _section(document, "acceptance criteria") is not None
    )


def read_task(document: Document, name: str) -> PlanReading:
    """The plan of a file that holds one task: one phase."""
    title = re.sub(r"^Task\s*:\s*", "", document.title, flags=re.IGNORECASE)
    draft = Draft(document, name, title=title, order="one task")
    phase = draft.phase("1", title, 0, 0)
    phase.line, phase.end_line = document.body + 1, len(document.lines)
    roles = {
        "description": Role.GOAL,
        "technical details": Role.STEPS,
        "implementation approach": Role.STEPS,
        "key considerations": Role.NOTES,
        "dependencies": Role.NOTES,
        "effort estimate": Role.HOURS,
        "files affected": Role.FILES,
        "checklist": Role.STEPS,
        "effort": Role.HOURS,
        "final summary": Role.NOTES,
    }
    for section in document.title_section.sections if document.title_section else document.root.sections:
        if folded(section.title) == "dependencies":
            continue
        PhaseReader(draft, phase, roles).read(section, include_heading=True)
    written, draft.waiting = draft.waiting, []  # what one task waits for are other files
    if not phase.steps:
        phase.add_step(
            f"{title}: {' '.join(phase.goal.split())}" if phase.goal else title,
            phase.line,
            str(document.meta.get("status")).lower() in ("closed", "completed", "done"),
        )
    waits = document.meta.get("depends_on") or document.meta.get("dependencies") or [value for _, value, _ in written]
    if waits and not all(map(says_none, map(str, waits if isinstance(waits, list) else [waits]))):
        others = ", ".join(map(str, waits)) if isinstance(waits, list) else str(waits)
        message = f"This task waits for {others}, which are other files. Carry those out first."
        draft.issues.warning(1, IssueCode.UNKNOWN_FIELD, message, field="depends_on", phase=phase.key)
    phase.dependencies = []
    return draft.finish()
