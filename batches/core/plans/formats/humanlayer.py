"""HumanLayer plans: phases with “Changes Required” and success criteria, divided into automated and manual verification."""

import re

from batches.core.plans.formats.document import Document, Section, folded, phase_of
from batches.core.plans.formats.draft import Draft
from batches.core.plans.formats.roles import PhaseReader, Role, final_checks
from batches.core.plans.types import GateText, PlanReading

NAME = "HumanLayer"
SIGN = re.compile(r"^(?:#{2,6} |\*\*)Automated Verification", re.MULTILINE | re.IGNORECASE)
_CHANGE = re.compile(r"^(?:\d+(?:\.\d+)*[a-z]?[.)]?|[A-Z]\.)\s+\S")
_ROLES = {"overview": Role.GOAL, "changes required": Role.STEPS, "changes": Role.DETAIL, "file": Role.FILES, "success criteria": Role.GATES}


def recognise(document: Document) -> bool:
    """Whether a phase has automated verification."""
    return any(
        folded(part.title) == "automated verification" or "utomated Verification" in document.text for part in document.sections
    ) and bool(_phases(document))


def read(document: Document) -> PlanReading:
    """The plan: the phases one after the other, because each ends with a person's confirmation."""
    draft = Draft(document, NAME, order="one after the other, because a person confirms each phase")
    for section in _phases(document):
        heading = phase_of(section.title)
        phase = draft.phase(heading.key if heading else "", heading.title if heading else section.title, section.line, section.end_line)
        reader = _Reader(draft, phase, _ROLES, heading_role=_heading_role, details_follow=True)
        reader.read(section)
    final_checks(draft)
    return draft.finish()


class _Reader(PhaseReader):
    """Marks each gate of manual verification as such, so that no command in it stands for the person."""

    def read(self, section: Section, include_heading: bool = False) -> None:
        before = len(self.phase.gates)
        super().read(section, include_heading)
        if folded(section.title).startswith("manual"):
            self.phase.gates[before:] = [
                GateText(gate.text if gate.text.lower().startswith("manual") else f"Manual: {gate.text}", gate.checked, gate.line)
                for gate in self.phase.gates[before:]
            ]


def _phases(document: Document) -> list[Section]:
    found = [section for section in document.sections if phase_of(section.title)]
    level = min((section.level for section in found), default=0)
    return [section for section in found if section.level == level]


def _heading_role(section: Section) -> Role | None:
    return Role.STEP if _CHANGE.match(section.title) else None
