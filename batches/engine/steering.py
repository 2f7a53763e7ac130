"""Steer what runs: stop one phase."""

from django.db import transaction

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.pricing import BACKENDS_WITHOUT_MODEL
from batches.core.errors import ServiceError, WrongChoice
from batches.models import Attempt, Batch, Run, Task

REMARK_CHARACTERS = 8_000


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


def checked_remark(text: str, backend: str) -> str:
    """What a person says to an agent, without white space around it. Raises WrongChoice when it is too long or nobody would read it."""
    said = text.replace("\r\n", "\n").strip()
    if len(said) > REMARK_CHARACTERS:
        raise WrongChoice(f"A remark has at most {REMARK_CHARACTERS} characters; this one has {len(said)}.")
    if said and backend in BACKENDS_WITHOUT_MODEL:
        raise WrongChoice(f"The backend {backend} has no agent that could read a remark. Leave it out, or choose another backend.")
    return said


def task_of(run: Run, name: str) -> Task:
    """The task of a run with this name, whatever its case. Raises WrongChoice with those that there are."""
    tasks = list(run.tasks.select_related("run__batch__project"))
    found = next((task for task in tasks if task.name.lower() == name.strip().lower()), None)
    if found is None:
        raise WrongChoice(f"This run has no phase {name!r}; it has: {', '.join(task.name for task in tasks)}.")
    return found
