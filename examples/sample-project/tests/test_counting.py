from textstats import count_characters, count_lines, count_words


def test_empty_text_counts_as_nothing():
    assert (count_lines(""), count_words(""), count_characters("")) == (0, 0, 0)


def test_last_line_counts_with_and_without_its_end():
    assert count_lines("one\ntwo") == count_lines("one\ntwo\n") == 2


def test_words_are_separated_by_any_white_space():
    assert count_words("to be\tor  not\nto be") == 6


def test_characters_can_leave_out_white_space():
    assert count_characters("a b\n") == 4
    assert count_characters("a b\n", spaces=False) == 2
