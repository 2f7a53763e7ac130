"""Merge conflicts of a phase: both sides, and what a person can do besides a retry (resolve it, or drop the phase)."""

import re
import shlex
from contextlib import suppress
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.states import (
    FailureReason,
    TaskEvent,
    TaskKind,
    TaskState,
    TransitionRefused,
)
from batches.core.errors import ServiceError
from batches.core.text.diff import UnifiedDiff, read_diff
from batches.models import Attempt, Batch, Conflict, OnConflict, Task
from batches.repositories.repository import checked_repository
from batches.runs.transitions import move_task
from subagents.contract import SubagentError
from subagents.workspace import MergeConflict, RefMoved, Repository, branch_ref

FILES_SHOWN, SIDE_BYTES, SIDE_LINES = 30, 64 * 1024, 600
COMMIT_ID = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True, slots=True)
class Side:
    """A conflicting file, with what each side changed since the phase started."""

    path: str
    merged: UnifiedDiff
    phase: UnifiedDiff


@dataclass(frozen=True, slots=True)
class ConflictView:
    """What a person needs to decide. `files` are in conflict now; when empty, the phase would merge by now."""

    task: Task
    attempt: Attempt
    files: tuple[Side, ...]
    left_out: int
    branch_commit: str
    resolution_branch: str
    commands: tuple[str, ...]
    dependents: tuple[str, ...]


def conflict_of(task: Task) -> ConflictView:
    """The conflict as it is now. Raises ServiceError when the phase has none, or git fails."""
    attempt = _collided(task)
    batch = task.run.batch
    try:
        repository = checked_repository(batch)
        tip = repository.branch_commit(batch.branch)
        joined = repository.merge_trees(tip, attempt.head_commit)
        paths = joined.files if isinstance(joined, MergeConflict) else ()
        sides = tuple(
            Side(path, _side(repository, attempt, tip, path), _side(repository, attempt, attempt.head_commit, path))
            for path in paths[:FILES_SHOWN]
        )
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    branch = resolution_branch(task)
    folder = f"{batch.project.repository}-{branch.replace('/', '-')}"
    commands = (
        f"git -C {shlex.quote(batch.project.repository)} worktree add -b {branch} {shlex.quote(folder)} {batch.branch}",
        f"cd {shlex.quote(folder)}",
        f"git merge {attempt.ref}",
        "# fix the conflicting files, then:",
        "git add --all && git commit",
    )
    waiting = task.run.tasks.filter(state=TaskState.BLOCKED, blocked_by=task.name).values_list("name", flat=True)
    return ConflictView(task, attempt, sides, max(0, len(paths) - FILES_SHOWN), tip, branch, commands, tuple(waiting))


def resolution_branch(task: Task) -> str:
    """The branch on which a person is asked to resolve the phase's conflict by hand."""
    return f"resolve/batch-{task.run.batch.number}-{task.name}"


def _side(repository: Repository, attempt: Attempt, commit: str, path: str) -> UnifiedDiff:
    found = repository.diff(attempt.base_commit, commit, SIDE_BYTES, [path])
    return read_diff(found.text, limit=SIDE_LINES)


def _collided(task: Task) -> Attempt:
    attempt = task.attempts.order_by("-number").first()
    if task.state != TaskState.FAILED or task.reason != FailureReason.MERGE_CONFLICT or attempt is None:
        raise ServiceError(f"Phase {task.name} of batch {task.run.batch.number} has no merge conflict: it is {task.state}.")
    if not attempt.merge_conflicts:
        raise ServiceError(f"No files are in conflict: {task.message} Fix that, then retry the phase.")
    return attempt


def check_resolution(task: Task, name: str) -> str:
    """The commit of `name`, a branch or a commit id, if it resolves the task's conflict.

    It must contain the phase's own work, merge into the batch branch, and contain nothing that is never merged.
    Raises ServiceError with what is missing and what to do.
    """
    name = name.strip()
    batch = task.run.batch
    # When the gates of an earlier resolution failed, the conflict belongs to an older attempt.
    attempt = task.attempts.exclude(merge_conflicts=None).order_by("-number").first()
    if attempt is None or task.state != TaskState.FAILED:
        raise ServiceError(f"Phase {task.name} has no merge conflict to resolve: it is {task.state}.")
    if not name:
        raise ServiceError("Name the branch or the commit that resolves the conflict.")
    try:
        repository = checked_repository(batch)
        commit = repository.find_commit(branch_ref(name)) or (repository.find_commit(name) if COMMIT_ID.fullmatch(name) else None)
        if commit is None:
            raise ServiceError(f"{batch.project.repository} has no branch or commit {name}. Commit your resolution there, then take it.")
        if not repository.is_ancestor(attempt.head_commit, commit):
            raise ServiceError(f"{name} does not contain the work of phase {task.name}. Merge it first: git merge {attempt.ref}")
        joined = repository.merge_trees(repository.branch_commit(batch.branch), commit)
        if isinstance(joined, MergeConflict):
            files = ", ".join(joined.files)
            raise ServiceError(f"{name} conflicts with {batch.branch}: {files}. Merge {batch.branch} into it, resolve, then take it.")
        base = repository.merge_base(attempt.base_commit, commit) or attempt.base_commit
        if blocked := repository.blocked_entries(base, commit):
            raise ServiceError(f"{name} contains what is never merged: {'; '.join(blocked)}.")
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    return commit


def drop_phase(*, task: Task, actor: Actor) -> str:
    """Drop a failed phase: phases that depend on it stay blocked. Returns the archive reference that keeps its commits.

    A retry by its name brings it back. Raises ServiceError, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH, task.run.batch.project)
    batch = task.run.batch
    if task.kind != TaskKind.PHASE or task.state != TaskState.FAILED:
        raise ServiceError(f"Only a phase that failed can be dropped; {task.name} is {task.state}.")
    attempt = task.attempts.order_by("-number").first()
    try:
        repository = checked_repository(batch)
        ref = f"refs/ce/archive/batch-{batch.number}/run-{task.run.number}/{task.name}/{attempt.number if attempt else 0}"
        kept = (attempt and (attempt.head_commit or attempt.base_commit)) or repository.branch_commit(batch.branch)
        with suppress(RefMoved):  # it exists already
            repository.move_ref(ref, kept, None)
        message = f"Dropped by {actor.cause.partition(':')[2]}. Its work is kept as {ref}."
        with transaction.atomic():
            if not move_task(
                task,
                TaskEvent.DROP,
                now=timezone.now(),
                cause=actor.cause,
                attempt=attempt,
                reason=FailureReason.CANCELLED,
                message=message,
                dropped_ref=ref,
            ):
                raise ServiceError(f"Phase {task.name} has changed meanwhile. Look at it again.")
            Batch.objects.bump(batch.pk)
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    except TransitionRefused as refused:
        raise ServiceError(str(refused)) from refused
    return ref


def decide_conflict(*, conflict: Conflict, decision: str, actor: Actor) -> None:
    """Save a person's choice about a conflict: warn (run anyway), serialize. Raises ServiceError, PermissionDenied."""
    actor.require(EXECUTE_BATCH, conflict.batch.project)
    if decision not in (OnConflict.WARN, OnConflict.SERIALIZE):
        raise ServiceError(f"A conflict can be decided as {OnConflict.WARN} or {OnConflict.SERIALIZE}.")
    with transaction.atomic():
        Conflict.objects.filter(pk=conflict.pk).update(decision=decision, decided_by=actor.user, decided_at=timezone.now())
        Batch.objects.bump(conflict.batch_id)
