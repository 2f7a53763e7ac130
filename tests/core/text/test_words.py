"""Values as people read them, logs, diffs and hidden characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.core.plans.graph_layout import lay_out
from batches.core.text.diff import read_diff
from batches.core.text.log_lines import read_log
from batches.core.text.words import bytes_words, duration, strip_ansi, tokens, usd, visible


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        *((None, "—"), (float("nan"), "—"), (-1, "—"), (0.42, "0.4 s"), (48, "48 s")),
        *((185, "3 min 05 s"), (7620, "2 h 07 min"), (273600, "3 d 4 h")),
    ],
)
def test_durations_have_the_unit_that_fits(seconds, expected):
    assert duration(seconds) == expected


def test_unknown_is_a_dash_and_nothing_is_a_nought():
    assert (tokens(None), usd(None), bytes_words(None)) == ("—", "—", "—")
    assert (tokens(0), usd(0), bytes_words(0)) == ("0", "$0.00", "0 B")


def test_small_costs_are_not_rounded_to_nothing():
    assert usd(0.0042) == "$0.0042"


@pytest.mark.parametrize(
    ("text", "expected"), [("a\u202eb", "a⟦U+202E⟧b"), ("\x00", "⟦U+0000⟧"), ("a\r\nb\tc", "a\nb\tc"), ("\x9b", "⟦U+009B⟧")]
)
def test_hidden_characters_are_named(text, expected):
    assert visible(text) == expected


@given(st.text())
def test_nothing_that_reorders_or_hides_is_left(text):
    left = visible(text)
    assert not set(left) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\x00\x1b\ufeff")


def test_colours_of_a_terminal_are_dropped():
    assert strip_ansi("\x1b[31mred\x1b[0m \x1b]0;title\x07end") == "red end"


@given(st.text())
def test_every_line_of_a_log_is_shown_whatever_it_is(text):
    lines = [line for line in text.split("\n") if line.strip()]
    assert len(read_log(text, limit=10_000)) == len(lines)


def test_an_empty_line_of_a_program_is_shown_empty():
    (line,) = read_log('{"at": "2026-01-02T03:04:05.678Z", "level": "info", "kind": "output", "message": "", "step": 0}')
    assert (line.kind, line.text) == ("output", "")


def test_a_log_line_says_when_what_and_how_bad():
    (line,) = read_log('{"at": "2026-01-02T03:04:05.678Z", "level": "warning", "kind": "output", "message": "\\u001b[1mhello"}')
    assert (line.kind, line.text, line.at.isoformat()) == ("warning", "hello", "2026-01-02T03:04:05.678000+00:00")


def test_a_diff_is_split_into_files_and_the_rest_is_counted():
    text = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-old\n+new\n+more\ndiff --git a/y b/y\n@@ -0,0 +1 @@\n+y\n"
    diff = read_diff(text)
    assert [(file.name, file.added, file.removed) for file in diff.files] == [("x.py", 2, 1), ("y", 1, 0)]
    assert read_diff(text, limit=5).left_out == 5


def test_a_picture_places_every_phase_once_and_draws_every_known_dependency():
    layout = lay_out([["1"], ["2a", "2b"], ["3"]], {"2a": ["1"], "2b": ["1"], "3": ["2a", "2b", "gone"]}, ["1", "2b", "3"])
    assert sorted(node.key for node in layout.nodes) == ["1", "2a", "2b", "3"]
    assert {(edge.source, edge.target) for edge in layout.edges if edge.critical} == {("1", "2b"), ("2b", "3")}
    assert len(layout.edges) == 4
    assert len({(node.x, node.y) for node in layout.nodes}) == 4


def test_a_picture_draws_what_was_chosen_to_run_one_after_the_other():
    layout = lay_out([["1", "2"], ["3"]], {"3": ["1"]}, added={"2": ["1"], "3": ["1", "2", "gone"]})
    assert {(edge.source, edge.target) for edge in layout.edges if edge.added} == {("1", "2"), ("2", "3")}
    assert layout.has_added
    assert len(layout.edges) == 3
    assert not lay_out([["1"], ["3"]], {"3": ["1"]}).has_added


def test_barycentre_sweeps_untangle_what_can_be_untangled():
    layout = lay_out([["a", "b", "c"], ["x", "y", "z"]], {"x": ["c"], "y": ["b"], "z": ["a"]})
    height = {node.key: node.y for node in layout.nodes}
    assert [height["x"], height["y"], height["z"]] == [height["c"], height["b"], height["a"]]
