"""The approximate time that a batch still needs, and that a phase is likely to take."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from batches.core.engine.remaining import RemainingPhase, hours_left
from batches.core.engine.states import TaskState
from batches.models import Run

TO_COME = {TaskState.PENDING, TaskState.LAUNCHING, TaskState.RUNNING}
USUAL_WEIGHS = 2  # phases


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """Approximate seconds; `at_least` when a running phase takes longer than usual: nobody knows how long."""

    seconds: float
    at_least: bool = False

    @property
    def rounded(self) -> float:
        """As coarse as it is approximate, so that a page does not change each second; never 0: something is left."""
        step = 5 if self.seconds < 60 else 10 if self.seconds < 600 else 60
        return max(1, round(self.seconds / step)) * step


def pace_of(done: Iterable[tuple[float | None, float | None]], usual: float | None = None) -> float | None:
    """Seconds per planned hour, from phases that are done, (seconds, hours) each; None if fewer than two are known.

    A `usual` pace, from history, counts as much as USUAL_WEIGHS finished phases.
    """
    rates = [seconds / hours for seconds, hours in done if seconds is not None and hours]
    if usual is not None:
        rates += [usual] * USUAL_WEIGHS
    return sum(rates) / len(rates) if len(rates) >= 2 and sum(rates) > 0 else None


def usual_pace(run: Run | None) -> float | None:
    """Seconds per planned hour by the forecast made when the run started; None without one."""
    return run.forecast_seconds / run.forecast_hours if run and run.forecast_seconds and run.forecast_hours else None


def time_left(left: Sequence[RemainingPhase], pace: float | None, *, slots: int, by_stage: bool) -> TimeLeft | None:
    """The time until `left` is done at that pace; None if unknown, also when all that is left takes longer than usual."""
    if pace is None or not left:
        return None
    hours = hours_left([part.at_pace(pace) for part in left], slots=slots, by_stage=by_stage)
    overdue = any(part.is_overdue(pace) for part in left)
    return None if overdue and hours <= 0 else TimeLeft(hours * pace, overdue)
