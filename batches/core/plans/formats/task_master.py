"""Task Master, `tasks.json`: tasks with subtasks, dependencies and a test strategy, alone or below tags such as `master`."""

import json
import re
from collections.abc import Iterable
from typing import Any

from batches.core.plans.formats.document import Document
from batches.core.plans.formats.draft import DraftPhase, safe_key
from batches.core.plans.formats.plan_json import JsonDraft, load, objects_in, text_of
from batches.core.plans.labels import Field
from batches.core.plans.types import IssueCode, PlanReading
from batches.core.plans.unread import UnreadKind
from batches.core.text.words import counted

NAME = "Task Master"
SIGN = re.compile(r'"(?:testStrategy|subtasks)"\s*:')
_DONE = frozenset({"done", "completed", "complete"})
_LEFT_OUT = frozenset({"cancelled", "canceled", "deferred"})
_KNOWN = frozenset(
    {
        "id",
        "title",
        "description",
        "details",
        "testStrategy",
        "dependencies",
        "status",
        "priority",
        "subtasks",
        "complexity",
        "complexityScore",
        "parentTaskId",
        "parentId",
        "updatedAt",
        "createdAt",
        "recommendedSubtasks",
        "expansionPrompt",
        "complexityReasoning",
    }
)


def recognise(document: Document) -> bool:
    """Whether the JSON holds tasks as Task Master writes them."""
    return bool(_tags(load(document.text)))


def read(document: Document) -> PlanReading:
    """The plan: a phase for each task of the tag `master`, or of the first tag; the other tags are listed."""
    data = load(document.text)
    tags = _tags(data)
    tag = "master" if "master" in tags else next(iter(tags))
    title = text_of((data.get("meta") or data.get("metadata") or {}).get("projectName")) if isinstance(data, dict) else ""
    draft = JsonDraft(document, NAME, title=title or (f"Task Master: {tag}" if tag else "Task Master"), tasks="subtask")
    draft.order = "order from “dependencies”"
    after = _place(document.text, tag)
    tasks = tags[tag]
    places = [*objects_in(document.text, "tasks", after), *[(1, 1)] * len(tasks)]
    seen: list[tuple[dict[str, Any], DraftPhase]] = []
    for task, (first, last) in zip(tasks, places, strict=False):
        phase = draft.phase(str(task.get("id", "")), text_of(task.get("title")) or text_of(task.get("description")), first, last)
        _task(draft, phase, task)
        draft.unknown(task, _KNOWN, first, last, f"task {task.get('id')}")
        seen.append((task, phase))
    _dependencies(draft, seen)
    _other_tags(draft, tags, tag)
    draft.without_done = _without_done(document.text, tag)
    return draft.finish()


def _tags(data: Any) -> dict[str, list[dict[str, Any]]]:
    """The tasks of each tag; the tag "" for a file without tags."""
    if not isinstance(data, dict):
        return {}
    if _are_tasks(data.get("tasks")):
        return {"": data["tasks"]}
    return {name: value["tasks"] for name, value in data.items() if isinstance(value, dict) and _are_tasks(value.get("tasks"))}


def _are_tasks(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(task, dict) and "id" in task and ("title" in task or "description" in task) for task in value)
        and any("testStrategy" in task or "subtasks" in task for task in value)
    )


def _place(text: str, tag: str) -> int:
    found = re.search(rf'"{re.escape(tag)}"\s*:\s*\{{', text) if tag else None
    return found.end() if found else 0


def _task(draft: JsonDraft, phase: DraftPhase, task: dict[str, Any]) -> None:
    done = _status(task) in _DONE
    description, details = text_of(task.get("description")), text_of(task.get("details"))
    phase.goal = description
    subtasks = _parts(task)
    for part in _sorted(subtasks):
        text = "\n".join(
            filter(None, (text_of(part.get("title")), text_of(part.get("description")), text_of(part.get("details")), _test(part)))
        )
        phase.add_step(text, phase.line, done or _status(part) in _DONE)
    if not subtasks:
        phase.add_step(details or description or phase.title, phase.line, done)
    elif details:
        phase.preface = details
    strategy = text_of(task.get("testStrategy"))
    phase.add_gate(" ".join(strategy.split()), phase.line, done)
    score = task.get("complexityScore", task.get("complexity"))
    if isinstance(score, (int, float)) and not isinstance(score, bool):
        phase.complexity_text = "low" if score <= 3 else "medium" if score <= 6 else "high"
    elif isinstance(score, str):
        phase.complexity_text = score
    if _status(task) in _LEFT_OUT:
        message = f"Task {phase.key} is {_status(task)} in Task Master. Remove it from the file, or leave it in to carry it out."
        draft.issues.warning(phase.line, IssueCode.UNKNOWN_FIELD, message, field="status", phase=phase.key)


def _test(part: dict[str, Any]) -> str:
    """How a subtask is tested belongs to its step; the task's own test strategy is the gate of the phase."""
    strategy = text_of(part.get("testStrategy"))
    return f"Test: {strategy}" if strategy else ""


def _parts(task: dict[str, Any]) -> list[dict[str, Any]]:
    parts = task.get("subtasks")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _status(task: dict[str, Any]) -> str:
    return text_of(task.get("status")).lower()


def _without_done(text: str, tag: str) -> str:
    """The file without the tasks and subtasks that are done, and without the dependencies on them."""
    data = json.loads(text)
    tasks = _tags(data)[tag]
    done = {str(task["id"]) for task in tasks if _status(task) in _DONE}
    tasks[:] = [task for task in tasks if str(task["id"]) not in done]
    for task in tasks:
        parts = _parts(task)
        gone = {str(part.get("id")) for part in parts if _status(part) in _DONE}
        if parts:
            task["subtasks"] = [part for part in parts if str(part.get("id")) not in gone]
        for owner, names in ((task, done), *((part, gone) for part in parts)):
            if isinstance(owner.get("dependencies"), list):
                owner["dependencies"] = [other for other in owner["dependencies"] if str(other).rpartition(".")[2] not in names]
    return json.dumps(data, indent=2, ensure_ascii=False)


def _sorted(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Subtasks in the order written, but each after those of the same task that it depends on."""
    by_id = {str(part.get("id")): part for part in parts}
    done: list[dict[str, Any]] = []
    state: dict[int, bool] = {}
    for start in parts:
        stack = [(start, False)]
        while stack:
            part, leaving = stack.pop()
            if leaving:
                done.append(part)
                continue
            if id(part) in state:
                continue
            state[id(part)] = True
            stack.append((part, True))
            named = part.get("dependencies")
            for other in reversed(named if isinstance(named, list) else []):
                known = by_id.get(str(other).rpartition(".")[2])
                if known is not None and id(known) not in state:
                    stack.append((known, False))
    return done


def _dependencies(draft: JsonDraft, seen: Iterable[tuple[dict[str, Any], DraftPhase]]) -> None:
    keys = {phase.key.lower(): phase.key for _, phase in seen}
    for task, phase in seen:
        named = task.get("dependencies")
        phase.dependencies = []
        for other in named if isinstance(named, list) else [named] if named else []:
            known = keys.get(safe_key(str(other).partition(".")[0]).lower())
            if known == phase.key:
                continue
            if known is None:
                message = f'Phase {phase.key} depends on "{str(other)[:40]}", which does not exist.'
                line = draft.line_of("dependencies", phase.line, phase.end_line)
                draft.issues.error(line, IssueCode.UNDEFINED_DEPENDENCY, message, field=Field.DEPENDENCIES, phase=phase.key)
            else:
                phase.dependencies.append(known)


def _other_tags(draft: JsonDraft, tags: dict[str, list[dict[str, Any]]], read: str) -> None:
    for name, tasks in tags.items():
        if name != read:
            line = draft.line_of(name, 1, len(draft.document.lines))
            why = f"The tag “{name}” holds {counted(len(tasks), 'task')}. Only “{read}” is read; give the tag a file of its own."
            draft.account.unread(line, line, UnreadKind.FIELD, why)
            draft.issues.warning(line, IssueCode.UNKNOWN_FIELD, why, field=name)
