"""The branch of a batch that is not where the rows say: deleted or moved. A person can have it restored."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db.models import Max, QuerySet, Subquery
from django.db.models.functions import Coalesce

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.states import Operation
from batches.core.errors import ServiceError
from batches.models import Attempt, BaseMerge, Batch, ContextChange, Review, Run
from batches.models.prepared import Prepared
from batches.repositories.repository import checked_repository
from batches.runs.busy_or_archived import refuse_busy
from subagents.contract import SubagentError
from subagents.workspace import RefMoved, Repository, RepositoryProblem, branch_ref

LOST = ("unknown_branch", "branch_moved")  # codes of RepositoryProblem
KNOWN = 200  # the latest commits that rows know are looked at
RESTORE_OPTION = "--restore-branch"
RESTORE = f"manage.py batch_kept --batch {{number}} {RESTORE_OPTION}"


@dataclass(frozen=True, slots=True)
class Loss:
    """What is wrong with a batch's branch, in one sentence; where it is ("": nowhere), where it was, and the command that restores it."""

    sentence: str
    at: str
    was: str
    command: str


def last_merge(batch: Batch) -> str:
    """The commit of the phase that was merged last into the batch's branch; "" before the first."""
    return LAST_MERGE.first(batch=batch.pk) or ""


def refuse_moved(batch: Batch, repository: Repository, tip: str) -> None:
    """Raises RepositoryProblem (branch_moved) if the branch, at `tip`, lacks the phase that was merged last."""
    last = last_merge(batch)
    if last and last != tip and not (repository.find_commit(last) and repository.is_ancestor(last, tip)):
        raise RepositoryProblem("branch_moved", f"{batch.branch} was moved: it is at {tip[:12]} and lacks what was merged ({last[:12]}).")


def with_way_out(batch: Batch, problem: Exception) -> str:
    """The problem as a sentence, with the command that restores the branch where that helps."""
    lost = isinstance(problem, RepositoryProblem) and problem.code in LOST and batch.branch in str(problem)  # not of the base branch
    return f"{problem} Restore it: {RESTORE.format(number=batch.number)}" if lost else str(problem)


def find_loss(batch: Batch) -> Loss | None:
    """The loss of the batch's branch; None when it holds all that was merged. Raises ServiceError for a repository that is missing."""
    try:
        repository = checked_repository(batch)
        at, was = repository.find_commit(branch_ref(batch.branch)) or "", _last_known(batch, repository)
        if not was or at == was or (at and repository.is_ancestor(was, at)):
            return None
        kept = len(set(_merged(batch).values_list("task", flat=True)))
        held = f"{was[:12]}, with {kept} merged phase{'' if kept == 1 else 's'}"
        where = f"{batch.branch} was moved to {at[:12]}, which lacks" if at else f"{batch.branch} is gone. It was at"
        return Loss(f"{where} {held}.", at, was, RESTORE.format(number=batch.number))
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem


def restore_branch(*, batch: Batch, actor: Actor) -> str:
    """Put the batch's branch back where the rows know it last; returns the commit.

    What a moved branch is at now is kept under refs/ce/archive/. Raises ServiceError, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH, batch.project)
    refuse_busy(batch)
    loss = find_loss(batch)
    if loss is None:
        raise ServiceError(f"{batch.branch} holds all that was merged into it: there is nothing to restore.")
    try:
        repository = checked_repository(batch)
        repository.refuse_checked_out(batch.branch)
        if loss.at:
            with suppress(RefMoved):  # it is kept already
                repository.move_ref(f"refs/ce/archive/batch-{batch.number}/moved-{loss.at[:12]}", loss.at, None)
        repository.move_ref(branch_ref(batch.branch), loss.was, loss.at or None, why=f"restored by {actor.cause}")
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    Batch.objects.bump(batch.pk)
    return loss.was


def _merged(batch: Any) -> QuerySet[Attempt]:
    return _attempts(batch).exclude(merge_commit="")


def _attempts(batch: Any) -> QuerySet[Attempt]:
    """Attempts that started from the batch's branch since it was generated last, which begins it anew."""
    generated = Run.objects.filter(batch=batch, operation=Operation.GENERATE).order_by("-number").values("number")[:1]
    own = Attempt.objects.filter(task__run__batch=batch, task__run__number__gte=Coalesce(Subquery(generated), 0))
    return own.exclude(task__run__operation=Operation.UPDATE_CONTEXT)


LAST_MERGE: Prepared[str] = Prepared(
    lambda batch: _merged(batch).order_by("-exited_at", "-pk").values_list("merge_commit", flat=True)[:1]
)


def _generated(batch: Batch) -> int:
    return batch.runs.filter(operation=Operation.GENERATE).aggregate(last=Max("number"))["last"] or 0


def _last_known(batch: Batch, repository: Repository) -> str:
    """The latest commit of the batch's branch that rows know and the repository still has: the one that holds the others.

    Raises ServiceError when the repository has none of them.
    """
    known = [commit for row in _attempts(batch).order_by("-pk").values_list("merge_commit", "base_commit")[:KNOWN] for commit in row]
    reviews = Review.objects.filter(run__batch=batch, run__number__gte=_generated(batch)).exclude(commit="")
    known += reviews.order_by("-pk").values_list("commit", flat=True)[:KNOWN]
    known += ContextChange.objects.filter(run__batch=batch).exclude(merge_commit="").values_list("merge_commit", flat=True)[:KNOWN]
    known += BaseMerge.objects.filter(batch=batch).values_list("batch_commit", flat=True)[:KNOWN]
    wanted = list(dict.fromkeys(commit for commit in known if commit))
    there = repository.existing(wanted)
    if wanted and not there:
        raise ServiceError(f"{batch.branch} cannot be restored: {wanted[0][:12]} and the others are no longer in the repository.")
    last = repository.independent(there)
    return next((commit for commit in wanted if commit in last), "")
