"""Predict merge conflicts: each minute, compare the work of running phases and store expected conflicts as rows.

This runs as a separate task, so it never delays the ticker. After the merges, each row records whether it came true.
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
from subagents.current_work import RunningAttempt
from subagents.merge_preview import ConflictPreview, preview_merges

logger = logging.getLogger(__name__)
SECONDS = 10.0  # time limit for all runs of a host; the task cluster ends a task after 30


def predict_conflicts(host: str, now: datetime, seconds: float = SECONDS) -> int:
    """Predict conflicts in every live execution of this host; returns how many are expected now. Safe to repeat."""
    predicted = 0
    runs = list(Run.objects.live().filter(operation=Operation.EXECUTE).select_related("batch__project"))
    for run in runs:
        live = Attempt.objects.live().filter(task__run=run, task__phase__isnull=False, host=host, exited_at=None)
        attempts = {attempt.task.name: attempt for attempt in live.select_related("task").defer("spec", "heartbeat", "log_tail")}
        resolve_predictions(run, now)
        if not attempts:
            continue
        running = [
            RunningAttempt(name, attempt.base_commit, attempt.checkout, os.path.join(attempt.directory, "index"), attempt.ref)
            for name, attempt in attempts.items()
        ]
        scratch = str(Path(settings.CE_DATA_DIR) / f"merge-preview-{os.getpid()}")
        try:
            repository = repository_of(run.batch)
            found = preview_merges(repository, repository.branch_commit(run.branch), running, scratch, seconds / len(runs))
        except (SubagentError, OSError) as problem:
            logger.warning("batch=%s conflicts cannot be predicted: %s", run.batch.number, problem)
            continue
        predicted += _store(run, attempts, found, now)
    return predicted


def _store(run: Run, attempts: Mapping[str, Attempt], found: ConflictPreview, now: datetime) -> int:
    """Add new predictions, close those no longer expected, and store what each attempt has changed so far."""
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
            columns = {"run": run, "phases": list(names), "seen_at": now}
            PredictedConflict.objects.get_or_create(first=attempts[names[0]], second=second, file=file[:4096], defaults=columns)
            changed = True
        if changed:
            Batch.objects.bump(run.batch_id)
    return sum(len(files) for files in found.collisions.values())


def resolve_conflicts(batch: Batch) -> None:
    """Mark conflicts announced by the plan as not collided once all their phases are merged."""
    done = Task.objects.filter(run__batch=batch, run__operation=Operation.EXECUTE, kind=TaskKind.PHASE, state=TaskState.SUCCEEDED)
    merged = set(done.values_list("phase__key", flat=True))
    harmless = [conflict.pk for conflict in batch.conflicts.filter(collided=None) if merged.issuperset(conflict.phases)]
    batch.conflicts.filter(pk__in=harmless).update(collided=False)


def resolve_predictions(run: Run, now: datetime) -> None:
    """Record for predictions whose attempts have ended whether they came true; None when a merge was never tried."""
    for row in run.predictions.filter(collided=None).select_related("first", "second"):
        attempts = [attempt for attempt in (row.first, row.second) if attempt is not None]
        if any(attempt.ended_at is None for attempt in attempts):
            continue
        if any(row.file in (attempt.merge_conflicts or ()) for attempt in attempts):
            collided = True
        elif all(attempt.merge_commit for attempt in attempts):
            collided = False
        else:
            collided = None
        run.predictions.filter(pk=row.pk).update(collided=collided, gone_at=row.gone_at or now)
