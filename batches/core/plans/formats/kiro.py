"""Kiro, `tasks.md`: numbered check-boxes with references to requirements. A star after a box marks an optional task."""

import re

from batches.core.plans.formats.checklist import numbered, read_checklist
from batches.core.plans.formats.document import Document
from batches.core.plans.types import PlanReading

NAME = "Kiro"
SIGN = re.compile(r"^\s*[-*] \[[ xX~-]\](?:\s?\\?\*)? (?:\*\*)?\d+[. ]", re.MULTILINE)
_REQUIREMENTS = re.compile(r"_Requirements?\s*:|\*\*Validates: Requirements|_Validates\s*:", re.IGNORECASE)


def recognise(document: Document) -> bool:
    """Whether the boxes are numbered and refer to requirements, or stand below “Implementation Plan”."""
    if not numbered(document):
        return False
    titled = re.match(r"implementation plan\b", document.title, re.IGNORECASE) and not re.search(
        r"^#+ .*\bphase\b", document.text, re.I | re.M
    )
    return bool(_REQUIREMENTS.search(document.text) or titled)


def read(document: Document) -> PlanReading:
    """The plan: a phase for each top-level task."""
    return read_checklist(document, NAME)
