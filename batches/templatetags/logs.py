"""Lines of logs with colours, search hits and visible control characters. Everything is escaped here."""

from collections.abc import Iterable
from itertools import pairwise
from urllib.parse import quote

from django import template
from django.utils import timezone
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from batches.core.text import words
from batches.core.text.fragments import LINE
from batches.core.text.log_lines import LogLine
from batches.templatetags.ce import shown

register = template.Library()


@register.simple_tag
def log_lines(lines: Iterable[LogLine], who: bool = False, grows: bool = False) -> SafeString:
    """`<li>` elements with the id "L123" in a numbered log. `who` adds the task's name, `grows` the markers of a growing fragment."""
    return mark_safe("".join((LINE if grows else "") + _line(line, who) for line in lines))  # noqa: S308 -- _line escapes


def _line(line: LogLine, who: bool) -> str:
    name = number = ""
    if line.number:
        name = f' id="L{line.number}"'
        number = f'<a class="ln" href="?line={line.number}#L{line.number}" aria-label="Line {line.number}">{line.number}</a>'
    at = "<span></span>"
    if line.at:
        at = f'<time class="at" datetime="{words.stamp(line.at)}" data-form="H:i:s">{timezone.localtime(line.at):%H:%M:%S}</time>'
    named = _named(line.who) if who else ""
    return f'<li{name} data-level="{escape(words.visible(line.kind))}">{number}{at}{named}<span class="what">{_text(line)}</span></li>'


def _named(task: str) -> str:
    """The task's name; for a phase, a link to its log from the page of its batch."""
    if not task or task.startswith("stage-"):
        return f'<span class="who">{shown(task)}</span>'
    return f'<a class="who" href="phases/{escape(quote(task, safe=""))}/?tab=log" tabindex="-1">{shown(task)}</a>'


def _text(line: LogLine) -> str:
    if not line.styles and not line.hits:
        return shown(line.text)
    edges = [(style.start, style.end) for style in line.styles] + list(line.hits)
    parts = []
    for start, end in pairwise(sorted({0, len(line.text), *(place for edge in edges for place in edge)})):
        piece: str = shown(line.text[start:end])
        if names := next((style.names for style in line.styles if style.start <= start < style.end), ""):
            piece = f'<span class="ansi {names}">{piece}</span>'
        if any(first <= start < last for first, last in line.hits):
            piece = f"<mark>{piece}</mark>"
        parts.append(piece)
    return "".join(parts)
