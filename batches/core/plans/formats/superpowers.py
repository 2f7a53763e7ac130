"""Superpowers plans: “### Task N: Name” with files to create and modify, and steps that each do one thing.

A test run that is expected to pass is a step, and a gate too: its command must still pass when the task is done.
"""

import re

from batches.core.plans.formats.document import Document, Section
from batches.core.plans.formats.draft import Draft, DraftPhase
from batches.core.plans.formats.roles import PhaseReader, Role
from batches.core.plans.types import PlanReading
from batches.core.plans.unread import ReadAs

NAME = "Superpowers"
SIGN = re.compile(r"^#{2,4} Task #?\d+", re.MULTILINE | re.IGNORECASE)
_TASK = re.compile(r"^Task\s+#?(?P<key>\d+(?:\.\d+)?[a-z]?)\s*(?:[:.\u2013\u2014]|-(?=\s))\s*(?P<title>.*)$", re.IGNORECASE)
_STEP = re.compile(r"^[ \t]*(?:[-*] \[[ xX]\] )?\**Step \d+[a-z]?\b", re.MULTILINE)
_RUN = re.compile(
    r"^[ \t]*(?:\*\*)?Run(?:\*\*)?:(?:\*\*)?\s*`(?P<command>[^`\n]+)`[^\n]*\n(?:[ \t]*\n){0,3}"
    r"[ \t]*(?:\*\*)?Expected(?:\*\*)?:(?:\*\*)?\s*(?P<expected>[^\n]+)",
    re.MULTILINE,
)
_PASSES = re.compile(r"\bpass(?:es|ed|ing)?\b", re.IGNORECASE)
_FAILS = re.compile(r"\bfail", re.IGNORECASE)
_CHECKS = re.compile(r"verif|check-?list|acceptance|success|definition of done|final", re.IGNORECASE)
_ROLES = {
    "files": Role.FILES,
    "commit": Role.DETAIL,
    "run": Role.DETAIL,
    "expected": Role.DETAIL,
    "test": Role.DETAIL,
    "verify": Role.DETAIL,
}


def recognise(document: Document) -> bool:
    """Whether there are tasks under headings of their own, with numbered steps or the header that names the skill."""
    return bool(_task_sections(document)) and (bool(_STEP.search(document.text)) or "superpowers:" in document.text)


def read(document: Document) -> PlanReading:
    """The plan: a phase for each task. A task that only contains other tasks is read with each of them."""
    draft = Draft(document, NAME)
    for section in _task_sections(document):
        named = _TASK.match(section.title)
        parts = [part for part in section.sections if _TASK.match(part.title)]
        own_end = parts[0].line - 1 if parts else section.end_line
        if parts and not _STEP.search(document.text_between(section.line, own_end)):
            draft.account.mark(ReadAs.OVERVIEW, section.line, own_end)
            continue
        phase = draft.phase(named["key"] if named else "", named["title"] if named else section.title, section.line, own_end)
        above = next(
            (outer for outer in document.sections if outer is not section and section in outer.sections and _TASK.match(outer.title)), None
        )
        if above is not None:
            phase.preface = document.text_between(above.line, next(part.line for part in above.sections) - 1)
        reader = PhaseReader(draft, phase, _ROLES, heading_role=_heading_role, details_follow=True)
        reader.blocks(section.blocks)
        for below in section.sections:
            if below not in parts:
                reader.read(below, include_heading=True)
        _runs(draft, phase)
    _checklists(draft)
    return draft.finish()


def _task_sections(document: Document) -> list[Section]:
    return [section for section in document.sections if _TASK.match(section.title)]


def _heading_role(section: Section) -> Role | None:
    return Role.STEP if re.match(r"step\s+\d", section.title, re.IGNORECASE) else None


def _runs(draft: Draft, phase: DraftPhase) -> None:
    """Gates from the commands of a task that are expected to pass."""
    text = draft.document.text_between(phase.line, phase.end_line)
    for found in _RUN.finditer(text):
        expected = " ".join(found["expected"].replace("**", "").split())
        if _PASSES.search(expected) and not _FAILS.search(expected):
            line = phase.line + text.count("\n", 0, found.start("command"))
            gate = f"`{found['command']}` passes (expected: {expected})"
            if all(gate != other.text for other in phase.gates):
                phase.add_gate(gate, line)
                draft.account.mark(ReadAs.GATE, line, phase.line + text.count("\n", 0, found.start("expected")))


def _checklists(draft: Draft) -> None:
    """A list of checks below the tasks is what must be true at the end: gates of the last task."""
    if not draft.phases:
        return
    last = max(draft.phases, key=lambda phase: phase.line)
    for section in draft.document.sections:
        if section.line > last.line and not _TASK.match(section.title) and _CHECKS.search(section.title):
            for item in draft.document.items_in(section):
                if item.has_box and not draft.account.is_marked(item.line):
                    draft.gate(last, item)
