"""Begin an update of the context: PRPs, CLAUDE.md and memory files, from what was executed."""

from contextlib import suppress

from django.db import transaction

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.states import ENDED_RUN_STATES, Operation
from batches.core.errors import ServiceError
from batches.models import Batch, ContextChange, Run
from batches.repositories.batch_branch import with_way_out
from batches.repositories.repository import checked_repository
from batches.runs.busy_or_archived import refuse_busy
from batches.runs.create import free_run
from subagents.contract import SubagentError
from subagents.workspace import RefMoved, branch_ref


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
        raise ServiceError(with_way_out(batch, problem)) from problem
    return run
