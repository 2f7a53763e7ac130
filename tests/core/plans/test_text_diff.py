"""The lines that changed between two texts, with their numbers on both sides; bounded for any text."""

import time

from hypothesis import given
from hypothesis import strategies as st

from batches.core.plans.text_diff import diff_texts, lines_of

TEXTS = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=30).map("\n".join)


def test_equal_texts_have_no_changes():
    found = diff_texts("a\nb", "a\r\nb")
    assert found.is_same
    assert not any(line.kind in ("add", "del") for line in found.lines)


def test_a_changed_line_shows_both_numbers_and_what_is_far_away_is_left_out():
    old = "\n".join(str(number) for number in range(1, 41))
    found = diff_texts(old, old.replace("20", "twenty"))
    assert (found.added, found.removed) == (1, 1)
    changed = [(line.kind, line.old, line.new) for line in found.lines if line.kind in ("add", "del")]
    assert changed == [("del", 20, None), ("add", None, 20)]
    assert [line.text for line in found.lines if line.kind == "gap"] == ["16 lines unchanged", "17 lines unchanged"]
    assert len(found.lines) == 2 + 3 + 3 + 2


@given(TEXTS, TEXTS)
def test_every_shown_line_stands_where_its_number_says_and_the_counts_add_up(old, new):
    found = diff_texts(old, new)
    before, after = lines_of(old), lines_of(new)
    for line in found.lines:
        assert line.old is None or before[line.old - 1] == line.text
        assert line.new is None or after[line.new - 1] == line.text
    assert found.added - found.removed == len(after) - len(before)
    assert found.is_same == (before == after)


def test_lines_past_the_limit_are_counted():
    found = diff_texts("", "\n".join("x" * 50), limit=10)
    assert len(found.lines) == 10
    assert found.left_out == 41


def test_a_text_made_to_be_slow_is_compared_in_time():
    old, new = "a\nb\n" * 100_000, "b\na\n" * 100_000
    start = time.process_time()
    assert not diff_texts(old, new).is_same
    assert time.process_time() - start < 5
