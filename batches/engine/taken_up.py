"""Take up work that the rows do not know but folders or the repository do: after a database was restored from a backup.

An attempt leaves a folder, a reference, and, once it is merged, a merge commit that names it. Nothing of that is done again.
"""

import logging
import os
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import transaction

from batches.core.engine.decide import SUCCESS, Launch
from batches.core.engine.states import FailureReason
from batches.engine.attempt_results import store_result
from batches.engine.snapshots import TickContext
from batches.engine.task_specs import last_kept, new_attempt, place_of
from batches.models import Attempt, Batch, Run, Task
from batches.repositories.repository import repository_of
from subagents.contract import ContractError, ResultStatus, SubagentError, TaskResult, TaskSpec, read_json_file
from subagents.files import JSON_BYTES, SPEC_BYTES
from subagents.workspace import Repository

logger = logging.getLogger(__name__)

CAUSE = "policy:taken up after a restore"
TAKEN_UP = "Taken up: its folder was there already; the database, restored from a backup, did not know of it."
TRAILER = "CE-Attempt"
MERGED = "Taken up: the batch branch held its merge already; the database, restored from a backup, did not know of it."
LEFT = "The worker host {host} was lost before this was merged and pushed. Another attempt does the work again."
CAME = "The worker host {host} was lost after it had merged and pushed this."
LOST = "Its folder is gone, as after a restore; its commits are kept as {ref}. Another attempt does the work again."


def take_up(run: Run, task: Task, base: str, context: TickContext) -> Attempt | None:
    """The row of the task's newest attempt that only folder or repository know; None when there is none to go on with.

    In the caller's transaction. One that is merged has ended; another one goes on, or is found ended by the next look at it.
    """
    known = Attempt.objects.filter(task=task).order_by("-number").values_list("number", flat=True).first() or 0
    kept = last_kept(run, task, known)
    if kept <= known:
        return None
    try:
        repository = repository_of(run.batch)
        refs = {f"refs/ce/attempts/{place_of(run, task)}/{one}": one for one in range(known + 1, kept + 1)}
        merged = _merge(repository, run.branch, refs)
    except SubagentError as problem:
        logger.warning("batch=%s task=%s cannot be taken up: %s", run.batch.number, task.name, problem)
        return None
    if merged is not None:
        number, merge, tree, head = merged
        attempt = _row(run, task, repository.merge_base(f"{merge}^1", head) or base, context, number)
        return _record_merge(attempt, merge, tree, head, context.now)
    spec = _spec_of_folder(run, task, kept)
    if spec is None:
        return None
    attempt = _row(run, task, spec.base_commit, context, kept)
    if not _same_work(spec, TaskSpec.from_json(attempt.spec)):
        attempt.delete()
        return None
    attempt.token, attempt.spec, attempt.base_commit, attempt.model = spec.token, spec.to_json(), spec.base_commit, spec.model
    attempt.save(update_fields=["token", "spec", "base_commit", "model"])
    logger.warning("batch=%s task=%s attempt=%s taken up from its folder", run.batch.number, task.name, kept)
    return attempt


def settle_lost(attempt: Attempt, now: datetime, *, crashed: bool = False) -> bool:
    """Settle an attempt whose folder is gone although it has left commits; False when it has not: it may be launched again.

    If it was merged it counts as that; else another attempt follows, because nobody can say how far it was judged. One whose folder
    says that it `crashed` is settled only if it was merged: the folder, too, is then older than the repository.
    """
    run = attempt.task.run
    try:
        repository = repository_of(run.batch)
        if not repository.reference(attempt.ref):
            return False
        merged = _merge(repository, run.branch, {attempt.ref: attempt.number})
    except SubagentError:
        return False
    if crashed and merged is None:
        return False
    with transaction.atomic():
        if merged is not None:
            _record_merge(attempt, *merged[1:], now)
        else:
            gone = {"exited_at": now, "verdict": FailureReason.MACHINE_FAULT, "message": LOST.format(ref=attempt.ref)}
            Attempt.objects.filter(pk=attempt.pk, exited_at=None).update(**gone)
        Batch.objects.bump(run.batch_id)
    return True


def settle_of_lost_host(attempt: Attempt, now: datetime) -> None:
    """Settle a live attempt of a lost host, once its branch is here: what was merged counts, the rest is redone."""
    run, left, came = attempt.task.run, LEFT.format(host=attempt.host), CAME.format(host=attempt.host)
    repository = repository_of(run.batch)
    merged = _merge(repository, run.branch, {attempt.ref: attempt.number}) if repository.reference(attempt.ref) else None
    mine = Attempt.objects.filter(pk=attempt.pk, ended_at=None, merge_commit="")
    with transaction.atomic():
        if merged is None:
            mine.update(exited_at=now, verdict=FailureReason.MACHINE_FAULT, message=left, head_commit="")
        elif attempt.exited_at is None:
            _record_merge(attempt, *merged[1:], now)
            Attempt.objects.filter(pk=attempt.pk).update(message=came)
        else:  # its result is recorded already
            mine.update(verdict=SUCCESS, message=came, merge_commit=merged[1], merge_tree=merged[2])
        Batch.objects.bump(run.batch_id)


def _merge(repository: Repository, branch: str, refs: dict[str, int]) -> tuple[int, str, str, str] | None:
    """(number, merge commit, tree, merged commit) of the newest merge into the branch that names one of these attempts.

    Whoever wrote what the base branch holds can forge a trailer, but not the commit that our own reference names.
    """
    for ref, merge, tree, head in repository.merges_with(branch, TRAILER):
        if ref in refs and repository.reference(ref) == head:
            return refs[ref], merge, tree, head
    return None


def _row(run: Run, task: Task, base: str, context: TickContext, number: int) -> Attempt:
    return new_attempt(run, task, base, context, Launch(task.name), context.now, number=number)


def _record_merge(attempt: Attempt, merge: str, tree: str, head: str, now: datetime) -> Attempt:
    """Record that the attempt succeeded and is merged, with the result from the contract files, if it is there."""
    spec = TaskSpec.from_json(attempt.spec)
    result = _result(spec, head)
    columns = {"exited_at": now, "verdict": SUCCESS, "message": MERGED, "head_commit": head, "tree": result.tree}
    columns |= {"merge_commit": merge, "merge_tree": tree}
    if not Attempt.objects.filter(pk=attempt.pk, exited_at=None).update(**columns):
        return attempt
    for name, value in columns.items():
        setattr(attempt, name, value)
    store_result(attempt, spec, result)
    logger.warning("batch=%s task=%s attempt=%s taken up: merged as %s", spec.batch_id, spec.name, attempt.number, merge[:12])
    return attempt


def _result(spec: TaskSpec, head: str) -> TaskResult:
    """The result that the attempt wrote, if it is the one of the merged commit; else what git shows."""
    try:
        found = TaskResult.from_json(read_json_file(spec.files.result, JSON_BYTES))
        if found.head_commit == head and found.status == ResultStatus.SUCCESS:
            return found
    except (ContractError, OSError, ValueError, TypeError):
        pass
    return TaskResult(
        task_id=spec.task_id,
        prp_id=spec.prp_id,
        status=ResultStatus.SUCCESS,
        attempt=spec.attempt,
        token=spec.token,
        base_commit=spec.base_commit,
        head_commit=head,
        steps_completed=len(spec.steps),
        total_steps=len(spec.steps),
    )


def _spec_of_folder(run: Run, task: Task, number: int) -> TaskSpec | None:
    folder = Path(settings.CE_DATA_DIR) / "attempts" / run.batch.project.slug / place_of(run, task) / str(number)
    try:
        spec = TaskSpec.from_json(read_json_file(str(folder / "spec.json"), SPEC_BYTES))
    except (ContractError, OSError, ValueError, TypeError):
        return None
    return spec if spec.attempt == number and os.path.realpath(spec.attempt_dir) == os.path.realpath(folder) else None


def _same_work(found: TaskSpec, wanted: TaskSpec) -> bool:
    """Whether a spec asks for what the task asks for now: the batch may have been another one in the lost time."""
    names = ("task_id", "type", "prp_id", "batch_id", "run", "repository", "goal", "steps", "gates", "files_modified")
    return all(getattr(found, name) == getattr(wanted, name) for name in names)
