"""Lists of numbered check-boxes: “1. Task” is a phase, “1.1 Part” a step of it. Kiro and Agent OS write their `tasks.md` so."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from batches.core.plans.formats.document import Document, Item, Section, label_of, one_line, phase_of
from batches.core.plans.formats.draft import Draft, DraftPhase, step_text
from batches.core.plans.formats.roles import PhaseReader, Role, final_checks, role_of
from batches.core.plans.types import PlanReading
from batches.core.plans.unread import ReadAs

NUMBER = re.compile(r"^(?:\*\*)?(?:(?:Task|Step)\s+)?(?P<number>\d+(?:\.\d+)*)(?:[.:)](?=\s|\*|$)|(?=\s))\s*(?:\*\*)?\s*", re.IGNORECASE)
_GROUP = re.compile(r"^Task Group\s+\d+\s*[:.\u2013-]?\s*(?P<title>.*)$", re.IGNORECASE)
_CHECKPOINT = re.compile(
    r"^(?:(?:final\s+)?checkpoint\b|\u68c0\u67e5\u70b9|\u6700\u7ec8\u68c0\u67e5\u70b9|\u30c1\u30a7\u30c3\u30af\u30dd\u30a4\u30f3\u30c8|\uccb4\ud06c\ud3ec\uc778\ud2b8)",
    re.IGNORECASE,
)
ALL_TESTS_PASS = re.compile(
    r"^(?:verify|ensure|confirm|check)\s+(?:that\s+)?(?:all|every)\s+(?:\w+\s+){0,3}tests?\s+(?:are\s+|still\s+)?pass(?:es|ing)?\b",
    re.IGNORECASE,
)
_WAITS = re.compile(
    r"\s*[(\[]\s*(?P<label>depends?\s+on|prerequisites?|requires|after|blocked\s+by)\s*:?\s*(?P<value>[^()\[\]]*(?:\([^()]*\)[^()]*)*)[)\]]\s*$",
    re.IGNORECASE,
)
_WAITS_BELOW = re.compile(
    r"^[-*]?\s*_?\**(?:depends?\s*(?:on)?|dependencies|prerequisites?|blocked by)\**\s*:\s*(?P<value>.*?)_?$", re.IGNORECASE
)
_REFERENCE = re.compile(r"_(?:requirements?|validates|refs?|references)\b.*_?|\**(?:validates|property)\b.*", re.IGNORECASE)


@dataclass(slots=True)
class _Task:
    """A numbered box of the top level, and the boxes that belong to it."""

    number: str
    head: Item
    parts: list[Item]
    group: Section | None = None  # the heading “Task Group 1: …” that holds this one task


def numbered(document: Document) -> int:
    """How many top-level boxes have a whole number; 0 if most have none, and only begin with one (“9 files are moved”)."""
    tasks = _tasks(document)
    found = [int(task.number) for task in tasks if task.number.isdecimal()]
    return len(found) if found and min(found) < 3 and 2 * len(found) >= len(tasks) else 0


def read_checklist(document: Document, name: str) -> PlanReading:
    """The plan: a phase for each top-level box, its deepest boxes as steps, checkpoints as gates, in the order written."""
    draft = Draft(document, name, tasks="task")
    for task in _tasks(document):
        _phase(draft, task)
    final_checks(draft)
    return draft.finish()


def _tasks(document: Document) -> list[_Task]:
    tasks: list[_Task] = []
    heads: list[Section] = []
    divided = any(phase_of(section.title) for section in document.sections)  # then a number alone is no task: “1. Delete the scripts”
    for section in (document.root, *document.sections):
        if role_of(section.title, {}) is Role.GATES:
            continue
        for item in document.items_in(section):
            if not item.has_box and (divided or item.number is None or not any(below.has_box for below in item.items)):
                continue
            found = NUMBER.match(item.text)
            number = re.sub(r"^(\d+)\.0$", r"\1", found["number"]) if found else "" if item.has_box else str(item.number)
            parent, _, part = number.partition(".")
            if part and tasks and tasks[-1].number == parent:
                tasks[-1].parts.append(item)  # written beside its task, not below it
            else:
                tasks.append(_Task(number, item, []))
                heads.append(section)
    for task, section in zip(tasks, heads, strict=True):
        task.group = section if heads.count(section) == 1 and _GROUP.match(section.title) else None
    return tasks


def _phase(draft: Draft, task: _Task) -> None:
    head = task.head
    title = " ".join(NUMBER.sub("", head.text, count=1).replace("**", "").split())
    waits = _WAITS.search(title)
    if waits:
        title = title[: waits.start()]
    end = max(head.end_line, *(part.end_line for part in task.parts), head.line)
    name = one_line(title) + (" (optional)" if head.optional else "")
    phase = draft.phase(task.number, name, head.line, end)
    if task.group is not None:
        _group(draft, phase, task.group, head)
    value = (
        waits["value"] if waits else next((found["value"] for line in head.below.split("\n") if (found := _WAITS_BELOW.match(line))), "")
    )
    if value:
        draft.waiting.append((phase, _names(value), head.line))
    inner = [part for item in head.items for part in ([item] if item.has_box else _leaves(item))]  # a box below a plain bullet counts too
    parts = [*inner, *task.parts]
    details = [item for item in head.items if not item.has_box]
    if _CHECKPOINT.match(name):
        for item in [*details, *parts]:
            draft.gate(phase, item)
        if not phase.gates:
            phase.add_gate(name, head.line, head.done)
        draft.account.mark(ReadAs.GATE, head.line + 1, head.end_line)
        draft.account.mark(ReadAs.PHASE, head.line)
    elif not parts:
        phase.add_step(_with_details(name, head.below), head.line, head.done)
        draft.account.mark(ReadAs.STEP, head.line + 1, head.end_line)
        draft.account.mark(ReadAs.PHASE, head.line)
    else:
        if details and all(part.optional for part in parts):  # what is not optional is told in the details
            phase.add_step(_with_details(name, "\n".join(f"- {item.whole}" for item in details)), head.line, head.done)
        goal = [item.title for item in details if not _REFERENCE.match(item.text) and not _WAITS_BELOW.match(item.text)]
        phase.goal = "; ".join(goal)
        for item in details:
            draft.account.mark(ReadAs.FIELD, item.line, item.end_line)
        draft.account.mark(ReadAs.PHASE, head.line)
        for number, part in enumerate(parts, start=1):
            _part(draft, phase, part, last=number == len(parts))


def _group(draft: Draft, phase: DraftPhase, section: Section, head: Item) -> None:
    """What Agent OS writes around the boxes of a task group: its title, dependencies and acceptance criteria."""
    named = _GROUP.match(section.title)
    phase.title = one_line(named["title"]) if named and named["title"] else phase.title
    phase.line, phase.end_line = section.line, section.end_line
    draft.account.mark(ReadAs.PHASE, section.line)
    reader = PhaseReader(draft, phase, {"dependencies": Role.DEPENDENCIES}, role=Role.NOTES)
    reader.blocks(block for block in section.blocks if not block.start < head.line <= block.end)
    draft.waiting = [
        (owner, re.sub(r"\btask groups?\b", "Phase", value, flags=re.IGNORECASE), line) for owner, value, line in draft.waiting
    ]


def _part(draft: Draft, phase: DraftPhase, part: Item, last: bool) -> None:
    """A sub-task is a step; one that only checks is a gate. Where it has boxes of its own, those are the steps."""
    title = one_line(NUMBER.sub("", part.text, count=1))
    if _CHECKPOINT.match(title) or (last and ALL_TESTS_PASS.match(title)):
        draft.gate(phase, part, _with_details(title, part.below))
        return
    leaves = list(_leaves(part))
    if leaves:
        for below in part.walk():
            draft.account.mark(ReadAs.STEP, below.line)
        for leaf in leaves:
            draft.step(phase, leaf, f"{title}: {step_text(leaf)}")
        return
    draft.step(phase, part, _with_details(title + (" (optional)" if part.optional else ""), part.below))


def _leaves(part: Item) -> Iterator[Item]:
    for item in part.items:
        if item.has_box:
            inner = list(_leaves(item))
            yield from inner or [item]


def _with_details(title: str, below: str) -> str:
    return f"{title}\n{below}" if below else title


def _names(value: str) -> str:
    """The tasks in a note such as “Task 1 - installation required” as dependencies are written: “Phase 1”."""
    value = re.sub(r"\btasks?\b", "Phase", value, flags=re.IGNORECASE)
    value = re.sub(r"(\d+)\.\d+(?:\.\d+)*", r"\1", value)
    label = label_of(value)
    return label.value if label and not label.bold and label.value else value
