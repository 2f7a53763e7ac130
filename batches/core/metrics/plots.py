"""Plots as values: bars, points, lines and marks with their places, which `batches/templatetags/plots.py` writes as SVG.

Places across are percent of the width, which the browser knows; places down are pixels. So a plot fits every width and its
text keeps its size. Colours are the page's own custom properties ("var(--running-bar)"), so both themes are one plot.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from batches.core.metrics.values import shown
from batches.core.text import words

HEIGHT, TOP, FOOT = 240, 28, 26  # of a plot with an axis at its left; the axis' unit and the marks below need TOP and FOOT
WIDEST = 8.0  # per cent: a bar keeps a bar's shape where there are few
THICK, THIN, NAME, GAP = 14, 8, 19, 10  # of a horizontal bar: alone, beside others, the line of its name, the space below
ROOM = 76.0  # per cent that the longest horizontal bar fills; its value stands behind it
WIDE, NARROW = 460, 250  # pixels that marks below a plot may fill, and on a phone
LETTER = 6.7  # pixels, at 12 px
RADIUS = 4.5
FEWEST = 2
UNITS = {"seconds": "duration", "hours": "hours", "tokens": "tokens", "usd": "US dollars", "share": "share", "ratio": "times"}
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
Number = float | int | Decimal


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


@dataclass(frozen=True, slots=True)
class Shape:
    """A rectangle, or with a `radius` (px) a point at (x, y). x and width are percent, y and height pixels."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    pattern: str = ""
    radius: float = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """What is pointed at and opened together: a bar of one or more colours, or a point. `told` are its words."""

    shapes: tuple[Shape, ...]
    told: str
    href: str = ""
    name: str = ""  # of a horizontal bar, written above it
    value: str = ""  # written behind it


@dataclass(frozen=True, slots=True)
class Line:
    """A dashed line with its name; x in percent, y in pixels."""

    x1: float
    y1: float
    x2: float
    y2: float
    name: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of an axis. `minor` is left out where the plot is narrow."""

    at: float  # percent across, or pixels down
    text: str
    minor: bool = False


@dataclass(frozen=True, slots=True)
class Plot:
    """All of a plot. Without marks at the left (`down`) the bars are horizontal and their names stand above them."""

    height: int
    marks: tuple[Mark, ...]
    across: tuple[Tick, ...]
    down: tuple[Tick, ...] = ()
    unit: str = ""
    x_title: str = ""
    legend: tuple[tuple[str, str, str], ...] = ()  # (name, colour, pattern)
    lines: tuple[Line, ...] = ()
    joined: tuple[tuple[str, tuple[tuple[float, float], ...]], ...] = ()  # (colour, places) of lines through points

    @property
    def left(self) -> int:
        """Pixels that the marks at the left need."""
        return round(max((len(tick.text) for tick in self.down), default=0) * LETTER) + 10 if self.down else 0

    @property
    def bottom(self) -> int:
        """Where the axis across lies, in pixels."""
        return self.height - FOOT - (16 if self.x_title else 0)


def bars(places: Bars, series: Sequence[Series], kind: str, *, lines: Sequence[tuple[float, str]] = (), unit: str = "") -> Plot:
    """Vertical bars, stacked, with dashed lines at (value, name)."""
    count = len(places.places)
    lengths = [[_float(one.values[at]) for one in series] for at in range(count)]
    scale = _Scale(max([*(sum(each) for each in lengths), *(value for value, _ in lines)], default=0.0), kind)
    slot = 100 / max(count, 1)
    width = min(slot * 0.74, WIDEST)
    marks = []
    for at in range(count):
        shapes, floor, told = [], 0.0, [_line(places.titles[at])]
        for one, length in zip(series, lengths[at], strict=True):
            said = (one.values if one.said is None else one.said)[at]
            if one.values[at] is not None:
                told.append(f"{_line(one.name)}: {shown(said, kind)}")
            if length > 0:
                top, low = scale.down(floor + length), scale.down(floor)
                shapes.append(Shape(slot * at + (slot - width) / 2, top, width, max(low - top, 1.0), one.colour, one.pattern))
                floor += length
        if shapes:
            marks.append(Mark(tuple(shapes), "\n".join(told), places.hrefs[at]))
    return Plot(
        HEIGHT,
        tuple(marks),
        tuple(_below(list(_place_names(places)), slot)),
        scale.ticks(),
        unit or UNITS.get(kind, ""),
        legend=_legend(series),
        lines=tuple(Line(0, scale.down(value), 100, scale.down(value), _line(name)) for value, name in lines),
    )


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
    lengths = [[_float(one.values[at]) for one in series] for at in range(len(names))]
    longest = max([*(sum(each) if stacked else max(each, default=0.0) for each in lengths), target or 0.0], default=0.0) or 1.0
    thick = THICK if stacked or len(series) == 1 else THIN
    marks, top = [], 4.0
    for at, name in enumerate(names):
        top += NAME
        shapes, start, told = [], 0.0, [_line(name)]
        for place, (one, length) in enumerate(zip(series, lengths[at], strict=True)):
            if one.values[at] is not None:
                told.append(f"{_line(one.name)}: {shown(one.values[at], kind)}")
            width = length / longest * ROOM
            shapes.append(Shape(start, top + (0 if stacked else place * thick), width, thick, one.colour, one.pattern))
            start += width if stacked else 0.0
        known = [one.values[at] for one in series if one.values[at] is not None]
        value = sum(lengths[at]) if stacked and known else known[-1] if known else None
        marks.append(Mark(tuple(shapes), "\n".join(told), hrefs[at] if hrefs else "", _line(name), shown(value, kind)))
        top += (1 if stacked else len(series)) * thick + GAP
    scale = ticks(longest, kind, most=5)
    across = tuple(
        Tick(value / longest * ROOM, text, minor=place % 2 == 1) for place, (value, text) in enumerate(scale) if value <= longest
    )
    lines = () if target is None else (Line(target / longest * ROOM, 4, target / longest * ROOM, top),)
    return Plot(round(top) + FOOT, tuple(marks), across, unit=UNITS.get(kind, ""), legend=_legend(series), lines=lines)


def dated(
    groups: Sequence[tuple[str, str, Sequence[Point]]], kind: str, *, lines: Sequence[tuple[float, str]] = (), joined: bool = False
) -> Plot | None:
    """Points over time, of groups (name, colour, points) and with dashed lines at (value, name); `joined`: a line through them.

    None where fewer than FEWEST points are known: one point is no course, and the table says it.
    """
    known = [(name, colour, [(_moment(one.x), one.y, one) for one in found if one.y is not None]) for name, colour, found in groups]
    moments = [moment for _, _, found in known for moment, _, _ in found]
    if len(moments) < FEWEST:
        return None
    first = min(moments).replace(hour=0, minute=0, second=0, microsecond=0)
    days = (max(moments).replace(hour=0, minute=0, second=0, microsecond=0) - first).days + 1
    scale = _Scale(max([*(y for _, _, found in known for _, y, _ in found), *(value for value, _ in lines)], default=0.0), kind)
    marks, paths = [], []
    for name, colour, found in known:
        at = [(100 * (moment - first) / timedelta(days=days), scale.down(y)) for moment, y, _ in found]
        marks += [
            Mark(
                (Shape(x, y, 0, 0, colour, radius=RADIUS if len(found) <= 60 else 3.5),),
                f"{_line(one.text)}\n{_line(name)}: {shown(one.y, kind)}",
                one.href,
            )
            for (x, y), (_, _, one) in zip(at, found, strict=True)
        ]
        if joined:
            paths.append((colour, tuple(at)))
    legend = tuple((_line(name), colour, "") for name, colour, _ in groups) if len(groups) > 1 else ()
    return Plot(
        HEIGHT,
        tuple(marks),
        tuple(_days(first, days)),
        scale.ticks(),
        UNITS.get(kind, ""),
        legend=legend,
        lines=tuple(Line(0, scale.down(value), 100, scale.down(value), _line(name)) for value, name in lines),
        joined=tuple(paths),
    )


def points(groups: Sequence[tuple[str, str, Sequence[Point]]], kind: str, *, x_title: str, y_title: str) -> Plot:
    """Points of groups (name, colour, points) whose x and y are of one kind, with the line on which they are equal."""
    found = [
        (name, colour, float(one.x), one.y, one)
        for name, colour, each in groups
        for one in each
        if isinstance(one.x, int | float) and one.y is not None
    ]
    scale = _Scale(max((y for *_, y, _ in found), default=0.0), kind)
    most = max((x for _, _, x, _, _ in found), default=0.0) or 1.0
    below = ticks(most, kind, most=5)
    right = max(below[-1][0], most)
    even = min(right, scale.top)
    marks = tuple(
        Mark(
            (Shape(100 * x / right, scale.down(y), 0, 0, colour, radius=RADIUS),),
            f"{_line(one.text)}\n{x_title}: {shown(x, kind)}\n{y_title}: {shown(y, kind)}",
            one.href,
        )
        for _, colour, x, y, one in found
    )
    return Plot(
        HEIGHT + 16,
        marks,
        tuple(Tick(100 * value / right, text, minor=place % 2 == 1) for place, (value, text) in enumerate(below)),
        scale.ticks(),
        y_title,
        x_title,
        tuple((_line(name), colour, "") for name, colour, each in groups if each) if len([each for *_, each in groups if each]) > 1 else (),
        (Line(0, scale.down(0), 100 * even / right, scale.down(even), "equal"),),
    )


class _Scale:
    """From values to pixels down, with round marks."""

    def __init__(self, highest: float, kind: str) -> None:
        self.marks = ticks(highest, kind)
        self.top = max(self.marks[-1][0], highest)
        self.bottom = HEIGHT - FOOT

    def down(self, value: float) -> float:
        return self.bottom - (self.bottom - TOP) * value / (self.top or 1.0)

    def ticks(self) -> tuple[Tick, ...]:
        return tuple(Tick(self.down(value), text) for value, text in self.marks)


def _place_names(places: Bars) -> Iterator[str]:
    """Names below bars; of days the year only where it is new."""
    days = [place for place in places.places if isinstance(place, date)]
    if not days:
        yield from (_line(str(place)) for place in places.places)
        return
    years = len({day.year for day in days}) > 1
    for day in days:
        yield f"{day:%b %Y}" if min(places.days) > 7 else f"{day.day} {day:%b %y}" if years else f"{day.day} {day:%b}"


def _below(names: Sequence[str], slot: float) -> Iterator[Tick]:
    """As many names below the bars as there is room for, evenly; fewer of them where the plot is narrow."""
    each = max((len(name) for name in names), default=1) * LETTER + 14
    step = max(1, math.ceil(len(names) * each / WIDE))
    far = step * max(1, math.ceil(len(names) * each / NARROW / step))
    for at in range(0, len(names), step):
        yield Tick(slot * (at + 0.5), names[at], minor=at % far != 0)


def _days(first: datetime, days: int) -> Iterator[Tick]:
    """Marks at the starts of days, at most eight, no date twice; every second only where the plot is narrow."""
    step = next((one for one in (1, 2, 7, 14, 31, 61, 92, 183, 366) if days / one <= 7), math.ceil(days / 7))
    for place, at in enumerate(range(0, days, step)):
        day = first + timedelta(days=at)
        text = f"{day:%b %Y}" if step > 14 and days > 300 else f"{day.day} {day:%b}"
        yield Tick(100 * at / days, text, minor=place % 2 == 1)


def ticks(highest: float, kind: str, *, most: int = 6) -> list[tuple[float, str]]:
    """(value, text) of the marks of an axis of `kind`, written as the tables write them; of nothing, 0 alone."""
    if highest <= 0 or not math.isfinite(highest):
        return [(0.0, "0")]
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
    step = next((float(one) for one in steps if highest / one <= most - 1), None) if kind == "seconds" and highest >= 2 else None
    if step is None:
        step = _nice(highest / (most - 1))
        if kind == "seconds" and highest >= 2:
            step = 86400 * math.ceil(step / 86400)
        elif kind == "count":
            step = max(1.0, step)
    top = math.ceil(highest / step - 1e-9) * step
    return [(step * at, _mark(step * at, step, kind)) for at in range(round(top / step) + 1)]


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


def _legend(series: Sequence[Series]) -> tuple[tuple[str, str, str], ...]:
    return tuple((_line(one.name), one.colour, one.pattern) for one in series) if len(series) > 1 else ()


def _float(value: Number | None) -> float:
    return 0.0 if value is None else float(value)


def _moment(value: float | date) -> datetime:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return datetime.fromtimestamp(value, UTC)


def _line(text: str) -> str:
    """Text from outside as one line that hides nothing."""
    return " ".join(words.visible(text).split())
