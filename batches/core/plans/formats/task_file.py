"""One task in a file of its own, as Backlog.md writes it: its state in the front matter, a description, and criteria of acceptance."""

import re

from batches.core.plans.formats.ccpm import read_task
from batches.core.plans.formats.document import Document, folded
from batches.core.plans.types import PlanReading

NAME = "task file"
SIGN = re.compile(r"^status[ \t]*:", re.MULTILINE)
_PARTS = frozenset({"description", "acceptance criteria", "checklist", "implementation plan", "definition of done", "tasks"})


def recognise(document: Document) -> bool:
    """Whether the front matter has a state and a name, and two sections say what to do and what must be true then."""
    named = "status" in document.meta and bool({"id", "title", "name"} & document.meta.keys())
    return named and len(_PARTS & {folded(section.title) for section in document.sections}) > 1


def read(document: Document) -> PlanReading:
    """The plan: one phase."""
    return read_task(document, NAME)
