"""JSON plans of other tools, as a document whose lines can be accounted for: where each object and name of the text stands."""

import json
import re
from collections.abc import Iterator
from typing import Any

from batches.core.plans.formats.document import Document
from batches.core.plans.formats.draft import Draft
from batches.core.plans.unread import ReadAs, UnreadKind


def load(text: str) -> Any:
    """The value of a JSON text, or None if it is none (then the reader of our own format says what is wrong with it)."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


class JsonDraft(Draft):
    """A draft of a JSON text: all lines are read, and names that no rule uses are listed."""

    def __post_init__(self) -> None:
        self.document = Document("\n".join(self.document.lines))
        super().__post_init__()
        self.account.mark(ReadAs.FIELD, 1, len(self.document.lines))

    def unknown(self, owner: dict[str, Any], known: frozenset[str], first: int, last: int, of: str) -> None:
        """List the names of an object, whose text stands in these lines, that are not `known` and hold something."""
        for name, value in owner.items():
            if name in known or value in (None, "", [], {}):
                continue
            line = self.line_of(name, first, last)
            self.account.unread(line, line, UnreadKind.FIELD, f"“{name}” of {of} is not read.")

    def line_of(self, name: str, first: int, last: int) -> int:
        """The line, between two lines, where a name is first written; the first line if it is not found."""
        for at in range(first, min(last, len(self.document.lines)) + 1):
            if f'"{name}"' in self.document.lines[at - 1]:
                return at
        return first


def objects_in(text: str, name: str, after: int = 0) -> Iterator[tuple[int, int]]:
    """The first and last line of each object in the first list that `name` holds (any list for "") at or after position `after`."""
    begin = re.compile(rf'"{re.escape(name)}"\s*:\s*\[' if name else r"\[").search(text, after)
    if begin is None:
        return
    depth, inside, opened = 0, False, 0
    line = text.count("\n", 0, begin.end()) + 1
    for token in re.compile(r'\\.|["{}\[\]\n]', re.DOTALL).finditer(text, begin.end()):
        mark = token.group()
        if mark == "\n":
            line += 1
        elif mark == '"':
            inside = not inside
        elif inside or len(mark) > 1:
            line += mark.count("\n")
        elif mark in "{[":
            if depth == 0:
                opened = line
            depth += 1
        else:
            depth -= 1
            if depth < 0:
                return
            if depth == 0:
                yield opened, line


def text_of(value: Any) -> str:
    """A value as text: a string, a number, or the lines of a list of strings."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return "\n".join(filter(None, map(text_of, value)))
    return ""
