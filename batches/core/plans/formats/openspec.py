"""OpenSpec, a change's `tasks.md` (“## 1. Group” with “- [ ] 1.1 Task”) and its `proposal.md` (Why, What Changes, Impact)."""

import re

from batches.core.plans.formats.checklist import NUMBER
from batches.core.plans.formats.document import Document, Item, Section, folded, one_line, phase_of
from batches.core.plans.formats.draft import Draft, assumed_files, step_text
from batches.core.plans.formats.roles import final_checks
from batches.core.plans.types import PlanReading
from batches.core.plans.unread import ReadAs

NAME = "OpenSpec"
SIGN = re.compile(r"^## \d+\. |^#{1,3} (?:What Changes|Why|(?:Change )?Proposal)\b", re.MULTILINE)
_GROUP = re.compile(r"^(?P<number>\d+)\.\s+(?P<title>.*)$")


_WHY = frozenset({"why", "motivation"})
_WHAT = frozenset({"what changes", "proposal", "what"})
_TITLED = re.compile(r"^(?:change(?: proposal)?|proposal)\s*:\s*", re.IGNORECASE)
# In a document that calls itself a proposal:
_ALSO_WHY = frozenset({"goal", "problem", "problem statement", "summary", "context", "background", "intent"})
_ALSO_WHAT = frozenset({"changes", "proposed changes", "proposed solution", "solution", "implementation approach"})


def recognise(document: Document) -> bool:
    """Whether it is a list of groups with numbered boxes, or a proposal."""
    return bool(_groups(document)) or _is_proposal(document)


def read(document: Document) -> PlanReading:
    """The plan: one phase for each group of tasks; of a proposal one phase, whose steps are what changes."""
    return _read_tasks(document) if _groups(document) else _read_proposal(document)


def _groups(document: Document) -> list[Section]:
    return [
        section
        for section in document.sections
        if _GROUP.match(section.title) and any(item.has_box and NUMBER.match(item.text) for item in document.items_in(section, deep=True))
    ]


def _read_tasks(document: Document) -> PlanReading:
    draft = Draft(document, NAME, title=document.title or "OpenSpec change", tasks="task")
    for section in _groups(document):
        named = _GROUP.match(section.title)
        phase = draft.phase(named["number"] if named else "", named["title"] if named else section.title, section.line, section.end_line)
        for item in document.items_in(section, deep=True):
            if item.has_box:
                leaves = [below for below in item.walk() if below.has_box and not any(other.has_box for other in below.items)]
                for leaf in leaves:
                    text = one_line(NUMBER.sub("", leaf.text, count=1)) + (f"\n{leaf.below}" if leaf.below else "")
                    draft.step(phase, leaf, text if leaf is item else f"{one_line(NUMBER.sub('', item.text, count=1))}: {text}")
                for below in item.walk():  # the heads of the leaves
                    draft.account.mark(ReadAs.STEP, below.line)
    final_checks(draft)
    return draft.finish()


def _is_proposal(document: Document) -> bool:
    names = {folded(section.title) for section in document.sections}
    why, what = _reasons_and_changes(document)
    return bool(names & what and names & why) and not any(phase_of(section.title) for section in document.sections)


def _reasons_and_changes(document: Document) -> tuple[frozenset[str], frozenset[str]]:
    """The headings of a proposal that say why, and those that say what changes: the first of these kinds that the document has."""
    if not _TITLED.match(document.title):
        return _WHY, _WHAT
    names = [folded(section.title) for section in document.sections]
    why = next((name for name in names if name in _WHY), None) or next((name for name in names if name in _ALSO_WHY), "")
    what = next((name for name in names if name in _WHAT), None) or next((name for name in names if name in _ALSO_WHAT), "")
    return frozenset({why}), frozenset({what})


def _read_proposal(document: Document) -> PlanReading:
    titled = _TITLED.sub("", document.title)
    why, what = _reasons_and_changes(document)
    draft = Draft(document, NAME, tasks="change")
    title = titled if titled and titled.lower() not in ("proposal", "change proposal") else "OpenSpec change"
    phase = draft.phase("1", title, 0, 0)
    phase.line = document.body + 1
    phase.end_line = len(document.lines)
    for section in document.sections:
        name = folded(section.title)
        if name in why:
            first = next((block for block in section.blocks if block.kind == "paragraph"), None)
            phase.goal = first.text if first else ""
            draft.account.mark(ReadAs.FIELD, section.line, section.end_line)
        elif name in what:
            draft.account.mark(ReadAs.FIELD, section.line)
            for item in document.items_in(section, deep=True):
                draft.step(phase, item)
            if not phase.steps:
                for block in section.blocks:
                    if block.kind == "paragraph":
                        phase.add_step(" ".join(block.text.split()), block.start + 1)
                        draft.account.mark(ReadAs.STEP, block.start + 1, block.end)
        elif name == "impact":
            items = document.items_in(section, deep=True)
            phase.files += assumed_files(step_text(item) for item in items if _is_code(item))
            for item in items:
                draft.account.mark(ReadAs.FILES if _is_code(item) else ReadAs.NOTES, item.line, item.end_line)
        elif name in ("tasks", "implementation tasks"):
            for item in document.items_in(section, deep=True):
                if item.has_box:
                    draft.step(phase, item)
    draft.order = "from “What Changes”"
    return draft.finish()


def _is_code(item: Item) -> bool:
    """Whether an item of Impact names code; its specs are documents of OpenSpec, not files that the work changes."""
    return not re.match(r"\**(?:affected\s+)?(?:specs?|capabilit)", item.text, re.IGNORECASE)
