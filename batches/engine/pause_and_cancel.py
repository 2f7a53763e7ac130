"""Pause, resume or cancel a run."""

from django.db import transaction
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.autopilot_steps import AutopilotState
from batches.core.errors import ServiceError
from batches.models import Batch, Run
from batches.runs.transitions import move_autopilot


def cancel(*, run: Run, actor: Actor) -> None:
    """Cancel the run: nothing more starts, and all its processes are stopped. Raises ServiceError, PermissionDenied."""
    actor.require(EXECUTE_BATCH, run.batch.project)
    with transaction.atomic():
        change_live_run(run, cancel_requested=True, cancel_cause=actor.cause)
        for autopilot_run in run.autopilot_runs.open():
            move_autopilot(autopilot_run, AutopilotState.CANCELLED, now=timezone.now(), cause=actor.cause, reason="Cancelled with its run.")


def pause(*, run: Run, actor: Actor) -> None:
    """Pause the run: running phases finish, and none starts. Raises ServiceError, PermissionDenied."""
    _set_paused(run, actor, True)


def unpause(*, run: Run, actor: Actor) -> None:
    """Continue after a pause. Raises ServiceError, PermissionDenied."""
    _set_paused(run, actor, False)


def _set_paused(run: Run, actor: Actor, paused: bool) -> None:
    actor.require(EXECUTE_BATCH, run.batch.project)
    with transaction.atomic():
        change_live_run(run, paused=paused)


def change_live_run(run: Run, **columns: object) -> None:
    """Change columns of a live run, in the caller's transaction. Raises ServiceError when it has ended."""
    if not Run.objects.live().filter(pk=run.pk).update(**columns):
        run.refresh_from_db()
        raise ServiceError(f"Run {run.number} of batch {run.batch.number} is already {run.state}.")
    Batch.objects.bump(run.batch_id)
