"""How long something took: the one place where pages, reports, facts and criteria get a duration from (docs/metrics.md).

The duration of a run is the time in which something of it was alive, or waited for a slot, a limit or a budget. The time
in which it lay failed or paused until a person acted is `waited["person"]`: it is shown beside the duration and is never
part of it. The duration of a phase is that of its last attempt, from launch to end, so its start and its merge are in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from batches.core.engine.states import Waiting

Idle = Sequence[Sequence[str]]  # [[from, to]] in ISO 8601: when a run lay failed or paused until a person acted


def span_seconds(start: datetime, end: datetime) -> float:
    """Seconds from `start` to `end`; 0 where the clock was set back between them."""
    return max(0.0, (end - start).total_seconds())


def attempt_seconds(launched: datetime, ended: datetime | None) -> float | None:
    """The duration of an attempt, from launch to end; None while it has not ended."""
    return None if ended is None else span_seconds(launched, ended)


def person_seconds(
    waited: Mapping[str, float], until: datetime, waiting_for: str = "", waiting_since: datetime | None = None
) -> float:
    """Seconds in which a run waited for a person, with the wait that goes on at `until`."""
    now = span_seconds(waiting_since, until) if waiting_for == Waiting.PERSON and waiting_since is not None else 0.0
    return float(waited.get(Waiting.PERSON, 0.0)) + now


def run_seconds(started: datetime | None, until: datetime | None, person: float) -> float | None:
    """The duration of a run up to `until` (its end, or now) of which it waited `person` seconds for a person; None before its start."""
    return None if started is None or until is None else max(0.0, span_seconds(started, until) - person)


def running_since(started: datetime, person: float) -> datetime:
    """The moment from which a clock counts a run that goes on and has waited `person` seconds for a person."""
    return started + timedelta(seconds=person)


def stage_seconds(spans: Iterable[tuple[datetime, datetime]], idle: Idle = ()) -> float | None:
    """From the first launch to the last end of a stage's attempts (launch, end), without the time that the run was idle in between.

    None without attempts.
    """
    found = list(spans)
    if not found:
        return None
    start, end = min(launch for launch, _ in found), max(last for _, last in found)
    return max(0.0, span_seconds(start, end) - idle_between(idle, start, end))


def idle_between(idle: Idle, start: datetime, end: datetime) -> float:
    """Seconds of `idle` that lie between two moments."""
    moments = ((datetime.fromisoformat(since), datetime.fromisoformat(until)) for since, until in idle)
    return sum(span_seconds(max(since, start), min(until, end)) for since, until in moments)
