"""Task Master, `task_001.txt`: a task as text, “# Task ID: 1 / # Title: … / # Status: … / # Dependencies: …”, one or several in a file."""

import re
from dataclasses import dataclass, field

from batches.core.plans.formats.document import Document
from batches.core.plans.formats.draft import Draft, DraftPhase
from batches.core.plans.types import IssueCode, PlanReading
from batches.core.plans.unread import ReadAs

NAME = "Task Master"
SIGN = re.compile(r"^# Task ID:[ \t]*\d", re.MULTILINE)
_FIELD = re.compile(
    r"# (?P<name>Task ID|Title|Status|Dependencies|Priority|Description|Details|Test Strategy|Subtasks)"
    r"(?: \([^()]*\))?:[ \t]*(?P<value>.*)$"
)
_PART = re.compile(r"## (?P<number>\d+)\. (?P<title>.*?)(?: \[(?P<status>[\w -]+)\])?[ \t]*$")
_PART_FIELD = re.compile(r"### (?P<name>\w[\w ]*):[ \t]*(?P<value>.*)$")
_NUMBER = re.compile(r"(?<![\d.])(\d+)(?:\.\d+)?(?![\d.])")
_DONE = frozenset({"done", "completed"})
_LEFT_OUT = frozenset({"cancelled", "deferred"})


@dataclass(slots=True)
class _Task:
    """A task as written: its lines (from 1, inclusive), its fields, and its subtasks as (line, title, status, text)."""

    line: int
    end_line: int = 0
    fields: dict[str, list[str]] = field(default_factory=dict)
    parts: list[tuple[int, str, str, list[str]]] = field(default_factory=list)

    def text(self, name: str) -> str:
        return "\n".join(self.fields.get(name, ())).strip()


def recognise(document: Document) -> bool:
    """Whether a task has an id and a title."""
    return bool(re.search(r"^# Title:", document.text, re.MULTILINE))


def read(document: Document) -> PlanReading:
    """The plan: a phase for each task, its subtasks as steps and its test strategy as gate."""
    draft = Draft(document, NAME, tasks="subtask", order="order from “Dependencies”")
    tasks = _tasks(document.lines)
    draft.title = tasks[0].text("Title") if len(tasks) == 1 else "Task Master"
    for task in tasks:
        phase = draft.phase(task.text("Task ID"), task.text("Title") or task.text("Description"), task.line, task.end_line)
        draft.account.mark(ReadAs.FIELD, task.line + 1, task.end_line)
        _read(draft, phase, task)
    known = {task.text("Task ID") for task in tasks}
    for task, phase in zip(tasks, draft.phases, strict=True):
        needs = list(dict.fromkeys(_NUMBER.findall(task.text("Dependencies"))))
        phase.dependencies = [number for number in needs if number in known and number != phase.key]
        if others := ", ".join(number for number in needs if number not in known):
            message = f"Task {phase.key} waits for {others}, which are other files. Carry those out first, or give `tasks.json`."
            draft.issues.warning(task.line, IssueCode.UNKNOWN_FIELD, message, field="Dependencies", phase=phase.key)
    return draft.finish()


def _tasks(lines: list[str]) -> list[_Task]:
    tasks: list[_Task] = []
    into: list[str] = []
    for number, line in enumerate(lines, start=1):
        named = _FIELD.match(line)
        if named and (named["name"] == "Task ID" or (tasks and named["name"] not in tasks[-1].fields)):  # a second one is text
            if named["name"] == "Task ID":
                tasks.append(_Task(number))
            into = tasks[-1].fields.setdefault(named["name"], [])
            into.append(named["value"])
        elif tasks and "Subtasks" in tasks[-1].fields and (part := _PART.match(line)):
            into = []
            tasks[-1].parts.append((number, part["title"], (part["status"] or "").lower(), into))
        else:
            detail = _PART_FIELD.match(line) if tasks and tasks[-1].parts else None
            into.append(detail["value"] if detail and detail["name"] != "Dependencies" else "" if detail else line)
        if tasks:
            tasks[-1].end_line = number if line.strip() else tasks[-1].end_line
    return tasks


def _read(draft: Draft, phase: DraftPhase, task: _Task) -> None:
    status = task.text("Status").lower()
    phase.goal = task.text("Description")
    for at, (line, title, state, text) in enumerate(task.parts):
        end = task.parts[at + 1][0] - 1 if at + 1 < len(task.parts) else task.end_line
        phase.add_step(f"{title}\n{_squeezed(text)}", line, status in _DONE or state in _DONE, end)
        draft.account.mark(ReadAs.STEP, line, end)
    details = task.text("Details")
    if not task.parts:
        phase.add_step(details or phase.goal or phase.title, task.line, status in _DONE, task.end_line)
    phase.add_gate(" ".join(task.text("Test Strategy").split()), task.line, status in _DONE)
    if status in _LEFT_OUT:
        message = f"Task {phase.key} is {status} in Task Master. Remove it from the file, or leave it in to carry it out."
        draft.issues.warning(task.line, IssueCode.UNKNOWN_FIELD, message, field="Status", phase=phase.key)


def _squeezed(lines: list[str]) -> str:
    return "\n".join(line.rstrip() for line in lines if line.strip())
