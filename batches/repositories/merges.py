"""Merge a batch into its base branch when a person asks. Nothing else ever moves a branch of the user.

The row is committed before git acts and closed after it. So an interrupted merge is found and finished or undone: by the
next request, or by the schedule of the host, which runs every minute.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH, MERGE_BATCH
from batches.core.engine.states import Operation, TaskKind, TaskState
from batches.core.errors import ServiceError
from batches.core.gates.success import Success
from batches.core.text.words import counted
from batches.metrics.successes import successes_of_phases
from batches.models import Attempt, BaseMerge, Batch, Task
from batches.repositories.ownership import refuse_owned, this_installation
from batches.repositories.repository import checked_repository
from batches.runs.busy_or_archived import refuse_busy
from subagents.contract import SubagentError
from subagents.merges import BranchMerge, find_place
from subagents.workspace import Changes, Commit, MergeConflict, Repository

COMMITS_SHOWN = 200
ABANDONED_SECONDS = 120.0  # longer than any git call: the process that created the row is gone


@dataclass(frozen=True, slots=True)
class MergePreview:
    """What a merge would bring, and in `refusal` why it cannot be done now ("": it can).

    `moved` are commits on the base branch that the batch branch lacks. `later` are commits on the batch branch since its
    last phase was merged and its gates were last judged. `undone` names the phases that are not done, `looks` says for each phase
    that needs a look what a person should look at: until somebody has accepted them, nothing is merged.
    """

    base_commit: str
    batch_commit: str
    commits: tuple[Commit, ...]
    changes: Changes
    moved: tuple[Commit, ...]
    later: tuple[Commit, ...]
    undone: tuple[str, ...]
    folder: str
    refusal: str
    looks: tuple[tuple[str, tuple[str, ...]], ...] = ()


def preview_merge(batch: Batch) -> MergePreview:
    """Preview the merge without changing anything. Raises ServiceError when the repository or a branch is missing."""
    try:
        repository = checked_repository(batch)
        base, tip = repository.branch_commit(batch.base_branch), repository.branch_commit(batch.branch)
        moved = repository.commits(tip, base, COMMITS_SHOWN)
        commits = repository.commits(base, tip, COMMITS_SHOWN)
        # Compare with the merge base, so that commits only on the base branch do not look like deletions.
        changes = repository.changes(repository.merge_base(base, tip) or base, tip)
        later = _later(repository, batch, tip)
        looks = open_looks(batch)
        refusal, folder = _refusal(repository, batch, base, tip, moved)
        refusal = refusal or _to_be_judged(repository, batch, base) or _to_be_looked_at(looks)
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    return MergePreview(base, tip, commits, changes, moved, later, _undone(batch), folder, refusal, looks)


def open_looks(batch: Batch) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(phase, what to look at) of the phases that need a look and that nobody has accepted, in the plan's order."""
    found = successes_of_phases([batch.pk]).get(batch.pk, {})
    waiting = {phase: success.looks for phase, success in found.items() if success.kind is Success.NEEDS_LOOK}
    return tuple((key, waiting[pk]) for pk, key in batch.phases.order_by("position").values_list("pk", "key") if pk in waiting)


def _to_be_looked_at(looks: Sequence[tuple[str, tuple[str, ...]]]) -> str:
    if not looks:
        return ""
    keys = ", ".join(key for key, _ in looks)
    it, ones = ("it", f"Phase {keys} needs") if len(looks) == 1 else ("them", f"Phases {keys} need")
    first = f"phase {looks[0][0]}: {looks[0][1][0]}"
    return f"{ones} a look first ({first}). Accept {it} on the page of the phase, with what you looked at, or retry {it}."


def _refusal(repository: Repository, batch: Batch, base: str, tip: str, moved: Sequence[Commit]) -> tuple[str, str]:
    """(why the merge is refused, the folder where the base branch is checked out); "" where there is none."""
    folder = ""
    try:
        refuse_busy(batch)
        refuse_owned(repository, this_installation())
        if base == tip or repository.is_ancestor(tip, base):
            return f"{batch.base_branch} already contains everything on {batch.branch}.", folder
        if moved:
            return (
                f"{batch.base_branch} has moved: it has {counted(len(moved), 'commit')} that {batch.branch} lacks, "
                f"and no gate has judged them together. Bring {batch.base_branch} into {batch.branch} first (the button, "
                f"or ce merge {batch.number} --bring-in), have the gates judged again, then merge."
            ), folder
        place = find_place(repository, batch.base_branch)
        folder = place.folder if place else ""
        BranchMerge(repository, batch.base_branch, base, tip, place, _scratch()).check()
    except (SubagentError, ServiceError) as problem:
        return str(problem), folder
    return "", folder


def not_ready(batch: Batch) -> str:
    """Why the work of the batch may not leave its branch yet, by a merge or a pull request; "" if it may."""
    try:
        refuse_busy(batch)
        repository = checked_repository(batch)
        base, tip = repository.branch_commit(batch.base_branch), repository.branch_commit(batch.branch)
        if base == tip or repository.is_ancestor(tip, base):
            return f"{batch.base_branch} already contains everything on {batch.branch}."
        return _to_be_judged(repository, batch, base) or _to_be_looked_at(open_looks(batch))
    except (SubagentError, ServiceError) as problem:
        return str(problem)


def _to_be_judged(repository: Repository, batch: Batch, base: str) -> str:
    """Why commits that were brought in must be judged first; "" if they were, or nothing was ever judged."""
    judged_at = _judged_at(batch)
    if not judged_at or not repository.find_commit(judged_at) or repository.is_ancestor(base, judged_at):
        return ""
    return (
        f"No gate has judged {batch.branch} with what {batch.base_branch} brought in. Judge the gates again (the button, "
        f"or ce merge {batch.number} --judge), then merge."
    )


def _judged_at(batch: Batch) -> str:
    """The commit at which a phase was last merged, or the gates were last judged with success; "" for none."""
    executed = Attempt.objects.filter(task__run__batch=batch, task__run__operation=Operation.EXECUTE)
    judged = Q(task__kind=TaskKind.STAGE_CHECK, outcome=Attempt.Outcome.SUCCEEDED)
    last = executed.filter(~Q(merge_commit="") | judged).order_by("ended_at").last()
    return (last.merge_commit or last.base_commit) if last else ""


def _later(repository: Repository, batch: Batch, tip: str) -> tuple[Commit, ...]:
    judged_at = _judged_at(batch)
    return repository.commits(judged_at, tip, COMMITS_SHOWN) if judged_at and repository.find_commit(judged_at) else ()


def _undone(batch: Batch) -> tuple[str, ...]:
    executed = Task.objects.filter(run__batch=batch, run__operation=Operation.EXECUTE, state=TaskState.SUCCEEDED)
    done = set(executed.values_list("phase_id", flat=True))
    return tuple(key for pk, key in batch.phases.values_list("pk", "key") if pk not in done)


def merge_batch(
    *, batch: Batch, actor: Actor, fast_forward: bool = True, expected: tuple[str, str] | None = None
) -> BaseMerge:
    """Merge the batch branch into its base branch. If a folder has that branch checked out, its files and index follow.

    `expected` (base commit, batch commit) is what the person looked at; if either branch has moved since, nothing is
    merged. Raises ServiceError with the reason and what to do, PermissionDenied; nothing has changed then.
    """
    actor.require(MERGE_BATCH, batch.project)
    finish_merges(batch, at_once=True)
    preview = preview_merge(batch)
    if preview.refusal:
        raise ServiceError(preview.refusal)
    if expected is not None and expected != (preview.base_commit, preview.batch_commit):
        raise ServiceError(f"{batch.base_branch} or {batch.branch} has moved since you looked. Look again, then merge.")
    try:
        repository = checked_repository(batch)
        target = preview.batch_commit
        if not fast_forward:
            trailers = f"CE-Batch: {batch.number}\nCE-Asked-By: {' '.join(actor.cause.split())}\n"
            message = f"Merge batch {batch.number}: {batch.title}\n\n{trailers}"
            target = repository.make_commit(repository.tree(preview.batch_commit), (preview.base_commit, preview.batch_commit), message)
        merge = _open(batch, actor, preview, target, fast_forward)
        try:
            _branch_merge(merge).carry_out()
        except SubagentError as problem:
            _close(merge, merged=False, problem=str(problem))
            raise
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    _close(merge, merged=True)
    return merge


def _open(batch: Batch, actor: Actor, preview: MergePreview, target: str, fast_forward: bool) -> BaseMerge:
    try:
        with transaction.atomic():
            return BaseMerge.objects.create(
                batch=batch,
                base_branch=batch.base_branch,
                method=BaseMerge.Method.FAST_FORWARD if fast_forward else BaseMerge.Method.MERGE_COMMIT,
                from_commit=preview.base_commit,
                batch_commit=preview.batch_commit,
                to_commit=target,
                folder=preview.folder,
                cause=actor.cause,
                asked_by=actor.user,
                asked_at=timezone.now(),
            )
    except IntegrityError:
        raise ServiceError(f"Batch {batch.number} is being merged by somebody else right now.") from None


def _branch_merge(merge: BaseMerge) -> BranchMerge:
    repository = checked_repository(merge.batch)
    place = find_place(repository, merge.base_branch)
    return BranchMerge(repository, merge.base_branch, merge.from_commit, merge.to_commit, place, _scratch())


def _scratch() -> str:
    return str(Path(settings.CE_DATA_DIR) / "merges")


def _close(merge: BaseMerge, *, merged: bool, problem: str = "") -> None:
    with transaction.atomic():
        open_ones = BaseMerge.objects.filter(pk=merge.pk, ended_at=None)
        open_ones.update(ended_at=timezone.now(), merged=merged, problem=problem)
        Batch.objects.bump(merge.batch_id)
    merge.refresh_from_db()


def finish_merges(batch: Batch | None = None, *, at_once: bool = False) -> int:
    """Finish or undo merges whose process died midway; returns how many. Safe to repeat.

    A recent row may belong to a merge that is still running: it is skipped, or refused with ServiceError when `at_once`.
    """
    count = 0
    rows = BaseMerge.objects.filter(ended_at=None).select_related("batch__project")
    for merge in rows if batch is None else rows.filter(batch=batch):
        if timezone.now() - merge.asked_at < timedelta(seconds=ABANDONED_SECONDS):
            if at_once:
                raise ServiceError(f"Batch {merge.batch.number} is being merged right now. If it stays so, try again in two minutes.")
            continue
        try:
            merged = _branch_merge(merge).settle()
        except SubagentError as problem:
            BaseMerge.objects.filter(pk=merge.pk, ended_at=None).update(problem=str(problem))
            if at_once:
                raise ServiceError(str(problem)) from problem
            continue
        _close(merge, merged=merged, problem="" if merged else "Interrupted; everything was restored.")
        count += 1
    return count


def bring_in(batch: Batch) -> None:
    """Merge new commits of the base branch, such as a person's fix, into the batch branch before work continues.

    Raises ServiceError naming the files that conflict, SubagentError.
    """
    repository = checked_repository(batch)
    repository.exclude()
    outcome = repository.bring_in(batch.branch, batch.base_branch)
    if isinstance(outcome, MergeConflict):
        raise ServiceError(
            f"New commits of {batch.base_branch} cannot be merged into {batch.branch}: {', '.join(outcome.files)}. "
            f"Merge {batch.base_branch} into {batch.branch} by hand, then try again."
        )


def bring_in_base(*, batch: Batch, actor: Actor) -> None:
    """Like `bring_in`, for a person, before a merge into the base branch. Raises ServiceError, PermissionDenied."""
    actor.require(EXECUTE_BATCH, batch.project)
    refuse_busy(batch)
    try:
        bring_in(batch)
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    Batch.objects.bump(batch.pk)
