"""Agent OS, `tasks.md` of a spec: numbered check-boxes below “Tasks”; the last part of a task verifies that all tests pass."""

import re

from batches.core.plans.formats.checklist import numbered, read_checklist
from batches.core.plans.formats.document import Document
from batches.core.plans.types import PlanReading

NAME = "Agent OS"
SIGN = re.compile(r"^\s*[-*] \[[ xX]\] (?:\*\*)?\d+[. ]|^\d+[.)] +\S.*\n(?:[ \t]*\n)?[ \t]+[-*] \[[ xX]\] ", re.MULTILINE)


def recognise(document: Document) -> bool:
    """Whether top-level boxes have whole numbers. Nothing else is asked: other tools that number so mean the same."""
    return numbered(document) >= 2 or bool(numbered(document) and re.search(r"spec tasks|agent[- ]os", document.text, re.IGNORECASE))


def read(document: Document) -> PlanReading:
    """The plan: a phase for each top-level task."""
    return read_checklist(document, NAME)
