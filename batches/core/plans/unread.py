"""What each line of a plan document was read as, and what was read as nothing.

Every reader (of our own format, or of another tool's in `formats`) makes an `Account` of the document's lines, marks
each line that it uses, and closes it. What nobody marked is sorted by what it is: prose goes to the agent with its
phase or with the overview; lists, tables, code and labels are `unread`, each with its place and the reason. A reader
can forget to mark a line, but no line can be lost.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class ReadAs(IntEnum):
    """What a line was read as. The numbers are those of the bytes in `Accounting.lines`."""

    UNREAD = 0
    BLANK = 1
    FRONT_MATTER = 2
    TITLE = 3
    PHASE = 4  # the heading of a phase
    FIELD = 5  # goal, hours, complexity, or a label above a list that is read
    FILES = 6
    DEPENDENCIES = 7
    STEP = 8
    GATE = 9
    NOTES = 10  # prose in a phase: the agent gets it with the section
    OVERVIEW = 11  # prose outside phases: the agent gets it with the plan
    MENTION = 12  # said again what is read from another place (a repeated heading, a table of phases)


class UnreadKind(StrEnum):
    """What a piece of a document is that was read as nothing."""

    CHECK_BOX = "check-box"
    LIST_ITEM = "list item"
    TABLE = "table"
    CODE = "code"
    LABEL = "label"
    SECTION = "section"  # of a phase, by its fields, that is not read as one
    FIELD = "field"  # a name in JSON that is not known


@dataclass(frozen=True, slots=True)
class Unread:
    """A piece that was read as nothing: its lines (from 1, both inclusive), its kind, its text as written, and why."""

    line: int
    end_line: int
    kind: UnreadKind
    text: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Accounting:
    """What each line was read as: `lines[n - 1]` is the ReadAs of line n. `unread` lists the pieces read as nothing."""

    lines: bytes = b""
    unread: tuple[Unread, ...] = ()

    def read_as(self, line: int) -> ReadAs:
        """What a line (from 1) was read as."""
        return ReadAs(self.lines[line - 1])


NO_ACCOUNTING = Accounting()

WHY = {
    UnreadKind.CHECK_BOX: "This check-box stands outside every list of steps or gates.",
    UnreadKind.LIST_ITEM: "This list stands under no label that is read.",
    UnreadKind.TABLE: "A table is read only where it lists fields, files, steps or gates.",
    UnreadKind.CODE: "Code is read only in a step, as its command, or in a gate.",
    UnreadKind.LABEL: "This label is no field of a phase.",
    UnreadKind.SECTION: "This section has the fields of a phase, but its heading opens none.",
    UnreadKind.FIELD: "This name is no field of a phase.",
}
OUTSIDE = "It stands outside every phase."

_ITEM = re.compile(r"(?P<indent>[ \t>]*)(?:[-*+]|[0-9]{1,9}[.)])(?:[ \t]+(?P<box>\[[ xX]\](?:[ \t]|$))?|$)")
_BARE_BOX = re.compile(r"[ \t>]*\[[ xX]\][ \t]+\S")
_FENCE = re.compile(r"[ \t>]*(?P<marks>`{3,}|~{3,})")
_TABLE_ROW = re.compile(r"[ \t>]*\|.*\|[ \t]*$")
_RULE = re.compile(r"[ \t]*(?:-[ \t]*){3,}$|[ \t]*(?:\*[ \t]*){3,}$|[ \t]*(?:_[ \t]*){3,}$")
_LABEL = re.compile(r"[ \t>]*(?:\*\*|__)(?:[^*_\n]{1,80}:(?:\*\*|__)|[^*_\n]{1,80}(?:\*\*|__)[ \t]*:)[ \t]*(?P<value>\S.*)?$")
_BEGINS = frozenset("-*+_`~|[0123456789")  # what a line that one of these patterns matches begins with


class Account:
    """The lines of a document while they are read. `mark` what is used; `close` sorts the rest."""

    __slots__ = ("_lines", "_marks", "_unread", "_why")

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._marks = bytearray(len(lines))
        self._why: dict[int, str] = {}
        self._unread: list[Unread] = []

    def mark(self, read_as: ReadAs, line: int, end_line: int = 0) -> None:
        """Say that the lines from `line` to `end_line` (from 1, inclusive; only `line` without it) were read as `read_as`."""
        end = min(max(line, end_line), len(self._marks))
        if line == end:
            self._marks[line - 1] = read_as
        elif line < end:
            self._marks[line - 1 : end] = bytes((read_as,)) * (end - line + 1)

    def is_marked(self, line: int) -> bool:
        """Whether a line (from 1) has been marked."""
        return bool(self._marks[line - 1])

    def because(self, line: int, why: str) -> None:
        """Say why the piece that starts at `line` is read as nothing."""
        self._why[line] = why

    def unread(self, line: int, end_line: int, kind: UnreadKind, why: str = "") -> None:
        """Say that these lines are one piece that is read as nothing, whatever is in it. Marks in them are taken back."""
        self._marks[line - 1 : end_line] = bytes(len(self._marks[line - 1 : end_line]))
        self._add(line, end_line, kind, why or WHY[kind])

    def close(self, phases: Iterable[tuple[int, int]] = ()) -> Accounting:
        """The accounting. `phases` are the first and last line of each phase's section, in order, without overlap."""
        marks, lines = self._marks, self._lines
        for piece in self._unread:  # so that the sorting below leaves them alone
            marks[piece.line - 1 : piece.end_line] = b"\xff" * (piece.end_line - piece.line + 1)
        inside = bytearray(len(lines))
        for first, last in phases:
            inside[first - 1 : last] = b"\x01" * (min(last, len(lines)) - first + 1)
        at = 0
        while (at := marks.find(0, at)) >= 0:
            if lines[at]:
                at = self._sort(at, bool(inside[at]))
            else:  # a third of all lines
                marks[at] = ReadAs.BLANK
        for piece in self._unread:
            marks[piece.line - 1 : piece.end_line] = bytes(piece.end_line - piece.line + 1)
        return Accounting(bytes(marks), tuple(sorted(self._unread, key=lambda piece: piece.line)))

    def _sort(self, at: int, in_phase: bool) -> int:
        """Sort the unmarked piece at index `at` by what it is; returns the index after it."""
        lines, marks = self._lines, self._marks
        line = lines[at]
        if not line.strip():
            marks[at] = ReadAs.BLANK
            return at + 1
        if line.lstrip(" \t>")[:1] not in _BEGINS:
            marks[at] = ReadAs.NOTES if in_phase else ReadAs.OVERVIEW
            return at + 1
        end, kind = at + 1, None
        item = None if _RULE.match(line) else _ITEM.match(line)
        if item:
            kind = UnreadKind.CHECK_BOX if item["box"] else UnreadKind.LIST_ITEM
            end = self._item_end(at, len(item["indent"].expandtabs(4)))
        elif _BARE_BOX.match(line):
            kind = UnreadKind.CHECK_BOX
            self._why.setdefault(at + 1, "A check-box needs the mark of a list before it: “- [ ] …”.")
        elif fence := _FENCE.match(line):
            kind = UnreadKind.CODE
            close = re.compile(rf"[ \t>]*{fence['marks'][0]}{{{len(fence['marks'])},}}[ \t]*$")
            while end < len(lines) and not marks[end]:
                end += 1
                if close.match(lines[end - 1]):
                    break
        elif _TABLE_ROW.match(line):
            kind = UnreadKind.TABLE
            while end < len(lines) and not marks[end] and _TABLE_ROW.match(lines[end]):
                end += 1
        elif in_phase and (label := _LABEL.match(line)) and label["value"]:
            kind = UnreadKind.LABEL
        if kind is None:
            marks[at] = ReadAs.NOTES if in_phase else ReadAs.OVERVIEW
            return end
        why = self._why.get(at + 1, "") or (WHY[kind] if in_phase else OUTSIDE)
        self._add(at + 1, end, kind, why)
        marks[at:end] = b"\xff" * (end - at)
        return end

    def _item_end(self, at: int, indent: int) -> int:
        """The index after a list item: after the deeper lines below it, and the lines that continue its paragraph."""
        lines, marks = self._lines, self._marks
        end = at + 1
        last = end
        blank = False
        while end < len(lines) and not marks[end]:
            line = lines[end]
            if not line.strip():
                blank = True
            else:
                depth = len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip(" "))
                if depth <= indent and (blank or _ITEM.match(line) or line.lstrip()[:1] in "#|>`~*"):
                    break
                last = end + 1
                blank = False
            end += 1
        return last

    def _add(self, line: int, end_line: int, kind: UnreadKind, why: str) -> None:
        self._unread.append(Unread(line, end_line, kind, "\n".join(self._lines[line - 1 : end_line]), why))
