"""Times of day in a zone: over midnight, and on the days whose clocks are changed."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from batches.core.quiet_times import next_time, quiet_until

VIENNA = ZoneInfo("Europe/Vienna")  # in 2026 forward on 29 March at 02:00, back on 25 October at 03:00


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("after", "at", "then"),
    [
        ("2026-11-28 06:59", time(8), "2026-11-28 07:00"),
        ("2026-11-28 07:00", time(8), "2026-11-29 07:00"),  # the same moment is past
        ("2026-11-28 23:30", time(0, 15), "2026-11-29 23:15"),  # already the next day there
        ("2026-03-28 12:00", time(8), "2026-03-29 06:00"),  # 23 hours after the one before
        ("2026-10-24 12:00", time(8), "2026-10-25 07:00"),  # 25 hours
        ("2026-03-28 12:00", time(2, 30), "2026-03-29 01:30"),  # left out by the clock: an hour later
        ("2026-10-24 12:00", time(2, 30), "2026-10-25 00:30"),  # twice: the first
        ("2026-10-25 00:30", time(2, 30), "2026-10-26 01:30"),  # and not a second time on the same day
        ("2026-03-29 12:00", time(23, 59), "2026-03-29 21:59"),
    ],
)
def test_the_next_time_of_day(after, at, then):
    assert next_time(utc(after), at, VIENNA) == utc(then)


@pytest.mark.parametrize(
    ("now", "start", "end", "until"),
    [
        ("2026-11-28 21:30", time(22), time(7), "2026-11-29 06:00"),
        ("2026-11-29 05:59", time(22), time(7), "2026-11-29 06:00"),
        ("2026-11-29 06:00", time(22), time(7), None),
        ("2026-11-28 20:59", time(22), time(7), None),
        ("2026-11-28 21:00", time(22), time(7), "2026-11-29 06:00"),
        ("2026-11-28 12:00", time(12), time(14), "2026-11-28 13:00"),
        ("2026-11-28 13:00", time(12), time(14), None),
        ("2026-03-28 22:00", time(22), time(7), "2026-03-29 05:00"),  # a night of 8 hours
        ("2026-10-24 21:00", time(22), time(7), "2026-10-25 06:00"),  # a night of 10 hours
        ("2026-10-25 01:15", time(2), time(3), "2026-10-25 02:00"),  # the hour between comes twice, and is quiet twice
    ],
)
def test_quiet_hours_end_when_the_clock_says_so(now, start, end, until):
    assert quiet_until(utc(now), start, end, VIENNA) == (until and utc(until))
