"""Drift against tables computed by hand; 0 and 100 are reachable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.core.review.drift import DriftBand, DriftEvidence, band_of, mean_drift, measure_drift

# planned, changed, steps, done, estimated, actual -> files, unexpected, steps, time, whole
TABLE = (
    (("a",), ("a",), 2, 2, 4, 4, (0, 0, 0, 0), 0, "excellent"),
    (("a",), ("b", "c", "d", "e"), 3, 0, 2, 9, (40, 20, 20, 20), 100, "critical"),
    (("a", "b"), ("a",), 2, 2, 4, 4, (20, 0, 0, 0), 20, "acceptable"),
    (("a",), ("a", "b"), 2, 2, 4, 4, (20, 5, 0, 0), 25, "acceptable"),
    (("a", "b", "c"), ("a", "b", "c", "d"), 4, 4, 4, 4, (10, 5, 0, 0), 15, "acceptable"),
    (("a",), ("a",), 4, 3, 4, 3, (0, 0, 5, 5), 10, "good"),
    (("a",), ("a",), 4, 1, 4, 0, (0, 0, 15, 20), 35, "concerning"),
    (("a",), ("b", "c", "d", "e", "f", "g"), 1, 1, 1, 1, (40, 20, 0, 0), 60, "critical"),
    ((), (), 0, 0, None, None, (0, 0, 0, 0), 0, "excellent"),
    (("src/",), ("src/a.py", "src/deep/b.py"), 1, 1, 1, 1, (0, 0, 0, 0), 0, "excellent"),
    (("tests/*.py",), ("tests/test_a.py",), 1, 1, 1, 1, (0, 0, 0, 0), 0, "excellent"),
)  # fmt: skip


@pytest.mark.parametrize(("planned", "changed", "steps", "done", "estimated", "actual", "parts", "whole", "band"), TABLE)
def test_drift_is_the_formula_s(planned, changed, steps, done, estimated, actual, parts, whole, band):
    drift = measure_drift(DriftEvidence(planned, changed, (), steps, done, estimated, actual))
    assert (drift.files, drift.unexpected, drift.steps, drift.time) == pytest.approx(parts)
    assert drift.percent == pytest.approx(whole)
    assert drift.band == band


def test_every_band_is_reachable_and_a_limit_belongs_to_the_band_above():
    assert {row[-1] for row in TABLE} == set(DriftBand)
    at_limits = [band_of(percent) for percent in (0, 4.99, 5, 14.99, 15, 29.99, 30, 49.99, 50, 100)]
    assert at_limits == [band for band in DriftBand for _ in range(2)]


def test_what_strayed_is_named():
    drift = measure_drift(DriftEvidence(("a", "b"), ("b", "d", "c"), ("d",), 1, 1, 1, 1))
    assert (drift.undeclared, drift.untouched, drift.deleted) == (("c", "d"), ("a",), ("d",))


def test_what_nobody_knows_is_said_and_counts_as_nothing():
    assert measure_drift(DriftEvidence((), ())).unknown == ("files", "steps", "time")
    assert measure_drift(DriftEvidence(("a",), ("a",), (), 1, 1, 0, 3)).unknown == ("time",)  # no share of nothing


NAMES = st.lists(st.sampled_from("abcdefgh"), max_size=8, unique=True).map(tuple)
HOURS = st.none() | st.floats(0, 1e6)


@given(NAMES, NAMES, st.integers(0, 9), st.integers(0, 12), HOURS, HOURS)
def test_drift_is_from_0_to_100_and_is_the_sum_of_its_parts(planned, changed, steps, done, estimated, actual):
    drift = measure_drift(DriftEvidence(planned, changed, (), steps, done, estimated, actual))
    assert 0 <= drift.percent <= 100 + 1e-9
    assert drift.percent == pytest.approx(drift.files + drift.unexpected + drift.steps + drift.time)
    both = set(planned) | set(changed)
    assert drift.files == pytest.approx(40 * len(set(planned) ^ set(changed)) / len(both) if both else 0)
    assert set(drift.undeclared) == set(changed) - set(planned)


def test_the_mean_of_no_phase_is_unknown():
    assert mean_drift([]) is None
    same, gone = measure_drift(DriftEvidence(("a",), ("a",))), measure_drift(DriftEvidence(("a", "b"), ("a",)))
    assert mean_drift([same, gone]) == pytest.approx(10)
