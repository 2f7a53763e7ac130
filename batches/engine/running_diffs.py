"""The diff of running attempts: what lies in their folders now, read by their host while somebody looks at it.

A page only says that it is looked at; the host reads between two slices of the ticker, so a viewer starts no program. What was
read is kept in the host's cache and not in a row: it is true for seconds, and nothing is decided by it.
"""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.core.cache import cache
from django.db.models import QuerySet

from batches.core.engine.states import Operation
from batches.engine.log_reader import is_here
from batches.models import Attempt, Batch, Run
from batches.projects.secrets import learn_secrets
from batches.repositories.repository import repository_of
from subagents.contract import SubagentError
from subagents.current_work import RunningAttempt, running_diffs
from subagents.redaction import redact

logger = logging.getLogger(__name__)
DIFF_BYTES = 256 * 1024
WATCHED_SECONDS = 30  # after somebody has looked; pages ask every two seconds
KEPT_SECONDS = 600
SECONDS = 8.0  # for all runs of a host


@dataclass(frozen=True, slots=True)
class RunningDiff:
    """What an attempt had changed at the time `at`, committed or not."""

    text: str
    at: datetime


def watch(attempt_pk: int) -> None:
    """Say that somebody looks at the diff of a running attempt."""
    cache.add(f"diff-watched:{attempt_pk}", 1, WATCHED_SECONDS)


def is_watched(host: str) -> bool:
    """Whether somebody looks at the diff of an attempt that runs on this host."""
    return bool(_watched(_running(host).values_list("pk", flat=True)))


def running_diff(attempt: Attempt) -> RunningDiff | None:
    """The diff as it was read last; None before that, and on another host."""
    found: tuple[str, str] | None = cache.get(_name(attempt.pk)) if is_here(attempt) else None
    return None if found is None else RunningDiff(found[0], datetime.fromisoformat(found[1]))


def read_running_diffs(host: str, now: datetime, seconds: float = SECONDS) -> int:
    """Read the diffs that are looked at, for at most `seconds`; returns how many are different now. Safe to repeat."""
    attempts = list(_running(host).select_related("task__run__batch__project").defer("spec", "heartbeat", "log_tail"))
    wanted = _watched(attempt.pk for attempt in attempts)
    by_run: dict[int, list[Attempt]] = {}
    for attempt in attempts:
        if attempt.pk in wanted:
            by_run.setdefault(attempt.task.run_id, []).append(attempt)
    return sum(_read(own, now, seconds / len(by_run)) for own in by_run.values())


def _running(host: str) -> QuerySet[Attempt]:
    found = Attempt.objects.live().filter(host=host, exited_at=None, task__phase__isnull=False, task__run__operation=Operation.EXECUTE)
    return found.filter(task__run__in=Run.objects.live())


def _watched(pks: Iterable[int]) -> set[int]:
    names = {f"diff-watched:{pk}": pk for pk in pks}
    return {names[name] for name in cache.get_many(names)} if names else set()


def _read(attempts: list[Attempt], now: datetime, seconds: float) -> int:
    """Read those of one run."""
    batch = attempts[0].task.run.batch
    running = [
        RunningAttempt(attempt.task.name, attempt.base_commit, attempt.checkout, os.path.join(attempt.directory, "index"), attempt.ref)
        for attempt in attempts
    ]
    scratch = str(Path(settings.CE_DATA_DIR) / f"running-diff-{os.getpid()}")
    learn_secrets(batch.project)  # another process may have launched them
    try:
        found = running_diffs(repository_of(batch), running, scratch, seconds, DIFF_BYTES)
    except (SubagentError, OSError) as problem:
        logger.warning("batch=%s the work of running attempts cannot be read: %s", batch.number, problem)
        return 0
    changed = 0
    for attempt in attempts:
        if (diff := found.get(attempt.task.name)) is not None:
            text = redact(diff.text + (f"\n… cut at {DIFF_BYTES // 1024} KiB\n" if diff.truncated else ""))
            known = running_diff(attempt)
            cache.set(_name(attempt.pk), (text, now.isoformat()), KEPT_SECONDS)
            changed += known is None or known.text != text
    if changed:
        Batch.objects.bump(batch.pk)
    return changed


def _name(attempt_pk: int) -> str:
    return f"running-diff:{attempt_pk}"
