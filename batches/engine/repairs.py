"""Rounds of repair: after a failed gate the agent gets the gate's output and works on, before anybody is asked (docs/agents.md)."""

from django.db import transaction

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.execute_options import MOST_REPAIRS
from batches.core.errors import ServiceError, WrongChoice
from batches.models import Attempt, Batch, Run, Task

# What the agent is told before the gates' output.
ASK_FOR_REPAIR = (
    "This is a repair. The work of that attempt is in your checkout; it is not lost and not to be done anew. "
    "Find out why the gates below refuse it, and change what makes them fail."
)


def base_of_repair(task: Task) -> str:
    """The commit that a round of repair has as its base: that of the round before, whose work it goes on with; "" for no repair."""
    if not task.repairs:
        return ""
    return task.attempts.order_by("-number").values_list("base_commit", flat=True).first() or ""


def repair_words(run: Run, task: Task) -> str:
    """Which round of repair the task's next attempt is: "Repair 1 of 2 after gate 3"."""
    words = f"Repair {task.repairs} of {max(run.repairs, task.repairs)}"
    sent = task.attempts.filter(outcome=Attempt.Outcome.REPAIRED).order_by("-number").first()
    if sent is None:
        return words
    checks = sent.gate_checks.order_by("pk").values_list("status", flat=True)
    failed = [str(place) for place, status in enumerate(checks, start=1) if status == "failed"]
    gates = f" after gate{'s' if len(failed) > 1 else ''} {', '.join(failed)}" if failed else ""
    return (words + gates)[:200]


def set_repairs(*, run: Run, rounds: int, actor: Actor) -> None:
    """Choose how often each phase of a live run may be repaired from now on; 0: never. Raises ServiceError, PermissionDenied."""
    actor.require(EXECUTE_BATCH, run.batch.project)
    if not 0 <= rounds <= MOST_REPAIRS:
        raise WrongChoice(f"The number of repairs is from 0 to {MOST_REPAIRS}.")
    with transaction.atomic():
        if not Run.objects.live().filter(pk=run.pk).update(repairs=rounds):
            run.refresh_from_db()
            raise ServiceError(f"Run {run.number} of batch {run.batch.number} is already {run.state}.")
        Batch.objects.bump(run.batch_id)
