"""Durations by their rule: what was alive or waited for the machine counts, what waited for a person does not."""

from datetime import UTC, datetime, timedelta

import pytest

from batches.core.metrics import durations

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_waiting_for_a_person_is_no_part_of_a_run():
    person = durations.person_seconds({"person": 180.0, "slot": 7.0}, at(190))
    assert durations.run_seconds(NOON, at(190), person) == 10
    assert durations.run_seconds(None, at(190), 0.0) is None
    assert durations.run_seconds(NOON, None, 0.0) is None


@pytest.mark.parametrize(("waiting_for", "expected"), [("person", 45), ("slot", 15), ("", 15)])
def test_a_wait_for_a_person_that_goes_on_counts_up_to_now(waiting_for, expected):
    assert durations.person_seconds({"person": 15.0}, at(100), waiting_for, at(70)) == expected


def test_the_clock_of_a_run_that_goes_on_begins_where_its_duration_is_nothing():
    since = durations.running_since(NOON, 30.0)
    assert durations.span_seconds(since, at(100)) == durations.run_seconds(NOON, at(100), 30.0)


def test_a_stage_is_without_the_idle_time_between_its_first_launch_and_its_last_end():
    idle = [[at(-50).isoformat(), at(5).isoformat()], [at(20).isoformat(), at(200).isoformat()], [at(300).isoformat(), at(900).isoformat()]]
    spans = [(at(0), at(15)), (at(200), at(210))]
    assert durations.stage_seconds(spans, idle) == 210 - 5 - 180
    assert durations.stage_seconds(spans) == 210
    assert durations.stage_seconds([]) is None


def test_a_clock_that_was_set_back_makes_nothing_less_than_nothing():
    assert durations.span_seconds(at(10), at(5)) == 0
    assert durations.run_seconds(at(0), at(10), 60.0) == 0
