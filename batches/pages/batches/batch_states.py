"""How pages name the state of a batch, a run and an attempt, and the version that a live page compares."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.conf import settings

from batches.core.engine.states import FailureReason, Operation, RunState
from batches.models import Attempt, Batch, Run

SETTLE = timedelta(seconds=30)  # time after the end of a run for its report or the next run
LATE_SHARE = 0.75  # share of the silence limit after which an attempt is shown as silent
DOING: Mapping[str, str] = {Operation.REVIEW: "in review", Operation.UPDATE_CONTEXT: "updating context"}


def batch_state(operation: str | None, state: str | None, paused: bool | None, stop_reason: str | None = "") -> tuple[str, str]:
    """The state of a batch as (state, word) for its pill.

    A batch that was only generated is not a success, and one that was stopped at its budget is not a failure.
    """
    if state == RunState.CANCELLED and stop_reason == FailureReason.BUDGET:
        return state, "stopped for the budget"
    if state is None:
        return "planned", ""
    if paused and state == RunState.RUNNING:
        return "paused", ""
    if operation == Operation.GENERATE:
        if state in {RunState.QUEUED, RunState.RUNNING}:
            return "running", "preparing"
        if state == RunState.SUCCEEDED:
            return "planned", "ready"
    if (doing := DOING.get(operation or "")) and state in {RunState.QUEUED, RunState.RUNNING}:
        return "running", doing
    return state, ""


def is_live(run: Run | None, now: datetime) -> bool:
    """Whether a page should keep polling: the run is live, or its report or the next run is due."""
    if run is None:
        return False
    if run.is_live:
        return True
    awaited = run.reported_at is None or run.followed  # annotated by RunQuerySet.shown
    return bool(awaited and run.ended_at and now - run.ended_at < SETTLE)


def is_late(attempt: Attempt | None, run: Run | None, now: datetime) -> bool:
    """Whether a live attempt has been silent for a large part of the limit."""
    if attempt is None or run is None or attempt.ended_at is not None:
        return False
    seen = attempt.last_beat_at or attempt.launched_at
    return (now - seen).total_seconds() > LATE_SHARE * run.silence_seconds


def is_stuck(attempt: Attempt | None, now: datetime) -> bool:
    """Whether a live attempt sends heartbeats but has made no progress for too long."""
    if attempt is None or attempt.ended_at is not None or attempt.last_progress_at is None:
        return False
    return (now - attempt.last_progress_at).total_seconds() > settings.CE_NO_PROGRESS_SECONDS


def latest_run(batch: Batch) -> Run | None:
    return batch.runs.shown().defer("result").order_by("-number").first()


def version_of(batch: Batch, run: Run | None, now: datetime) -> str:
    """The version of a page: the batch's version, which attempts are silent or stuck, and whether it has ended."""
    late: list[int] = []
    stuck: list[int] = []
    if run and run.is_live:
        late, stuck = Attempt.objects.late_and_stuck(batch, run, now, LATE_SHARE, settings.CE_NO_PROGRESS_SECONDS)
    silent = ".".join([*(str(pk) for pk in late), *(f"i{pk}" for pk in stuck)])
    return f"{batch.version}-{silent}{'' if is_live(run, now) else '-end'}"
