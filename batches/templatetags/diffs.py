"""Files of a diff as tables, unified or split. Everything is escaped here."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from django import template
from django.utils.safestring import SafeString, mark_safe

from batches.core.text.diff import DiffFile, DiffLine, compared, side_by_side
from batches.core.text.highlight import style_lines
from batches.models import DiffComment
from batches.templatetags.ce import shown

register = template.Library()
COLUMNS = '<col class="at"><col class="sign"><col>'
SIGNS = {"add": "+", "del": "−"}
Said = dict[tuple[int, bool], list[DiffComment]]  # by the line, and whether it is one before the change
Styles = dict[int, Sequence[tuple[int, int, str]]]  # by the index of the line


@register.simple_tag
def diff_table(file: DiffFile, mode: str = "unified", limit: int = 4_000, comments: Sequence[DiffComment] = ()) -> SafeString:
    """At most `limit` lines of a file, with numbers, colours, changed words and comments; `mode`: unified or split."""
    lines = compared(file.lines[:limit])
    styles = _styles(file.name, lines)
    said: Said = {}
    for one in comments:
        said.setdefault((one.line, one.removed), []).append(one)
    whole = "".join(_comment_row(one, 6) for one in said.pop((0, False), []))
    if mode == "split":
        places = {id(line): place for place, line in enumerate(lines)}
        pairs = side_by_side(lines)
        rows = "".join(_pair(left, right, places, styles) + _said((left, right), said, 6) for left, right in pairs)
        rows = f"<colgroup>{COLUMNS * 2}</colgroup><tbody>{whole}{rows}</tbody>"
    else:
        rows = "".join(_row(line, styles.get(place, ())) + _said((line,), said, 4) for place, line in enumerate(lines))
        rows = f"<tbody>{whole}{rows}</tbody>"
    return mark_safe(f'<table class="code-diff code-{"split" if mode == "split" else "unified"}">{rows}</table>')  # noqa: S308 -- rows are escaped where they are made


def _styles(name: str, lines: Sequence[DiffLine]) -> Styles:
    """Syntax colours; each side is highlighted as a separate text."""
    found: Styles = {}
    for skipped in ("add", "del"):
        side = [place for place, line in enumerate(lines) if line.kind in ("", "add", "del") and line.kind != skipped]
        for place, styles in zip(side, style_lines(name, [lines[place].text for place in side]) or (), strict=False):
            found[place] = styles
    return found


def _said(lines: Iterable[DiffLine | None], said: Said, columns: int) -> str:
    """The comments on these lines, each once."""
    if not said:
        return ""
    found = []
    for line in lines:
        if line is not None and line.kind in ("", "add", "del"):
            found += said.pop((line.new or 0, False), []) if line.new else []
            found += said.pop((line.old or 0, True), []) if line.old else []
    return "".join(_comment_row(one, columns) for one in found)


def _comment_row(one: DiffComment, columns: int) -> str:
    done = f" · resolved by {shown(one.resolved_name)}" if one.resolved_at else ""
    said = f'<span class="muted">{shown(one.name)}{done}</span><span class="remark-text">{shown(one.text)}</span>'
    said += f'<span class="remark-text muted">{shown(one.answer)}</span>' if one.answer else ""
    return f'<tr class="remark"><td colspan="{columns}">{said}</td></tr>'


def _row(line: DiffLine, styles: Sequence[tuple[int, int, str]]) -> str:
    if line.kind in ("hunk", "meta"):
        return _wide(line, 4)
    numbers = f'<td class="at">{line.old or ""}</td><td class="at">{line.new or ""}</td>'
    text = _text(line, styles)
    return f'<tr class="{line.kind}">{numbers}<td class="sign">{SIGNS.get(line.kind, "")}</td><td class="what">{text}</td></tr>'


def _pair(left: DiffLine | None, right: DiffLine | None, places: dict[int, int], styles: Styles) -> str:
    if left is not None and left.kind in ("hunk", "meta"):
        return _wide(left, 6)
    return f"<tr>{_cells(left, 'old', places, styles)}{_cells(right, 'new', places, styles)}</tr>"


def _cells(line: DiffLine | None, side: str, places: dict[int, int], styles: Styles) -> str:
    if line is None:
        return '<td class="at none"></td><td class="sign none"></td><td class="what none"></td>'
    number = line.old if side == "old" else line.new
    text = _text(line, styles.get(places[id(line)], ()))
    return (
        f'<td class="at {line.kind}">{number or ""}</td><td class="sign {line.kind}">{SIGNS.get(line.kind, "")}</td>'
        f'<td class="what {line.kind}">{text}</td>'
    )


def _wide(line: DiffLine, columns: int) -> str:
    if line.kind == "meta" and line.text.startswith(("new file mode", "deleted file mode")):  # shown in the heading of the file
        return ""
    return f'<tr class="{line.kind}"><td colspan="{columns}">{shown(line.text)}</td></tr>'


def _text(line: DiffLine, styles: Sequence[tuple[int, int, str]]) -> str:
    if not line.marks and not styles:
        return shown(line.text)
    edges = {0, len(line.text), *(place for mark in line.marks for place in mark), *(place for style in styles for place in style[:2])}
    parts = []
    for start, end in pairwise(sorted(edges)):
        piece: str = shown(line.text[start:end])
        if style := next((name for first, last, name in styles if first <= start < last), ""):
            piece = f'<span class="{style}">{piece}</span>'
        if any(first <= start < last for first, last in line.marks):
            piece = f"<mark>{piece}</mark>"
        parts.append(piece)
    return "".join(parts)
