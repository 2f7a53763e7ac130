"""The approximate time that a batch still needs."""

from collections.abc import Iterable, Sequence

from batches.core.engine.remaining import RemainingPhase, hours_left
from batches.core.engine.states import TaskState

TO_COME = {TaskState.PENDING, TaskState.LAUNCHING, TaskState.RUNNING}
USUAL_WEIGHS = 2  # phases


def time_left(
    left: Sequence[RemainingPhase],
    done: Iterable[tuple[float | None, float | None]],
    *,
    slots: int,
    by_stage: bool,
    usual: float | None = None,
) -> float | None:
    """Approximate seconds until `left` is done, from the pace of `done`, (seconds, hours) each; None if fewer than two are known.

    A `usual` pace (seconds per hour, from history) counts as much as USUAL_WEIGHS finished phases.
    """
    rates = [seconds / hours for seconds, hours in done if seconds is not None and hours]
    if usual is not None:
        rates += [usual] * USUAL_WEIGHS
    if len(rates) < 2 or not left:
        return None
    return hours_left(left, slots=slots, by_stage=by_stage) * sum(rates) / len(rates)
