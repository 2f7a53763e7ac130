"""Parts of a transcript's entries. Everything is escaped here."""

from django import template
from django.utils.safestring import SafeString, mark_safe

from batches.core.text.transcript import Entry
from batches.templatetags.ce import shown

register = template.Library()
SUMMARY_CHARACTERS = 160


@register.simple_tag
def edit_lines(entry: Entry) -> SafeString:
    """The lines of an edit, each in a block of its own."""
    lines = (f'<span class="line {kind}">{shown(line)}</span>' for kind, line in entry.edit_lines)
    return mark_safe("".join(lines))  # noqa: S308 -- `shown` escapes, kinds are ours


@register.filter
def first_line(text: str) -> SafeString:
    """The first line of a text that says something, cut to the length of a summary."""
    first = next((line.strip() for line in text.split("\n") if line.strip()), "")
    return shown(first if len(first) <= SUMMARY_CHARACTERS else f"{first[:SUMMARY_CHARACTERS].rstrip()}…")
