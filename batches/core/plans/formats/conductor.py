"""Conductor, a track's `plan.md`: phases of “Task: …” boxes with sub-tasks; checkpoints and commits in brackets after titles."""

import re

from batches.core.plans.formats.document import Document, Section, phase_of
from batches.core.plans.formats.draft import Draft
from batches.core.plans.formats.roles import PhaseReader, final_checks
from batches.core.plans.types import GateText, PlanReading

NAME = "Conductor"
SIGN = re.compile(r"^#{2,3} Phase\b", re.MULTILINE)
_CHECKPOINT = re.compile(r"\s*\[checkpoint:[^\]]*\]", re.IGNORECASE)
_COMMIT = re.compile(r"\s*[\[(]?\b[0-9a-f]{7,40}\b[\])]?\s*$")
_MANUAL = re.compile(r"Conductor - (?:User )?(?:Manual|Automated) Verification", re.IGNORECASE)
_TASK = re.compile(r"^(?:\*\*)?(?:Sub-?)?Task:\s*", re.IGNORECASE)


def recognise(document: Document) -> bool:
    """Whether all phases consist of boxes alone, below a title such as “Implementation Plan: …”, or of “Task: …” boxes."""
    phases = _phases(document)
    if not phases:
        return False
    items = [item for section in phases for item in document.items_in(section, deep=True)]
    boxes = [item for item in items if item.has_box]
    if any(_TASK.match(item.text) for item in boxes) or _MANUAL.search(document.text):
        return True
    only_boxes = len(boxes) == len(items) > 0 and all(block.kind in ("list", "rule") for section in phases for block in section.blocks)
    return only_boxes and bool(re.match(r"(?:implementation\s+)?plan\b|track\b", document.title, re.IGNORECASE))


def read(document: Document) -> PlanReading:
    """The plan: the phases as written; a verification by the user is a gate that a person decides."""
    draft = Draft(document, NAME, tasks="task")
    for section in _phases(document):
        heading = phase_of(_CHECKPOINT.sub("", section.title))
        phase = draft.phase(heading.key if heading else "", heading.title if heading else section.title, section.line, section.end_line)
        PhaseReader(draft, phase, {}, as_gate=lambda title: bool(_MANUAL.search(title))).read(section)
        for step in phase.steps:
            step.text = _plain(step.text)
        phase.gates = [GateText(_gate(gate.text), gate.checked, gate.line) for gate in phase.gates]
    final_checks(draft)
    return draft.finish()


def _phases(document: Document) -> list[Section]:
    return [section for section in document.sections if phase_of(_CHECKPOINT.sub("", section.title))]


def _plain(text: str) -> str:
    """A task without the word “Task:” and without the commit that Conductor notes after it."""
    head, newline, rest = text.partition("\n")
    parts = [_COMMIT.sub("", _TASK.sub("", part)) for part in re.split(r": (?=(?:Sub-?)?Task: )", head, flags=re.IGNORECASE)]
    return ": ".join(parts) + newline + rest


def _gate(text: str) -> str:
    named = re.search(r"(?P<how>Manual|Automated) Verification\s*['\u2018\u201c\"](?P<phase>[^'\u2019\u201d\"]+)", text, re.IGNORECASE)
    return f"{named['how']} verification of {named['phase']} (protocol in workflow.md)" if named else _plain(text)
