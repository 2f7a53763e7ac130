"""Percentiles, and sums of what is known."""

import pytest

from batches.core.percentile import known_sum, percentile


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 2.5), (0.9, 3.7), (1.0, 4.0)])
def test_percentiles_lie_between_their_neighbours(share, expected):
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == pytest.approx(expected)


def test_sums_take_what_is_known_and_are_unknown_when_nothing_is():
    assert percentile([], 0.5) is None
    assert known_sum([None, 3, 4]) == 7
    assert known_sum([None]) is None
    assert known_sum([0]) == 0
