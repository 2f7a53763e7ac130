"""Begin a review: of the PRPs before execution, or of what came out."""

from django.db import transaction

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.states import Operation, TaskState
from batches.core.errors import ServiceError
from batches.core.review.types import ReviewTiming
from batches.models import Batch, Review, Run, Task
from batches.repositories.batch_branch import with_way_out
from batches.repositories.repository import checked_repository
from batches.runs.busy_or_archived import refuse_busy
from batches.runs.create import free_run
from subagents.contract import SubagentError


def review(*, batch: Batch, actor: Actor, moment: ReviewTiming) -> Run:
    """Start a review of the PRPs, or after execution of the code. Raises ServiceError, PermissionDenied."""
    actor.require(EXECUTE_BATCH, batch.project)
    refuse_busy(batch)
    if not _generated(batch):
        raise ServiceError(f"The PRPs of batch {batch.number} are not written yet; there is nothing to review.")
    if moment is ReviewTiming.AFTER and not _executed(batch):
        raise ServiceError(f"No phase of batch {batch.number} has been executed yet; review the PRPs (before) instead.")
    try:
        checked_repository(batch).branch_commit(batch.branch)
    except SubagentError as problem:
        raise ServiceError(with_way_out(batch, problem)) from problem
    with transaction.atomic():
        run = free_run(batch, Operation.REVIEW, actor, str(moment))
        Review.objects.create(run=run, moment=moment)
        Batch.objects.bump(batch.pk)
    return run


def usual_moment(batch: Batch) -> ReviewTiming:
    """AFTER once a phase of the batch has been executed, else BEFORE."""
    return ReviewTiming.AFTER if _executed(batch) else ReviewTiming.BEFORE


def _generated(batch: Batch) -> bool:
    return batch.runs.filter(operation=Operation.GENERATE, state="succeeded").exists()


def _executed(batch: Batch) -> bool:
    done = Task.objects.filter(run__batch=batch, run__operation=Operation.EXECUTE, phase__isnull=False)
    return done.filter(state=TaskState.SUCCEEDED).exists()
