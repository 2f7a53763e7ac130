"""Values as people read them, and hidden characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.core.text.words import ago, bytes_words, counted, duration, strip_ansi, tokens, usd, visible


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


def test_how_long_ago_is_said_coarsely_and_after_a_week_a_date_says_more():
    said = [ago(seconds) for seconds in (0.4, 59, 60, 7_199, 86_399, 3 * 86_400, 7 * 86_400)]
    assert said == ["0 s ago", "59 s ago", "1 min ago", "1 h ago", "23 h ago", "3 d ago", ""]


def test_one_is_counted_in_the_singular():
    assert [counted(number, "file") for number in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
    assert counted(2, "file was", "files were") == "2 files were"


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
