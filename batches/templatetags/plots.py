"""A plot as SVG: lines, bars, points and text. The policy allows no style attributes, so all places are attributes."""

from collections.abc import Iterator
from html import escape
from itertools import pairwise

from django import template
from django.utils.safestring import SafeString, mark_safe

from batches.core.metrics.plots import Line, Mark, Plot, Shape

register = template.Library()
PATTERNS = {"/": "hatched", ".": "dotted", "x": "crossed", "-": "striped"}  # ids in templates/metrics/_patterns.html


@register.simple_tag
def plot(drawn: Plot, name: str, summary: str) -> SafeString:
    """The plot with its legend. One mark of it is a stop of the Tab key; the arrow keys of static/js/plots.js go on from it.

    Built as one string, because a page has thousands of shapes.
    """
    legend = "".join(f"<li>{_swatch(colour, pattern)}{escape(text)}</li>" for text, colour, pattern in drawn.legend)
    return mark_safe(  # noqa: S308 -- every text is escaped here
        (f'<ul class="chart-legend">{legend}</ul>' if legend else "")
        + f'<div class="chart" data-plot="{escape(name)}">'
        + (_left(drawn) if drawn.down else "")
        + f'<svg class="chart-area" height="{drawn.height}" role="group" aria-label="{escape(summary)}">'
        + "".join((*_ground(drawn), *_marks(drawn), *(_line(one) for one in drawn.lines)))
        + "</svg></div>"
    )


def _left(drawn: Plot) -> str:
    texts = "".join(f'<text x="{drawn.left - 8}" y="{tick.at + 4:.1f}" text-anchor="end">{escape(tick.text)}</text>' for tick in drawn.down)
    return (
        f'<svg class="chart-left" width="{drawn.left}" height="{drawn.height}" aria-hidden="true">'
        f'{texts}<text class="unit" x="0" y="10">{escape(drawn.unit)}</text></svg>'
    )


def _ground(drawn: Plot) -> Iterator[str]:
    """The grid, the marks below and the lines through points: nothing that a screen reader reads."""
    yield '<g aria-hidden="true">'
    for tick in drawn.down:
        yield f'<line class="grid" x2="100%" y1="{tick.at:.1f}" y2="{tick.at:.1f}"/>'
    for tick in drawn.across:
        minor = " minor" if tick.minor else ""
        if not drawn.down:
            yield f'<line class="grid" x1="{tick.at:.2f}%" x2="{tick.at:.2f}%" y1="4" y2="{drawn.bottom}"/>'
        anchor = "start" if tick.at < 2 else "middle"
        yield f'<text class="at{minor}" x="{tick.at:.2f}%" y="{drawn.bottom + 17}" text-anchor="{anchor}">{escape(tick.text)}</text>'
    if drawn.x_title or not drawn.down:
        yield (
            f'<text class="unit" x="100%" y="{drawn.bottom + (33 if drawn.x_title else 17)}" text-anchor="end">'
            f"{escape(drawn.x_title or drawn.unit)}</text>"
        )
    for colour, places in drawn.joined:
        for (x1, y1), (x2, y2) in pairwise(places):
            yield f'<line class="joined" x1="{x1:.2f}%" y1="{y1:.1f}" x2="{x2:.2f}%" y2="{y2:.1f}" stroke="{colour}"/>'
    yield "</g>"


def _marks(drawn: Plot) -> Iterator[str]:
    first = True
    for one in drawn.marks:
        inner = f"<title>{escape(one.told)}</title>{''.join(_shape(shape) for shape in one.shapes)}{_words(one)}"
        if one.href:
            yield f'<a class="mark" href="{escape(one.href)}"{"" if first else " tabindex=-1"}>{inner}</a>'
            first = False
        else:
            yield f'<g class="mark" role="img">{inner}</g>'


def _words(one: Mark) -> str:
    """The name above a horizontal bar, and its value behind it."""
    if not one.name:
        return ""
    end = max((shape.x + shape.width for shape in one.shapes), default=0)
    top, low = one.shapes[0].y, one.shapes[-1].y + one.shapes[-1].height
    return (
        f'<text class="name" y="{top - 5:.1f}">{escape(one.name)}</text>'
        f'<text class="value" x="{end:.2f}%" dx="6" y="{(top + low) / 2 + 4:.1f}">{escape(one.value)}</text>'
    )


def _shape(one: Shape) -> str:
    if one.radius:
        return f'<circle cx="{one.x:.2f}%" cy="{one.y:.1f}" r="{one.radius}" fill="{one.colour}"/>'
    place = f'x="{one.x:.2f}%" y="{one.y:.1f}" width="{one.width:.2f}%" height="{one.height:.1f}"'
    over = f'<rect {place} fill="url(#{PATTERNS[one.pattern]})"/>' if one.pattern else ""
    return f'<rect {place} fill="{one.colour}"/>{over}'


def _line(one: Line) -> str:
    place = f'x1="{one.x1:.2f}%" y1="{one.y1:.1f}" x2="{one.x2:.2f}%" y2="{one.y2:.1f}"'
    anchor = "end" if one.x2 > 20 else "start"
    name = f'<text class="line-name" x="{one.x2:.2f}%" y="{one.y2 - 5:.1f}" text-anchor="{anchor}">{escape(one.name)}</text>'
    return f'<g class="line" aria-hidden="true"><line class="pale" {place}/><line {place}/>{name if one.name else ""}</g>'


def _swatch(colour: str, pattern: str) -> str:
    over = f'<rect width="12" height="12" fill="url(#{PATTERNS[pattern]})"/>' if pattern else ""
    return f'<svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" rx="2" fill="{colour}"/>{over}</svg>'
