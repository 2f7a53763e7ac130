"""Readers of the documents that other tools write. Each is a module of its own, chosen by the document's content."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from batches.core.plans.formats import (
    agent_os,
    bmad,
    ccpm,
    conductor,
    cursor,
    gsd,
    humanlayer,
    kiro,
    openspec,
    outline,
    prp,
    ralph,
    spec_kit,
    superpowers,
    task_file,
    task_list,
    task_master,
    task_master_text,
)
from batches.core.plans.formats.document import Document, phase_of
from batches.core.plans.labels import Field, field_named
from batches.core.plans.types import PlanReading

Reader = Callable[[str], PlanReading]
"""Reads the text of a document (as `read_source` passes it) whole: plan, issues, accounting and format."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its name, a sign that every such document shows (cheap to look for), whether a document is one, and its reader."""

    name: str
    sign: re.Pattern[str]
    recognise: Callable[[Document], bool]
    read: Callable[[Document], PlanReading]


_MODULES = (
    task_master,
    task_master_text,
    cursor,
    spec_kit,
    superpowers,
    humanlayer,
    gsd,
    ccpm,
    task_file,
    bmad,
    kiro,
    openspec,
    agent_os,
    conductor,
    ralph,
    prp,
    outline,
    task_list,
)
FORMATS: Sequence[Format] = tuple(Format(module.NAME, module.SIGN, module.recognise, module.read) for module in _MODULES)
"""In the order in which they are asked; the surest signs first."""


MAX_MARKDOWN = 512 * 1024  # characters; no tool writes a longer plan in markdown, and looking for a format costs a reading of it
_HEAD = 40_000  # characters in which a document shows that it is of our own format
_HEADING = re.compile(r"^#{1,6}[ \t]+(?P<text>.+)$", re.MULTILINE)
_DRESS = re.compile(
    r"^ {0,3}(?P<mark>#{1,6}[ \t])(?:[^\w\n`~\[(<#\"'.-]{1,20}(?=[\w\[]))?(?:\[(?P<linked>[^\[\]\n]+)\]\([^()\s]*\))?"
    r"|^(?P<indent>[ \t]*)[-*+][ \t]+(?:(?P<box>\[[^\]\n]\])[ \t]+)?(?=\S)",
    re.MULTILINE,
)
_NAME = r"(?P<name>[A-Z][A-Za-z/& ]{2,30}?|[a-z][a-z/& ]{2,30}?(?=:))"
_FIELD = re.compile(rf"^[ \t]*(?:[-*+][ \t]+|#{{2,6}}[ \t]+|\|[ \t]*)?(?:\*\*|__)?{_NAME}(?:\*\*|__)?[ \t]*(?::|\||$)", re.MULTILINE)
_OURS = frozenset({Field.HOURS, Field.COMPLEXITY, Field.FILES, Field.DEPENDENCIES})


def is_ours(text: str) -> bool:
    """Whether the first phase that has any field has three of the fields that only our own format knows together."""
    head = text[:_HEAD]
    headings = list(_HEADING.finditer(head))
    for at, heading in enumerate(headings):
        if phase_of(heading["text"]) is None:
            continue
        level = heading[0].index(" ") if " " in heading[0] else 1
        end = next((other.start() for other in headings[at + 1 :] if (other[0] + " ").index(" ") <= level), len(head))
        named = _our_fields(head[heading.end() : end])
        if len(named) > 2:
            return True
        if named and at > 50:
            break
    return False


def _our_fields(text: str) -> set[Field]:
    """Which of the fields that only our own format knows together are named in the text."""
    return {named for found in _FIELD.finditer(text) if (named := field_named(found["name"])) in _OURS and named is not None}


def _undressed(found: re.Match[str]) -> str:
    """A heading without emphasis, symbols and a link before its words, or a bullet as “- ”: as the signs of the formats are written."""
    if found["mark"]:
        return f"{found['mark']}{found['linked'] or ''}"
    return f"{found['indent']}- {found['box']} " if found["box"] else f"{found['indent']}- "


def detect(text: str) -> Reader | None:
    """The reader of another tool's format that fits this document; None for our own format and for unknown ones."""
    is_json = text.lstrip()[:1] in ("{", "[")
    if not is_json and (len(text) > MAX_MARKDOWN or is_ours(text)):
        return None
    document: Document | None = None
    shown = text if is_json else _DRESS.sub(_undressed, text)
    for known in FORMATS:
        if known.read is task_list.read and len(_our_fields(text)) > 1:
            continue  # a plan of ours whose headings of phases are lost: its own reader says so; its boxes are gates, not tasks
        if known.sign.search(shown):
            document = document or Document(text)
            if known.recognise(document):
                read, found = known.read, document
                return lambda _: read(found)
    return None
