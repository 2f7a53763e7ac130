"""Bound what grows for ever: sessions, the sign-in log, references of merged attempts. Nothing that is not merged is ever removed."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.sessions.models import Session
from django.db.models import QuerySet

from batches.core.engine.states import ENDED_RUN_STATES
from batches.core.text.words import counted
from batches.models import Attempt, AuditEvent, Project
from batches.repositories.repository import checked_repository
from subagents.contract import SubagentError
from subagents.workspace import RefMoved, branch_ref

SIGN_INS = timedelta(days=180)
REFERENCES = timedelta(days=30)
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
    """Remove sessions that are over, and sign-ins older than half a year. What people did otherwise stays in the audit trail."""
    old = AuditEvent.objects.filter(kind=AuditEvent.Kind.SIGN_IN, at__lt=now - SIGN_INS)
    over = Session.objects.filter(expire_date__lt=now)
    return [Pruned("ended session", _remove(over, dry_run)), Pruned("old sign-in", _remove(old, dry_run))]


def _remove(rows: "QuerySet[AuditEvent] | QuerySet[Session]", dry_run: bool) -> int:
    if dry_run:
        return rows.count()
    some: list[Any] = list(rows.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    return rows.filter(pk__in=some).delete()[0] if some else 0


def drop_references(now: datetime, *, older: timedelta = REFERENCES, dry_run: bool = False) -> Iterator[Pruned]:
    """Drop the references of attempts whose commits are in a batch branch and whose run ended long ago, project by project.

    A reference is dropped only at the commit that the row knows, and only if git shows that the batch branch contains it.
    """
    for project in Project.objects.order_by("pk"):
        yield _drop_of_project(project, now - older, dry_run)


def _drop_of_project(project: Project, before: datetime, dry_run: bool) -> Pruned:
    what = f"of merged attempts in {project.name}"
    merged = Attempt.objects.filter(task__run__batch__project=project, outcome=Attempt.Outcome.SUCCEEDED).exclude(merge_commit="")
    ended = merged.filter(
        task__run__state__in=sorted(ENDED_RUN_STATES), task__run__reported_at__isnull=False, task__run__ended_at__lt=before
    )
    count = 0
    try:
        repository = checked_repository(project)
        there = repository.references("refs/ce/attempts/")
        tips: dict[int, str] = {}
        for attempt in ended.select_related("task__run__batch").defer("log_tail", "spec", "heartbeat").iterator():
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
