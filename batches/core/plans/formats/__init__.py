"""Readers of the documents that other tools write. Each is a module of its own, chosen by the document's content."""

from collections.abc import Callable, Sequence

from batches.core.plans.types import PlanReading

Reader = Callable[[str], PlanReading]
"""Reads the text of a document (as `read_source` passes it) whole: plan, issues, accounting and format."""

Detector = Callable[[str], Reader | None]
"""Looks at the text of a document; gives the reader of it, or None if it is not of the detector's format."""

DETECTORS: Sequence[Detector] = ()
"""In the order in which they are asked; the surest signs first."""


def detect(text: str) -> Reader | None:
    """The reader of another tool's format that fits this document; None for our own format and for unknown ones."""
    return next((reader for detector in DETECTORS if (reader := detector(text)) is not None), None)
