"""Entries of an agent's transcript: read from its lines, searched, and written as markdown."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from batches.core.text.log_lines import styled, time_of
from subagents.contract import EntryKind

KINDS = tuple(str(kind) for kind in EntryKind)
NEAR_BYTES = 300  # the kind of an entry stands near its beginning
_KIND = re.compile(rb'"kind": "([a-z ]+)"')
_FENCE = re.compile(r"^ *(`{3,})", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `number` counts from 1, `seconds` is what a tool took, `of` is the number of a result's tool call.

    `tokens` are the figures of the request that ended with this entry, {} when unknown.
    """

    number: int
    kind: str
    text: str = ""
    at: datetime | None = None
    tool: str = ""
    given: str = ""
    output: str = ""
    seconds: float | None = None
    edit: str = ""
    of: int | None = None
    tokens: Mapping[str, int] = field(default_factory=dict)

    @property
    def tokens_in(self) -> int | None:
        """The request's input with what came from the cache; None when unknown."""
        parts = [count for name, count in self.tokens.items() if name != "output_tokens"]
        return sum(parts) if parts else None

    @property
    def tokens_out(self) -> int | None:
        return self.tokens.get("output_tokens")

    @property
    def edit_lines(self) -> list[tuple[str, str]]:
        """("plus", "minus", "place" or "", line) of an edit, from its first hunk on."""
        kinds = {"+": "plus", "-": "minus", "@": "place"}
        lines = self.edit.split("\n")
        begin = next((place for place, line in enumerate(lines) if line.startswith("@@")), 0)
        return [(kinds.get(line[:1], ""), line) for line in lines[begin:] if line]

    @property
    def last_line(self) -> str:
        """The last line of the output that says something, for the folded entry: programs sum up at their end."""
        return next((line.strip() for line in reversed(self.output.split("\n")) if line.strip()), "")[:200]

    @property
    def output_lines(self) -> int:
        return self.output.rstrip("\n").count("\n") + 1 if self.output.strip() else 0

    def says(self, needle: str) -> bool:
        """Whether people read `needle` somewhere in it, in any case."""
        wanted = needle.lower()
        return any(wanted in text.lower() for text in (self.text, self.tool, self.given, self.output, self.edit))


def read_entry(line: str, number: int) -> Entry:
    """The entry of one line; a line that is none becomes a note that shows it."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or data.get("kind") not in KINDS:
        return Entry(number, EntryKind.NOTE, f"Not an entry: {line[:1_000]}")

    def text(name: str) -> str:
        value = data.get(name)
        return styled(value)[0] if isinstance(value, str) else ""

    seconds, of, tokens = data.get("duration"), data.get("of"), data.get("tokens")
    return Entry(
        number=number,
        kind=data["kind"],
        text=text("text"),
        at=time_of(data.get("at")),
        tool=text("tool"),
        given=text("input"),
        output=text("output"),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        edit=text("edit"),
        of=of if isinstance(of, int) else None,
        tokens={name: count for name, count in tokens.items() if isinstance(count, int)} if isinstance(tokens, dict) else {},
    )


def kind_of(raw: bytes) -> str:
    """The kind of a line's entry, without reading all of it."""
    found = _KIND.search(raw, 0, NEAR_BYTES)
    kind = found[1].decode() if found else ""
    return kind if kind in KINDS else EntryKind.NOTE


def entry_json(entry: Entry) -> dict[str, Any]:
    """The entry for programs: every member is there, null is unknown."""
    return {
        "number": entry.number,
        "at": entry.at,
        "kind": entry.kind,
        "text": entry.text,
        "tool": entry.tool,
        "input": entry.given,
        "output": entry.output,
        "duration": entry.seconds,
        "tokens": dict(entry.tokens) or None,
        "edit": entry.edit,
        "of": entry.of,
    }


def as_markdown(entry: Entry) -> Iterator[str]:
    """The lines of an entry in a markdown document."""
    facts = [f"{entry.at:%Y-%m-%d %H:%M:%S}" if entry.at else "", f"{entry.seconds:.1f} s" if entry.seconds is not None else ""]
    if entry.tokens_out is not None:
        facts.append(f"{entry.tokens_in or 0} tokens in, {entry.tokens_out} out")
    title = entry.text if entry.tool else ""
    yield f"## {entry.number}. {entry.kind.capitalize()}{f': {title}' if title else ''}"
    yield ""
    if said := " · ".join(fact for fact in facts if fact):
        yield f"*{said}*"
        yield ""
    if entry.text and not entry.tool:
        yield entry.text
        yield ""
    for text, language in ((entry.given, ""), (entry.output, ""), (entry.edit, "diff")):
        if text:
            longest = max((len(found[1]) for found in _FENCE.finditer(text)), default=2)
            fence = "`" * (longest + 1 if longest >= 3 else 3)
            yield f"{fence}{language}"
            yield text.rstrip("\n")
            yield fence
            yield ""
