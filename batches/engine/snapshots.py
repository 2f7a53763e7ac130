"""Turn the rows of a run into the snapshot that `decide` takes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.utils import timezone

from batches.core.engine import decide as core
from batches.core.engine.budget import Budget, reservation, tighter
from batches.core.engine.pricing import BACKENDS_WITHOUT_MODEL, choose_model, model_of_attempt
from batches.core.engine.states import ENDED_TASK_STATES, FailureReason, Operation, RunState, TaskKind, TaskState
from batches.core.gates.project_gates import GateRules, When
from batches.models import Attempt, Gate, Phase, Result, Run, Task
from batches.models.prepared import Prepared
from batches.models.processes import SupervisedProcess
from batches.projects.monthly_budget import month_of
from batches.runs.provider_trouble import trouble_of
from subagents.contract import GateKind

HISTORY = 200  # an estimate uses this many of the latest attempts


@dataclass(frozen=True, slots=True)
class TickContext:
    """When and where a step happens: wall time, the host's monotonic clock in seconds, its name and free slots."""

    now: datetime
    clock: float
    host: str
    free_slots: int
    patient: bool = False  # no ticker ran for a while: silence proves nothing yet

    @property
    def cause(self) -> str:
        return f"host:{self.host}"


def policy_of(run: Run, context: TickContext) -> core.Policy:
    """The limits of this run, in seconds."""
    return core.Policy(
        silence_seconds=math.inf if context.patient else run.silence_seconds,
        launch_seconds=math.inf if context.patient else settings.CE_LAUNCH_SECONDS,
        phase_limit_seconds=run.phase_limit_seconds,
        crash_restarts=settings.CE_CRASH_RESTARTS,
        rate_limit_seconds=settings.CE_RATE_LIMIT_SECONDS,
    )


@dataclass(slots=True)
class TaskRow:
    """The columns of a task that decisions use; a model instance would cost too much for hundreds of tasks."""

    pk: int
    run_id: int
    name: str
    kind: str
    phase_id: int | None
    stage_id: int
    stage_number: int
    position: int
    state: str
    reason: str
    blocked_by: str
    restarts: int
    not_before: datetime | None
    waits_for: list[str]
    after: list[str]
    covers: list[int]
    changed_at: datetime
    repairs: int
    rounds_seconds: float
    rounds_usd: Decimal
    resolution: str
    resume_session: bool
    message: str = ""


ROW_COLUMNS = [name if name != "stage_number" else "stage__number" for name in TaskRow.__slots__ if name != "message"]


TASK_ROWS: Prepared[tuple[Any, ...]] = Prepared(
    lambda run: Task.objects.filter(run=run).order_by("position", "pk").values_list(*ROW_COLUMNS)
)


def task_rows(run: Run) -> dict[str, TaskRow]:
    """{name: row} of the run's tasks, in plan order."""
    return {row.name: row for row in (TaskRow(*values) for values in TASK_ROWS.rows(run=run.pk))}


def take_snapshot(run: Run, tasks: Sequence[TaskRow], attempts: dict[int, Attempt], context: TickContext) -> core.Snapshot:
    """The snapshot of a run; `attempts` maps a task's id to its live attempt."""
    budget = budget_of(run)
    reserves = _reservations(run, tasks, budget)
    remaining = remaining_hours(run.batch_id, run.batch.created_at, run.batch.edition) if run.scheduling == "dataflow" else {}
    views = tuple(
        core.TaskView(
            name=task.name,
            stage=task.stage_number,
            position=task.position,
            state=TaskState(task.state),
            kind=TaskKind(task.kind),
            waits_for=tuple(task.waits_for),
            after=tuple(task.after),
            reason=task.reason,
            blocked_by=task.blocked_by,
            restarts=task.restarts,
            not_before=task.not_before,
            remaining=remaining.get(task.phase_id or 0, 0.0),
            attempt=_view(attempts[task.pk], context, _repairs(run), task) if task.pk in attempts else None,
            reserve_usd=reserves.get(task.pk),
            repairs=task.repairs,
            rounds_seconds=task.rounds_seconds,
            rounds_usd=task.rounds_usd,
        )
        for task in tasks
    )
    return core.Snapshot(
        state=RunState(run.state),
        tasks=views,
        max_parallel=run.parallel,
        paused=run.paused,
        cancel_requested=run.cancel_requested,
        fail_fast=run.fail_fast,
        by_stage=run.scheduling == "stages",
        free_slots=context.free_slots,
        unchecked_stages=frozenset(unchecked_stages(run, tasks)),
        budget=budget,
        phase_cap_usd=run.phase_cap_usd,
        rate_limit=(
            core.RateLimit(run.rate_limited_since, run.rate_limited_until) if run.rate_limited_since and run.rate_limited_until else None
        ),
        rate_limits=run.rate_limits,
        put_off=bool(run.machine_fault),
        machine_faults=run.machine_faults,
        repairs=_repairs(run),
        trouble=trouble_of(run),
        halted=core.Halt(FailureReason(run.stop_reason), run.stop_message) if run.stop_reason else None,
    )


def budget_of(run: Run) -> Budget | None:
    """What the batch may spend and has spent, over all its runs; None if neither it nor the month has a budget."""
    monthly = None if run.backend in BACKENDS_WITHOUT_MODEL else run.batch.project.monthly_budget_usd
    if run.budget_usd is None and monthly is None:
        return None
    month = None if monthly is None else month_of(run.batch.project, timezone.now(), run=run.pk)
    return tighter(run.budget_usd, Attempt.objects.filter(task__run__batch=run.batch_id).spent(), month)


def _reservations(run: Run, tasks: Sequence[TaskRow], budget: Budget | None) -> dict[int, Decimal]:
    """{pending task: dollars its next attempt reserves}; {} without budget and cap, or if no model is used."""
    limits = budget is not None or run.phase_cap_usd is not None
    pending = [task for task in tasks if task.state == TaskState.PENDING and task.phase_id is not None]
    if not limits or not pending or run.backend in BACKENDS_WITHOUT_MODEL:
        return {}
    history = _history(run) if run.phase_cap_usd is None else {}
    rows = Task.objects.filter(pk__in=[task.pk for task in pending]).select_related("phase")
    failed: dict[int, list[tuple[str, str]]] = {}
    for task_id, reason, fault in Attempt.objects.filter(task__in=rows, outcome=Attempt.Outcome.FAILED).values_list(
        "task_id", "reason", "fault"
    ):
        failed.setdefault(task_id, []).append((reason, fault))
    found = {}
    for task in rows:
        assert task.phase is not None  # pending excludes stage checks
        choice = choose_model(run.backend, task.phase.complexity, of_phase=task.model, of_run=run.model, of_retries=run.retry_model)
        amount = reservation(
            cap_usd=run.phase_cap_usd,
            history_usd=history.get(model_of_attempt(choice, failed.get(task.pk, ())), ()),
            limit_usd=None if budget is None else budget.limit_usd - (budget.spent_usd if budget.month else 0),
            max_parallel=run.parallel,
        )
        if amount is not None and task.repairs and run.phase_cap_usd is not None:
            amount = max(Decimal(0), run.phase_cap_usd - task.rounds_usd)  # the cap holds for all rounds together
        if amount is not None:
            found[task.pk] = amount
    return found


def _history(run: Run) -> dict[str, list[Decimal]]:
    """{model: dollars that recent attempts of the project cost with it, for the same operation}."""
    known = Attempt.objects.filter(
        task__run__batch__project=run.batch.project_id, task__run__operation=run.operation, cost_usd__gt=0, ended_at__isnull=False
    )
    found: dict[str, list[Decimal]] = {}
    for model, cost in known.order_by("-pk").values_list("model", "cost_usd")[:HISTORY]:
        if cost is not None:
            found.setdefault(model, []).append(cost)
    return found


def _repairs(run: Run) -> int:
    """How many rounds of repair a phase of the run may have: none where no agent does the work."""
    return run.repairs if run.operation == Operation.EXECUTE and run.backend not in BACKENDS_WITHOUT_MODEL else 0


def _view(attempt: Attempt, context: TickContext, repairs: int, task: TaskRow) -> core.AttemptView:
    merged = bool(attempt.merge_commit) or not has_commits(attempt)
    asked = attempt.verdict == FailureReason.GATE_FAILED or bool(attempt.merge_conflicts)
    refused = bool(repairs) and asked and not task.resolution and task.kind == TaskKind.PHASE
    seen = process_view(attempt, context)
    if attempt.open_question is not None:  # the clock of the time limit stands still
        seen = replace(seen, running_seconds=attempt.elapsed_seconds or 0.0)
    return replace(
        seen,
        merged=merged,
        merge_conflicts=tuple(attempt.merge_conflicts or ()),
        stopped_by=attempt.stop_cause.partition(":")[2],
        asks=attempt.open_question is not None,
        repairable=refused and Result.objects.filter(attempt=attempt, total_steps__gt=0).exists(),  # without steps no agent is at work
    )


def process_view(attempt: SupervisedProcess, context: TickContext) -> core.AttemptView:
    """A process as `decide` sees it, with nothing to merge."""

    # The clock runs backwards only after a reboot: the processes are gone then, and their locks are free.
    def age(clock: float | None) -> float:
        return 0.0 if clock is None else max(0.0, context.clock - clock)

    elapsed = attempt.elapsed_seconds or 0.0
    return core.AttemptView(
        number=attempt.number,
        launched_seconds=age(attempt.launched_clock),
        started=attempt.started_at is not None,
        silent_seconds=age(attempt.beat_clock),
        running_seconds=elapsed + age(attempt.beat_clock) if attempt.started_at else 0.0,
        stop_reason=FailureReason(attempt.stop_reason) if attempt.stop_reason else None,
        stopping_seconds=age(attempt.stop_clock),
        exited=attempt.exited_at is not None,
        verdict=attempt.verdict,
        message=attempt.message,
        merged=True,
        cost_usd=attempt.cost_usd,
        reserved_usd=attempt.reserved_usd,
        fault=attempt.fault,
        retry_at=attempt.retry_at,
    )


def has_commits(attempt: Attempt) -> bool:
    """Whether the attempt has commits to merge."""
    return bool(attempt.head_commit) and attempt.head_commit != attempt.base_commit


def unchecked_stages(run: Run, tasks: Sequence[TaskRow]) -> list[int]:
    """Stages with merged work and gates that no stage check covers; also if a phase was judged on the same tree."""
    if run.operation != Operation.EXECUTE:
        return []
    rules = GateRules.from_json(run.gate_rules)
    gated, every, at_end = gated_phases(run.batch_id, run.batch.created_at, run.batch.edition), rules.has(When.PHASE), rules.has(When.STAGE)
    if not (gated or every or at_end):
        return []
    by_stage: dict[int, list[TaskRow]] = {}
    for task in tasks:
        by_stage.setdefault(task.stage_number, []).append(task)
    ended = {stage: members for stage, members in by_stage.items() if all(task.state in ENDED_TASK_STATES for task in members)}
    merged = stage_merges(task.pk for members in ended.values() for task in members)
    unchecked = []
    for stage, members in ended.items():
        own = [attempt for task in members for attempt in merged.get(task.pk, ())]
        judged = at_end or any(every or task.phase_id in gated for task in members if merged.get(task.pk))
        covered = [task.covers for task in members if task.kind == TaskKind.STAGE_CHECK]
        if not own or sorted(attempt.pk for attempt in own) in covered:
            continue
        if judged:
            unchecked.append(stage)
    return unchecked


@lru_cache(maxsize=256)
def gated_phases(batch_id: int, created_at: datetime, edition: int) -> frozenset[int]:
    """The phases of a batch that have an automatically checkable gate. Cached: they change only with the edition."""
    bound = Gate.objects.filter(phase__batch=batch_id).exclude(kind=GateKind.UNVERIFIED)
    return frozenset(bound.values_list("phase_id", flat=True))


@lru_cache(maxsize=256)
def remaining_hours(batch_id: int, created_at: datetime, edition: int) -> Mapping[int, float]:
    """{phase: hours of the longest path from it to an end}. Cached: they change only with the edition."""
    return dict(Phase.objects.filter(batch_id=batch_id).values_list("pk", "remaining_hours"))


def stage_merges(task_ids: Iterable[int]) -> dict[int, list[Attempt]]:
    """{task: its merged attempts}, without tasks that have none."""
    found: dict[int, list[Attempt]] = {}
    merged = Attempt.objects.filter(task__in=list(task_ids), outcome=Attempt.Outcome.SUCCEEDED).exclude(merge_commit="")
    for attempt in merged.only("pk", "task_id", "tree", "merge_tree", "ended_at"):
        found.setdefault(attempt.task_id, []).append(attempt)
    return found
