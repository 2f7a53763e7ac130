"""PRPs: a list of tasks in a code fence, “Task 1: …” with what to create and modify, and checks that hold at the end."""

import re

from batches.core.plans.formats.document import Document, Section, fences_in
from batches.core.plans.formats.draft import Draft
from batches.core.plans.formats.roles import final_checks
from batches.core.plans.types import PlanReading
from batches.core.plans.unread import ReadAs

NAME = "PRP"
SIGN = re.compile(r"^#{1,4} .*\btasks\b.*$", re.MULTILINE | re.IGNORECASE)
_TASK = re.compile(r"Task (?P<key>\d+[a-z]?)\s*(?:[:.-]\s*(?P<title>.*))?$", re.IGNORECASE)  # without a title, the next line is it
_LIST = re.compile(r"\btasks\b", re.IGNORECASE)


def recognise(document: Document) -> bool:
    """Whether a section about tasks lists two of them or more in a code fence, and none stands under a heading."""
    return len(_tasks(document)) > 1 and not any(_TASK.match(section.title) for section in document.sections)


def read(document: Document) -> PlanReading:
    """The plan: a phase for each task, what stands below it as its step, in the order written."""
    draft = Draft(document, NAME, tasks="step")
    for line, end in _tasks(document):
        named = _TASK.match(document.lines[line - 1].strip())
        below = document.text_between(line + 1, end).strip()
        title = (named["title"] if named else "") or ""
        if not title:
            title, _, below = below.partition("\n")
        phase = draft.phase(named["key"] if named else "", title, line, end)
        phase.add_step(f"{title}\n{below}", line, end_line=end)
        draft.account.mark(ReadAs.STEP, line + 1, end)
    draft.title = draft.title or next((section.title for section in document.sections), "PRP")
    final_checks(draft)
    return draft.finish()


def _tasks(document: Document) -> list[tuple[int, int]]:
    """The first and last line (from 1) of each task."""
    found: list[tuple[int, int]] = []
    for section in document.sections:
        for first, last in _fences(document, section) if _LIST.search(section.title) else ():
            starts = [at for at in range(first, last + 1) if _TASK.match(document.lines[at - 1].strip())]
            found += zip(starts, [*(at - 1 for at in starts[1:]), last], strict=False)
    return found


def _fences(document: Document, section: Section) -> list[tuple[int, int]]:
    """The lines inside the fences of a section, of those that have some."""
    inside = ((fence.start + 2, fence.end - 1) for fence in fences_in(section.blocks) if fence.kind == "fence")
    return [(first, last) for first, last in inside if first <= last]
