"""Kept work: commits and folders of attempts that were not merged. A person can restore it, or clean up to free space.

Nothing unmerged is ever deleted. A folder is removed only when everything git would commit from it is under a reference.
"""

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.errors import ServiceError
from batches.models import Attempt, Batch
from batches.repositories.repository import checked_repository, repository_of
from subagents import launcher
from subagents.checkout import Checkout
from subagents.contract import SubagentError
from subagents.workspace import RefMoved, Repository

SECONDS = 5.0  # time limit for measuring the folders


@dataclass(frozen=True, slots=True)
class CleanUp:
    """The outcome of a clean-up: folders removed, bytes freed, and a sentence for each folder that stays and why."""

    removed: int
    bytes: int
    stays: tuple[str, ...]


def kept_attempts(batch: Batch) -> QuerySet[Attempt]:
    """Ended attempts of the batch that have unmerged commits or still have a folder; the latest first."""
    work = Q(merge_commit="") & ~Q(head_commit="") & ~Q(head_commit=F("base_commit"))
    folder = Q(checkout_bytes__isnull=False, checkout_removed_at=None)
    ended = Attempt.objects.filter(task__run__batch=batch, ended_at__isnull=False)
    return ended.filter(work | folder | ~Q(archive_ref="")).select_related("task__run__batch__project", "task__phase").order_by("-ended_at")


def measure_checkouts(host: str, now: datetime, seconds: float = SECONDS) -> int:
    """Store the size of folders that ended attempts left on this host; returns how many. Safe to repeat."""
    deadline, looked = time.monotonic() + seconds, 0
    waiting = Attempt.objects.filter(host=host, ended_at__isnull=False, checkout_bytes=None, checkout_removed_at=None)
    for pk, path in waiting.order_by("-pk").values_list("pk", "checkout")[:200]:
        size = _folder_bytes(path, deadline) if os.path.isdir(path) else None
        if time.monotonic() > deadline:
            break
        there = {"checkout_removed_at": now} if size is None else {"checkout_bytes": size}
        Attempt.objects.filter(pk=pk).update(**there)
        looked += 1
    gone = Attempt.objects.filter(host=host, checkout_bytes__isnull=False, checkout_removed_at=None)
    lost = [pk for pk, path in gone.values_list("pk", "checkout")[:1000] if not os.path.isdir(path)]
    if lost:
        Attempt.objects.filter(pk__in=lost).update(checkout_removed_at=now)
    return looked


def _folder_bytes(path: str, deadline: float) -> int:
    size = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                size += os.lstat(os.path.join(folder, name)).st_size
        if time.monotonic() > deadline:
            break
    return size


def restore(*, attempt: Attempt, actor: Actor) -> str:
    """Create a branch at the attempt's last commit, for a person to inspect or continue; returns the branch name.

    Raises ServiceError, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH, attempt.task.run.batch.project)
    batch = attempt.task.run.batch
    name = f"ce/restored-{batch.number}-run-{attempt.task.run.number}-{attempt.task.name}-{attempt.number}"
    try:
        repository = checked_repository(batch)
        commit = (repository.find_commit(attempt.archive_ref) if attempt.archive_ref else None) or repository.find_commit(attempt.ref)
        if commit is None:
            where = f"Its folder, if it still exists: {attempt.checkout}"
            raise ServiceError(f"Attempt {attempt.number} of {attempt.task.name} left no commit. {where}")
        at = repository.ensure_branch(name, commit)
        if at != commit:
            raise ServiceError(f"A branch {name} already exists, at {at[:12]}. Rename it, then restore again.")
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    return name


def clean_up(*, batch: Batch, actor: Actor) -> CleanUp:
    """Remove the folders that ended attempts of the batch left on this host. Uncommitted work is archived first.

    Raises ServiceError when the repository is missing, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH, batch.project)
    try:
        repository = repository_of(batch)
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    now, removed, freed = timezone.now(), 0, 0
    stays: list[str] = []
    for attempt in kept_attempts(batch).filter(checkout_bytes__isnull=False, checkout_removed_at=None):
        name = f"{attempt.task.name}, attempt {attempt.number}"
        if attempt.host != settings.CE_HOST:
            stays.append(f"{name}: its folder is on {attempt.host}; clean up there: manage.py batch_kept --batch {batch.number} --clean-up")
        elif launcher.is_held(attempt.directory):
            stays.append(f"{name}: one of its processes is still running")
        else:
            try:
                if os.path.isdir(attempt.checkout):
                    _archive(repository, attempt)
                    shutil.rmtree(attempt.checkout)
                    removed, freed = removed + 1, freed + (attempt.checkout_bytes or 0)
                Attempt.objects.filter(pk=attempt.pk).update(checkout_removed_at=now)
            except (SubagentError, OSError) as problem:
                stays.append(f"{name}: {problem}")
    Batch.objects.bump(batch.pk)
    return CleanUp(removed, freed, tuple(stays))


def _archive(repository: Repository, attempt: Attempt) -> None:
    """Put everything git would commit from the folder under a reference.

    Raises SubagentError, also when the folder holds something that is never committed.
    """
    committed = repository.find_commit(attempt.ref)
    parent = committed or attempt.base_commit
    index = os.path.join(attempt.directory, "index")
    checkout = Checkout(repository, attempt.checkout, index, attempt.ref)
    if not os.path.exists(index):
        checkout.read_index(attempt.base_commit)
    tree = checkout.snapshot(parent)
    if tree == repository.tree(parent):
        return
    commit = repository.make_commit(tree, (parent,), f"What attempt {attempt.number} of {attempt.task.name} left in its folder\n")
    ref = attempt.ref.replace("refs/ce/attempts/", "refs/ce/archive/", 1) + ".left"
    with suppress(RefMoved):  # archived already, before an interruption
        repository.move_ref(ref, commit, None)
    there = repository.find_commit(ref)
    if there is None or repository.tree(there) != tree:
        raise RefMoved(f"{ref} points to something else")
    Attempt.objects.filter(pk=attempt.pk).update(archive_ref=ref)
