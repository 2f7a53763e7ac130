"""What a person can ask around execution: start a review, overrule its verdict, update the context."""

from contextlib import suppress

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH, MERGE_BATCH
from batches.core.engine.states import ENDED_RUN_STATES, Operation, TaskState
from batches.core.errors import ServiceError
from batches.core.review.types import ReviewTiming
from batches.models import Batch, ContextChange, Review, Run, Task
from batches.repositories.repository import checked_repository
from batches.runs.create import free_run, refuse_busy
from subagents.contract import SubagentError
from subagents.workspace import RefMoved, branch_ref


def review(*, batch: Batch, actor: Actor, moment: ReviewTiming) -> Run:
    """Start a review, of the PRPs before execution or of the resulting code after it. Raises ServiceError, PermissionDenied."""
    actor.require(EXECUTE_BATCH, batch.project)
    refuse_busy(batch)
    if not _generated(batch):
        raise ServiceError(f"The PRPs of batch {batch.number} are not written yet; there is nothing to review.")
    if moment is ReviewTiming.AFTER and not _executed(batch):
        raise ServiceError(f"No phase of batch {batch.number} has been executed yet; review the PRPs (before) instead.")
    try:
        checked_repository(batch).branch_commit(batch.branch)
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
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


def overrule_review(*, review: Review, reason: str, actor: Actor) -> None:
    """Record that a named person lets work continue against the verdict, and why. Raises ServiceError, PermissionDenied."""
    actor.require(MERGE_BATCH, review.run.batch.project)
    if actor.user is None:
        raise PermissionDenied("Only a signed-in person can overrule a verdict, on the review's page.")
    words = " ".join(reason.split())
    if not words:
        raise ServiceError("Give the reason: it stays beside the verdict.")
    if not review.verdict:
        raise ServiceError("This review has no verdict yet.")
    name = actor.user.get_username()
    with transaction.atomic():
        changed = Review.objects.filter(pk=review.pk, overruled_at=None).update(
            overruled_by=actor.user, overruled_name=name, overruled_at=timezone.now(), overrule_reason=words
        )
        if not changed:
            raise ServiceError("This review is already overruled.")
        Batch.objects.bump(review.run.batch_id)
    review.refresh_from_db()


def update_context(*, batch: Batch, actor: Actor) -> Run:
    """Start an update of PRPs, CLAUDE.md and memory files from what was executed, on a branch of its own.

    That branch starts at the batch branch; the commits of an earlier update stay under a reference. Raises ServiceError,
    PermissionDenied.
    """
    actor.require(EXECUTE_BATCH, batch.project)
    refuse_busy(batch)
    if not batch.runs.executions().filter(state__in=ENDED_RUN_STATES).exists():
        raise ServiceError(f"Batch {batch.number} has not been executed yet; there is nothing to record.")
    try:
        repository = checked_repository(batch)
        tip = repository.branch_commit(batch.branch)
        repository.refuse_checked_out(batch.context_branch)
        with transaction.atomic():
            run = free_run(batch, Operation.UPDATE_CONTEXT, actor)
            ContextChange.objects.create(run=run, base_commit=tip)
            Batch.objects.bump(batch.pk)
            at = repository.ensure_branch(batch.context_branch, tip)
            if at != tip:
                with suppress(RefMoved):  # it is kept already
                    repository.move_ref(f"refs/ce/context/batch-{batch.number}/before-run-{run.number}", at, None)
                repository.move_ref(branch_ref(batch.context_branch), tip, at)
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    return run
