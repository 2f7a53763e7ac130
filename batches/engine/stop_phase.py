"""Stop one phase; the others go on."""

from django.db import transaction

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.errors import ServiceError
from batches.models import Attempt, Batch, Task


def stop_phase(*, task: Task, actor: Actor) -> None:
    """Stop the phase's running attempt alone; the others go on. Its work so far is kept, and it can be retried.

    Raises ServiceError, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH, task.run.batch.project)
    with transaction.atomic():
        live = Attempt.objects.live().filter(task=task, exited_at=None)
        if not live.filter(stop_cause="").update(stop_cause=actor.cause):
            if live.exists():
                raise ServiceError(f"Phase {task.name} is being stopped already.")
            task.refresh_from_db()
            raise ServiceError(f"Phase {task.name} is {task.state}; only a running phase can be stopped.")
        Batch.objects.bump(task.run.batch_id)
