"""When a phase takes back what another one did: lines in, a word out."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from subagents.taken_back import taken_back

OLD = "a\nb\nc\nd\ne\nf\n"
ONE = OLD.replace("b\n", "B\n")  # a line was changed
TWO = ONE.replace("e\n", "e\nE2\n")  # and one added


@pytest.mark.parametrize(
    ("before", "merged", "base", "result", "how"),
    [
        (OLD, ONE, ONE, OLD, "all"),
        (OLD, TWO, TWO, OLD, "all"),
        (OLD, TWO, TWO, ONE, "part"),
        (OLD, TWO, TWO, TWO + "more\n", ""),
        # rewriting is no taking back, removing is
        (OLD, ONE, ONE, ONE.replace("B\n", "better\n"), ""),
        (OLD, TWO, TWO, TWO.replace("E2\n", "E3\n"), ""),
        # among others' work, and beside work of its own
        (OLD, ONE, ONE + "later\n", OLD + "later\n", "all"),
        (OLD, ONE, ONE + "later\n", "mine\n" + OLD + "later\n", "all"),
        # somebody else changed the line again since: nothing of it was there to be taken back
        (OLD, ONE, ONE.replace("B\n", "BB\n"), OLD, ""),
        # a new file that is emptied; lines that the other phase removed and that come back
        ("", "x\ny\n", "x\ny\n", "", "all"),
        (OLD, OLD.replace("c\n", ""), OLD.replace("c\n", "") + "z\n", OLD + "z\n", "all"),
        (OLD, "\n" + OLD, "\n" + OLD, OLD + "x\n", ""),
    ],
)
def test_a_change_is_taken_back_where_it_is_gone_and_what_it_replaced_stands_again(before, merged, base, result, how):
    assert taken_back(before, merged, base, result) == how


LINES = st.lists(st.sampled_from("abcdefgh"), max_size=8, unique=True).map(lambda lines: "".join(f"{line}\n" for line in lines))


@pytest.mark.long
@given(LINES, LINES, LINES)
def test_going_back_to_the_version_before_is_always_named_and_going_on_from_it_is_not(before: str, merged: str, more: str):
    assume(before != merged)
    assert taken_back(before, merged, merged, before) == "all"
    assert taken_back(before, merged, merged, merged) == ""
    assume(not set(more) & set(before + merged) - {"\n"})
    assert taken_back(before, merged, merged, merged + more) == ""
