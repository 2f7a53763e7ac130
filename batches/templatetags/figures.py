"""Charts of the metrics page as tables, and headline values with their change."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

from django import template
from django.utils.html import conditional_escape, escape, format_html
from django.utils.safestring import SafeString, mark_safe

from batches.core.metrics import values
from batches.core.metrics.figures import Figure, Row
from batches.core.metrics.text import success_name
from batches.core.metrics.types import Headline
from batches.core.text import words
from batches.core.text.state_styles import STATE_STYLES
from batches.templatetags.ce import pill

register = template.Library()


@register.filter
def in_unit(value: float | Decimal | None, unit: str) -> str:
    """A headline's or a criterion's value as people read it."""
    return values.in_unit(value, unit)


register.filter(success_name)


@register.filter
def signed_percent(share: float | Literal[""] | None) -> str:
    """A change as "+12 %" or "−3 %"."""
    if share is None or share == "":
        return words.UNKNOWN
    return "none" if not share else f"{'+' if share > 0 else '−'}{abs(share) * 100:.0f} %" if abs(share) >= 0.005 else "<1 %"


@register.simple_tag
def change(headline: Headline) -> SafeString:
    """The change from the previous period: sign, amount and word, never by colour alone."""
    if headline.value is None:
        return format_html('<span class="change">{}</span>', "no data yet")
    if headline.before is None:
        return SafeString("")
    before, now = (values.in_unit(value, headline.unit) for value in (headline.before, headline.value))
    if now == before:  # what reads the same is no change
        return format_html('<span class="change">as before ({})</span>', before)
    sign = "▲" if headline.value > headline.before else "▼"
    if headline.unit in ("share", "percent"):
        points = (headline.value - headline.before) * (100 if headline.unit == "share" else 1)
        amount = f"{abs(points):.0f} points" if abs(points) >= 1 else "<1 point"
    else:
        amount = words.UNKNOWN if headline.change is None else f"{abs(headline.change):.0%}".replace("%", " %")
    word = {True: ", better", False: ", worse", None: ""}[headline.improved]
    state = {True: "succeeded", False: "failed", None: "queued"}[headline.improved]
    return format_html(
        '<span class="change" data-state="{}"><span aria-hidden="true">{}</span> {}{} <span class="muted">(was {})</span></span>',
        *(state, sign, amount, word, before),
    )


@register.simple_tag
def figure_table(figure: Figure) -> SafeString:
    """A chart's data as a table. The first cell links to the rows that were counted.

    Built as one string, because a page has thousands of cells.
    """
    heads = "".join(f'<th scope="col"{" class=num" if one.is_number else ""}>{escape(one.title)}</th>' for one in figure.columns)
    body = "".join(f"<tr>{''.join(_cells(figure, row))}</tr>" for row in figure.rows)
    return mark_safe(f'<table class="table"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>')  # noqa: S308 -- escaped in _cells


def _cells(figure: Figure, row: Row) -> Iterator[str]:
    for at, (column, value) in enumerate(zip(figure.columns, row.values, strict=True)):
        if column.name == "state" and value in STATE_STYLES:
            yield f"<td>{pill(str(value))}</td>"
            continue
        text: str = conditional_escape(values.shown(value, column.kind))
        if at == 0 and row.href:
            text = f'<a href="{escape(row.href)}">{text}</a>'
        yield f"<td class=num>{text}</td>" if column.is_number else f"<td>{text}</td>"
