"""The blocks of a markdown document, in order, from markdown-it's tokens.

Only the block structure is parsed. Inline text stays as written, because fields have their own rules. A long document is
parsed in pieces, to save memory: an ATX heading at the margin ends every open block except fenced code and raw HTML, so a
cut there changes nothing.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from markdown_it import MarkdownIt

_PIECE_LINES = 400
_MAX_LAZY_LINES = 50
PARSER_LINES = 40_000

Kind = Literal["heading", "paragraph", "list", "fence", "code", "html", "quote", "rule"]


@dataclass(slots=True)
class ListItem:
    """An item of a list: its blocks, its first line (from 0) and the line after its last."""

    blocks: "list[MarkdownBlock]"
    start: int
    end: int
    number: int | None = None  # as written, for ordered lists


@dataclass(slots=True)
class MarkdownBlock:
    """One block. `text` is inline source (paragraph, heading) or content (fence, code, html); lines count from 0."""

    kind: Kind
    start: int
    end: int
    text: str = ""
    level: int = 0  # of a heading
    info: str = ""  # of a fence
    closed: bool = True  # of a fence
    items: "list[ListItem] | None" = None  # of a list
    blocks: "list[MarkdownBlock] | None" = None  # of a quote


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": 20})
    parser.core.ruler.enableOnly(["normalize", "block"])
    # We treat link definitions as paragraphs; looking for them costs time on every paragraph.
    parser.disable("reference")
    return parser


_PARSER = _parser()
_MARKS = re.compile(r" {0,3}(?P<marks>`{3,}|~{3,})[ \t]*(?P<info>[^`\s]*)[ \t]*$")
_CUT = re.compile(r"#{1,6}[ \t]")
_LEAF: dict[str, Kind] = {"fence": "fence", "code_block": "code", "html_block": "html", "hr": "rule"}


def parse_blocks(lines: Sequence[str], offset: int = 0) -> list[MarkdownBlock]:
    """The lines, parsed by markdown-it, as nested blocks, with `offset` added to each line number."""
    tokens = _PARSER.parse("\n".join(lines))
    root: list[MarkdownBlock] = []
    into = [root]
    lists: list[list[ListItem]] = []
    at = 0
    count = len(tokens)
    while at < count:
        token = tokens[at]
        kind = token.type
        if kind == "paragraph_open" or kind == "heading_open":
            start, end = token.map or (0, 0)
            inline = tokens[at + 1]
            if kind == "paragraph_open":
                into[-1].append(MarkdownBlock("paragraph", start + offset, end + offset, inline.content))
            else:
                into[-1].append(MarkdownBlock("heading", start + offset, end + offset, inline.content, int(token.tag[1])))
            at += 3
            continue
        if kind in _LEAF:
            start, end = token.map or (0, 0)
            into[-1].append(MarkdownBlock(_LEAF[kind], start + offset, end + offset, token.content, info=token.info.strip()))
        elif kind in ("bullet_list_open", "ordered_list_open"):
            start, end = token.map or (0, 0)
            items: list[ListItem] = []
            into[-1].append(MarkdownBlock("list", start + offset, end + offset, items=items))
            lists.append(items)
        elif kind in ("bullet_list_close", "ordered_list_close"):
            lists.pop()
        elif kind == "list_item_open":
            start, end = token.map or (0, 0)
            number = int(token.info) if token.info.isascii() and token.info.isdecimal() else None
            item = ListItem([], start + offset, end + offset, number)
            lists[-1].append(item)
            into.append(item.blocks)
        elif kind == "blockquote_open":
            start, end = token.map or (0, 0)
            inner: list[MarkdownBlock] = []
            into[-1].append(MarkdownBlock("quote", start + offset, end + offset, blocks=inner))
            into.append(inner)
        elif kind in ("list_item_close", "blockquote_close"):
            into.pop()
        at += 1
    return root


def _is_open(block: MarkdownBlock, lines: Sequence[str]) -> bool:
    """Whether the piece ended inside this block, so that the following lines may belong to it."""
    if block.kind == "html":
        return True
    if block.kind != "fence":
        return False
    opening = lines[block.start].lstrip(" ")
    mark = opening[:1]
    width = len(opening) - len(opening.lstrip(mark))
    last = lines[block.end - 1].strip(" \t")
    return block.end - 1 == block.start or not (last and not last.strip(mark) and len(last) >= width)


# Lines that need no parser: they can open, close or interrupt a block only in the one way written here. A section of such lines
# only is built by hand, which is ten times as fast. Every other section goes to markdown-it. A property test checks that both
# ways give the same blocks.
_WORD = r"(?:\*\*)?[^\W\d_]"
_CONTENT = rf"(?:\[[ xX]\] )?(?:{_WORD}|`(?!``)|\.\w|[0-9]+(?![0-9.)]))"
_SIMPLE = re.compile(
    rf"(?P<blank>$)|(?P<text>{_WORD})|-\ (?P<bullet>{_CONTENT})|(?P<number>[0-9]{{1,9}})\.\ {_CONTENT}"
    r"|(?P<rule>---$)|(?P<under>=+$)|(?P<heading>#{1,6})\ +(?=[^#\s][^#]*$)"
)


def _simple(lines: Sequence[str], start: int, end: int) -> list[MarkdownBlock] | None:
    """The blocks of lines `start` to `end` if all these lines are simple; None if markdown-it must parse them."""
    blocks: list[MarkdownBlock] = []
    last: str | None = "blank"
    items: list[ListItem] | None = None  # of the list that the next item joins
    ordered = False
    paragraphs: list[MarkdownBlock] = []  # their text is filled in at the end
    block = paragraph = MarkdownBlock("paragraph", start, start)
    item = ListItem([paragraph], start, start)
    for at in range(start, end):
        line = lines[at]
        if not line:  # a third of all lines
            last = "blank"
            continue
        found = _SIMPLE.match(line)
        if found is None:
            return None
        kind = found.lastgroup
        if kind == "text":
            if last == "text":
                block.end = at + 1
            elif last == "bullet" or last == "number":  # a lazy continuation
                paragraph.text = f"{paragraph.text}\n{line}"
                paragraph.end = item.end = blocks[-1].end = at + 1
                if paragraph.end - paragraph.start > _MAX_LAZY_LINES:
                    return None
                continue
            else:
                block = MarkdownBlock("paragraph", at, at + 1)
                paragraphs.append(block)
                blocks.append(block)
                items = None
        elif kind == "under" or (kind == "rule" and last == "text"):
            if last != "text":
                return None
            block.kind, block.end, block.level = "heading", at + 1, 1 if kind == "under" else 2
            kind = "heading"
        elif kind == "bullet" or kind == "number":
            number = int(found["number"]) if kind == "number" else None
            if last == "text" and number not in (None, 1):
                return None  # only a 1 interrupts a paragraph
            paragraph = MarkdownBlock("paragraph", at, at + 1, line[found.start(kind) if number is None else found.end(kind) + 2 :].strip())
            item = ListItem([paragraph], at, at + 1, number)
            if items is not None and ordered is (number is not None):
                items.append(item)
                blocks[-1].end = at + 1
            else:
                items, ordered = [item], number is not None
                blocks.append(MarkdownBlock("list", at, at + 1, items=items))
        elif kind == "rule":
            if last != "blank":
                return None  # below a list it could be several things
            blocks.append(MarkdownBlock("rule", at, at + 1))
            items = None
        else:
            blocks.append(MarkdownBlock("heading", at, at + 1, line[found.end() :].strip(), found.end("heading")))
            items = None
        last = kind
    for block in paragraphs:
        stop = block.end if block.kind == "paragraph" else block.end - 1
        block.text = lines[block.start] if stop - block.start == 1 else "\n".join(lines[block.start : stop])
    return blocks


@dataclass(frozen=True, slots=True)
class _Marks:
    """A line that opens or closes a fence: its line number, its marks, and the word after them."""

    line: int
    marks: str
    info: str

    def closes(self, opening: "_Marks") -> bool:
        return not self.info and self.marks[0] == opening.marks[0] and len(self.marks) >= len(opening.marks)


_MAX_MARKS = 2000  # a document with more fences is read strictly by CommonMark


def nested_fences(lines: Sequence[str]) -> list[str]:
    """The lines, changed so that a markdown example with fences inside stays one fence.

    In CommonMark the first bare “```” inside a “```markdown” example ends it, but authors mean a “```sh” inside as a nested
    fence. The example therefore ends at the first place that leaves the fewest fences opened inside other fences, in it and in
    the rest of the document. The outer marks are then made longer, without adding lines.
    """
    kept = list(lines)
    found = [_Marks(at, hit["marks"], hit["info"].lower()) for at, line in enumerate(lines) if (hit := _MARKS.match(line))]
    if len(found) > _MAX_MARKS or not any(marks.info in ("markdown", "md") for marks in found):
        return kept
    ends, odd_from = _strict_ends(found)
    at = 0
    while at < len(found):
        opening, end = found[at], ends[at]
        if opening.info in ("markdown", "md"):
            best = _example_end(found, at, odd_from)
            if best > end:
                longer = opening.marks[0] * (len(opening.marks) + 20)
                for marks in (opening, found[best]):
                    kept[marks.line] = kept[marks.line].replace(marks.marks, longer, 1)
                end = best
        at = end + 1
    return kept


def _strict_ends(found: Sequence[_Marks]) -> tuple[list[int], list[int]]:
    """For a fence opened at each place: where it closes by CommonMark, and how many oddities follow to the end."""
    count = len(found)
    ends, odd_from = [count] * count, [0] * (count + 2)
    for at in range(count - 1, -1, -1):
        odd = 0
        for later in range(at + 1, count):
            if found[later].closes(found[at]):
                ends[at] = later
                break
            odd += bool(found[later].info)
        odd_from[at] = odd + (ends[at] == count) + odd_from[min(ends[at] + 1, count)]
    return ends, odd_from


def _example_end(found: Sequence[_Marks], at: int, odd_from: Sequence[int]) -> int:
    """The best place for the end of the example that opens at `at`; 0 if there is none."""
    inner: _Marks | None = None
    odd = best = 0
    fewest = len(found) + 1
    for later in range(at + 1, len(found)):
        marks = found[later]
        if marks.closes(found[at]):
            total = odd + (inner is not None) + odd_from[later + 1]
            if total < fewest:
                fewest, best = total, later
        if inner is None:
            inner = marks
        elif marks.closes(inner):
            inner = None
        elif marks.info:
            odd += 1
    return best


class TooIntricate(Exception):
    """Too much of the document needs the full parser; `line` (from 0) is where reading stopped."""

    def __init__(self, line: int) -> None:
        self.line = line
        super().__init__(line)


def read_blocks(lines: Sequence[str]) -> Iterator[MarkdownBlock]:
    """The top-level blocks of a document's lines, in order. Linear in the size of the document.

    The parser takes about 30 µs per line, so it parses at most PARSER_LINES lines, plus one for every 16 characters above a
    million. No plan by a person comes near this, and a megabyte of hostile lines ends within two seconds. Raises TooIntricate
    above it.
    """
    cuts = [0, *(at for at, line in enumerate(lines) if at and line[:1] == "#" and _CUT.match(line)), len(lines)]
    left = PARSER_LINES + max(0, sum(map(len, lines)) - 1_000_000) // 16
    section = 0
    while section < len(cuts) - 1:
        simple = _simple(lines, cuts[section], cuts[section + 1])
        if simple is not None:
            yield from simple
            section += 1
            continue
        start, total, wanted = cuts[section], len(lines), _PIECE_LINES
        while True:
            after = section + 1
            while after < len(cuts) - 1 and cuts[after] - start < wanted:
                after += 1
            end = cuts[after]
            left -= end - start
            if left < 0:
                raise TooIntricate(start)
            blocks = parse_blocks(lines[start:end], start)
            if end == total or not blocks or not _is_open(blocks[-1], lines):
                break
            wanted = (end - start) * 2
        if blocks and blocks[-1].kind == "fence" and end == total:
            blocks[-1].closed = not _is_open(blocks[-1], lines)
        yield from blocks
        section = after
