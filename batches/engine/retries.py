"""Retry tasks of a run and resume it; what is done is not repeated."""

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.autopilot_steps import AutopilotState
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.engine.states import (
    RETRYABLE_TASK_STATES,
    RunEvent,
    RunState,
    TaskEvent,
    TaskKind,
    TaskState,
    TransitionRefused,
)
from batches.core.errors import NothingToDo, ServiceError
from batches.engine.conflict_resolutions import check_resolution
from batches.engine.execute_options import changes_of_run
from batches.engine.execution_plan import chosen_models
from batches.engine.messages_to_agents import checked_remark, kept_remark
from batches.engine.pause_and_cancel import unpause
from batches.engine.task_by_name import named
from batches.models import Batch, Run, Task
from batches.repositories.batch_branch import with_way_out
from batches.repositories.merges import bring_in
from batches.runs.busy_or_archived import refuse_archived, refuse_busy
from batches.runs.project_settings import changed_settings
from batches.runs.transitions import move_autopilot, move_run, move_task
from subagents.contract import SubagentError


def retry(
    *,
    run: Run,
    actor: Actor,
    names: Sequence[str] = (),
    options: ExecuteOptions | None = None,
    resolution: str = "",
    resume_session: bool = False,
    remark: str = "",
) -> list[Task]:
    """Retry tasks and what they blocked, and reopen the run. Without `names`: all that failed or were cancelled, except dropped ones.

    New commits of the base branch are brought in first, so that a person's fix counts, unless the run is on a worker host now.
    Earlier attempts are kept. A run that has ended on a worker host goes on on the main host.
    With `resolution`, a checked commit, the named tasks are not executed again: that commit is judged instead.
    With `resume_session` an agent continues its last session and work where that is possible, else it starts afresh.
    The agents of the named tasks are told `remark` first; where no agent does the work, there is nobody to tell.
    `options` change how the run continues, such as a longer time limit, but not which phases it has. What was changed in
    the project's settings since then reaches the run too, unless `options` say otherwise.
    Returns the tasks that are pending again. Raises ServiceError, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH, run.batch.project)
    changes = changes_of_run(options or ExecuteOptions())
    now = timezone.now()
    try:
        with transaction.atomic():
            run = Run.objects.select_for_update(of=("self",)).select_related("batch__project").get(pk=run.pk)
            latest = run.batch.runs.filter(operation=run.operation).order_by("-number").first()
            if not run.is_live:
                refuse_archived(run.batch)
                refuse_busy(run.batch)
            if latest is not None and latest.pk != run.pk:
                raise ServiceError(f"Run {run.number} of batch {run.batch.number} is not its latest; retry there.")
            if run.is_live and (run.cancel_requested or run.stop_reason):
                doing = "cancelled" if run.cancel_requested else "stopped"
                raise ServiceError(f"Run {run.number} of batch {run.batch.number} is being {doing}; retry once it has ended.")
            tasks = list(run.tasks.select_related("run"))
            chosen = _retryable(tasks, names)
            said = checked_remark(remark, str(changes.get("backend", run.backend)))
            told = {task.pk for task in chosen} if said else set()
            resolved = {task.pk for task in chosen} if resolution else set()
            if run.travel and resolution:
                raise ServiceError(f"Run {run.number} is on the worker host {run.host}. Take the resolution once it has ended.")
            if not resolution and not run.travel:
                bring_in(run.batch)
            checks = _checks_of(tasks, chosen)
            chosen += checks
            roots = {task.name for task in chosen}
            reopened = [task for task in tasks if task in chosen or (task.state == TaskState.BLOCKED and task.blocked_by in roots)]
            for task in reopened:
                move_task(
                    task,
                    TaskEvent.RETRY,
                    now=now,
                    cause=actor.cause,
                    restarts=0,
                    repairs=0,
                    rounds_seconds=0.0,
                    rounds_usd=0,
                    not_before=None,
                    blocked_by="",
                    resolution=resolution if task.pk in resolved else "",
                    dropped_ref="",
                    resume_session=resume_session,
                    **({"remark": said, "remark_cause": actor.cause} if task.pk in told else _kept(task)),
                    after=sorted(roots - {check.name for check in checks}) if task in checks else task.after,
                )
            rules = run.batch.project.gate_rules.to_json()  # fixed settings count, like a fixed base branch
            columns = changed_settings(run, run.batch.project) | changes
            Run.objects.filter(pk=run.pk).update(gate_rules=rules, **columns)
            _choose_models(run, options)
            if not run.is_live:
                Run.objects.filter(pk=run.pk).update(host="")  # it is here now, and so it goes on here
                move_run(run, RunEvent.REOPEN, now=now, cause=actor.cause)
            for autopilot_run in run.autopilot_runs.open():
                move_autopilot(autopilot_run, AutopilotState.GOING, now=now, cause=actor.cause)
            return reopened
    except SubagentError as problem:
        raise ServiceError(with_way_out(run.batch, problem)) from problem
    except TransitionRefused as refused:
        raise ServiceError(str(refused)) from refused


def _choose_models(run: Run, options: ExecuteOptions | None) -> None:
    """Set the models that `options` choose per phase, for the next attempts. Raises WrongChoice."""
    if options is not None and options.models:
        for key, name in chosen_models(list(run.batch.phases.all()), options).items():
            run.tasks.filter(phase__key=key).update(model=name)


def retry_preview(run: Run, names: Sequence[str], options: ExecuteOptions | None = None) -> list[str]:
    """The names of the tasks that `retry` would reopen; changes nothing. Raises ServiceError."""
    changes_of_run(options or ExecuteOptions())
    tasks = list(run.tasks.all())
    chosen = _retryable(tasks, names or [task.name for task in tasks if task.state in RETRYABLE_TASK_STATES])
    roots = {task.name for task in chosen}
    return [task.name for task in tasks if task in chosen or (task.state == TaskState.BLOCKED and task.blocked_by in roots)]


def _kept(task: Task) -> dict[str, object]:
    """The remark that waits for the task's next attempt, else none."""
    kept = kept_remark(task)
    return {"remark": kept, "remark_cause": task.remark_cause if kept else ""}


def _checks_of(tasks: Sequence[Task], chosen: Sequence[Task]) -> list[Task]:
    """Failed checks of the chosen phases' stages: they judge again once those phases have ended."""
    stages = {task.stage_id for task in chosen if task.kind == TaskKind.PHASE}
    return [
        task
        for task in tasks
        if task.kind == TaskKind.STAGE_CHECK and task.state == TaskState.FAILED and task.stage_id in stages and task not in chosen
    ]


def _retryable(tasks: Sequence[Task], names: Sequence[str]) -> list[Task]:
    if not names:
        chosen = [task for task in tasks if task.state in (TaskState.FAILED, TaskState.CANCELLED) and not task.dropped_ref]
        if not chosen:
            raise ServiceError("Nothing to retry: no phase failed or was cancelled. Retry a dropped phase by its name.")
        return chosen
    chosen = []
    for name in names:
        task = named(tasks, name)
        if task.state not in RETRYABLE_TASK_STATES:
            raise ServiceError(f"Phase {task.name} is {task.state}; only a phase that failed, was blocked or cancelled can be retried.")
        chosen.append(task)
    return chosen


def retry_task(*, task: Task, actor: Actor, resume_session: bool = False, remark: str = "") -> list[Task]:
    """Retry one task and what it blocked; the options as for `retry`. Raises ServiceError, PermissionDenied."""
    return retry(run=task.run, actor=actor, names=[task.name], resume_session=resume_session, remark=remark)


def take_resolution(*, task: Task, commit: str, actor: Actor) -> list[Task]:
    """Accept a person's resolution of a merge conflict: a branch or commit. Its gates are judged; then it is merged.

    Returns the tasks that are pending again. Raises ServiceError with what is wrong and what to do, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH, task.run.batch.project)
    found = check_resolution(task, commit)
    return retry(run=task.run, actor=actor, names=[task.name], resolution=found)


def resume(*, batch: Batch, actor: Actor, options: ExecuteOptions | None = None) -> Run:
    """Resume the batch's latest execute run: retry what failed, was cancelled or blocked; nothing that is done is repeated.

    `options` as for `retry`. Raises ServiceError, NothingToDo, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH, batch.project)
    changes = changes_of_run(options or ExecuteOptions())
    run = batch.runs.executions().order_by("-number").first()
    if run is None:
        raise ServiceError(f"Batch {batch.number} has not been executed yet; there is nothing to resume.")
    if run.is_live:
        Run.objects.filter(pk=run.pk).update(**changes)
        _choose_models(run, options)
        if run.paused:
            unpause(run=run, actor=actor)
        return run
    if run.state == RunState.SUCCEEDED:
        raise NothingToDo(f"Nothing to do: run {run.number} of batch {batch.number} has succeeded.")
    names = list(run.tasks.resumable().values_list("name", flat=True))
    if not names:
        raise NothingToDo("Nothing to do: the other phases were dropped or wait for a dropped one. Retry a dropped phase by its name.")
    retry(run=run, actor=actor, names=names, options=options)
    run.refresh_from_db()
    return run
