"""Figures as values: a table with typed columns, and the same rows as a plot that plotly.js draws.

One theme for light and dark: colours are the names of the page's own custom properties ("var(--text)"), which
`static/js/metrics.js` looks up when it draws. Text from outside is escaped here, because plotly reads markup in it.
"""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

from batches.core.percentile import MoreThan
from batches.core.text import words

Value = str | int | float | Decimal | date | None
Plot = dict[str, Any]
DAY_MS = 86_400_000.0

THEME: Plot = {
    "font": {
        "family": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif",
        "size": 12,
        "color": "var(--muted)",
    },
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "margin": {"l": 8, "r": 8, "t": 12, "b": 8},
    "bargap": 0.28,
    "hovermode": "closest",
    "dragmode": False,
    "hoverlabel": {
        "bgcolor": "var(--surface)",
        "bordercolor": "var(--line-strong)",
        "font": {"color": "var(--text)", "size": 12},
        "align": "left",
    },
    "legend": {
        "orientation": "h",
        "x": 0,
        "y": 1.02,
        "xanchor": "left",
        "yanchor": "bottom",
        "traceorder": "normal",
        "itemclick": False,
        "itemdoubleclick": False,
    },
}
AXIS: Plot = {
    "automargin": True,
    "fixedrange": True,
    "gridcolor": "var(--line)",
    "linecolor": "var(--line-strong)",
    "zeroline": False,
    "ticks": "",
    "tickangle": 0,
    "tickfont": {"color": "var(--muted)", "size": 12},
}
DATE_AXIS: Plot = {
    **AXIS,
    "type": "date",
    "nticks": 8,
    "tickformat": "%-d %b %Y",
    "tickformatstops": [
        {"dtickrange": [None, 86_400_000], "value": "%-d %b"},
        {"dtickrange": [86_400_000, "M1"], "value": "%-d %b"},
        {"dtickrange": ["M1", None], "value": "%b %Y"},
    ],
}
REFERENCE_NAME: Plot = {
    "xref": "paper",
    "x": 1,
    "xanchor": "right",
    "yanchor": "bottom",
    "showarrow": False,
    "font": {"color": "var(--text)"},
    "bgcolor": "var(--surface)",
    "borderpad": 2,
}
TOLD = "%{customdata[1]}<extra></extra>"
SYMBOLS = ("circle", "diamond", "square", "cross")
FEW = 8  # names fewer than these do not fill the width: bars keep a bar's shape
# Colours of bars side by side or stacked, chosen so that colour-blind people can tell them apart. The legend names them.
COLOURS = (
    "var(--running-bar)",
    "var(--succeeded-bar)",
    "var(--stale-bar)",
    "var(--blocked-bar)",
    "var(--queued-bar)",
    "var(--failed-bar)",
    "var(--cancelled-bar)",
)
PATTERNS = ("", "", "/", "", ".", "x", "-")


@dataclass(frozen=True, slots=True)
class Column:
    """`name` is what CSV and JSON call it, with the unit; `kind`: seconds, hours, tokens, usd, share, ratio, count, text or date."""

    name: str
    title: str
    kind: str = "count"

    @property
    def is_number(self) -> bool:
        return self.kind not in ("text", "date")


@dataclass(frozen=True, slots=True)
class Row:
    """`href` leads to what the row was counted from; "" when there is nothing more to see."""

    values: tuple[Value, ...]
    href: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the page. Without rows `empty` says why; without a plot the table is all of it."""

    name: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    empty: str
    plot: Plot | None = None
    summary: str = ""  # what the plot shows, in one sentence, for those who do not see it
    wide: bool = False

    @property
    def plot_id(self) -> str:
        """The id of the element that holds the plot."""
        return f"{self.name}-plot"


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of a bar figure. `values` in the order of the bars; None draws nothing."""

    name: str
    values: Sequence[float | int | Decimal | None]
    colour: str
    pattern: str = ""
    said: Sequence[float | int | Decimal | None] | None = None  # the value in the tooltip, where it is not the bar's length


@dataclass(frozen=True, slots=True)
class Bars:
    """The bars' places: names, or days; then `days` is how many each bar covers. `titles` are said of a bar, and what it opens."""

    places: Sequence[str | date]
    hrefs: Sequence[str]
    titles: Sequence[str]
    days: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a figure of points; x is a number or a moment."""

    x: float | date
    y: float | None
    text: str
    href: str = ""


def shown(value: Value, kind: str) -> str:
    """A value as people read it; unknown is "—"."""
    if value is None or value == "":
        return words.UNKNOWN
    if isinstance(value, str):
        return words.visible(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, MoreThan):
        return f"> {shown(float(value), kind)}"
    match kind:
        case "seconds":
            return words.duration(float(value))
        case "hours":
            return words.hours(float(value))
        case "tokens":
            return words.tokens(round(value))
        case "usd":
            return words.usd(value)
        case "share":
            return f"{100 * float(value):.0f} %".replace("-", "−") if not 0 < value < 0.005 else "<1 %"
        case "ratio":
            return f"{float(value):.2f} ×"
    return f"{value:,}" if isinstance(value, int) else f"{float(value):,.1f}".removesuffix(".0")


def in_unit(value: float | Decimal | None, unit: str) -> str:
    """The value of a headline or a criterion as people read it (types.Headline.unit)."""
    if value is None:
        return words.UNKNOWN
    if unit == "percent":
        return f"{float(value):.0f} %"
    whole = unit in ("count", "runs") and float(value).is_integer()
    return shown(int(value) if whole else value, "ratio" if unit == "times" else unit)


def bars(places: Bars, series: Sequence[Series], kind: str, *, lines: Sequence[tuple[float, str]] = ()) -> Plot:
    """Vertical bars, stacked, with dashed lines at (value, name)."""
    data = []
    for one in series:
        trace = {
            "type": "bar",
            "name": _safe(one.name),
            "x": [place.isoformat() if isinstance(place, date) else _safe(place) for place in places.places],
            "y": [_number(value) for value in one.values],
            **_tooltips(places.titles, one, kind, places.hrefs),
            "marker": _marker(one),
        }
        if places.days:
            trace |= {"width": [days * DAY_MS * 0.76 for days in places.days], "offset": [days * DAY_MS * 0.12 for days in places.days]}
        elif len(places.places) < FEW:
            trace["width"] = 0.08 * len(places.places)
        data.append(trace)
    totals = (sum(float(one.values[at] or 0) for one in series) for at in range(len(places.places)))
    highest = max([*totals, *(value * 1.06 for value, _ in lines)], default=0)
    x_axis = {**DATE_AXIS} if places.days else {**AXIS, "type": "category", "nticks": 20}
    layout = {
        **THEME,
        "barmode": "stack",
        "showlegend": len(series) > 1,
        "xaxis": {**x_axis, "showgrid": False},
        "yaxis": {**AXIS, **ticks(highest, kind)},
        **_reference(lines),
    }
    return {"data": data, "layout": layout}


def horizontal_bars(
    names: Sequence[str],
    series: Sequence[Series],
    kind: str,
    *,
    hrefs: Sequence[str] = (),
    stacked: bool = False,
    target: float | None = None,
) -> Plot:
    """Horizontal bars, the first at the top, for a few items with long names. Without `stacked` the series stand side by side."""
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": _safe(one.name),
            "y": list(range(len(names))),
            "x": [_number(value) for value in one.values],
            **_tooltips(names, one, kind, hrefs),
            "marker": _marker(one),
        }
        for one in series
    ]
    thick = 22 if stacked or len(series) == 1 else 34
    height = max(260, 70 + len(names) * (thick + 7))
    lengths = [[float(one.values[at] or 0) for one in series] for at in range(len(names))]
    highest = max([*(sum(each) if stacked else max(each) for each in lengths), target or 0], default=0)
    layout = {
        **THEME,
        "barmode": "stack" if stacked else "group",
        "showlegend": len(series) > 1,
        "height": height,
        "bargap": max(0.22, 1 - thick / ((height - 70) / max(len(names), 1))),
        "xaxis": {**AXIS, **ticks(highest, kind, most=5)},
        "yaxis": {
            **AXIS,
            "range": [len(names) - 0.5, -0.5],
            "showgrid": False,
            "tickvals": list(range(len(names))),
            "ticktext": [_safe(_cut(name)) for name in names],
            "ticklabelstandoff": 6,
        },
    }
    if target is not None:
        layout["shapes"] = _lined(x0=target, x1=target, yref="paper", y0=0, y1=1)
    return {"data": data, "layout": layout}


def dated(
    groups: Sequence[tuple[str, str, Sequence[Point]]], kind: str, *, lines: Sequence[tuple[float, str]] = (), joined: bool = False
) -> Plot:
    """Points over time, of groups (name, colour, points) and with dashed lines at (value, name); `joined`: a line through them."""
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers" if joined else "markers",
            "connectgaps": joined,
            "name": _safe(name),
            "x": [one.x.isoformat() if isinstance(one.x, date) else one.x for one in found],
            "y": [one.y for one in found],
            **_tooltips([one.text for one in found], Series(name, [one.y for one in found], colour), kind, [one.href for one in found]),
            "marker": {
                "color": colour,
                "size": 7 if joined or len(found) > FEW * 8 else 9,
                "line": {"color": "var(--surface)", "width": 1},
            },
            "line": {"color": colour, "width": 2},
        }
        for name, colour, found in groups
    ]
    known = [one.y for _, _, found in groups for one in found if one.y is not None]
    highest = max([*known, *(value * 1.06 for value, _ in lines)], default=0)
    layout = {
        **THEME,
        "showlegend": len(groups) > 1,
        "xaxis": {**DATE_AXIS, "showgrid": False},
        "yaxis": {**AXIS, **ticks(highest, kind)},
        **_reference(lines),
    }
    return {"data": data, "layout": layout}


def points(groups: Sequence[tuple[str, str, Sequence[Point]]], kind: str, *, x_title: str, y_title: str) -> Plot:
    """Points whose x and y are of the same kind, of groups (name, colour, points), with the line on which both are equal."""
    found = [(name, colour, [(float(one.x), one.y, one) for one in each if isinstance(one.x, int | float) and one.y is not None])
             for name, colour, each in groups]  # fmt: skip
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": _safe(name),
            "x": [x for x, _, _ in each],
            "y": [y for _, y, _ in each],
            "customdata": [
                [one.href, f"{_safe(one.text)}<br>{x_title}: {shown(x, kind)}<br>{y_title}: {shown(y, kind)}"] for x, y, one in each
            ],
            "hovertemplate": TOLD,
            "marker": {"color": colour, "size": 9, "symbol": SYMBOLS[at % len(SYMBOLS)], "line": {"color": "var(--surface)", "width": 1}},
        }
        for at, (name, colour, each) in enumerate(found)
        if each
    ]
    most_x = max((x for _, _, each in found for x, _, _ in each), default=0.0)
    most_y = max((y for _, _, each in found for _, y, _ in each), default=0.0)
    even = min(most_x, most_y)
    layout = {
        **THEME,
        "showlegend": len(data) > 1,
        "xaxis": {**AXIS, "title": _title(x_title), **ticks(most_x, kind, most=5)},
        "yaxis": {**AXIS, "title": _title(y_title), **ticks(most_y, kind)},
        "shapes": _lined(x0=0, y0=0, x1=even, y1=even),
    }
    return {"data": data, "layout": layout}


def _tooltips(titles: Sequence[str], one: Series, kind: str, hrefs: Sequence[str]) -> Plot:
    """What is said of each bar under the pointer, and where it leads: [href, text].

    Plain lines: plotly draws tags such as <b> with a style attribute, which the page's policy forbids.
    """
    values = one.values if one.said is None else one.said
    name = _safe(one.name)
    said = [f"{_safe(title)}<br>{name}: {shown(value, kind)}" for title, value in zip(titles, values, strict=True)]
    return {
        "customdata": [list(pair) for pair in zip(hrefs or [""] * len(said), said, strict=True)],
        "hovertemplate": TOLD,
    }


def _reference(lines: Sequence[tuple[float, str]]) -> Plot:
    across = {"xref": "paper", "x0": 0, "x1": 1}
    return {
        "shapes": [shape for value, _ in lines for shape in _lined(**across, y0=value, y1=value)],
        "annotations": [
            {
                **REFERENCE_NAME,
                "text": _safe(name),
                "y": value,
            }
            for value, name in lines
        ],
    }


def ticks(highest: float, kind: str, *, most: int = 6) -> Plot:
    """Where an axis of `kind` has its marks, written as the tables write them."""
    if highest <= 0 or not math.isfinite(highest):
        return {"range": [0, 1], "showticklabels": False}
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
    step = next((float(one) for one in steps if highest / one <= most - 1), None) if kind == "seconds" and highest >= 2 else None
    if step is None:
        step = _nice(highest / (most - 1))
        if kind == "seconds" and highest >= 2:
            step = 86400 * math.ceil(step / 86400)
        elif kind == "count":
            step = max(1.0, step)
    top = math.ceil(highest / step - 1e-9) * step
    marks = [step * at for at in range(round(top / step) + 1)]
    return {"range": [0, max(top, highest) * 1.02], "tickvals": marks, "ticktext": [_mark(mark, step, kind) for mark in marks]}


def _nice(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if rough <= power * factor * 1.000001)


def _mark(value: float, step: float, kind: str) -> str:
    if value == 0:
        return "0"
    if kind == "seconds":
        for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
            if step >= size or (value >= size and value % (size / 2) == 0):
                return f"{value / size:g} {unit}"
        return f"{value:g} s" if value < 60 else f"{int(value // 60)} min {value % 60:02.0f} s"
    if kind == "hours":
        return f"{value:g} h"
    if kind == "tokens":
        return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k" if value >= 1e3 else f"{value:g}"
    if kind == "usd":
        return f"${value:,.2f}" if step < 1 and step >= 0.01 else f"${value:,g}"
    if kind == "share":
        return f"{100 * value:g} %"
    return f"{value:g} ×" if kind == "ratio" else f"{value:,g}"


def bare(value: Value) -> str | int | float | None:
    """A value for CSV and JSON: numbers as numbers, dates as ISO 8601, unknown as null."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    return value


def _number(value: float | int | Decimal | None) -> float | int | None:
    return float(value) if isinstance(value, Decimal) else value


def _marker(one: Series) -> Plot:
    return {
        "color": one.colour,
        **(
            {"pattern": {"shape": one.pattern, "fillmode": "overlay", "fgcolor": "var(--surface)", "size": 6, "solidity": 0.25}}
            if one.pattern
            else {}
        ),
    }


def _title(text: str) -> Plot:
    return {"text": text, "standoff": 8, "font": {"color": "var(--muted)", "size": 12}}


def _lined(**place: Any) -> list[Plot]:
    """A dashed line on a pale one, so that it is seen on dark bars too."""
    above = {"type": "line", "layer": "above", **place}
    pale = {**above, "opacity": 0.7, "line": {"color": "var(--surface)", "width": 3.5}}
    return [pale, {**above, "line": {"color": "var(--text)", "width": 1.25, "dash": "dash"}}]


def _cut(name: str, longest: int = 30) -> str:
    name = words.visible(name)
    return name if len(name) <= longest else name[: longest - 1] + "…"


@lru_cache(maxsize=2048)
def _safe(text: str) -> str:
    """Text that plotly shows as it is: no tags, no hidden characters."""
    return html.escape(words.visible(text), quote=False)
