"""The rows that figures are read from. They are written in the transaction that ends an attempt or a run, and can be rebuilt at any time.

Everything here is derived: `rebuild` gives the same rows again.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from decimal import Decimal
from typing import Any

from django.apps import AppConfig
from django.db import transaction
from django.db.models import Case, Count, Exists, Max, Min, OuterRef, Q, QuerySet, Sum, When

from batches.core.engine.pricing import input_cost
from batches.core.engine.roles import ROLES
from batches.core.engine.states import FailureReason, Operation, RunState, TaskKind, TaskState, Waiting
from batches.core.gates.success import PhaseSuccess
from batches.core.metrics.durations import person_seconds, run_seconds, span_seconds, stage_seconds
from batches.core.metrics.types import kind_of
from batches.core.review.drift import DriftEvidence, measure_drift
from batches.metrics.bulk import insert
from batches.metrics.successes import successes_of
from batches.models import Attempt, AttemptFact, GateCheck, PredictedConflict, Run, RunFact, StageFact, Task
from batches.models.prepared import Prepared

_FORECAST = ("forecast_seconds", "forecast_p90_seconds", "forecast_runs")
CHUNK = 500  # attempts or runs at a time
# A run that failed only of these was stopped or never equipped; nothing broke.
NOT_CRITICAL = (FailureReason.BUDGET, FailureReason.CANCELLED, FailureReason.NEEDS_AGENT)
# What is no try of its own: it was put off, or the next attempt is a round of repair of the same try.
NO_TRY = (Attempt.Outcome.DEFERRED, Attempt.Outcome.REPAIRED)
_GATES = ("passed", "failed", "unverified")
_GATE_NAMES = (*(f"gates_{status}" for status in _GATES), "gates_flaky")
_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


def record_attempts(attempts: Iterable[int]) -> None:
    """Write the facts of these ended attempts, over what there is. In the caller's transaction. Five queries.

    Checks of a stage on the merged tree are no work on a phase and have none; their gates count with their run.
    """
    ids = list(attempts)
    rows = READ_ONE.rows(attempt=ids[0]) if len(ids) == 1 else list(_read_attempts(Attempt.objects.filter(pk__in=ids)))
    if rows:
        gates = _gates_of(ids)
        done = [row for row in rows if row["task__run__operation"] == Operation.EXECUTE and row["outcome"] == Attempt.Outcome.SUCCEEDED]
        successes = successes_of(done)
        made = [_attempt_fact(row, gates.get(row["pk"], {}), successes.get(row["pk"])) for row in rows]
        insert(AttemptFact, made, replace=True)


def record_runs(runs: Iterable[int]) -> None:
    """Write the facts of these runs as far as they have ended, after those of their attempts; of others there are none. In the caller's
    transaction. A fixed number of queries.

    A run that only judges gates again carries nothing out, and has none.
    """
    ids = list(_counted_runs().filter(pk__in=runs).values_list("pk", flat=True))
    ended = list(Run.objects.filter(pk__in=ids).values(*_RUN_COLUMNS))
    sums = _sums_of(ids)
    gates = _gates_of_runs(ids)
    predicted = {row["run"]: row for row in _predictions_of(ids)}
    critical = set(
        Task.objects.filter(run__in=ids, state=TaskState.FAILED).exclude(reason__in=NOT_CRITICAL).order_by().values_list("run", flat=True)
    )
    made = [_run_fact(row, sums.get(row["pk"], {}), gates.get(row["pk"], {}), predicted.get(row["pk"], {}), critical) for row in ended]
    insert(RunFact, made, replace=True)
    _write_stages([row["pk"] for row in ended])


def _counted_runs() -> QuerySet[Run]:
    """The ended runs that have facts: those that began and have a phase to work on."""
    work = Task.objects.filter(run=OuterRef("pk"), kind=TaskKind.PHASE)
    return Run.objects.ended().filter(Exists(work), started_at__isnull=False)


def rebuild(*, anew: bool = False) -> tuple[int, int]:
    """Write the missing facts, or with `anew` rewrite all of them; returns how many of attempts and runs were written.

    Safe to repeat, to stop at any line, and while batches run.
    """
    attempts = Attempt.objects.filter(ended_at__isnull=False, task__kind=TaskKind.PHASE)
    runs = _counted_runs()
    if not anew:
        attempts, runs = attempts.filter(fact=None), runs.filter(fact=None)
    written = (_by_chunks(attempts, record_attempts), _by_chunks(runs, record_runs))
    if anew:
        RunFact.objects.exclude(run__in=_counted_runs()).delete()
    return written


def fill_missing(sender: AppConfig, using: str = "default", **_kwargs: Any) -> None:
    """A receiver of post_migrate: older history gets its facts with the migration that makes their tables."""
    if using == "default":
        rebuild()


def _by_chunks(rows: QuerySet[Any], record: Any) -> int:
    ids = list(rows.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), CHUNK):
        with transaction.atomic():
            record(ids[start : start + CHUNK])
    return len(ids)


_COLUMNS = (
    *("pk", "number", "outcome", "reason", "fault", "launched_at", "ended_at", "ready_at", "waited_for", "model", "merge_conflicts"),
    *("phase_limit_seconds", "silence_seconds", "tokens_used", "cost_usd", *_TOKENS, "task__run_id", "task__run__operation"),
    *("task__run__batch_id", "task__run__batch__project_id", "task__run__batch__project__demo", "task__phase_id", "task__phase__key"),
    *("task__phase__title", "task__phase__complexity", "task__phase__hours", "task__phase__files", "task__phase__stage__number"),
    *("result__steps_completed", "result__total_steps", "result__files_created", "result__files_modified", "result__files_deleted"),
    *("result__undeclared", "result__looks", "tried", "resolved"),
)


def _read_attempts(attempts: QuerySet[Attempt]) -> QuerySet[Attempt, Any]:
    earlier = Attempt.objects.filter(task=OuterRef("task"), number__lt=OuterRef("number")).exclude(outcome__in=NO_TRY)
    resolved = Q(spec__payload__has_key="start") & ~Q(spec__payload__has_key="resume")
    ended = attempts.filter(ended_at__isnull=False, task__kind=TaskKind.PHASE)
    ended = ended.annotate(tried=Exists(earlier), resolved=Case(When(resolved, then=True), default=False))
    columns: QuerySet[Attempt, Any] = ended.order_by("pk").values(*_COLUMNS)
    return columns


def _gates_of(attempts: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    one, many = len(attempts) == 1, GateCheck.objects.filter(attempt__in=attempts)
    return {row["attempt"]: row for row in (GATES_OF_ONE.rows(attempt=attempts[0]) if one else _counted(many))}


def _counted(checks: QuerySet[GateCheck]) -> QuerySet[GateCheck, Any]:
    return checks.order_by().values("attempt").annotate(**_gate_counts())


# Most often a single attempt has ended.
READ_ONE: Prepared[dict[str, Any]] = Prepared(lambda attempt: _read_attempts(Attempt.objects.filter(pk=attempt)))
GATES_OF_ONE: Prepared[dict[str, Any]] = Prepared(lambda attempt: _counted(GateCheck.objects.filter(attempt=attempt)))


def _gates_of_runs(runs: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    """With the gates of stages on the merged tree."""
    counts = GateCheck.objects.filter(attempt__task__run__in=runs).order_by().values("attempt__task__run").annotate(**_gate_counts())
    return {row["attempt__task__run"]: row for row in counts}


def _gate_counts() -> dict[str, Count]:
    words = {f"gates_{status}": Count("pk", filter=Q(status=status)) for status in _GATES}
    return words | {"gates_flaky": Count("pk", filter=Q(flaky=True))}


def _attempt_fact(row: Mapping[str, Any], gates: Mapping[str, Any], success: PhaseSuccess | None) -> dict[str, Any]:
    operation = Operation(row["task__run__operation"])
    executed = operation is Operation.EXECUTE
    changed = [] if row["result__files_created"] is None else [path for name in _CHANGED for path in row[name]]
    undeclared = None if not executed or row["result__undeclared"] is None else len(row["result__undeclared"])
    read = input_cost(row["model"], row["input_tokens"], row["cache_write_tokens"], row["cache_read_tokens"])
    return dict(  # names of columns
        attempt_id=row["pk"],
        run_id=row["task__run_id"],
        batch_id=row["task__run__batch_id"],
        project_id=row["task__run__batch__project_id"],
        phase_id=row["task__phase_id"],
        demo=row["task__run__batch__project__demo"],
        ended_at=row["ended_at"],
        day=row["ended_at"].astimezone(UTC).date(),
        operation=operation,
        role=ROLES[operation][0],
        model=row["model"],
        stage=row["task__phase__stage__number"],
        key=row["task__phase__key"],
        kind=kind_of(row["task__phase__title"]),
        complexity=row["task__phase__complexity"],
        number=row["number"],
        retry=row["tried"] and row["outcome"] != Attempt.Outcome.DEFERRED,
        outcome=row["outcome"],
        success=success.kind if success else "",
        reason=row["reason"],
        fault=row["fault"],
        seconds=span_seconds(row["launched_at"], row["ended_at"]),
        limit_seconds=row["phase_limit_seconds"],
        silence_seconds=row["silence_seconds"],
        waited_seconds=None if row["ready_at"] is None else span_seconds(row["ready_at"], row["launched_at"]),
        waited_for=row["waited_for"],
        tokens=row["tokens_used"],
        **{name: row[name] for name in _TOKENS},
        cost_micros=micros(row["cost_usd"]),
        input_micros=None if read is None else micros(read.usd),
        input_full_micros=None if read is None else micros(read.full_usd),
        hours=row["task__phase__hours"],
        files_declared=None if undeclared is None else len(changed) - undeclared,
        files_undeclared=undeclared,
        drift=_drift(row, changed) if executed and row["outcome"] == Attempt.Outcome.SUCCEEDED else None,
        conflict=bool(row["merge_conflicts"]),
        by_hand=bool(row["resolved"]),
        **{name: gates.get(name, 0) for name in _GATE_NAMES},
    )


_CHANGED = ("result__files_created", "result__files_modified", "result__files_deleted")


def _drift(row: Mapping[str, Any], changed: Sequence[str]) -> float | None:
    """As reviews measure it (evidence.py); None without a result."""
    if row["result__files_created"] is None:
        return None
    evidence = DriftEvidence(
        planned=tuple(row["task__phase__files"]),
        changed=tuple(changed),
        deleted=tuple(row["result__files_deleted"]),
        steps=row["result__total_steps"] or 0,
        steps_completed=row["result__steps_completed"] or 0,
        estimated_hours=row["task__phase__hours"],
        actual_hours=span_seconds(row["launched_at"], row["ended_at"]) / 3600,
    )
    return measure_drift(evidence).percent


def micros(amount: Decimal | None) -> int | None:
    """Millionths of a dollar."""
    return None if amount is None else round(amount * 1_000_000)


_SUMS = {
    "attempts": Count("pk"),
    "failed": Count("pk", filter=Q(outcome=Attempt.Outcome.FAILED)),
    "retries": Count("pk", filter=Q(retry=True)),
    "phases": Count("phase", filter=Q(outcome=Attempt.Outcome.SUCCEEDED), distinct=True),
    "by_hand": Count("phase", filter=Q(outcome=Attempt.Outcome.SUCCEEDED, by_hand=True), distinct=True),
    "work_seconds": Sum("seconds"),
    "tokens_": Sum("tokens"),
    **{f"{name}_": Sum(name) for name in (*_TOKENS, "cost_micros", "files_undeclared")},
    "estimated_hours": Sum("hours", filter=Q(outcome=Attempt.Outcome.SUCCEEDED, hours__gt=0)),
    "estimated_seconds": Sum("seconds", filter=Q(outcome=Attempt.Outcome.SUCCEEDED, hours__gt=0)),
    "drift_sum": Sum("drift"),
    "drift_count": Count("drift"),
    "conflicts_real": Count("pk", filter=Q(conflict=True)),
}


def _sums_of(runs: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    return {row["run"]: row for row in AttemptFact.objects.filter(run__in=runs).order_by().values("run").annotate(**_SUMS)}


def _predictions_of(runs: Sequence[int]) -> Iterable[Mapping[str, Any]]:
    counts = {
        "conflicts_predicted": Count("pk"),
        "conflicts_true": Count("pk", filter=Q(collided=True)),
        "conflicts_false": Count("pk", filter=Q(collided=False)),
    }
    return PredictedConflict.objects.filter(run__in=runs).order_by().values("run").annotate(**counts)


_RUN_COLUMNS = (
    *("pk", "batch_id", "batch__project_id", "batch__project__demo", "operation", "state", "started_at", "ended_at", "waited"),
    *_FORECAST,
)


def _run_fact(
    row: Mapping[str, Any], sums: Mapping[str, Any], gates: Mapping[str, Any], predicted: Mapping[str, Any], critical: set[int]
) -> dict[str, Any]:
    drifts = sums.get("drift_count")
    counted = ("attempts", "failed", "retries", "phases", "by_hand", "conflicts_real")
    summed = ("tokens", *_TOKENS, "cost_micros", "files_undeclared")
    return dict(  # names of columns
        run_id=row["pk"],
        batch_id=row["batch_id"],
        project_id=row["batch__project_id"],
        demo=row["batch__project__demo"],
        ended_at=row["ended_at"],
        day=row["ended_at"].astimezone(UTC).date(),
        operation=row["operation"],
        outcome=row["state"],
        critical=row["state"] == RunState.FAILED and row["pk"] in critical,
        seconds=run_seconds(row["started_at"], row["ended_at"], person_seconds(row["waited"], row["ended_at"])),
        work_seconds=sums.get("work_seconds"),
        **{f"{kind}_seconds": float(row["waited"].get(kind, 0.0)) for kind in Waiting},
        **{name: sums.get(name, 0) for name in counted},
        **{name: sums.get(f"{name}_") for name in summed},
        estimated_hours=sums.get("estimated_hours"),
        estimated_seconds=sums.get("estimated_seconds"),
        drift=sums["drift_sum"] / drifts if drifts else None,
        **{name: row[name] for name in _FORECAST},
        **{name: predicted.get(name, 0) for name in ("conflicts_predicted", "conflicts_true", "conflicts_false")},
        **{name: gates.get(name, 0) for name in _GATE_NAMES},
    )


def _write_stages(runs: Sequence[int]) -> None:
    attempts = Attempt.objects.filter(task__run__in=runs, task__kind=TaskKind.PHASE, ended_at__isnull=False)
    spans = attempts.order_by().values_list("task__run_id", "task__stage__number")
    measured = spans.annotate(first=Min("launched_at"), last=Max("ended_at"), count=Count("pk"))
    idle = dict(Run.objects.filter(pk__in=runs).exclude(idle=[]).values_list("pk", "idle"))
    StageFact.objects.filter(run__in=runs).delete()
    StageFact.objects.bulk_create(
        StageFact(run_id=run, stage=stage, seconds=seconds, attempts=count)
        for run, stage, first, last, count in measured
        if (seconds := stage_seconds([(first, last)], idle.get(run, ()))) is not None
    )
