"""Find the sections of a document that are phases, and the fields written in each. Their meaning is read elsewhere."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field

from batches.core.plans.blocks import MarkdownBlock, TooIntricate, nested_fences, read_blocks
from batches.core.plans.labels import PhaseHeading, field_named, phase_heading
from batches.core.plans.order import ABOUT_ORDER
from batches.core.plans.section_fields import CHECKBOX, MARKER, FieldOccurrence, ListEntry, Section, SectionReader

__all__ = ["MAX_PHASES", "Document", "FieldOccurrence", "ListEntry", "Section", "read_document"]

MAX_PHASES = 25_000
_HEADING_IN_FENCE = re.compile(r"^[ >]{0,8}#{1,6}[ \t]+(.*)$")
_BULLET_PHASE = re.compile(r"^(?:\[[ xX]\]\s*)?\**phase\s", re.IGNORECASE)


@dataclass(slots=True)
class Document:
    """A document's title, its phase sections in order, and the problems of its structure."""

    title: str = ""
    sections: list[Section] = dataclass_field(default_factory=list)
    bad_keys: list[Section] = dataclass_field(default_factory=list)
    duplicates: list[Section] = dataclass_field(default_factory=list)  # complete phases with the key of another phase
    unread: list[Section] = dataclass_field(default_factory=list)  # sections with fields, or phase headings, that are no phases
    containers: list[tuple[Section, list[str]]] = dataclass_field(default_factory=list)  # phases of parts only, and the parts' keys
    title_line: tuple[int, int] = (0, 0)
    about_order: list[tuple[int, int]] = dataclass_field(default_factory=list)  # first and last lines of sections about order
    fenced_headings: list[int] = dataclass_field(default_factory=list)
    unclosed_fence: int = 0
    too_many_at: int = 0  # the line of the first phase heading above the limit
    stopped_at: int = 0  # the line where reading stopped because the document is too intricate


def _extends(key: str, parent: str) -> bool:
    """Whether a key such as 2.1A names a part of phase 2. Phase 10 is no part of phase 1."""
    rest = key[len(parent) :]
    return bool(rest) and key.lower().startswith(parent.lower()) and not (rest[0].isdigit() and parent[-1:].isdigit())


def _blocks(lines: Sequence[str], document: Document) -> Iterator[MarkdownBlock]:
    try:
        yield from read_blocks(lines)
    except TooIntricate as stopped:
        document.stopped_at = stopped.line + 1


class _Sections:
    """The sections that are open while the blocks of a document are read, the innermost last."""

    def __init__(self, document: Document, lines: Sequence[str]) -> None:
        self.document, self.lines = document, lines
        self.open: list[Section] = []
        self.phases: list[Section] = []
        self.candidates = 0
        self.strong = 0  # of them, with “Phase KEY” and a colon or nothing after it
        self.heading_of: dict[int, MarkdownBlock] = {}  # of weak sections, by line

    def end_above(self, level: int, line: int) -> None:
        """Close the sections that a heading of `level` on `line` ends."""
        while self.open and self.open[-1].level >= level:
            self.close(line - 1)

    def close(self, last_line: int) -> None:
        """Read the innermost section, which ends on `last_line`, and decide what it is."""
        section = self.open.pop()
        section.last_line = max(section.last_line, last_line)
        if section.blocks:
            SectionReader(section, self.lines).walk(section.blocks)
        if section.heading.weak and len(section.required()) < 2:
            self._no_phase(section)
            return
        section.blocks = []
        if not section.heading.key:
            self.document.unread.append(section)
        elif section.heading.bad_key:
            self.document.bad_keys.append(section)
        else:
            self.phases.append(section)

    def _no_phase(self, section: Section) -> None:
        """A weak heading without fields: its blocks belong to the section around it."""
        if not section.heading.key and ABOUT_ORDER.search(section.heading.title):
            self.document.about_order.append((section.end_line + 1, section.last_line))
        around = self.open[-1] if self.open else None
        if around is not None and around.heading.key:
            around.blocks += [self.heading_of[section.line], *section.blocks]
        elif section.heading.says_phase and section.heading.key and section.occurrences:
            section.blocks = []
            self.document.unread.append(section)

    def start(self, heading: PhaseHeading, block: MarkdownBlock) -> None:
        """Open a section at a heading."""
        section = Section(heading, block.level, block.start + 1, block.end)
        if heading.weak:
            self.heading_of[section.line] = block
        self.open.append(section)


def read_document(lines: Sequence[str]) -> Document:
    """Find the phases in the lines of a document."""
    document = Document()
    lines = nested_fences(lines) if any("```m" in line for line in lines) else lines
    sections = _Sections(document, lines)
    top_lists: list[MarkdownBlock] = []
    for block in _blocks(lines, document):
        if block.kind == "fence":
            if not block.closed:
                document.unclosed_fence = block.start + 1
            for at in range(block.start + 1, block.end):
                in_fence = _HEADING_IN_FENCE.match(lines[at])
                heading = phase_heading(in_fence[1]) if in_fence else None
                if heading is not None and not (heading.weak or heading.bad_key):
                    document.fenced_headings.append(at + 1)
        if block.kind == "heading":
            sections.end_above(block.level, block.start + 1)
            around = sections.open[-1] if sections.open else None
            heading = _opens(block, around)
            if around is None and block.level == 1 and not document.title and (heading is None or heading.weak):
                document.title = " ".join(block.text.replace("**", "").split())
                document.title_line = (block.start + 1, block.end)
                continue
            if heading is not None and heading.key:
                if sections.candidates == MAX_PHASES:
                    document.too_many_at = block.start + 1
                    break
                sections.candidates += 1
                sections.strong += not heading.weak
                sections.start(heading, block)
                continue
            if heading is not None:
                sections.start(heading, block)
                continue
        if sections.open:
            sections.open[-1].blocks.append(block)
        if block.kind == "list" and not sections.strong:
            top_lists.append(block)
    while sections.open:
        sections.close(document.too_many_at - 1 if document.too_many_at else len(lines))
    kept = sections.phases
    if not any(section.heading.says_phase for section in kept):
        # “Step 1”, “Feature 2” are phases beside others that say so; alone they may be anything, and the reader asks.
        document.unread += kept
        kept = _bullet_phases(top_lists, lines) if not sections.strong else []
    kept.sort(key=lambda section: section.line)
    document.unread.sort(key=lambda section: section.line)
    document.sections = _without_containers(document, kept)
    return document


def _opens(block: MarkdownBlock, around: Section | None) -> PhaseHeading | None:
    """The heading of the section that a heading block opens: of a phase, or without a key; None for a part of `around`."""
    heading = phase_heading(block.text)
    in_phase = around is not None and bool(around.heading.key) and around.heading.says_phase
    if heading is not None and in_phase and around is not None:
        if not heading.says_phase:
            return None
        if _extends(heading.key, around.heading.key) and not heading.weak:
            return replace(heading, weak=True)
    if heading is not None:
        return heading
    if (around is not None and around.heading.key) or (around is not None and field_named(block.text) is not None):
        return None
    return PhaseHeading("", " ".join(block.text.replace("**", "").split()), weak=True, says_phase=False)


def _without_containers(document: Document, sections: list[Section]) -> list[Section]:
    """`sections` without a level-1 heading that only contains the others: that heading is the document's title."""
    if len(sections) > 1 and sections[0].level == 1 and not sections[0].occurrences and all(other.level > 1 for other in sections[1:]):
        if not document.title:
            document.title = f"Phase {sections[0].heading.key}: {sections[0].heading.title}"
        return sections[1:]
    return sections


def _bullet_phases(lists: Iterable[MarkdownBlock], lines: Sequence[str]) -> list[Section]:
    """Phases written as a list (“- Phase 0: Spike”), in a document without any phase heading.

    There must be at least two, and each item of the list must be a phase with content. Otherwise the list only mentions phases.
    """
    sections: list[Section] = []
    for block in lists:
        items = block.items or []
        if not all(
            len(item.blocks) > 1 and item.blocks[0].kind == "paragraph" and _BULLET_PHASE.match(item.blocks[0].text) for item in items
        ):
            continue
        for item in items:
            head, _, rest = CHECKBOX.sub("", item.blocks[0].text).partition("\n")
            heading = phase_heading(head)
            if heading is None or heading.weak or heading.bad_key or not heading.title:
                continue
            marker = MARKER.match(lines[item.start])
            section = Section(heading, 6, item.start + 1, item.start + 1, marker.end() if marker else 2)
            reader = SectionReader(section, lines)
            if rest:
                reader._paragraph(rest, item.start + 2)
            reader.walk(item.blocks[1:])
            section.last_line = item.end
            sections.append(section)
    return sections if len(sections) > 1 else []
