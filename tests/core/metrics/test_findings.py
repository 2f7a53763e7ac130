"""What stands out is found with its numbers, and chance alone makes no finding."""

import random

import pytest

from batches.core.metrics.findings import (
    SURE,
    AttemptCount,
    Evidence,
    KindSample,
    ProjectSettings,
    RatioSample,
    RunSample,
    at_least,
    difference,
    find,
    percentile_of_others,
)
from batches.core.percentile import percentile

SHOP = ProjectSettings("shop", "Shop", 3600, 60.0, 4, "", False, False)


def counted(outcome: str = "succeeded", count: int = 100, reason: str = "", **fields) -> AttemptCount:
    values = {"late": True, "band": 0, "flaky": 0, "known_files": 0, "undeclared": 0, "batch": 7}
    return AttemptCount("shop", outcome, reason, count=count, **(values | fields))


def codes(**fields) -> list[str]:
    return [one.code for one in find(Evidence(projects={"shop": SHOP}, **fields))]


@pytest.mark.parametrize(("count", "sample"), [(10, 10), (50, 100), (3, 20), (1, 1000)])
def test_the_lower_bound_is_wilsons(count, sample):
    """The share from which what was seen lies exactly SURE standard errors away."""
    bound = at_least(count, sample)
    assert count / sample - bound == pytest.approx(SURE * (bound * (1 - bound) / sample) ** 0.5)


def test_of_nothing_the_lower_bound_is_nothing():
    assert at_least(0, 0) == at_least(0, 50) == 0.0


def test_a_difference_counts_in_standard_errors_of_the_pooled_share():
    assert difference(30, 100, 10, 100) == pytest.approx(0.2 / (0.2 * 0.8 * 0.02) ** 0.5)
    assert difference(0, 0, 1, 2) == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_a_percentile_of_the_others_is_that_of_the_list_without_them(seed):
    rng = random.Random(seed)
    values = sorted(rng.randrange(20) + 0.5 for _ in range(60))
    own = sorted(rng.sample(values, 17))
    others = list(values)
    for value in own:
        others.remove(value)
    for share in (0.0, 0.5, 0.9, 1.0):
        assert percentile_of_others(values, own, share) == pytest.approx(percentile(others, share))


def test_timeouts_name_the_long_phases_and_raise_the_limit():
    attempts = [counted(count=90), counted("failed", 9, "phase_time_limit", band=3), counted("failed", 3, "phase_time_limit")]
    (found,) = find(Evidence(projects={"shop": SHOP}, attempts=attempts))
    assert found.evidence == "12 of 102 attempts (12%) ran into the limit of 60 min for a phase."
    assert found.confidence.startswith("9 of 12 in phases over 4 h; at least ")
    assert (found.remedy.code, dict(found.remedy.params), found.remedy.is_applied) == ("raise_phase_limit", {"minutes": 90}, True)


@pytest.mark.parametrize(
    ("reason", "own"), [("phase_time_limit", {"own_limit": False}), ("timeout", {"own_silence": False})], ids=["time", "silence"]
)
def test_attempts_under_an_earlier_limit_say_nothing_of_the_limit_of_today(reason, own):
    before = [counted(count=90, late=False), counted(count=20, **own), counted("failed", 30, reason, **own)]
    assert codes(attempts=before) == []
    hit = counted("failed", 20, reason, late=False)
    (found,) = [one for one in find(Evidence(projects={"shop": SHOP}, attempts=[*before, hit])) if one.code == f"{reason}_common"]
    assert (found.count, found.sample) == (20, 110)  # of those under the limit that the sentence names


def test_few_attempts_say_nothing():
    assert codes(attempts=[counted(count=15), counted("failed", 4, "timeout")]) == []
    assert codes(attempts=[counted(count=200), counted("failed", 2, "timeout")]) == []


def test_what_was_put_off_or_cancelled_is_no_attempt_that_came_to_something():
    assert codes(attempts=[counted("deferred", 500, "rate_limited"), counted("failed", 4, "timeout"), counted(count=10)]) == []


def test_an_error_that_becomes_more_common_is_told_with_both_halves():
    attempts = [
        counted(late=False, count=196),
        counted("failed", 4, "gate_failed", late=False),
        counted(count=170),
        counted("failed", 30, "gate_failed"),
    ]
    (found,) = find(Evidence(projects={"shop": SHOP}, attempts=attempts))
    assert (found.code, found.count, found.sample) == ("gate_failed_rising", 30, 200)
    assert found.evidence == "30 of 200 attempts in the later half (15%), 4 of 200 before (2%)."
    assert dict(found.remedy.params) == {"model": "sonnet"}


def test_a_slow_kind_is_slow_for_its_estimate():
    usual = [KindSample(name, [100.0 + n for n in range(12)], [50.0 + n for n in range(12)], 12, 0, 3, "1") for name in "abc"]
    slow = KindSample("move", [300.0 + n for n in range(9)], [150.0 + n for n in range(9)], 9, 0, 5, "2")
    (found,) = find(Evidence(projects={"shop": SHOP}, kinds=[*usual, slow]))
    assert (found.code, found.count, found.sample, dict(found.remedy.params)) == ("slow_kind", 9, 9, {"batch": 5, "phase": "2"})
    long_but_as_planned = KindSample("move", slow.seconds, usual[0].per_hour[:9], 9, 0, 5, "2")
    assert codes(kinds=[*usual, long_but_as_planned]) == []


def test_estimates_are_compared_with_what_is_usual_not_with_one():
    usual = RatioSample("shop", "low", [0.1] * 40, 1)
    assert codes(ratios=[usual, RatioSample("shop", "high", [0.1 + n / 1000 for n in range(12)], 2)]) == []
    (found,) = find(Evidence(projects={"shop": SHOP}, ratios=[usual, RatioSample("shop", "high", [0.25] * 12, 2)]))
    assert (found.code, found.count, found.sample, found.share) == ("estimates_low", 12, 12, pytest.approx(2.5))


def test_tokens_above_the_first_batches_turn_the_shared_context_on():
    runs = [RunSample("shop", n, 100.0, 0.0, 0.0, 1300.0) for n in range(10)]
    (found,) = find(Evidence(projects={"shop": SHOP}, runs=runs, baseline=1000.0))
    assert (found.code, found.remedy.code, found.remedy.project) == ("tokens_high", "share_context", "shop")
    assert codes(runs=runs) == []


def test_waiting_for_a_rate_limit_asks_for_fewer_at_once():
    runs = [RunSample("shop", n, 100.0, 0.0, 20.0 if n % 2 else 0.0, None) for n in range(20)]
    (found,) = find(Evidence(projects={"shop": SHOP}, runs=runs))
    assert (found.code, found.count, dict(found.remedy.params)) == ("rate_limit_waits", 10, {"phases": 2})


SHARES = {"gate_failed": 0.04, "agent_error": 0.01, "timeout": 0.005, "merge_conflict": 0.003, "crashed": 0.004}


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_found_in_chance_alone(seed):
    rng = random.Random(seed)
    size = rng.choice([30, 200, 3000])
    attempts = []
    for late in (False, True):
        left = size
        for reason, share in (
            ("gate_failed", 0.04),
            ("agent_error", 0.01),
            ("timeout", 0.005),
            ("merge_conflict", 0.003),
            ("crashed", 0.004),
        ):
            hit = sum(rng.random() < share for _ in range(size))
            left -= hit
            attempts += [counted("failed", hit, reason, late=late, band=rng.randrange(3))] if hit else []
        undeclared = sum(rng.random() < 0.08 for _ in range(left))
        attempts.append(
            counted(count=left, late=late, known_files=left, undeclared=undeclared, flaky=sum(rng.random() < 0.005 for _ in range(left)))
        )
    kinds = []
    for number in range(30):
        many, hours = rng.randrange(1, 40), rng.choice([1, 2, 4, 6])
        per_hour = [rng.lognormvariate(6, 0.5) for _ in range(many)]
        failed = sum(rng.random() < 0.06 for _ in range(many))
        kinds.append(KindSample(f"kind {number}", [hours * value for value in per_hour], per_hour, many + failed, failed, 1, "1"))
    ratios = [
        RatioSample("shop", name, [rng.lognormvariate(-2, 0.5) for _ in range(rng.randrange(3, 60))], 1)
        for name in ("low", "medium", "high")
    ]
    runs = [RunSample("shop", n, 3600.0, rng.expovariate(1 / 60), rng.expovariate(1 / 40), rng.lognormvariate(11, 0.4)) for n in range(60)]
    assert codes(attempts=attempts, kinds=kinds, ratios=ratios, runs=runs, baseline=70_000.0) == []
