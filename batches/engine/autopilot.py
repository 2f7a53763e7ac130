"""The autopilot: starts one run after another, from generating the PRPs to updating the context.

A row says which step an autopilot run has reached. The ticker calls `follow_up` for every run that has ended and has its
report, so the autopilot continues after any crash. It stops when a failure or a review's verdict needs a person, and says why.
"""

from datetime import datetime

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Concat
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.autopilot_steps import AutopilotState, AutopilotStep, OperationsDone, first_step, step_after
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.engine.states import Operation, RunState, TaskState
from batches.core.errors import NothingToDo, ServiceError
from batches.core.review.types import ReviewTiming
from batches.engine import execution, retries
from batches.engine.required_review import latest_review
from batches.integrations import notifications
from batches.models import AutopilotRun, Batch, Phase, Review, Run, Task
from batches.review.begin_context_update import update_context
from batches.review.begin_review import review
from batches.review.overrule_verdict import overrule_review
from batches.runs.busy_or_archived import refuse_busy
from batches.runs.create import open_autopilot
from batches.runs.transitions import move_autopilot

MOMENT_OF = {AutopilotStep.REVIEW_BEFORE: ReviewTiming.BEFORE, AutopilotStep.REVIEW_AFTER: ReviewTiming.AFTER}


def start(*, batch: Batch, actor: Actor, options: ExecuteOptions) -> AutopilotRun:
    """Start the autopilot at the batch's next step; it ends with the update of the context. Raises ServiceError, PermissionDenied."""
    actor.require(EXECUTE_BATCH, batch.project)
    step = first_step(standing(batch))
    with transaction.atomic():
        refuse_busy(batch)
        if step is AutopilotStep.GENERATE:
            run = batch.runs.filter(operation=Operation.GENERATE).latest("number")
            retries.retry(run=run, actor=actor, names=_retryable(run))
        else:
            step, run = _start(step, batch, options, actor, full_autopilot=True)
        return open_autopilot(run, step, options, actor, full_autopilot=True)


def standing(batch: Batch) -> OperationsDone:
    """Which steps of the batch are done."""
    done = Task.objects.filter(run__batch=batch, run__operation=Operation.EXECUTE, state=TaskState.SUCCEEDED)
    before, after = (latest_review(batch, moment) for moment in (ReviewTiming.BEFORE, ReviewTiming.AFTER))
    executed = batch.runs.executions().order_by("-number").values_list("number", flat=True).first()
    return OperationsDone(
        generated=batch.runs.filter(operation=Operation.GENERATE).latest("number").state == RunState.SUCCEEDED,
        review_before_passes=before is not None and before.passes,
        executed=not Phase.objects.filter(batch=batch).exclude(pk__in=done.values("phase")).exists(),
        review_after_passes=after is not None and after.passes and after.run.number > (executed or 0),
    )


def follow_up(run_id: int, now: datetime) -> Run | None:
    """Start the run that follows an ended and reported one, or stop the autopilot and say why. Safe to repeat.

    Returns the run that was started. One transaction writes the new run and the autopilot's new step.
    """
    with transaction.atomic():
        run = Run.objects.select_for_update(of=("self",)).select_related("batch__project").get(pk=run_id)
        autopilot_run = run.autopilot_runs.going().select_for_update().first()
        if autopilot_run is None or run.is_live or run.reported_at is None:
            return None
        if refusal := _refusal(run, autopilot_run):
            wait_for_person(autopilot_run, run, refusal, now)
            return None
        review_required = run.batch.project.require_review
        following = step_after(AutopilotStep(autopilot_run.step), whole=autopilot_run.whole, review_required=review_required)
        if following is None:
            move_autopilot(autopilot_run, AutopilotState.FINISHED, now=now, cause=_cause(autopilot_run), reason=_farewell(run))
            notifications.tell_end(run, now)
            return None
        try:
            with transaction.atomic():
                options = ExecuteOptions(**autopilot_run.options)
                step, started = _start(following, run.batch, options, _actor(autopilot_run), full_autopilot=autopilot_run.whole)
        except (ServiceError, PermissionDenied) as refused:
            wait_for_person(autopilot_run, run, str(refused), now)
            return None
        last = step_after(step, whole=autopilot_run.whole, review_required=False) is None and not autopilot_run.whole
        state = AutopilotState.FINISHED if last else AutopilotState.GOING  # nothing follows an execution without the full autopilot
        move_autopilot(autopilot_run, state, now=now, cause=_cause(autopilot_run), step=step, run=started)
        return started


def resume(*, autopilot_run: AutopilotRun, actor: Actor, reason: str = "") -> None:
    """Continue a stopped autopilot run at its step. Failed tasks are retried; a verdict against the batch is overruled for `reason`.

    Raises ServiceError, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH, autopilot_run.batch.project)
    with transaction.atomic():
        run = Run.objects.select_for_update(of=("self",)).select_related("batch").get(pk=autopilot_run.run_id)
        autopilot_run.refresh_from_db()
        if autopilot_run.state != AutopilotState.STOPPED:
            raise ServiceError(f"{autopilot_run} cannot be resumed: it is {autopilot_run.state}, not stopped.")
        if run.state in (RunState.FAILED, RunState.CANCELLED):
            retries.retry(run=run, actor=actor, names=_retryable(run))  # this also resumes the autopilot
            return
        verdict = _verdict(autopilot_run)
        if verdict is not None and not verdict.passes:
            overrule_review(review=verdict, reason=reason, actor=actor)
        move_autopilot(autopilot_run, AutopilotState.GOING, now=timezone.now(), cause=actor.cause)


def stop(*, autopilot_run: AutopilotRun, actor: Actor) -> None:
    """End the autopilot: the current run continues, nothing follows it. Raises ServiceError, PermissionDenied."""
    actor.require(EXECUTE_BATCH, autopilot_run.batch.project)
    autopilot_run.refresh_from_db()
    if not autopilot_run.is_open or not move_autopilot(
        autopilot_run, AutopilotState.CANCELLED, now=timezone.now(), cause=actor.cause, reason=f"Ended by {actor.cause.partition(':')[2]}."
    ):
        raise ServiceError(f"{autopilot_run} is already {autopilot_run.state}.")


def _retryable(run: Run) -> list[str]:
    return list(run.tasks.resumable().values_list("name", flat=True))


def _start(step: AutopilotStep, batch: Batch, options: ExecuteOptions, actor: Actor, *, full_autopilot: bool) -> tuple[AutopilotStep, Run]:
    """Start the run of this step, or of the next step when nothing is left to execute."""
    if step is AutopilotStep.EXECUTE:
        try:
            return step, execution.start_execution(batch=batch, actor=actor, options=options)
        except NothingToDo:
            if not full_autopilot:
                raise
            step = AutopilotStep.REVIEW_AFTER
    if step is AutopilotStep.UPDATE_CONTEXT:
        return step, update_context(batch=batch, actor=actor)
    return step, review(batch=batch, actor=actor, moment=MOMENT_OF[step])


def _refusal(run: Run, autopilot_run: AutopilotRun) -> str:
    """Why no run may follow this one, as a sentence for a person; "" when the next run may start."""
    name = f"Run {run.number} ({run.get_operation_display()})"
    if run.state == RunState.CANCELLED:
        return f"{name} was cancelled."
    if run.state != RunState.SUCCEEDED:
        failed = list(run.tasks.filter(state=TaskState.FAILED).values_list("name", flat=True)[:8])
        return f"{name} failed{': ' + ', '.join(failed) if failed else ''}. Fix what the reasons name, then resume."
    verdict = _verdict(autopilot_run)
    if verdict is not None and not verdict.passes:
        sentence = f"The review of batch {run.batch.number} says: {verdict.get_verdict_display() or 'nothing'}."
        return f"{sentence} Fix what it names and review again, or resume against it and give a reason."
    if run.operation == Operation.UPDATE_CONTEXT and not run.context_change.decision:
        return f"{name} could not be written: {'; '.join(run.context_change.notes) or 'see its report'}."
    return ""


def _verdict(autopilot_run: AutopilotRun) -> Review | None:
    """The latest review that the current step is about; None when the step is not a review."""
    moment = MOMENT_OF.get(AutopilotStep(autopilot_run.step))
    return None if moment is None else latest_review(autopilot_run.batch, moment) or Review.objects.filter(run=autopilot_run.run_id).first()


def _farewell(run: Run) -> str:
    if run.operation != Operation.UPDATE_CONTEXT:
        return ""
    change = run.context_change
    return "The update of the context waits for your decision." if change.decision == change.Decision.PROPOSED else ""


def wait_for_person(autopilot_run: AutopilotRun, run: Run, reason: str, now: datetime) -> None:
    """Stop the autopilot run for `reason`, notify people, and add the reason to the report of a run that succeeded."""
    if not move_autopilot(autopilot_run, AutopilotState.STOPPED, now=now, cause=_cause(autopilot_run), reason=reason):
        return
    text = f"Batch {run.batch.number}: {run.batch.title} waits for you. {reason}"
    notifications.want(run, notifications.Event.PERSON, text, f"stopped {now.isoformat()}", now)
    if run.state == RunState.SUCCEEDED:
        note = f"\n\nThe next run did not start: {reason}"
        Run.objects.filter(pk=run.pk).update(report=Concat("report", Value(note)))


def _cause(autopilot_run: AutopilotRun) -> str:
    return "policy:autopilot" if autopilot_run.whole else "policy:execute a plan"


def _actor(autopilot_run: AutopilotRun) -> Actor:
    """The person in whose name the next run starts; if they lost the right to, the autopilot stops."""
    user = autopilot_run.created_by
    return Actor(f"person:{user.get_username()}", user) if user else Actor("command:autopilot")
