"""Start executions of a batch, judge its gates again, and decide its conflicts.

Nothing here starts a process: the ticker sees the rows within a quarter of a second.
"""

from collections.abc import Mapping

from django.db import transaction
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.autopilot_steps import AutopilotState
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.engine.states import (
    Operation,
    TaskKind,
)
from batches.core.errors import NothingToDo, ServiceError
from batches.engine.execution_forecast import forecast_columns, forecast_of
from batches.engine.execution_plan import ExecutionPlan, plan_execution
from batches.engine.messages_to_agents import checked_remark
from batches.engine.required_review import refuse_unreviewed
from batches.engine.worker_hosts import choose_host
from batches.models import Attempt, Batch, Run, Task
from batches.repositories.batch_branch import with_way_out
from batches.repositories.merges import bring_in
from batches.runs.busy_or_archived import refuse_busy
from batches.runs.create import new_run
from batches.runs.transitions import move_autopilot
from subagents.contract import SubagentError


def execute(*, batch: Batch, actor: Actor, options: ExecuteOptions) -> Run:
    """Start to execute what is not done yet. An autopilot run that waits for a person ends.

    Raises ServiceError, NothingToDo, PermissionDenied.
    """
    with transaction.atomic():
        run = start_execution(batch=batch, actor=actor, options=options)
        for autopilot_run in batch.autopilot_runs.open():
            reason = f"Run {run.number} was started by hand."
            move_autopilot(autopilot_run, AutopilotState.CANCELLED, now=timezone.now(), cause=actor.cause, reason=reason)
    return run


def start_execution(*, batch: Batch, actor: Actor, options: ExecuteOptions) -> Run:
    """`execute`, also for the autopilot, whose run stays open. Raises ServiceError, NothingToDo, PermissionDenied."""
    actor.require(EXECUTE_BATCH, batch.project)
    try:
        with transaction.atomic():
            refuse_busy(batch)
            refuse_unreviewed(batch)
            plan = plan_execution(batch=batch, options=options)
            bring_in(batch)
            host = choose_host(batch.project, options.host)
            run = new_run(batch, Operation.EXECUTE, options, actor, _selection(options), forecast_columns(forecast_of(batch, plan)), host)
            _create_tasks(run, plan, {}, "")
            Batch.objects.bump(batch.pk)
            return run
    except SubagentError as problem:
        raise ServiceError(with_way_out(batch, problem)) from problem


def execute_again(*, batch: Batch, actor: Actor, remarks: Mapping[str, str]) -> Run:
    """Carry out done phases once more, on top of what is merged: {key of the phase: what its agent is told first}.

    Raises ServiceError, NothingToDo, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH, batch.project)
    try:
        with transaction.atomic():
            refuse_busy(batch)
            told = {key: checked_remark(text, batch.project.backend) for key, text in remarks.items()}
            plan = plan_execution(batch=batch, options=ExecuteOptions(), again=told)
            bring_in(batch)
            selection = f"phase {', '.join(phase.key for phase in plan.phases)} again"[:100]
            run = new_run(batch, Operation.EXECUTE, plan.options, actor, selection, forecast_columns(forecast_of(batch, plan)))
            _create_tasks(run, plan, told, actor.cause)
            Batch.objects.bump(batch.pk)
            return run
    except SubagentError as problem:
        raise ServiceError(with_way_out(batch, problem)) from problem


def _create_tasks(run: Run, plan: ExecutionPlan, remarks: Mapping[str, str], cause: str) -> None:
    selected = {phase.key for phase in plan.phases}
    Task.objects.bulk_create(
        Task(
            run=run,
            phase=phase,
            stage=phase.stage,
            name=phase.key,
            position=phase.position,
            model=plan.options.models.get(phase.key, ""),
            waits_for=[key for key in phase.dependencies if key in selected],
            after=list(plan.after.get(phase.key, ())),
            remark=remarks.get(phase.key, ""),
            remark_cause=cause if phase.key in remarks else "",
        )
        for phase in plan.phases
    )


def judge_again(*, batch: Batch, actor: Actor) -> Run:
    """Judge all gates of the batch again on its branch as it is, such as after commits of the base branch were brought in.

    Raises ServiceError, NothingToDo, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH, batch.project)
    with transaction.atomic():
        refuse_busy(batch)
        done = Attempt.objects.filter(task__run__batch=batch, task__run__operation=Operation.EXECUTE, task__phase__isnull=False)
        covers = dict(done.exclude(merge_commit="").order_by("ended_at", "pk").values_list("task__phase", "pk"))
        if not covers:
            raise NothingToDo(f"Nothing to judge: no phase of batch {batch.number} has been merged yet.")
        run = new_run(batch, Operation.EXECUTE, ExecuteOptions(), actor, "gates")
        last = batch.phases.filter(pk__in=covers).order_by("stage__number", "position").last()
        assert last is not None  # `covers` has a phase
        Task.objects.create(
            run=run,
            kind=TaskKind.STAGE_CHECK,
            stage_id=last.stage_id,
            name="gates",
            position=last.position,
            covers=sorted(covers.values()),
            changed_at=timezone.now(),
        )
        Batch.objects.bump(batch.pk)
        return run


def _selection(options: ExecuteOptions) -> str:
    if options.phase is not None:
        return f"phase {options.phase}"
    return "" if options.stage is None else f"stage {options.stage}"
