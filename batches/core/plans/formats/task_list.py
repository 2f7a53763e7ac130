"""Lists of check-boxes without numbers, as in the text of a GitHub issue: each heading with boxes is a phase, its boxes the steps."""

import re

from batches.core.plans.formats.document import Document, Section, folded
from batches.core.plans.formats.draft import Draft
from batches.core.plans.formats.roles import PhaseReader, Role, role_of
from batches.core.plans.types import PlanReading
from batches.core.plans.unread import ReadAs

NAME = "task list"
SIGN = re.compile(r"^\s*[-*+] \[[ xX]\] ", re.MULTILINE)
_NUMBERED = re.compile(r"^(?:[A-Za-z]{1,8}[- ]?)?\d+(?:\.\d+)*\s*[:.)\u2013\u2014-]")
_LATER = re.compile(
    r"\b(?:future|later|backlog|out of scope|non-goals|nice[- ]to[- ]haves?|stretch goals?|deferred|parking lot|won't)\b", re.IGNORECASE
)
_RECORD = re.compile(
    r"^(?:completed|done|finished|changelog|change log|file list|checklist before|before (?:you )?submit|contributor)", re.IGNORECASE
)


def recognise(document: Document) -> bool:
    """Whether there are two or more boxes outside quotes and fences that say what to do, and no phases."""
    if re.search(r"^#{1,6} .*\bphase[ \t]+\S", document.text, re.MULTILINE | re.IGNORECASE):
        return False
    items = [item for section in (document.root, *document.sections) for item in document.items_in(section)]
    boxes = sum(item.has_box for item in items)
    if len(items) > 2 * boxes or _other_work(document):  # the lists without boxes say more than the boxes
        return False
    return sum(item.has_box for section in _work(document) for item in document.items_in(section)) > 1


def _other_work(document: Document) -> bool:
    """Whether headings with a number (“W-1: …”) hold lists without boxes: work that the boxes elsewhere do not cover."""
    return any(
        _NUMBERED.match(section.title) and not any(item.has_box for item in document.items_in(section)) and document.items_in(section)
        for section in document.sections
    )


def read(document: Document) -> PlanReading:
    """The plan: the headings in the order written. Acceptance criteria and the like are gates of what stands above them."""
    draft = Draft(document, NAME, title=document.title or "Task list", tasks="task")
    for section in _work(document):
        around = _around(document, section)
        named = around if around is not None and role_of(section.title, {}) is Role.STEPS else section  # “Tasks” below “Epic 1”
        phase = draft.phase("", named.title or draft.title, section.line, section.line)
        phase.line, phase.end_line = (section.line, section.end_line) if section.level else (document.body + 1, len(document.lines))
        inner = [other for other in section.walk() if other is not section and other in _work(document)]
        if inner:
            phase.end_line = min(other.line for other in inner) - 1
        for item in document.items_in(section):
            if item.has_box:
                PhaseReader(draft, phase, {}, role=Role.STEPS)._plain_item(item)
    for section in document.sections:
        if _LATER.search(section.title):
            for item in document.items_in(section, deep=True):
                draft.account.because(item.line, "Its heading sets it aside for later.")
    last = draft.phases[-1]
    for section in document.sections:
        if role_of(section.title, {}) is Role.GATES:
            draft.account.mark(ReadAs.FIELD, section.line)
            around = _around(document, section)
            own = [phase for phase in draft.phases if around is not None and around.line <= phase.line < section.line]
            for item in document.items_in(section, deep=True):
                if not draft.account.is_marked(item.line):  # steps may stand below a heading of checks
                    draft.gate(own[-1] if own else last, item)
    return draft.finish()


def _around(document: Document, section: Section) -> Section | None:
    """The heading around a section that is not the document's title; None without one."""
    outer = [one for one in document.sections if section in one.sections and one is not document.title_section]
    return outer[0] if outer else None


def _work(document: Document) -> list[Section]:
    """The sections that have boxes of their own and are no checks, no record of what is done, and not set aside for later."""
    later = [section for section in document.sections if _LATER.search(section.title)]
    return [
        section
        for section in (document.root, *document.sections)
        if any(item.has_box for item in document.items_in(section))
        and role_of(section.title, {}) not in (Role.GATES, Role.DEPENDENCIES, Role.FILES)
        and not _RECORD.match(folded(section.title))
        and not any(section.level and outer.line <= section.line <= outer.end_line for outer in later)
    ]
