"""Bound what grows for ever: sessions, the sign-in log, references of merged attempts, logs. No commit that is not merged is ever removed.

A project may say after how many days its references go and its logs are compressed, and how many megabytes of logs stay; then
that happens by itself.
"""

import gzip
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db.models import QuerySet

from batches.core.engine.states import ENDED_RUN_STATES
from batches.core.text.words import bytes_words, counted
from batches.models import Attempt, AuditEvent, Project, Run
from batches.repositories.repository import checked_repository, folder_of
from subagents.contract import ContractError, OrchestrationFiles, SubagentError, task_file_name
from subagents.workspace import RefMoved, branch_ref

SIGN_INS = timedelta(days=180)
REFERENCES = timedelta(days=30)
WINDOW = timedelta(days=3)  # by itself only what has come of age since then is looked at; the command looks at all
TIDY_SECONDS = 3600
COMPRESSED = ".gz"
FRESH = timedelta(days=1)  # logs of runs that ended since then stay, however large they are
LOG = re.compile(r"completed-batches/batch-(\d+)/run-(\d+)/[^/]+/[^/]+/task-[^/]+\.(?:log|transcript\.jsonl)(?:\.gz)?$")
MEGABYTE = 1_000_000
SMALL_BYTES = 4096  # what a file takes on the disk anyway
AT_ONCE = 5000  # rows in one statement, so that nobody waits for it


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many of something were removed, or would be; `problem` says why some could not be."""

    what: str
    count: int
    problem: str = ""
    of: str = ""

    @property
    def words(self) -> str:
        return f"{counted(self.count, self.what)}{f' {self.of}' if self.of else ''}{f'; {self.problem}' if self.problem else ''}"


def bound_rows(now: datetime, *, dry_run: bool = False) -> list[Pruned]:
    """Remove ended sessions, and sign-ins older than half a year. What else people did stays in the audit trail."""
    old = AuditEvent.objects.filter(kind=AuditEvent.Kind.SIGN_IN, at__lt=now - SIGN_INS)
    over = Session.objects.filter(expire_date__lt=now)
    return [Pruned("ended session", _remove(over, dry_run)), Pruned("old sign-in", _remove(old, dry_run))]


def _remove(rows: "QuerySet[AuditEvent] | QuerySet[Session]", dry_run: bool) -> int:
    if dry_run:
        return rows.count()
    some: list[Any] = list(rows.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    return rows.filter(pk__in=some).delete()[0] if some else 0


def tidy_projects(now: datetime) -> list[Pruned]:
    """Once an hour, for the projects that say so: drop references and compress logs of runs that have come of age."""
    if not cache.add(f"tidied.{settings.CE_HOST}", 1, TIDY_SECONDS):
        return []
    found = []
    for project in Project.objects.exclude(keep_days=None).order_by("pk"):
        before = now - timedelta(days=project.keep_days or 0)
        found += [_compress_of_project(project, before, before - WINDOW, dry_run=False)]
        if not settings.CE_WORKER:
            found += [_drop_of_project(project, before, before - WINDOW, dry_run=False)]
    found += keep_to_size(now)
    return [one for one in found if one.count]


def compress_logs(now: datetime, *, older: timedelta = REFERENCES, dry_run: bool = False) -> Iterator[Pruned]:
    """Compress logs and transcripts of runs that ended long ago, on this host, by project. Pages read both forms."""
    for project in Project.objects.order_by("pk"):
        yield _compress_of_project(project, now - older, None, dry_run)


def keep_to_size(now: datetime, *, megabytes: int | None = None, dry_run: bool = False) -> Iterator[Pruned]:
    """Remove the oldest logs and transcripts on this host, of projects with more than their limit or `megabytes`."""
    for project in Project.objects.order_by("pk"):
        limit = project.keep_megabytes if megabytes is None else megabytes
        if limit is not None:
            yield _keep_of_project(project, limit * MEGABYTE, now, dry_run)


def _keep_of_project(project: Project, limit: int, now: datetime, dry_run: bool) -> Pruned:
    root = OrchestrationFiles(folder_of(project)).root
    found, left, count, problem = sorted(_logs(root), reverse=True), 0, 0, ""
    over = Run.objects.ended().filter(batch__project=project, reported_at__isnull=False, travel="", ended_at__lt=now - FRESH)
    ended, freed = set(over.values_list("batch__number", "number")) if found else set(), 0
    for _, size, path, batch, run in found:
        left += size
        if left <= limit or (batch, run) not in ended:
            continue
        try:
            if not dry_run:
                place = os.path.join(root, "tasks", f"batch-{batch}", os.path.basename(path))
                if os.path.lexists(place) and os.path.samestat(os.lstat(place), os.lstat(path)):
                    os.unlink(place)
                os.unlink(path)
        except OSError as error:
            problem = str(error)
            continue
        left, freed, count = left - size, freed + size, count + 1
    return Pruned("log", count, problem, of=f"of {project.name}{f', {bytes_words(freed)}' if count else ''}")


def _logs(root: str) -> Iterator[tuple[float, int, str, int, int]]:
    """(time of its end, bytes, path, batch, run) of each log and transcript that is archived."""
    for folder, _, names in os.walk(os.path.join(root, "completed-batches")):
        for name in names:
            path = os.path.join(folder, name)
            if (place := LOG.search(path)) is not None:
                with suppress(OSError):
                    about = os.lstat(path)
                    yield about.st_mtime, about.st_size, path, int(place[1]), int(place[2])


def _ended(project: Project, before: datetime, after: datetime | None) -> QuerySet[Attempt]:
    runs = {"task__run__state__in": sorted(ENDED_RUN_STATES), "task__run__reported_at__isnull": False, "task__run__travel": ""}
    found = Attempt.objects.filter(**runs, task__run__batch__project=project, task__run__ended_at__lt=before)
    found = found if after is None else found.filter(task__run__ended_at__gte=after)
    return found.select_related("task__run__batch").defer("log_tail", "spec", "heartbeat")


def _compress_of_project(project: Project, before: datetime, after: datetime | None, dry_run: bool) -> Pruned:
    files, sizes, problem = OrchestrationFiles(folder_of(project)), Counter[str](), ""
    count = 0
    for attempt in _ended(project, before, after).filter(host=settings.CE_HOST).iterator():
        run = attempt.task.run
        name = task_file_name(attempt.task.name, run.operation)
        try:
            folder = files.archive(run.batch.number, run.number, name, attempt.number)
            place = files.task(run.batch.number, name).spec.removesuffix("json")
            for ending in ("log", "transcript.jsonl"):
                saved = _compress(os.path.join(folder, f"task-{name}.{ending}"), f"{place}{ending}", dry_run)
                sizes["saved"] += saved
                count += saved > 0
        except (OSError, ContractError) as error:
            problem = str(error)
    saved_words = "" if dry_run or not count else f", {bytes_words(sizes['saved'])} less"
    return Pruned("log", count, problem, of=f"of {project.name}{saved_words}")


def _compress(path: str, place: str, dry_run: bool) -> int:
    """Replace a regular file by its compressed form; returns the bytes saved, or its size in a dry run; 0 where nothing is to be done.

    `place` is where its task writes: a link to the same file, which goes, too. A kill in between leaves both forms, which is harmless.
    """
    if not os.path.isfile(path) or os.path.islink(path) or os.path.getsize(path) <= SMALL_BYTES:
        return 0
    before = os.stat(path)
    if dry_run:
        return before.st_size
    draft = f"{path}{COMPRESSED}.{os.getpid()}"
    with open(path, "rb") as source, gzip.open(draft, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target)
    with open(draft, "rb") as written:
        os.fsync(written.fileno())
    os.utime(draft, ns=(before.st_atime_ns, before.st_mtime_ns))  # by size the oldest go first
    os.replace(draft, f"{path}{COMPRESSED}")
    if os.path.lexists(place) and os.path.samestat(os.lstat(place), before):
        os.unlink(place)
    os.unlink(path)
    return max(1, before.st_size - os.path.getsize(f"{path}{COMPRESSED}"))


def drop_references(now: datetime, *, older: timedelta = REFERENCES, dry_run: bool = False) -> Iterator[Pruned]:
    """Drop the references of attempts whose commits are in a batch branch and whose run ended long ago, project by project.

    A reference is dropped only at the commit that the row knows, and only if git shows that the batch branch contains it.
    """
    for project in Project.objects.order_by("pk"):
        yield _drop_of_project(project, now - older, None, dry_run)


def _drop_of_project(project: Project, before: datetime, after: datetime | None, dry_run: bool) -> Pruned:
    what = f"of merged attempts in {project.name}"
    ended = _ended(project, before, after).filter(outcome=Attempt.Outcome.SUCCEEDED).exclude(merge_commit="")
    count = 0
    try:
        repository = checked_repository(project)
        there = repository.references("refs/ce/attempts/")
        tips: dict[int, str] = {}
        for attempt in ended.iterator():
            if not attempt.head_commit or there.get(attempt.ref) != attempt.head_commit:
                continue
            batch = attempt.task.run.batch
            if batch.pk not in tips:
                tips[batch.pk] = repository.reference(branch_ref(batch.branch))
            if not tips[batch.pk] or not repository.is_ancestor(attempt.head_commit, tips[batch.pk]):
                continue
            count += 1
            if not dry_run:
                repository.delete_ref(attempt.ref, attempt.head_commit)
    except (SubagentError, RefMoved) as problem:
        return Pruned("reference", count, str(problem), of=what)
    return Pruned("reference", count, of=what)
