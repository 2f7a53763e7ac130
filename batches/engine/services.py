"""What a person can ask of a batch or run: generate, execute, retry, resume, cancel, pause. Each function checks permissions,
refuses what cannot be done with a sentence, and writes rows.

Nothing here starts a process: the ticker sees the rows within a quarter of a second.
"""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.autopilot_steps import AutopilotState, AutopilotStep
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.engine.states import (
    RETRYABLE_TASK_STATES,
    Operation,
    RunEvent,
    RunState,
    TaskEvent,
    TaskKind,
    TaskState,
    TransitionRefused,
)
from batches.core.errors import NothingToDo, ServiceError, WrongChoice
from batches.core.plans.analysis import DocumentReport
from batches.engine.conflict_resolutions import check_resolution
from batches.engine.execution_plan import (
    changes_of_run,
    chosen_models,
    forecast_columns,
    forecast_of,
    plan_execution,
    refuse_unreviewed,
)
from batches.integrations import linear_issues
from batches.models import Attempt, Batch, Conflict, LinearIssue, OnConflict, Plan, Project, Run, Task
from batches.plans.services import decisions_of, report_of
from batches.plans.to_batch import create_conflicts, create_phases, next_number, replace_phases
from batches.repositories.merges import bring_in
from batches.repositories.repository import checked_repository
from batches.runs.create import free_run, new_run, open_autopilot, refuse_busy
from batches.runs.project_settings import changed_settings
from batches.runs.transitions import move_autopilot, move_run, move_task
from subagents.contract import SubagentError
from subagents.workspace import RefMoved, branch_ref

# Batches and runs


def generate(
    *,
    plan: Plan,
    project: Project,
    actor: Actor,
    then: ExecuteOptions | None = None,
    full_autopilot: bool = False,
    asked_by: UUID | None = None,
) -> Batch:
    """Create a batch from the plan on the project, and the run that writes its PRPs.

    The branch is created when that run starts its first task: rows without a branch are harmless, and a crash before the
    commit leaves no branch without rows.

    With `then` the execution follows once the PRPs are written; with `full_autopilot` also the reviews before and after it
    and the update of the context. `asked_by` identifies the submitted form: submitting it twice returns the same batch.
    Raises ServiceError, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH)
    if asked_by is not None and (existing := Batch.objects.filter(asked_by=asked_by).first()):
        return existing
    report = _sound_report(plan)
    try:
        repository = checked_repository(project)
        base_commit = repository.branch_commit(project.base_branch)
        repository.exclude()
        with transaction.atomic():
            batch = Batch.objects.create(
                number=next_number(repository.branches()),
                project=project,
                plan=plan,
                title=report.reading.plan.title[:300],
                base_branch=project.base_branch,
                base_commit=base_commit,
                created_by=actor.user,
                asked_by=asked_by,
            )
            create_phases(batch, report)
            create_conflicts(batch, report, decisions_of(plan))
            if linear_issues.is_configured(project):
                linear_issues.want_issues(batch)
            if then is not None:
                plan_execution(batch=batch, options=then)  # refuse now what Execute would refuse later
            run = free_run(batch, Operation.GENERATE, actor)
            if then is not None:
                open_autopilot(run, AutopilotStep.GENERATE, then, actor, full_autopilot=full_autopilot)
            return batch
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    except IntegrityError:
        if asked_by is not None and (existing := Batch.objects.filter(asked_by=asked_by).first()):
            return existing  # the form was submitted twice at the same moment
        raise


def _sound_report(plan: Plan) -> DocumentReport:
    """The plan, read and analysed. Raises ServiceError with its errors when it has any."""
    report = report_of(plan)
    if report.reading.errors:
        shown = "; ".join(f"line {issue.line}: {issue.message}" for issue in report.reading.errors[:5])
        more = f" (and {len(report.reading.errors) - 5} more)" if len(report.reading.errors) > 5 else ""
        raise ServiceError(f"The plan has {_count(len(report.reading.errors), 'error')}: {shown}{more}")
    return report


def regeneration_refusal(batch: Batch) -> str:
    """Why the batch cannot be generated again; "" while nothing of it has been executed."""
    run = batch.runs.filter(operation__in=[Operation.EXECUTE, Operation.UPDATE_CONTEXT]).order_by("number").first()
    if run is None:
        return ""
    started = f"run {run.number} ({run.get_operation_display()}) has started on it"
    return f"Batch {batch.number} cannot be generated again: {started}. Create a new batch."


def regenerate(*, batch: Batch, plan: Plan, actor: Actor) -> Run:
    """Generate the batch again from `plan`, its own or another version, while nothing of it has been executed.

    Its branch starts again from the base branch; the old commits are kept under a reference. Earlier reviews of its PRPs
    no longer count. Returns the run that writes the PRPs. Raises ServiceError, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH)
    report = _sound_report(plan)
    try:
        repository = checked_repository(batch)
        base_commit = repository.branch_commit(batch.project.base_branch)
        with transaction.atomic():
            refuse_busy(batch)
            if refusal := regeneration_refusal(batch):
                raise ServiceError(refusal)
            repository.refuse_checked_out(batch.branch)
            for autopilot_run in batch.autopilot_runs.open():
                reason = "The batch was generated again."
                move_autopilot(autopilot_run, AutopilotState.CANCELLED, now=timezone.now(), cause=actor.cause, reason=reason)
            replace_phases(batch, report)
            create_conflicts(batch, report, decisions_of(plan))
            if linear_issues.is_configured(batch.project):
                linear_issues.want_issues(batch)
            LinearIssue.objects.filter(phase__batch=batch).update(linked=False)
            title, base = report.reading.plan.title[:300], batch.project.base_branch
            columns = {"plan": plan, "title": title, "base_branch": base, "base_commit": base_commit}
            Batch.objects.filter(pk=batch.pk).update(edition=F("edition") + 1, **columns)
            Batch.objects.bump(batch.pk)
            batch.refresh_from_db()
            run = free_run(batch, Operation.GENERATE, actor)
            at = repository.ensure_branch(batch.branch, base_commit)
            if at != base_commit:
                with suppress(RefMoved):  # it is kept already
                    repository.move_ref(f"refs/ce/generated/batch-{batch.number}/before-run-{run.number}", at, None)
                repository.move_ref(branch_ref(batch.branch), base_commit, at)
            return run
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem


def request_issues(*, batch: Batch, actor: Actor) -> int:
    """Have the missing Linear issues of the batch created, including those that failed; returns how many. Raises ServiceError."""
    actor.require(EXECUTE_BATCH)
    if not linear_issues.is_configured(batch.project):
        raise ServiceError(f"Enter a Linear team and a token in the settings of {batch.project.name} first.")
    with transaction.atomic():
        linear_issues.want_issues(batch)
        lacking = LinearIssue.objects.filter(phase__batch=batch, url="").update(next_try_at=timezone.now())
        if not lacking:
            raise NothingToDo(f"Every PRP of batch {batch.number} already has its issue.")
        Batch.objects.bump(batch.pk)
    return lacking


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
    """Like `execute`, also for the autopilot, whose run stays open. Raises ServiceError, NothingToDo, PermissionDenied."""
    actor.require(EXECUTE_BATCH)
    try:
        with transaction.atomic():
            refuse_busy(batch)
            refuse_unreviewed(batch)
            plan = plan_execution(batch=batch, options=options)
            bring_in(batch)
            run = new_run(batch, Operation.EXECUTE, options, actor, _selection(options), forecast_columns(forecast_of(batch, plan)))
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
                )
                for phase in plan.phases
            )
            Batch.objects.bump(batch.pk)
            return run
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem


def judge_again(*, batch: Batch, actor: Actor) -> Run:
    """Judge all gates of the batch again on its branch as it is, such as after commits of the base branch were brought in.

    Raises ServiceError, NothingToDo, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH)
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


# Existing runs


def retry(
    *,
    run: Run,
    actor: Actor,
    names: Sequence[str] = (),
    options: ExecuteOptions | None = None,
    resolution: str = "",
    resume_session: bool = False,
) -> list[Task]:
    """Retry tasks and what they blocked, and reopen the run. Without `names`: all that failed or were cancelled, except dropped ones.

    New commits of the base branch are brought in first, so that a person's fix counts. Earlier attempts are kept.
    With `resolution`, a checked commit, the named tasks are not executed again: that commit is judged instead.
    With `resume_session` an agent continues its last session and work where that is possible, else it starts afresh.
    `options` change how the run continues, such as a longer time limit, but not which phases it has. What was changed in
    the project's settings since then reaches the run too, unless `options` say otherwise.
    Returns the tasks that are pending again. Raises ServiceError, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH)
    changes = changes_of_run(options or ExecuteOptions())
    now = timezone.now()
    try:
        with transaction.atomic():
            run = Run.objects.select_for_update(of=("self",)).select_related("batch__project").get(pk=run.pk)
            latest = run.batch.runs.filter(operation=run.operation).order_by("-number").first()
            if not run.is_live:
                refuse_busy(run.batch)
            if latest is not None and latest.pk != run.pk:
                raise ServiceError(f"Run {run.number} of batch {run.batch.number} is not its latest; retry there.")
            if run.is_live and (run.cancel_requested or run.stop_reason):
                doing = "cancelled" if run.cancel_requested else "stopped"
                raise ServiceError(f"Run {run.number} of batch {run.batch.number} is being {doing}; retry once it has ended.")
            tasks = list(run.tasks.select_related("run"))
            chosen = _retryable(tasks, names)
            resolved = {task.pk for task in chosen} if resolution else set()
            if not resolution:
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
                    not_before=None,
                    blocked_by="",
                    resolution=resolution if task.pk in resolved else "",
                    dropped_ref="",
                    resume_session=resume_session,
                    after=sorted(roots - {check.name for check in checks}) if task in checks else task.after,
                )
            rules = run.batch.project.gate_rules.to_json()  # fixed settings count, like a fixed base branch
            columns = changed_settings(run, run.batch.project) | changes
            Run.objects.filter(pk=run.pk).update(gate_rules=rules, **columns)
            _choose_models(run, options)
            if not run.is_live:
                move_run(run, RunEvent.REOPEN, now=now, cause=actor.cause)
            for autopilot_run in run.autopilot_runs.open():
                move_autopilot(autopilot_run, AutopilotState.GOING, now=now, cause=actor.cause)
            return reopened
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
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
    by_name = {task.name.lower(): task for task in tasks}
    chosen = []
    for name in names:
        task = by_name.get(name.lower())
        if task is None:
            raise WrongChoice(f"This run has no phase {name!r}; it has: {', '.join(task.name for task in tasks)}.")
        if task.state not in RETRYABLE_TASK_STATES:
            raise ServiceError(f"Phase {task.name} is {task.state}; only a phase that failed, was blocked or cancelled can be retried.")
        chosen.append(task)
    return chosen


def retry_task(*, task: Task, actor: Actor, resume_session: bool = False) -> list[Task]:
    """Retry one task and what it blocked; `resume_session` as for `retry`. Raises ServiceError, PermissionDenied."""
    return retry(run=task.run, actor=actor, names=[task.name], resume_session=resume_session)


def take_resolution(*, task: Task, commit: str, actor: Actor) -> list[Task]:
    """Accept a person's resolution of a merge conflict: a branch or commit. Its gates are judged; then it is merged.

    Returns the tasks that are pending again. Raises ServiceError with what is wrong and what to do, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH)
    found = check_resolution(task, commit)
    return retry(run=task.run, actor=actor, names=[task.name], resolution=found)


def resume(*, batch: Batch, actor: Actor, options: ExecuteOptions | None = None) -> Run:
    """Resume the batch's latest execute run: retry what failed, was cancelled or blocked; nothing that is done is repeated.

    `options` as for `retry`. Raises ServiceError, NothingToDo, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH)
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


def cancel(*, run: Run, actor: Actor) -> None:
    """Cancel the run: nothing more starts, and all its processes are stopped. Raises ServiceError, PermissionDenied."""
    actor.require(EXECUTE_BATCH)
    with transaction.atomic():
        if not Run.objects.live().filter(pk=run.pk).update(cancel_requested=True, cancel_cause=actor.cause):
            run.refresh_from_db()
            raise ServiceError(f"Run {run.number} of batch {run.batch.number} is already {run.state}.")
        for autopilot_run in run.autopilot_runs.open():
            move_autopilot(autopilot_run, AutopilotState.CANCELLED, now=timezone.now(), cause=actor.cause, reason="Cancelled with its run.")
        Batch.objects.bump(run.batch_id)


def pause(*, run: Run, actor: Actor) -> None:
    """Pause the run: running phases finish, and none starts. Raises ServiceError, PermissionDenied."""
    _set_paused(run, actor, True)


def unpause(*, run: Run, actor: Actor) -> None:
    """Continue after a pause. Raises ServiceError, PermissionDenied."""
    _set_paused(run, actor, False)


def _set_paused(run: Run, actor: Actor, paused: bool) -> None:
    actor.require(EXECUTE_BATCH)
    with transaction.atomic():
        if not Run.objects.live().filter(pk=run.pk).update(paused=paused):
            run.refresh_from_db()
            raise ServiceError(f"Run {run.number} of batch {run.batch.number} is already {run.state}.")
        Batch.objects.bump(run.batch_id)


def decide_conflict(*, conflict: Conflict, decision: str, actor: Actor) -> None:
    """Save a person's choice about a conflict: warn (run anyway) or serialize. Raises ServiceError, PermissionDenied."""
    actor.require(EXECUTE_BATCH)
    if decision not in (OnConflict.WARN, OnConflict.SERIALIZE):
        raise ServiceError(f"A conflict can be decided as {OnConflict.WARN} or {OnConflict.SERIALIZE}.")
    with transaction.atomic():
        Conflict.objects.filter(pk=conflict.pk).update(decision=decision, decided_by=actor.user, decided_at=timezone.now())
        Batch.objects.bump(conflict.batch_id)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
