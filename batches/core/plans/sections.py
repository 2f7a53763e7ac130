"""Find the sections of a document that are phases, and the fields written in each. Their meaning is read elsewhere."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field

from batches.core.plans.blocks import ListItem, MarkdownBlock, TooIntricate, nested_fences, read_blocks
from batches.core.plans.files import names_no_file
from batches.core.plans.labels import (
    FIELD_OF,
    REQUIRED,
    Field,
    PhaseHeading,
    field_named,
    label_name,
    phase_heading,
    read_label,
)

MAX_PHASES = 25_000
SHELL_LANGUAGES = frozenset({"", "sh", "bash", "shell", "console", "zsh"})
_ADD_UP = frozenset({Field.FILES, Field.STEPS, Field.GATES})
_COLLECTS = frozenset({Field.STEPS, Field.GATES, Field.FILES, Field.DEPENDENCIES})
_NUMBERED_LINE = re.compile(r"^([0-9]{1,6})[.)]\s+(.*)$")
_STEP_HEADING = re.compile(r"(?:step|task)\s+#?(?P<number>[0-9]{1,4})\s*(?:[:.)\u2013\u2014]|-(?=\s))\s*(?P<text>\S.*)", re.IGNORECASE)
_MARKER = re.compile(r"^\s*(?:[-*+]|[0-9]{1,9}[.)])(?:\s+|$)")
_QUOTE = re.compile(r"^(?:\s{0,3}>\s?)+")
_CHECKBOX = re.compile(r"^\[([ xX])\](?:\s+|$)")
_FILE_GROUPS = frozenset(
    {"create", "modify", "delete", "update", "new", "edit", "add", "remove", "created", "modified", "deleted", "updated", "existing"}
)
_HEADING_IN_FENCE = re.compile(r"^[ >]{0,8}#{1,6}[ \t]+(.*)$")
_SECOND_LABEL = re.compile(r"\s*(?:[|\u00b7\u2022;]\s*|\s)(?=\*\*[A-Z][^*\n]{1,40}(?:\*\*\s*:|:\s*\*\*))")
_BULLET_PHASE = re.compile(r"^(?:\[[ xX]\]\s*)?\**phase\s", re.IGNORECASE)


@dataclass(slots=True)
class ListEntry:
    """One item of a list: its text without command fences, the commands in them, its box, line (from 1) and written number."""

    text: str
    line: int
    commands: tuple[str, ...] = ()
    box: bool | None = None
    number: int | None = None
    heading: bool = False  # a numbered sub-heading; the blocks below belong to it
    loose: bool = False  # read from a line of a paragraph: in CommonMark only a 1 opens a list directly below text


@dataclass(slots=True)
class FieldOccurrence:
    """One occurrence of a field: its name as written, its line, the text after its label, and the items below."""

    field: Field
    name: str
    line: int
    inline: str = ""
    entries: list[ListEntry] = dataclass_field(default_factory=list)
    texts: list[tuple[int, str]] = dataclass_field(default_factory=list)  # (line, paragraph) below the label
    nested: bool = False  # under a sub-heading that is not a field: it is about a part of the phase
    open_label: bool = False  # an unknown sub-label follows the last item


@dataclass(slots=True)
class Section:
    """A phase heading and the blocks below it. Lines count from 1; `end_line` is the last line of the heading."""

    heading: PhaseHeading
    level: int
    line: int
    end_line: int
    indent: int = 0  # of its content, if the phase is an item of a list
    blocks: list[MarkdownBlock] = dataclass_field(default_factory=list)
    occurrences: list[FieldOccurrence] = dataclass_field(default_factory=list)
    unknown: list[tuple[int, str]] = dataclass_field(default_factory=list)  # (line, label) of unknown fields
    grouped: dict[Field, list[FieldOccurrence]] | None = None  # occurrences by field, built on first use

    def occurrences_of(self, wanted: Field) -> list[FieldOccurrence]:
        """The occurrences of a field that count for the phase.

        An occurrence under another sub-heading (“#### Item 1”) is about a part of the phase and does not count, unless it is the
        only one. Lists of files, steps and gates always count.
        """
        grouped = self.grouped
        if grouped is None:
            grouped = self.grouped = {}
            nested = set()
            for occurrence in self.occurrences:
                grouped.setdefault(occurrence.field, []).append(occurrence)
                if occurrence.nested:
                    nested.add(occurrence.field)
            for field in nested - _ADD_UP:
                of_field = grouped[field]
                direct = [occurrence for occurrence in of_field if not occurrence.nested]
                grouped[field] = direct or (of_field if len(of_field) == 1 else [])
        return grouped.get(wanted, [])

    def required(self) -> set[Field]:
        """The required fields that the section has."""
        return {wanted for wanted in REQUIRED if self.occurrences_of(wanted)}


@dataclass(slots=True)
class Document:
    """A document's title, its phase sections in order, and the problems of its structure."""

    title: str = ""
    sections: list[Section] = dataclass_field(default_factory=list)
    bad_keys: list[Section] = dataclass_field(default_factory=list)
    duplicates: list[Section] = dataclass_field(default_factory=list)  # complete phases with the key of another phase
    fenced_headings: list[int] = dataclass_field(default_factory=list)
    unclosed_fence: int = 0
    too_many_at: int = 0  # the line of the first phase heading above the limit
    stopped_at: int = 0  # the line where reading stopped because the document is too intricate


def _item_text(lines: Sequence[str], item: ListItem, dropped: Iterable[MarkdownBlock]) -> str:
    """An item's source without its marker, indentation and the lines of `dropped` blocks."""
    gone: set[int] = set()
    for block in dropped:
        gone.update(range(block.start, block.end))
    kept: list[str] = []
    width = 0
    for number in range(item.start, min(item.end, len(lines))):
        line = lines[number]
        if line.lstrip().startswith(">"):
            line = _QUOTE.sub("", line)
        if number == item.start:
            marker = _MARKER.match(line)
            width = marker.end() if marker else 0
            if marker and not line[width:].strip():
                width = len(line.rstrip()) + 1
            line = line[width:]
        elif number in gone:
            continue
        else:
            indent = len(line) - len(line.lstrip(" "))
            line = line[min(indent, width) :]
        line = line.rstrip()
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).strip()


def _is_command(block: MarkdownBlock) -> bool:
    language = block.info.split(maxsplit=1)[0].strip("{}.").lower() if block.info else ""
    return block.kind == "fence" and language in SHELL_LANGUAGES


def _command(block: MarkdownBlock) -> str:
    """The commands of a fence. From a console transcript only the text after the prompts."""
    body = block.text.strip("\n")
    if block.info.split(maxsplit=1)[:1] == ["console"] or all(line.startswith("$ ") for line in body.split("\n") if line.strip()):
        typed = [line[2:] for line in body.split("\n") if line.startswith(("$ ", "> "))]
        if typed and any(line.startswith("$ ") for line in body.split("\n")):
            return "\n".join(typed)
    return body


def _fences(blocks: Iterable[MarkdownBlock]) -> list[MarkdownBlock]:
    """The command fences in `blocks`, also inside lists and quotes, in order."""
    fences: list[MarkdownBlock] = []
    waiting = list(blocks)[::-1]
    while waiting:
        block = waiting.pop()
        if _is_command(block):
            fences.append(block)
        inner = [*(block.blocks or ()), *(child for item in block.items or () for child in item.blocks)]
        waiting.extend(inner[::-1])
    return fences


class _SectionReader:
    """Walks through the blocks of one phase and collects the occurrences of its fields."""

    def __init__(self, section: Section, lines: Sequence[str]) -> None:
        self.section, self.lines = section, lines
        self.current: FieldOccurrence | None = None
        self.heading_level = 0  # of the sub-heading that named `current`
        self.nested = False

    def walk(self, blocks: Iterable[MarkdownBlock]) -> None:
        for block in blocks:
            if self._below_heading(block):
                continue
            if block.kind == "heading":
                self._heading(block)
            elif block.kind == "paragraph":
                self._paragraph(block.text, block.start + 1)
            elif block.kind == "list":
                self._list(block)
            elif block.kind == "fence":
                if not self._join_loose_item(block):
                    self._fence(block)
            elif block.kind == "code":
                self._join_loose_item(block)
            elif block.kind == "quote":
                self.walk(block.blocks or ())

    def _start(self, named: Field, name: str, line: int, inline: str) -> FieldOccurrence:
        self.current = FieldOccurrence(named, label_name(name), line, inline, nested=self.nested)
        self.section.occurrences.append(self.current)
        return self.current

    def _heading(self, block: MarkdownBlock) -> None:
        named = field_named(block.text)
        head, colon, tail = block.text.partition(":")
        if named is None and colon and tail.strip():
            named = field_named(head)
        else:
            head, tail = block.text, ""
        if named is not None:
            self.nested = False if block.level <= self.section.level + 1 else self.nested
            self._start(named, head, block.start + 1, tail.strip())
            self.heading_level = block.level
            return
        current = self.current
        if current is not None and current.field in (Field.STEPS, Field.GATES):
            deeper = block.level > self.heading_level if self.heading_level else _STEP_HEADING.match(block.text) and not current.open_label
            if deeper:
                self._sub_heading(current, block)
                return
        self.current, self.heading_level = None, 0
        self.nested = True

    def _sub_heading(self, current: FieldOccurrence, block: MarkdownBlock) -> None:
        """A heading inside steps or gates: a step if it is numbered (“#### Step 1: Build”), otherwise a sub-label."""
        numbered = _STEP_HEADING.match(" ".join(block.text.replace("**", "").split()))
        if current.field is Field.STEPS and numbered and all(entry.heading for entry in current.entries):
            current.entries.append(ListEntry(numbered["text"].strip(), block.start + 1, number=int(numbered["number"]), heading=True))
            current.open_label = False
        else:
            current.open_label = True

    def _below_heading(self, block: MarkdownBlock) -> bool:
        """Whether a block belongs to a step that is a heading. If so, adds its lines and commands to the step."""
        current = self.current
        if block.kind == "heading" or current is None or not (current.entries and current.entries[-1].heading) or current.open_label:
            return False
        if block.kind == "rule" or (block.kind == "paragraph" and (label := read_label(block.text.split("\n", 1)[0])) and label.field):
            return False
        entry = current.entries[-1]
        if _is_command(block):
            entry.commands += (_command(block),)
            return True
        in_fences = {at for fence in _fences([block]) for at in range(fence.start, fence.end)}
        entry.commands += tuple(_command(fence) for fence in _fences([block]))
        below = (self.lines[at].rstrip() for at in range(block.start, block.end) if at not in in_fences)
        entry.text = "\n".join([entry.text, *below]).rstrip()
        return True

    def _paragraph(self, text: str, first_line: int) -> None:
        written = text.split("\n")
        table = next((at for at in range(len(written) - 1) if _is_table(written, at)), -1) if "|" in text else -1
        if table >= 0:
            self._lines(written[:table], first_line)
            end = next((at for at in range(table, len(written)) if "|" not in written[at]), len(written))
            self._table(written[table:end], first_line + table)
            written, first_line = written[end:], first_line + end
        self._lines(written, first_line)

    def _table(self, rows: Sequence[str], first_line: int) -> None:
        """Read a two-column table with field names on the left as those fields; below a files label read a table as files."""
        header, *below = [_cells(row) for row in rows]
        named = [(first_line + number, cells) for number, cells in enumerate(below[1:], start=2) if cells]
        if len(header) == 2 and sum(field_named(cells[0]) is not None for _, cells in named) >= 2:
            for line, cells in named:
                field = field_named(cells[0])
                if field is not None:
                    self._start(field, cells[0].replace("*", "").rstrip(":"), line, cells[1] if len(cells) > 1 else "")
            self.current = None
        elif self.current is not None and self.current.field is Field.FILES and not self.current.inline:
            column = next((at for at, name in enumerate(header) if re.search(r"\b(?:files?|paths?)\b", name, re.IGNORECASE)), 0)
            self.current.entries.extend(ListEntry(cells[column], line) for line, cells in named if len(cells) > column and cells[column])

    def _lines(self, written: Sequence[str], first_line: int) -> None:
        for offset, raw in enumerate(written):
            line = raw.strip()
            number = first_line + offset
            if offset and len(raw) - len(raw.lstrip(" ")) >= 4:
                self._continuation(line, number, offset > 0)
                continue
            pieces = _SECOND_LABEL.split(line) if line.count("**") >= 4 else [line]
            if len(pieces) > 1 and not all((label := read_label(piece)) and label.field for piece in pieces):
                pieces = [line]
            for piece in pieces:
                self._line(piece, number, offset)

    def _line(self, line: str, number: int, offset: int) -> None:
        label = read_label(line)
        if label is None:
            self._continuation(line, number, offset > 0)
        elif label.field is not None:
            self.heading_level = 0
            self._start(label.field, label.name, number, label.value)
        elif (
            (current := self.current) is not None
            and current.field not in _COLLECTS
            and not (label.value or current.inline or current.texts or current.entries or label.colon)
        ):
            self._continuation(line, number, offset > 0)  # “#### Complexity” and, below it, “**High** (prod)”
        else:
            self._unknown_label(label.name, label.value, number)

    def _unknown_label(self, name: str, value: str, number: int) -> None:
        current = self.current
        if current is not None and current.field in (Field.STEPS, Field.GATES) and not value:
            current.open_label = True
            return
        if current is not None and current.field is Field.FILES and label_name(name) in _FILE_GROUPS:
            if value:
                current.entries.append(ListEntry(value, number))
            return
        if not self.nested and (current is None or current.field not in (Field.STEPS, Field.GATES)):
            self.section.unknown.append((number, name))
        if current is not None and current.field in (Field.STEPS, Field.GATES) and self.heading_level:
            return
        self.current = None

    def _continuation(self, line: str, number: int, continues: bool) -> None:
        """A line without a label: it continues the value above, or is a numbered step that CommonMark does not see as a list."""
        current = self.current
        if current is None:
            return
        if current.field in (Field.STEPS, Field.GATES):
            numbered = _NUMBERED_LINE.match(line)
            last = next((entry.number for entry in reversed(current.entries) if entry.number is not None), None)
            if numbered and (int(numbered[1]) == (last or 0) + 1 or not current.entries):
                current.entries.append(_boxed(ListEntry(numbered[2], number, number=int(numbered[1]), loose=True)))
                current.open_label = False
            elif continues and current.entries and not current.open_label and current.entries[-1].line < number and not current.texts:
                current.entries[-1].text += "\n" + line
            elif not current.entries and not continues and current.inline == "":
                return
            return
        if continues and not current.texts and not current.entries:
            current.inline = f"{current.inline} {line}".strip()
        elif continues and current.texts:
            before, text = current.texts[-1]
            current.texts[-1] = (before, f"{text} {line}")
        elif not current.inline and not current.entries:
            current.texts.append((number, line))
        else:
            self.current = None  # a separate paragraph below a complete value

    def _join_loose_item(self, block: MarkdownBlock) -> bool:
        """Whether an indented block belongs to the loose item above. If so, adds its lines to the item."""
        current = self.current
        if current is None or current.open_label or not current.entries or not current.entries[-1].loose:
            return False
        first = self.lines[block.start]
        indent = len(first) - len(first.lstrip(" "))
        if indent < 2:
            return False
        entry = current.entries[-1]
        if _is_command(block):
            entry.commands += (_command(block),)
        else:
            below = (line[min(indent, len(line) - len(line.lstrip(" "))) :].rstrip() for line in self.lines[block.start : block.end])
            entry.text = "\n".join([entry.text, *below]).rstrip()
        return True

    def _list(self, block: MarkdownBlock) -> None:
        if not self._join_loose_item(block):
            self._items(block.items or [])

    def _items(self, items: Sequence[ListItem]) -> None:
        """Read the items of a list. If a label follows an item without a blank line, the rest belongs to that label."""
        for place, item in enumerate(items):
            cut = _lazy_label(item, self.lines)
            if cut:
                lazy = "\n".join(self.lines[cut : item.end]).rstrip()
                item.end = cut
                _trim(item.blocks, cut)
                self._whole_items(items[: place + 1])
                self._paragraph(lazy, cut + 1)
                if items[place + 1 :]:
                    self._items(items[place + 1 :])
                return
        self._whole_items(items)

    def _whole_items(self, items: Sequence[ListItem]) -> None:
        current = self.current
        if current is not None and current.field in _COLLECTS and self._belongs(current, items):
            current.open_label = False
            for item in _named_items(items) if current.field is Field.FILES else items:
                current.entries.append(self._entry(item))
            return
        if current is not None and current.field not in _COLLECTS and not current.inline and not current.texts:
            labelled = any(item.blocks and item.blocks[0].kind == "paragraph" and _label_of(item) for item in items)
            if not labelled:
                current.texts.extend((item.start + 1, _item_text(self.lines, item, ())) for item in items)
                return
        if current is not None and current.field in (Field.STEPS, Field.GATES) and current.open_label:
            self.current = None
        if not self.nested:
            self._labelled_items(items)

    def _belongs(self, current: FieldOccurrence, items: Sequence[ListItem]) -> bool:
        """Whether a list continues a field: directly, or after a bold sub-label if its numbers or boxes continue."""
        if current.field in (Field.FILES, Field.DEPENDENCIES):
            labelled = sum(1 for item in items if (named := _label_of(item)) is not None and named in FIELD_OF)
            return labelled < len(items) or not items
        if not current.entries or not current.open_label:
            return not (current.inline and not current.entries and not current.texts and items and _label_of(items[0]) in FIELD_OF)
        first = items[0] if items else None
        if first is None:
            return False
        if first.number is not None:
            last = next((entry.number for entry in reversed(current.entries) if entry.number is not None), None)
            return last is not None and first.number == last + 1
        return current.entries[-1].box is not None and self._entry(first).box is not None

    def _labelled_items(self, items: Sequence[ListItem]) -> None:
        for item in items:
            if _label_of(item) not in FIELD_OF or not item.blocks:
                continue
            head = item.blocks[0]
            self.heading_level = 0
            self._paragraph(_CHECKBOX.sub("", head.text), head.start + 1)
            self.walk(item.blocks[1:])
            self.current = None

    def _entry(self, item: ListItem) -> ListEntry:
        if len(item.blocks) == 1 and item.blocks[0].kind == "paragraph" and "\n" not in item.blocks[0].text:
            return _boxed(ListEntry(item.blocks[0].text, item.start + 1, number=item.number))
        fences = _fences(item.blocks)
        text = _item_text(self.lines, item, fences)
        return _boxed(ListEntry(text, item.start + 1, tuple(_command(fence) for fence in fences), number=item.number))

    def _fence(self, block: MarkdownBlock) -> None:
        current = self.current
        if current is None:
            return
        if current.field is Field.STEPS and current.entries and _is_command(block):
            current.entries[-1].commands += (_command(block),)
        elif current.field is Field.FILES and not current.inline and not current.entries:
            names = [(block.start + 2 + offset, line) for offset, line in enumerate(block.text.split("\n")) if line.strip()]
            if any(line[0].isspace() or not line.isascii() for _, line in names):
                # The directory of a line in a drawn tree would be a guess; the message asks for paths.
                names = [(block.start + 1, "a tree drawn in a code fence")]
            current.entries.extend(ListEntry(line.strip(), number) for number, line in names)


def _named_items(items: Iterable[ListItem]) -> Iterator[ListItem]:
    """The items of a list of files. An item that only heads a list below it (“Create:”, “Backend”) is replaced by that list."""
    for item in items:
        head, below = item.blocks[:1], [block for block in item.blocks[1:] if block.kind == "list"]
        if head and below and head[0].kind == "paragraph" and names_no_file(head[0].text):
            for block in below:
                yield from _named_items(block.items or ())
        else:
            yield item


_SEPARATOR_ROW = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")


def _is_table(lines: Sequence[str], at: int) -> bool:
    """Whether a table begins at line `at`: a row with bars above a row of dashes."""
    return "|" in lines[at] and "|" in lines[at + 1] and bool(_SEPARATOR_ROW.fullmatch(lines[at + 1]))


def _cells(row: str) -> list[str]:
    """The cells of a table's row."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row.strip().removeprefix("|").removesuffix("|"))]


def _lazy_label(item: ListItem, lines: Sequence[str]) -> int:
    """The line (from 0) of a label at the margin that follows an item's text without a blank line; 0 without one.

    In CommonMark such a line belongs to the item (“3. Verify”, next line “**Validation Gates**:”). People mean a new field.
    """
    for at in range(item.start + 1, item.end):
        line = lines[at]
        if line[:1] in ("*", "_") or line[:1].isupper():
            label = read_label(line.strip())
            if label is not None and (label.field is not None or not label.value):
                return at
    return 0


def _trim(blocks: Sequence[MarkdownBlock], end: int) -> None:
    """Remove the lines from `end` on from the last paragraph of `blocks`, at any depth."""
    last = blocks[-1] if blocks else None
    while last is not None and last.kind != "paragraph":
        inner = last.blocks if last.kind == "quote" else last.items[-1].blocks if last.items else None
        last = inner[-1] if inner else None
    if last is not None and last.start < end < last.end:
        last.text = "\n".join(last.text.split("\n")[: end - last.start])
        last.end = end


def _boxed(entry: ListEntry) -> ListEntry:
    box = _CHECKBOX.match(entry.text) if entry.text[:1] == "[" else None
    if box:
        entry.box = box[1] in "xX"
        entry.text = entry.text[box.end() :]
    return entry


def _label_of(item: ListItem) -> str | None:
    """The normalised name of the label at the start of an item; None without one."""
    if not item.blocks or item.blocks[0].kind != "paragraph":
        return None
    line = _CHECKBOX.sub("", item.blocks[0].text.split("\n", 1)[0])
    label = read_label(line)
    return label_name(label.name) if label else None


def _extends(key: str, parent: str) -> bool:
    """Whether a key such as 2.1A names a part of phase 2."""
    return key.lower().startswith(parent.lower()) and len(key) > len(parent)


def _blocks(lines: Sequence[str], document: Document) -> Iterator[MarkdownBlock]:
    try:
        yield from read_blocks(lines)
    except TooIntricate as stopped:
        document.stopped_at = stopped.line + 1


def _close(section: Section, lines: Sequence[str]) -> None:
    """Read a complete section and drop its blocks to save memory.

    A weak heading keeps its blocks: it may turn out not to be a phase, and then they belong to the section around it.
    """
    _SectionReader(section, lines).walk(section.blocks)
    if not section.heading.weak:
        section.blocks = []


def read_document(lines: Sequence[str]) -> Document:
    """Find the phases in the lines of a document."""
    document = Document()
    lines = nested_fences(lines) if any("```m" in line for line in lines) else lines
    candidates: list[Section] = []
    parents: list[Section | None] = []
    current: Section | None = None
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
            heading = phase_heading(block.text)
            if heading and not (current and block.level > current.level and _extends(heading.key, current.heading.key)):
                if len(candidates) == MAX_PHASES:
                    document.too_many_at = block.start + 1
                    break
                parents.append(current if current and block.level > current.level else None)
                if candidates:
                    _close(candidates[-1], lines)
                current = Section(heading, block.level, block.start + 1, block.end)
                candidates.append(current)
                continue
            if current and block.level <= current.level:
                current = None
            if current is None and block.level == 1 and not document.title:
                document.title = " ".join(block.text.replace("**", "").split())
        if current is not None:
            current.blocks.append(block)
        elif block.kind == "list" and not candidates:
            top_lists.append(block)
    if candidates:
        _close(candidates[-1], lines)
    kept: list[Section] = []
    for section, parent in zip(candidates, parents, strict=True):
        if section.heading.weak and len(section.required()) < 2:
            if parent is not None:
                _SectionReader(parent, lines).walk(section.blocks)
                parent.grouped = None
        elif section.heading.bad_key:
            document.bad_keys.append(section)
        else:
            kept.append(section)
    if not candidates:
        kept = _bullet_phases(top_lists, lines)
    document.sections = _without_containers(document, kept)
    return document


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
            head, _, rest = _CHECKBOX.sub("", item.blocks[0].text).partition("\n")
            heading = phase_heading(head)
            if heading is None or heading.weak or heading.bad_key or not heading.title:
                continue
            marker = _MARKER.match(lines[item.start])
            section = Section(heading, 6, item.start + 1, item.start + 1, marker.end() if marker else 2)
            reader = _SectionReader(section, lines)
            if rest:
                reader._paragraph(rest, item.start + 2)
            reader.walk(item.blocks[1:])
            sections.append(section)
    return sections if len(sections) > 1 else []
