"""Figures as values: axes, what is written of a value, and that plotly accepts and shows text as it is."""

import json
from datetime import date
from decimal import Decimal

import plotly.graph_objects as graph_objects
import pytest

from batches.core.metrics.plotly_json import (
    Bars,
    Point,
    Series,
    bars,
    dated,
    horizontal_bars,
    points,
    shown,
    ticks,
)
from batches.core.text.csv import csv_of

HOSTILE = '<a href="javascript:x">\u202e'


def drawn(plot) -> dict:
    """The plot as plotly's own description of figures takes it: an unknown name or value raises. Colours are looked up by the page."""
    text = json.dumps(plot)
    for name in {part.split(")")[0] for part in text.split("var(")[1:]}:
        text = text.replace(f"var({name})", "#123456")
    return graph_objects.Figure(json.loads(text)).to_dict()


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
    assert ticks(highest, kind)["ticktext"] == expected


def test_an_axis_of_nothing_has_no_marks():
    assert ticks(0, "usd") == {"range": [0, 1], "showticklabels": False}


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


def test_every_kind_of_plot_is_one_that_plotly_knows_and_holds_no_markup_from_outside():
    series = [Series(HOSTILE, [1, None], "var(--running-bar)"), Series("b", [Decimal("2.5"), 3], "var(--failed-bar)", "/")]
    named = Bars([HOSTILE, "45"], ["/batches/44/", ""], [HOSTILE, "Batch 45"])
    days = Bars([date(2025, 1, 1), date(2025, 1, 8)], ["/a", "/b"], ["one", "two"], [7, 7])
    dots = [Point(2.0, 3.0, HOSTILE, "/batches/1/"), Point(1.0, None, "unknown")]
    plots = [
        bars(named, series, "usd", lines=[(3.0, HOSTILE)]),
        bars(days, series, "seconds"),
        horizontal_bars([HOSTILE, "b"], series, "tokens", hrefs=["/x", ""], target=1.0),
        horizontal_bars([HOSTILE, "b"], series, "tokens", stacked=True),
        dated([(HOSTILE, "var(--text)", [Point(date(2025, 1, 1), 0.5, HOSTILE)])], "share", joined=True),
        points([(HOSTILE, "var(--text)", dots)], "hours", x_title="estimated", y_title="actual"),
    ]
    for plot in plots:
        text = json.dumps(drawn(plot), ensure_ascii=False, default=str)
        assert "<a" not in text and "\u202e" not in text
    assert [len(trace["x"]) for trace in plots[-1]["data"]] == [1], "a point of unknown height is not drawn at 0"
    assert plots[0]["data"][0]["customdata"][0][0] == "/batches/44/"


def test_no_cell_of_a_csv_is_a_formula():
    text = csv_of(["title", "value"], [["=1+1", -2], ["@x", None], ["+1", "-1"], [" =1", 0.5]])
    assert text.split("\r\n")[1:-1] == ["'=1+1,-2", "'@x,", "'+1,'-1", "' =1,0.5"]
