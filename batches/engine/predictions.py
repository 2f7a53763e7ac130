"""Conflicts before they happen: each minute the work that goes on is compared, and what would collide is kept as rows.

Run as a task of its own, beside the ticker and never in its way; afterwards the rows are compared with what really collided.
"""

import logging
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import transaction

from batches.core.engine.states import Operation, TaskKind, TaskState
from batches.models import Attempt, Batch, PredictedConflict, Run, Task
from batches.repositories.repository import repository_of
from subagents.contract import SubagentError
from subagents.merge_preview import ConflictPreview, Work, look_ahead

logger = logging.getLogger(__name__)
SECONDS = 10.0  # for all runs of a host: the task cluster ends a task after 30


def predict_conflicts(host: str, now: datetime, seconds: float = SECONDS) -> int:
    """Look at every live execution of this host; returns how many conflicts are foreseen now. Safe to repeat."""
    foreseen = 0
    runs = list(Run.objects.live().filter(operation=Operation.EXECUTE).select_related("batch__project"))
    for run in runs:
        live = Attempt.objects.live().filter(task__run=run, task__phase__isnull=False, host=host, exited_at=None)
        attempts = {attempt.task.name: attempt for attempt in live.select_related("task").defer("spec", "heartbeat", "log_tail")}
        settle_predictions(run, now)
        if not attempts:
            continue
        works = [
            Work(name, one.base_commit, one.checkout, os.path.join(one.directory, "index"), one.ref) for name, one in attempts.items()
        ]
        scratch = str(Path(settings.CE_DATA_DIR) / f"merge-preview-{os.getpid()}")
        try:
            repository = repository_of(run.batch)
            found = look_ahead(repository, repository.branch_commit(run.branch), works, scratch, seconds / len(runs))
        except (SubagentError, OSError) as problem:
            logger.warning("batch=%s conflicts cannot be foreseen: %s", run.batch.number, problem)
            continue
        foreseen += _keep(run, attempts, found, now)
    return foreseen


def _keep(run: Run, attempts: Mapping[str, Attempt], found: ConflictPreview, now: datetime) -> int:
    """Write what is new, close what is no longer true, and note what each has changed so far."""
    wanted = {(names, file) for names, files in found.collisions.items() for file in files}
    changed = False
    with transaction.atomic():
        for name, changes in found.changed.items():
            files = {"created": list(changes.created), "modified": list(changes.modified), "deleted": list(changes.deleted)}
            if attempts[name].work_files != files:
                changed = bool(Attempt.objects.live().filter(pk=attempts[name].pk).update(work_files=files)) or changed
        for row in run.predictions.filter(collided=None, first__in=list(attempts.values())):
            key = (tuple(row.phases), row.file)
            if key in wanted:
                wanted.discard(key)
                changed = bool(run.predictions.filter(pk=row.pk).exclude(gone_at=None).update(gone_at=None)) or changed
            elif key[0] in found.examined:
                changed = bool(run.predictions.filter(pk=row.pk, gone_at=None).update(gone_at=now)) or changed
        for names, file in wanted:
            second = attempts[names[1]] if len(names) == 2 else None
            made = {"run": run, "phases": list(names), "seen_at": now}
            PredictedConflict.objects.get_or_create(first=attempts[names[0]], second=second, file=file[:4096], defaults=made)
            changed = True
        if changed:
            Batch.objects.bump(run.batch_id)
    return sum(len(files) for files in found.collisions.values())


def settle_conflicts(batch: Batch) -> None:
    """Of the conflicts that the plan announced, say that nothing came of those whose phases are all merged by now."""
    done = Task.objects.filter(run__batch=batch, run__operation=Operation.EXECUTE, kind=TaskKind.PHASE, state=TaskState.SUCCEEDED)
    merged = set(done.values_list("phase__key", flat=True))
    quiet = [one.pk for one in batch.conflicts.filter(collided=None) if merged.issuperset(one.phases)]
    batch.conflicts.filter(pk__in=quiet).update(collided=False)


def settle_predictions(run: Run, now: datetime) -> None:
    """Of predictions whose attempts have ended, say whether they came true; unknown where a merge was never tried."""
    for row in run.predictions.filter(collided=None).select_related("first", "second"):
        attempts = [one for one in (row.first, row.second) if one is not None]
        if any(one.ended_at is None for one in attempts):
            continue
        if any(row.file in (one.merge_conflicts or ()) for one in attempts):
            collided = True
        elif all(one.merge_commit for one in attempts):
            collided = False
        else:
            collided = None
        run.predictions.filter(pk=row.pk).update(collided=collided, gone_at=row.gone_at or now)
