"""Cursor plans (`.plan.md`): the to-dos in the front matter, with their status and dependencies; or the list below “To-dos”."""

import re
from collections.abc import Iterator
from typing import Any

from batches.core.plans.formats.document import Document, Section, folded
from batches.core.plans.formats.draft import Draft, DraftPhase, safe_key
from batches.core.plans.types import PlanReading
from batches.core.plans.unread import ReadAs

NAME = "Cursor"
SIGN = re.compile(r"^todos:|^#{2,4} To-?dos\b", re.MULTILINE | re.IGNORECASE)
_DONE = frozenset({"completed", "complete", "done"})
_PHASE_WORD = re.compile(r"^phase[-_ ]?(?=\d)", re.IGNORECASE)


def recognise(document: Document) -> bool:
    """Whether the front matter lists to-dos, or the plan ends with a list of them."""
    return bool(_todos(document)) or _todo_section(document) is not None


def read(document: Document) -> PlanReading:
    """The plan: a phase for each to-do. One without dependencies follows the to-do before it."""
    todos = _todos(document)
    title = document.title or str(document.meta.get("name") or "")
    draft = Draft(document, NAME, title=title, tasks="to-do")
    if not todos:
        section = _todo_section(document)
        for item in document.items_in(section) if section else ():
            if item.has_box:
                phase = draft.phase("", item.title, item.line, item.end_line)
                phase.add_step(item.whole, item.line, item.done)
        return draft.finish()
    named: list[tuple[DraftPhase, Any]] = []
    keys: dict[str, str] = {}
    for todo, line, end_line in _placed(document, todos):
        text = " ".join(str(todo.get("content") or todo.get("id") or "").split())
        key = _PHASE_WORD.sub("", str(todo.get("id") or ""))
        phase = draft.phase(key, _short(text), line, end_line)
        phase.add_step(text, line, str(todo.get("status", "")).lower() in _DONE)
        keys[str(todo.get("id"))] = phase.key
        named.append((phase, todo.get("dependencies", todo.get("depends_on"))))
        draft.account.mark(ReadAs.STEP, line + 1, end_line)
    for phase, waits in named:
        if isinstance(waits, list):
            known = [keys.get(str(other), safe_key(str(other))) for other in waits]
            phase.dependencies = [key for key in known if key in keys.values() and key != phase.key]
            for other in waits:
                if str(other) not in keys:
                    draft.waiting.append((phase, str(other), phase.line))
            draft.order = "order from the to-dos’ dependencies; a to-do without any follows the one before"
    _details(draft)
    _leave_out(draft)
    return draft.finish()


def _todos(document: Document) -> list[dict[str, Any]]:
    todos = document.meta.get("todos")
    if not isinstance(todos, list):
        return []
    return [todo for todo in todos if isinstance(todo, dict) and (todo.get("content") or todo.get("id"))]


def _todo_section(document: Document) -> Section | None:
    return next(
        (
            section
            for section in document.sections
            if re.fullmatch(r"to-?dos?", folded(section.title)) and any(item.has_box for item in document.items_in(section))
        ),
        None,
    )


def _placed(document: Document, todos: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Each to-do with the lines of the front matter where it stands."""
    begin = next(at for at, line in enumerate(document.lines[: document.body]) if line.startswith("todos:"))
    starts: list[int] = []
    margin: str | None = None
    end = document.body - 1
    for at in range(begin + 1, document.body - 1):
        found = re.match(r"^(\s*)- ", document.lines[at])
        if found and (margin is None or found[1] == margin):
            margin = found[1]
            starts.append(at)
        elif starts and re.match(r"^[A-Za-z]", document.lines[at]):
            end = at
            break
    spans = [*zip(starts, [*starts[1:], end], strict=True)]
    for place, todo in enumerate(todos):
        first, after = spans[place] if len(spans) == len(todos) else (begin, begin + 1)
        yield todo, first + 1, max(after, first + 1)


def _short(text: str) -> str:
    """The title of a to-do: its first sentence or clause, at most 100 characters."""
    head = re.split(r"\s[\u2013\u2014]\s|(?<=[a-z)])\.\s", text, maxsplit=1)[0]
    return head if len(head) <= 100 else head[:97].rstrip() + "…"


def _leave_out(draft: Draft) -> None:
    """The text without the to-dos that are done, and without the dependencies on them."""
    done = [phase for phase in draft.phases if phase.is_done]
    lines = {at for phase in done for at in range(phase.line, phase.end_line + 1)}
    ids = {str(todo.get("id")) for todo in _todos(draft.document) if str(todo.get("status", "")).lower() in _DONE}
    kept = [
        line
        for at, line in enumerate(draft.document.lines, start=1)
        if at not in lines and not (at <= draft.document.body and line.strip().startswith("- ") and line.strip()[2:].strip("\"' ") in ids)
    ]
    draft.without_done = "\n".join(kept)


def _details(draft: Draft) -> None:
    """The section of the body that carries a to-do's number (“TASK-008”) in its heading goes to the agent with it."""
    for phase in draft.phases:
        tag = re.match(r"[A-Z]{2,}-\d+[a-z]?\b", phase.title)
        section = next((other for other in draft.document.sections if tag and tag[0] in other.title.split(":")[0].split()), None)
        if section is not None:
            phase.preface = draft.document.text_between(section.line, section.end_line)
