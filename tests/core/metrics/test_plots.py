"""Plots as values: axes, places, what is written of a value, and that text from outside stays text."""

from datetime import date, timedelta
from decimal import Decimal
from xml.etree import ElementTree

import pytest

from batches.core.metrics.plots import Bars, Point, Series, bars, dated, horizontal_bars, points, ticks
from batches.core.metrics.values import shown
from batches.core.text.csv import csv_of
from batches.templatetags.plots import plot as written

HOSTILE = '<a href="javascript:x">\u202e'


@pytest.mark.parametrize(
    ("highest", "kind", "expected"),
    [
        (3 * 3600 * 1.06, "seconds", ["0", "1 h", "2 h", "3 h", "4 h"]),
        (5400, "seconds", ["0", "30 min", "1 h", "1.5 h"]),
        (0.4, "seconds", ["0", "0.1 s", "0.2 s", "0.3 s", "0.4 s"]),
        (5 * 86400, "seconds", ["0", "1 d", "2 d", "3 d", "4 d", "5 d"]),
        (2, "count", ["0", "1", "2"]),
        (1_400_000, "tokens", ["0", "500k", "1M", "1.5M"]),
        (0.035, "usd", ["0", "$0.01", "$0.02", "$0.03", "$0.04"]),
        (0.25, "share", ["0", "5 %", "10 %", "15 %", "20 %", "25 %"]),
    ],
)
def test_an_axis_has_few_round_marks_written_as_the_tables_write_them(highest, kind, expected):
    assert [text for _, text in ticks(highest, kind)] == expected


def test_an_axis_of_nothing_has_one_mark():
    assert ticks(0, "usd") == [(0.0, "0")]


@pytest.mark.parametrize("days", [2, 9, 40, 200, 800])
def test_no_date_stands_twice_below_points_and_there_is_room_for_each(days):
    dots = [Point(date(2025, 1, 1) + timedelta(days=at), 1.0, "x") for at in (0, days)]
    texts = [tick.text for tick in dated([("a", "var(--text)", dots)], "ratio").across]
    assert len(texts) == len(set(texts)) and 2 <= len(texts) <= 8


@pytest.mark.parametrize("count", [1, 8, 40])
def test_names_below_bars_fit_and_fewer_of_them_on_a_phone(count):
    names = [f"900{at:03}" for at in range(count)]
    across = bars(Bars(names, [""] * count, names), [Series("a", [1.0] * count, "var(--text)")], "usd").across
    assert across[0].text == names[0] and len(across) <= 9
    assert count < 8 or len([tick for tick in across if not tick.minor]) <= 5


def test_a_stack_is_one_mark_as_high_as_its_sum():
    series = [Series("low", [1.0, None], "var(--text)"), Series("high", [3.0, 2.0], "var(--text)")]
    both, alone = bars(Bars(["1", "2"], ["/a", "/b"], ["one", "two"]), series, "count").marks
    assert both.told == "one\nlow: 1\nhigh: 3" and alone.told == "two\nhigh: 2"
    assert sum(shape.height for shape in both.shapes) == pytest.approx(2 * alone.shapes[0].height)


def test_of_one_point_over_time_there_is_no_plot():
    assert dated([("a", "var(--text)", [Point(date(2025, 1, 1), 1.0, "x"), Point(date(2025, 1, 2), None, "y")])], "usd") is None


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (None, "usd", "—"),
        (0, "count", "0"),
        (12_500.0, "tokens", "12.5k"),
        (Decimal("0.0123"), "usd", "$0.0123"),
        (-0.02, "share", "−2 %"),
        (0.001, "share", "<1 %"),
        (1.5, "ratio", "1.50 ×"),
        (date(2025, 11, 3), "date", "2025-11-03"),
        ("\u202e", "text", "⟦U+202E⟧"),
    ],
)
def test_values_are_written_as_everywhere_and_unknown_is_a_dash(value, kind, expected):
    assert shown(value, kind) == expected


def test_every_kind_of_plot_is_well_formed_and_holds_no_markup_from_outside():
    series = [Series(HOSTILE, [1, None], "var(--running-bar)"), Series("b", [Decimal("2.5"), 3], "var(--failed-bar)", "/")]
    named = Bars([HOSTILE, "45"], ["/batches/44/", ""], [HOSTILE, "Batch 45"])
    days = Bars([date(2025, 1, 1), date(2025, 1, 8)], ["/a", "/b"], ["one", "two"], [7, 7])
    dots = [Point(2.0, 3.0, HOSTILE, "/batches/1/"), Point(1.0, None, "unknown")]
    moments = [Point(date(2025, 1, at), 0.5, HOSTILE) for at in (1, 2)]
    plots = [
        bars(named, series, "usd", lines=[(3.0, HOSTILE)]),
        bars(days, series, "seconds"),
        horizontal_bars([HOSTILE, "b"], series, "tokens", hrefs=["/x", ""], target=1.0),
        horizontal_bars([HOSTILE, "b"], series, "tokens", stacked=True),
        dated([(HOSTILE, "var(--text)", moments)], "share", joined=True),
        points([(HOSTILE, "var(--text)", dots)], "hours", x_title="estimated", y_title="actual"),
    ]
    for one in plots:
        text = written(one, "name", HOSTILE).replace("tabindex=-1", "")
        tree = ElementTree.fromstring(f"<div>{text}</div>")
        assert "<a href=\"javascript" not in text and "style=" not in text
        assert {link.get("href") for link in tree.iter("a")} <= {"/batches/44/", "/a", "/b", "/x", "/batches/1/"}
    assert len(plots[-1].marks) == 1, "a point of unknown height is not drawn at 0"
    assert plots[0].marks[0].href == "/batches/44/" and "\u202e" not in plots[0].marks[0].told


def test_no_cell_of_a_csv_is_a_formula():
    text = csv_of(["title", "value"], [["=1+1", -2], ["@x", None], ["+1", "-1"], [" =1", 0.5]])
    assert text.split("\r\n")[1:-1] == ["'=1+1,-2", "'@x,", "'+1,'-1", "' =1,0.5"]
