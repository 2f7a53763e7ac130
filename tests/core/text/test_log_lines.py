"""Lines of a log, with the colours of a terminal as styles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.core.text.log_lines import read_line, read_log, styled
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
