"""Colours of a terminal as styles, and what is still to be done of a batch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.core.engine.remaining import Part, hours_left, longest_chain, unblocked_by
from batches.core.text.log_lines import read_line, styled
from batches.core.text.words import strip_ansi


@pytest.mark.parametrize(
    ("sequence", "names"),
    [
        *(("31", "red"), ("1;92", "green bold"), ("38;5;196", "red"), ("38;2;20;200;220", "cyan")),
        *(("44", "on-blue"), ("38:5:3", "yellow"), ("0", "")),
    ],
)
def test_a_colour_is_a_name_of_ours(sequence, names):
    text, styles = styled(f"a \x1b[{sequence}mb\x1b[0m c")
    assert text == "a b c"
    assert [(style.start, style.end, style.names) for style in styles] == ([(2, 3, names)] if names else [])


@given(st.text(alphabet=st.sampled_from("\x1b[0123456789;:mHx <\n")))
def test_styles_are_places_of_the_text_without_its_sequences(text):
    plain, styles = styled(text)
    assert plain == strip_ansi(text)
    assert all(0 <= style.start < style.end <= len(plain) and style.names.replace(" ", "").replace("-", "").isalpha() for style in styles)


def test_a_line_knows_where_it_has_what_was_searched_for():
    assert read_line("Ab ab aB").searched("AB").hits == ((0, 2), (3, 5), (6, 8))


CHAIN = [Part("1", 1, (), 2), Part("2a", 2, ("1",), 1), Part("2b", 2, ("1",), 3), Part("2c", 2, (), 1), Part("3", 3, ("2a", "2b"), 2)]


def test_finishing_a_phase_unblocks_all_that_waits_for_it_directly_or_not():
    assert unblocked_by(CHAIN) == {"1": 3, "2a": 1, "2b": 1, "2c": 0, "3": 0}
    assert unblocked_by(CHAIN[1:])["2a"] == 1, "what is done is no longer waited for"


def test_the_critical_path_is_the_chain_with_the_most_hours_left():
    assert longest_chain(CHAIN) == (("1", "2b", "3"), 7)
    assert longest_chain([]) == ((), 0)


def test_time_is_never_less_than_the_chain_nor_than_the_work_over_the_slots():
    assert hours_left(CHAIN, slots=8, by_stage=False) == 7
    assert hours_left(CHAIN, slots=1, by_stage=False) == 9
    assert hours_left(CHAIN, slots=2, by_stage=True) == 2 + 3 + 2
