"""When something may be sent: times of day in a person's time zone, also on the days whose clocks are changed.

A time that a day leaves out is taken as later by as much as the clocks are put forward; one that comes twice is the first of both.
"""

from datetime import UTC, date, datetime, time, timedelta, tzinfo


def next_time(after: datetime, at: time, zone: tzinfo) -> datetime:
    """The first moment after `after` at which clocks in `zone` show `at`."""
    day = after.astimezone(zone).date()
    moments = (_moment(day + timedelta(days=more), at, zone) for more in (-1, 0, 1, 2))
    return next(moment for moment in moments if moment > after)


def quiet_until(now: datetime, start: time, end: time, zone: tzinfo) -> datetime | None:
    """When the quiet hours end in which `now` is; None outside of them. They may go over midnight."""
    day = now.astimezone(zone).date()
    for first in (day - timedelta(days=1), day):
        ends = _moment(first if end > start else first + timedelta(days=1), end, zone)
        if _moment(first, start, zone) <= now < ends:
            return ends
    return None


def _moment(day: date, at: time, zone: tzinfo) -> datetime:
    return datetime.combine(day, at, tzinfo=zone).astimezone(UTC)  # in UTC, since Python compares times of one zone by the clock
