"""The fields written in one section of a document: labels, and the texts, lists, tables and code below them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field

from batches.core.plans.blocks import ListItem, MarkdownBlock
from batches.core.plans.files import names_no_file
from batches.core.plans.labels import (
    FIELD_OF,
    REQUIRED,
    Field,
    PhaseHeading,
    field_named,
    is_aside,
    label_name,
    read_label,
)
from batches.core.plans.unread import Account, ReadAs

SHELL_LANGUAGES = frozenset({"", "sh", "bash", "shell", "console", "zsh"})
_ADD_UP = frozenset({Field.FILES, Field.STEPS, Field.GATES})
_READ_AS = {
    Field.GOAL: ReadAs.FIELD,
    Field.HOURS: ReadAs.FIELD,
    Field.COMPLEXITY: ReadAs.FIELD,
    Field.FILES: ReadAs.FILES,
    Field.DEPENDENCIES: ReadAs.DEPENDENCIES,
    Field.STEPS: ReadAs.STEP,
    Field.GATES: ReadAs.GATE,
}
ASSUMED = "(assumed)"  # in a label: the field was filled by a rule, not by the author
UNLABELLED = ""  # the name of a list of steps without a label: check-boxes or numbers
_COLLECTS = frozenset({Field.STEPS, Field.GATES, Field.FILES, Field.DEPENDENCIES})
_NUMBERED_LINE = re.compile(r"^([0-9]{1,6})[.)]\s+(.*)$")
_STEP_HEADING = re.compile(r"(?:step|task)\s+#?(?P<number>[0-9]{1,4})\s*(?:[:.)\u2013\u2014]|-(?=\s))\s*(?P<text>\S.*)", re.IGNORECASE)
MARKER = re.compile(r"^\s*(?:[-*+]|[0-9]{1,9}[.)])(?:\s+|$)")
_QUOTE = re.compile(r"^(?:\s{0,3}>\s?)+")
CHECKBOX = re.compile(r"^\[([ xX])\](?:\s+|$)")
_NUMBER_COLUMNS = frozenset({"#", "no", "no.", "nr", "id", "number"})
_FILE_GROUPS = frozenset(
    {"create", "modify", "delete", "update", "new", "edit", "add", "remove", "created", "modified", "deleted", "updated", "existing"}
)
_SECOND_LABEL = re.compile(r"\s*(?:[|\u00b7\u2022;]\s*|\s)(?=\*\*[A-Z][^*\n]{1,40}(?:\*\*\s*:|:\s*\*\*))")


@dataclass(slots=True)
class ListEntry:
    """One item of a list: its text without command fences, the commands in them, its box, line (from 1) and written number."""

    text: str
    line: int
    commands: tuple[str, ...] = ()
    box: bool | None = None
    number: int | None = None
    end: int = 0  # its last line; 0 for one line only
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
    end: int = 0  # the last line of its text
    assumed: bool = False  # “(assumed)” in its label: the author did not say it
    covered: tuple[tuple[int, int], ...] = ()  # (first line, last line) of tables and code that are read
    nested: bool = False  # under a sub-heading that is not a field: it is about a part of the phase
    open_label: bool = False  # an unknown sub-label follows the last item
    in_groups: bool = False  # a sub-label stands above the first item


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
    last_line: int = 0  # of the whole section
    assumes: bool = False  # whether one of its fields is assumed

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
        if not self.occurrences:
            return set()
        return {wanted for wanted in REQUIRED if self.occurrences_of(wanted)}


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
            marker = MARKER.match(line)
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
    """Whether it is a fence of a shell language; an empty one would run as a command that does nothing."""
    language = block.info.split(maxsplit=1)[0].strip("{}.").lower() if block.info else ""
    return block.kind == "fence" and language in SHELL_LANGUAGES and bool(block.text.strip())


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


def mark_occurrence(account: Account, written: FieldOccurrence) -> None:
    """Mark the lines of an occurrence that counts. Where a list is read, prose above it is a note."""
    read_as = _READ_AS[written.field]
    for first, last in written.covered:
        account.mark(read_as, first, last)
    if not written.entries:
        account.mark(read_as, written.line, written.end)
        return
    if written.name:
        account.mark(ReadAs.FIELD if written.field in (Field.STEPS, Field.GATES) else read_as, written.line)
    for line, _ in written.texts if written.field not in (Field.STEPS, Field.GATES) else ():
        account.mark(read_as, line)
    first = last = 0  # lists mostly stand on lines that follow each other: one mark for all of them
    for entry in written.entries:
        if entry.line != last + 1:
            if first:
                account.mark(read_as, first, last)
            first = entry.line
        last = max(entry.line, entry.end)
    if first:
        account.mark(read_as, first, last)


class SectionReader:
    """Walks through the blocks of one phase and collects the occurrences of its fields."""

    def __init__(self, section: Section, lines: Sequence[str]) -> None:
        self.section, self.lines = section, lines
        self.current: FieldOccurrence | None = None
        self.heading_level = 0  # of the sub-heading that named `current`
        self.nested = False
        self.aside = False  # below a label or heading whose lists are no part of the work

    def walk(self, blocks: Iterable[MarkdownBlock]) -> None:
        """Read blocks in order."""
        blocks = list(blocks)
        for place, block in enumerate(blocks):
            if self._below_heading(block):
                continue
            if block.kind == "heading":
                self._heading(block, blocks, place)
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
        self.current = FieldOccurrence(named, label_name(name), line, inline, end=line, nested=self.nested)
        if ASSUMED in name:
            self.current.assumed = self.section.assumes = True
        self.aside = False
        self.section.occurrences.append(self.current)
        return self.current

    def _heading(self, block: MarkdownBlock, blocks: Sequence[MarkdownBlock], place: int) -> None:
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
        self.aside = is_aside(block.text)
        if block.level > self.section.level and _STEP_HEADING.match(block.text.replace("**", "")) and not _lists_steps(blocks[place + 1 :]):
            self.heading_level = block.level
            self._sub_heading(self._unlabelled(block.start + 1), block)

    def _unlabelled(self, line: int) -> FieldOccurrence:
        """The steps without a label: those that are being read, or a new occurrence at `line`."""
        if self.current is not None and self.current.field is Field.STEPS and self.current.name == UNLABELLED:
            return self.current
        return self._start(Field.STEPS, UNLABELLED, line, "")

    def _sub_heading(self, current: FieldOccurrence, block: MarkdownBlock) -> None:
        """A heading inside steps or gates: a step if it is numbered (“#### Step 1: Build”), otherwise a sub-label."""
        numbered = _STEP_HEADING.match(" ".join(block.text.replace("**", "").split()))
        if current.field is Field.STEPS and numbered and all(entry.heading for entry in current.entries):
            number = int(numbered["number"])
            current.entries.append(ListEntry(numbered["text"].strip(), block.start + 1, number=number, end=block.end, heading=True))
            current.open_label = False
        else:
            current.open_label = True
            current.in_groups = current.in_groups or not current.entries
            self.aside = is_aside(block.text)

    def _below_heading(self, block: MarkdownBlock) -> bool:
        """Whether a block belongs to a step that is a heading. If so, adds its lines and commands to the step."""
        current = self.current
        if block.kind == "heading" or current is None or not (current.entries and current.entries[-1].heading) or current.open_label:
            return False
        if block.kind == "rule" or (block.kind == "paragraph" and (label := read_label(block.text.split("\n", 1)[0])) and label.field):
            return False
        entry = current.entries[-1]
        entry.end = block.end
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
            self.section.occurrences[-1].covered += ((first_line, first_line + len(rows) - 1),)
            self.current = None
            return
        current = self.current
        if current is None or self.aside:
            return
        if current.field is Field.FILES and not current.inline:
            column = next((at for at, name in enumerate(header) if re.search(r"\b(?:files?|paths?)\b", name, re.IGNORECASE)), 0)
            current.entries.extend(ListEntry(cells[column], line) for line, cells in named if len(cells) > column and cells[column])
        elif current.field is Field.GATES and not current.entries:
            for line, cells in named:
                named_cells = zip(cells, header, strict=False)
                shown = [cell for cell, name in named_cells if cell and name.strip("* ").lower() not in _NUMBER_COLUMNS]
                current.entries.append(_boxed(ListEntry(": ".join(shown), line)))
        else:
            return
        current.covered += ((first_line, first_line + len(rows) - 1),)

    def _lines(self, written: Sequence[str], first_line: int) -> None:
        for offset, raw in enumerate(written):
            line = raw.strip()
            number = first_line + offset
            if offset and raw.startswith("    "):
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
        self.aside = is_aside(name)
        if current is not None and current.field in (Field.STEPS, Field.GATES):
            current.open_label = True  # its lists carry on below “**Backend**:”
            current.in_groups = current.in_groups or not current.entries
            return
        if current is not None and current.field is Field.FILES and label_name(name) in _FILE_GROUPS:
            if value:
                current.entries.append(ListEntry(value, number))
            return
        if not self.nested:
            self.section.unknown.append((number, name))
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
            elif current.entries:
                if continues and not current.open_label and current.entries[-1].line < number:
                    current.entries[-1].text += "\n" + line
                    current.entries[-1].end = number
            elif continues and current.inline and not current.texts:
                current.inline = f"{current.inline} {line}"
                current.end = number
            elif continues and current.texts:
                before, text = current.texts[-1]
                current.texts[-1] = (before, f"{text} {line}")
                current.end = number
            elif not current.inline and not current.open_label:
                current.texts.append((number, line))
                current.end = number
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
            return
        current.end = number

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
        entry.end = block.end
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
        if current is not None and current.field in _COLLECTS:
            current = self._carried_on(current, items)
            if self._belongs(current, items):
                current.open_label = False
                for item in _named_items(items) if current.field is Field.FILES else items:
                    current.entries.append(self._entry(item))
                return
        elif current is not None and not current.inline and not current.texts:
            labelled = any(item.blocks and item.blocks[0].kind == "paragraph" and _label_of(item) for item in items)
            if not labelled:
                current.texts.extend((item.start + 1, _item_text(self.lines, item, ())) for item in items)
                current.end = items[-1].end
                return
        if not self.nested and any(_label_of(item) in FIELD_OF for item in items):
            self._labelled_items(items)
        elif not self.aside and (steps := _steps_in(items)):
            unlabelled = self._unlabelled(steps[0].start + 1)
            unlabelled.open_label = False
            unlabelled.entries.extend(self._entry(item) for item in steps)

    def _carried_on(self, current: FieldOccurrence, items: Sequence[ListItem]) -> FieldOccurrence:
        """The steps before `current` if the numbers of these items carry theirs on: then the label between is a part of the steps.

        “**Validation**:” above “8. Check all links” is no list of gates where step 7 stands above it.
        """
        before = self.section.occurrences[-2] if len(self.section.occurrences) > 1 else None
        first = items[0].number if items else None
        if (
            first is None
            or first < 2
            or before is None
            or current is not self.section.occurrences[-1]
            or current.entries
            or current.inline
            or current.field is not Field.GATES
            or before.field is not Field.STEPS
            or not before.entries
            or before.entries[-1].number != first - 1
        ):
            return current
        self.section.occurrences.pop()
        self.current = before
        return before

    def _belongs(self, current: FieldOccurrence, items: Sequence[ListItem]) -> bool:
        """Whether a list continues a field: directly, or below a sub-label that is neither a field nor an aside."""
        items = items or [ListItem([], 0, 0)]
        works = any(item.number is not None or _is_boxed(item) for item in items)
        if current.field in (Field.FILES, Field.DEPENDENCIES):
            if self.aside or (works and current.inline):
                return False
            labelled = sum(1 for item in items if (named := _label_of(item)) is not None and named in FIELD_OF)
            return labelled < len(items)
        last = current.entries[-1] if current.entries else None
        if last is not None and last.number is not None and items[0].number == last.number + 1:
            return True  # its numbers carry on
        if self.aside:
            return False
        if last is not None and current.open_label:
            if _kind(items[0]) != _kind_of(last):
                return False
            if current.field is Field.GATES and last.box is None and not current.in_groups:
                return False  # “**Deviations**:” below a list of plain bullets
        if current.name == UNLABELLED:
            return works
        if current.inline and not current.entries and (current.name in _SAID_INLINE or not works):
            return current.name not in _SAID_INLINE and _label_of(items[0]) not in FIELD_OF
        return True

    def _labelled_items(self, items: Sequence[ListItem]) -> None:
        for item in items:
            if _label_of(item) not in FIELD_OF or not item.blocks:
                if _is_boxed(item):
                    self._unlabelled(item.start + 1).entries.append(self._entry(item))
                continue
            head = item.blocks[0]
            self.heading_level = 0
            self._paragraph(CHECKBOX.sub("", head.text), head.start + 1)
            self.walk(item.blocks[1:])
            self.current = None

    def _entry(self, item: ListItem) -> ListEntry:
        if len(item.blocks) == 1 and item.blocks[0].kind == "paragraph" and "\n" not in item.blocks[0].text:
            return _boxed(ListEntry(item.blocks[0].text, item.start + 1, number=item.number))
        fences = _fences(item.blocks)
        text = _item_text(self.lines, item, fences)
        return _boxed(ListEntry(text, item.start + 1, tuple(_command(fence) for fence in fences), number=item.number, end=item.end))

    def _fence(self, block: MarkdownBlock) -> None:
        current = self.current
        if current is None or self.aside:
            return
        if current.field is Field.STEPS and _is_command(block):
            if current.entries:
                entry = current.entries[-1]
                entry.commands += (_command(block),)
                current.covered += ((block.start + 1, block.end),)
            elif not current.inline:
                current.entries.append(ListEntry("Run these commands", block.start + 1, (_command(block),), end=block.end))
        elif current.field is Field.GATES and _is_command(block) and not current.entries:
            commands = separate_commands(_command(block))
            current.entries.extend(ListEntry(f"`{command}`", block.start + 2 + at) for at, command in commands)
            if commands:
                current.covered += ((block.start + 1, block.end),)
        elif current.field is Field.FILES and not current.inline and not current.entries:
            names = [(block.start + 2 + offset, line) for offset, line in enumerate(block.text.split("\n")) if line.strip()]
            if any(line[0].isspace() or not line.isascii() for _, line in names):
                # The directory of a line in a drawn tree would be a guess; the message asks for paths.
                names = [(block.start + 1, "a tree drawn in a code fence")]
            current.entries.extend(ListEntry(line.strip(), number) for number, line in names)
            current.covered += ((block.start + 1, block.end),)


# What a label with its text on the same line says in full: a list below it is something else.
_SAID_INLINE = frozenset({"checkpoint", "checkpoints", "independent test", "independent tests", "verify", "done when"})
_SCRIPT = re.compile(
    r"\\$|<<|^\s|^[^\"\n]*\"[^\"\n]*$|^(?:if|for|while|until|case|function|do|done|fi|esac|then|else|export|cd|set|source)\b|[{(]\s*$|^\w+=|^[})]|`|&$",
    re.MULTILINE,
)


def separate_commands(script: str) -> list[tuple[int, str]]:
    """The commands of a fence, each on its own line, with their offsets. [] for a script, whose lines mean nothing alone."""
    lines = [(at, line.strip()) for at, line in enumerate(script.split("\n")) if line.strip() and not line.lstrip().startswith("#")]
    if len(lines) > 1 and _SCRIPT.search(script):
        return []
    return [] if any("`" in line for _, line in lines) else [(at, re.sub(r"\s+#\s.*$", "", line)) for at, line in lines]


def _kind(item: ListItem) -> str:
    return "box" if _is_boxed(item) else "bullet" if item.number is None else "number"


def _kind_of(entry: ListEntry) -> str:
    return "box" if entry.box is not None else "bullet" if entry.number is None else "number"


def _is_boxed(item: ListItem) -> bool:
    """Whether an item begins with a check-box."""
    return bool(item.blocks) and item.blocks[0].kind == "paragraph" and bool(CHECKBOX.match(item.blocks[0].text))


def _steps_in(items: Sequence[ListItem]) -> list[ListItem]:
    """The items that are steps without a label: those with a check-box or a number, or else such items one level below."""
    if any(item.number is not None or _is_boxed(item) for item in items):
        return list(items)
    below = [block.items or [] for item in items for block in item.blocks[1:] if block.kind == "list"]
    return [item for inner in below if any(map(_is_boxed, inner)) for item in inner]


def _lists_steps(blocks: Iterable[MarkdownBlock]) -> bool:
    """Whether a list of steps stands in these blocks, before the next heading."""
    for block in blocks:
        if block.kind == "heading":
            return False
        if block.kind == "list" and _steps_in(block.items or []):
            return True
    return False


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
    box = CHECKBOX.match(entry.text) if entry.text[:1] == "[" else None
    if box:
        entry.box = box[1] in "xX"
        entry.text = entry.text[box.end() :]
    return entry


def _label_of(item: ListItem) -> str | None:
    """The normalised name of the label at the start of an item; None without one."""
    if not item.blocks or item.blocks[0].kind != "paragraph":
        return None
    line = CHECKBOX.sub("", item.blocks[0].text.split("\n", 1)[0])
    label = read_label(line)
    return label_name(label.name) if label else None
