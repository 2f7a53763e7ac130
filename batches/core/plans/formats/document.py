"""A document as the readers of other tools' formats see it: front matter, sections, and items of lists with their boxes.

Markdown is parsed once, by `blocks`; the formats ask this module and never look at lines themselves, except for formats that
write their structure as tags.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

from batches.core.plans.blocks import ListItem, MarkdownBlock, TooIntricate, nested_fences, read_blocks
from batches.core.plans.labels import PhaseHeading, clean_title, field_named, phase_heading

MAX_FRONT_MATTER = 64 * 1024
_MAX_DEPTH = 12
BOX = re.compile(r"^\[(?P<mark>[ xX~/\-])\](?P<optional>\s?\\?\*(?!\*))?(?:\s+|$)")
_OPEN_BOXES = "\u2b1c\u2610\u25fb\u25a2\U0001f532"
_DRAWN_BOX = re.compile(rf"^([{_OPEN_BOXES}\u2611\u2705\u2714\u2612])\ufe0f?\s*")
_DONE_MARKS = frozenset("xX")
_LABEL = re.compile(
    r"^(?:(?P<bold>\*\*|__)(?P<inside>[^*\n]{1,90}?)(?P=bold)(?P<note>\s*\([^()\n]{0,80}\))?\s*(?P<colon>:)?"
    r"|(?P<plain>(?=[^\W\d_])[^a-z\d_\W][\w'\u2019/& -]{1,48}?)(?P<note2>\s*\([^()\n]{0,80}\))?:(?=\s|$))\s*(?P<value>.*)$",
    re.DOTALL,
)
_BOXED_TITLE = re.compile(r"^`\[[\w ]{0,12}\]`\s+")
_SYMBOLS = r"(?:[\u2300-\u23ff\u2600-\u260f\u2613-\u26ff\U0001f300-\U0001f531\U0001f533-\U0001faff]\ufe0f?\s*)*"  # none is a box
_DRESSED = re.compile(rf"^{_SYMBOLS}(?:(?P<bold>\*\*|__)(?P<inside>[^*\n]+?)(?P=bold)|\[(?P<linked>[^\[\]]+)\]\([^()\s]*\))?")
_SEPARATOR = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")
_UNQUOTED = re.compile(r"^(?P<head>\s*(?:- +)?[\w-]+: +)(?P<value>[@`%].*|(?![\"'\[{|>&*!]).*(?:: | #|:$).*)$")


@dataclass(slots=True)
class Item:
    """An item of a list: its text without marker and box, its lines (from 1, both inclusive), and the items below it.

    `mark` is what stands in its box, None without a box. `below` is the text of everything below, without code fences.
    """

    text: str
    line: int
    end_line: int
    mark: str | None = None
    optional: bool = False
    number: int | None = None
    below: str = ""
    items: "list[Item]" = field(default_factory=list)

    @property
    def has_box(self) -> bool:
        """Whether the item has a check-box."""
        return self.mark is not None

    @property
    def done(self) -> bool:
        """Whether its box is ticked; a box with - or ~ is work in progress, and not done."""
        return self.mark is not None and self.mark in _DONE_MARKS

    @property
    def title(self) -> str:
        """The text on one line, without marks of emphasis around it."""
        return one_line(self.text)

    @property
    def whole(self) -> str:
        """Its text and everything below it."""
        return f"{self.text}\n{self.below}" if self.below else self.text

    def walk(self) -> "Iterator[Item]":
        """The item itself and all below it, in order."""
        yield self
        for item in self.items:
            yield from item.walk()


@dataclass(slots=True)
class Section:
    """A heading, its own blocks (up to the next heading) and the deeper sections below it. Lines count from 1, inclusive."""

    title: str
    level: int
    line: int
    end_line: int
    blocks: list[MarkdownBlock] = field(default_factory=list)
    sections: "list[Section]" = field(default_factory=list)

    def walk(self) -> "Iterator[Section]":
        """The section itself and all below it, in order."""
        yield self
        for section in self.sections:
            yield from section.walk()


@dataclass(frozen=True, slots=True)
class Label:
    """A label at the start of a text: its name in lower case without brackets, and the text after it."""

    name: str
    value: str
    bold: bool


def phase_of(title: str) -> PhaseHeading | None:
    """The phase that a heading opens by the word “phase” and a key; None for headings that only mention one."""
    heading = phase_heading(title)
    if heading is None or heading.weak or heading.bad_key or (heading.alias and "phase" not in heading.alias.lower()):
        return None
    return heading


def one_line(text: str) -> str:
    """The text on one line, without marks of emphasis, emoji at its ends, and a colon at its end."""
    text = " ".join(text.split())
    if text.startswith("~~") and text.endswith("~~"):
        text = text[2:-2]
    if text.startswith("**") and (end := text.find("**", 2)) > 0:
        text = text[2:end] + text[end + 2 :]
    return clean_title(text).removesuffix(":").strip()


def _plain_title(text: str) -> str:
    """A heading on one line, without the symbols before it, and the emphasis or link of its first words."""
    return _DRESSED.sub(lambda found: found["inside"] or found["linked"] or "", _BOXED_TITLE.sub("", " ".join(text.split())), count=1)


def label_of(text: str) -> Label | None:
    """The label at the start of a paragraph or item: `**Name**: value`, `**Name:** value`, `**Name**`, `Name: value`; or None."""
    found = _LABEL.match(text)
    if found is None:
        return None
    if found["plain"]:
        return Label(_folded(found["plain"]), found["value"].strip(), False)
    inside = found["inside"].strip()
    head, colon, tail = inside.partition(":")
    value = found["value"].strip()
    if colon and not tail.strip():
        return Label(_folded(head), value, True)
    if colon and not found["colon"]:
        return Label(_folded(head), f"{tail.strip()} {value}".strip(), True)
    if found["colon"] or not value:
        return Label(_folded(inside), value, True)
    if inside.endswith(".") and field_named(inside[:-1]):  # “**Goal.** Export the data”
        return Label(_folded(inside[:-1]), value, True)
    return None


def _folded(name: str) -> str:
    name = re.sub(r"\s*\([^()]*\)", "", name.replace("`", ""))
    return clean_title(re.sub(r"^\d+(?:\.\d+)*[.)]?\s+", "", name)).strip(" :").lower()


def folded(name: str) -> str:
    """A heading or label as it is compared: in lower case, without numbering, brackets, emoji, emphasis and colon."""
    return _folded(name.replace("**", "").replace("__", ""))


class Document:
    """A document in markdown. `sections` is the outline: the root has level 0 and holds what stands above the first heading."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.split("\n")
        self.body, self.meta = _front_matter(self.lines)  # the index of the first line below the front matter; its names
        self.too_intricate = 0  # the line where reading stopped

    @cached_property
    def root(self) -> Section:
        """The outline of the whole document."""
        lines = list(self.lines)
        lines[: self.body] = [""] * self.body
        if any("```m" in line for line in lines):
            lines = nested_fences(lines)
        root = Section("", 0, 1, len(self.lines))
        path = [root]
        for block in self._blocks(lines):
            if block.kind == "heading":
                while path[-1].level >= block.level:
                    path.pop().end_line = block.start
                section = Section(_plain_title(block.text), block.level, block.start + 1, len(self.lines))
                path[-1].sections.append(section)
                path.append(section)
            else:
                path[-1].blocks.append(block)
        return root

    def _blocks(self, lines: Sequence[str]) -> Iterator[MarkdownBlock]:
        try:
            yield from read_blocks(lines)
        except TooIntricate as stopped:
            self.too_intricate = stopped.line + 1

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """All sections in document order, without the root."""
        return tuple(self.root.walk())[1:]

    @cached_property
    def title_section(self) -> Section | None:
        """The first heading of level 1, where it is the document's title."""
        return next((section for section in self.sections if section.level == 1), None)

    @property
    def title(self) -> str:
        """The text of the first heading of level 1, or `title` or `name` in the front matter; "" without one."""
        if self.title_section is not None:
            return one_line(self.title_section.title)
        named = self.meta.get("title") or self.meta.get("name")
        return one_line(named) if isinstance(named, str) else ""

    def items_of(self, block: MarkdownBlock) -> list[Item]:
        """The items of a list."""
        return [self._item(item) for item in block.items or ()]

    def items_in(self, section: Section, deep: bool = False) -> list[Item]:
        """The items of all lists of a section, with `deep` of those in deeper sections too."""
        places = section.walk() if deep else (section,)
        return [item for place in places for block in place.blocks if block.kind == "list" for item in self.items_of(block)]

    def text_between(self, line: int, end_line: int) -> str:
        """The lines from `line` to `end_line` (from 1, inclusive), without blank lines at the end."""
        return "\n".join(self.lines[line - 1 : end_line]).rstrip()

    @cached_property
    def _draws_boxes(self) -> bool:
        """Whether some list draws open boxes as characters (“⬜ Move it”); a ✅ in the same document is then a ticked one."""
        return any(box in self.text for box in _OPEN_BOXES)

    def _item(self, item: ListItem) -> Item:
        head = item.blocks[0].text if item.blocks and item.blocks[0].kind == "paragraph" else ""
        end = item.end
        while end > item.start + 1 and not self.lines[end - 1].strip():
            end -= 1
        box = BOX.match(head)
        drawn = _DRAWN_BOX.match(head) if box is None and self._draws_boxes else None
        rest = item.blocks[1 if head else 0 :]
        below = _dedented(self.lines, item, rest, end) if rest else ""
        items = [self._item(child) for block in rest if block.kind == "list" for child in block.items or ()]
        text = head[box.end() :] if box else head[drawn.end() :] if drawn else head
        mark = box["mark"] if box else (" " if drawn[1] in _OPEN_BOXES else "x") if drawn else None
        return Item(text.strip(), item.start + 1, end, mark, bool(box and box["optional"]), item.number, below, items)


def _dedented(lines: Sequence[str], item: ListItem, blocks: Sequence[MarkdownBlock], end: int) -> str:
    """The source of the blocks below an item's first paragraph, without fences and without the indentation they share."""
    dropped: set[int] = set()
    for fence in fences_in(blocks):
        dropped.update(range(fence.start, fence.end))
    kept = [lines[at] for at in range(blocks[0].start, end) if at not in dropped and lines[at].strip()]
    margin = min((len(line) - len(line.lstrip()) for line in kept), default=0)
    return "\n".join(line[margin:].rstrip() for line in kept)


def fences_in(blocks: Iterable[MarkdownBlock]) -> Iterator[MarkdownBlock]:
    """The fenced and indented code in blocks, at any depth."""
    for block in blocks:
        if block.kind in ("fence", "code"):
            yield block
        yield from fences_in(block.blocks or ())
        for item in block.items or ():
            yield from fences_in(item.blocks)


def table_of(block: MarkdownBlock) -> list[tuple[int, list[str]]]:
    """The rows of a table in a paragraph, the header first, each with its line (from 1); [] if the paragraph is no table."""
    written = block.text.split("\n") if block.kind == "paragraph" else []
    if len(written) < 3 or "|" not in written[0] or not _SEPARATOR.fullmatch(written[1]):
        return []
    rows = [(block.start + 1, _cells(written[0]))]
    rows += [(block.start + 1 + at, _cells(row)) for at, row in enumerate(written[2:], start=2) if "|" in row]
    return rows


def _cells(row: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row.strip().removeprefix("|").removesuffix("|"))]


def _front_matter(lines: Sequence[str]) -> tuple[int, dict[str, Any]]:
    """The number of lines of the front matter, and its names. Front matter that is not plain YAML has no names."""
    at = next((number for number, line in enumerate(lines[:5]) if line.strip()), 0)
    if not lines or lines[at].rstrip() != "---":
        return 0, {}
    end = next((number for number in range(at + 1, len(lines)) if lines[number].rstrip() in ("---", "...")), 0)
    text = "\n".join(lines[at + 1 : end])
    if not end or len(text) > MAX_FRONT_MATTER or not re.search(r"^[\w-]+:", text, re.MULTILINE):
        return 0, {}
    for written in (text, _quoted(text)):
        try:
            if _is_plain(written):
                values = yaml.safe_load(written)
                return end + 1, values if isinstance(values, dict) else {}
        except (yaml.YAMLError, ValueError, RecursionError):
            continue
    return end + 1, {}


def _is_plain(text: str) -> bool:
    """Whether the YAML has no aliases, anchors and tags and is not deep, so that loading it builds what is written, and no more."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) or getattr(event, "tag", None):
            return False
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            return False
    return True


def _quoted(text: str) -> str:
    """YAML in which values with a colon inside, which tools write without quotes, are quoted."""
    fixed = []
    for line in text.split("\n"):
        bare = _UNQUOTED.match(line)
        fixed.append(bare["head"] + json.dumps(bare["value"].strip(), ensure_ascii=False) if bare else line)
    return "\n".join(fixed)
