"""Runs that follow one another by themselves: from the PRPs through the execution to the update of the context.

Where a chain stands is a row; the ticker asks `follow_up` for every run that has ended and is reported, so a chain goes on
after any crash. It stops where a verdict or a failure asks for a person, and says why.
"""

from datetime import datetime

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Concat
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.autopilot_steps import AutopilotState, Standing, Step, first_step, step_after
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.engine.states import Operation, RunState, TaskState
from batches.core.errors import NothingToDo, ServiceError
from batches.core.review.rules import Moment
from batches.engine import services
from batches.engine.execution_plan import latest_review
from batches.integrations import notifications
from batches.models import AutopilotRun, Batch, Phase, Review, Run, Task
from batches.review.services import overrule_review, review, update_context
from batches.runs.create import open_autopilot, refuse_busy
from batches.runs.transitions import move_autopilot

MOMENT_OF = {Step.REVIEW_BEFORE: Moment.BEFORE, Step.REVIEW_AFTER: Moment.AFTER}


def start(*, batch: Batch, actor: Actor, options: ExecuteOptions) -> AutopilotRun:
    """Carry the batch on from where it stands to the update of its context. Raises ServiceError, PermissionDenied."""
    actor.require(EXECUTE_BATCH)
    step = first_step(standing(batch))
    with transaction.atomic():
        refuse_busy(batch)
        if step is Step.GENERATE:
            run = batch.runs.filter(operation=Operation.GENERATE).latest("number")
            services.retry(run=run, actor=actor, names=_retryable(run))
        else:
            step, run = _start(step, batch, options, actor, whole=True)
        return open_autopilot(run, step, options, actor, whole=True)


def standing(batch: Batch) -> Standing:
    """What has been done with the batch so far."""
    done = Task.objects.filter(run__batch=batch, run__operation=Operation.EXECUTE, state=TaskState.SUCCEEDED)
    before, after = (latest_review(batch, moment) for moment in (Moment.BEFORE, Moment.AFTER))
    executed = batch.runs.executions().order_by("-number").values_list("number", flat=True).first()
    return Standing(
        generated=batch.runs.filter(operation=Operation.GENERATE).latest("number").state == RunState.SUCCEEDED,
        review_before_passes=before is not None and before.passes,
        executed=not Phase.objects.filter(batch=batch).exclude(pk__in=done.values("phase")).exists(),
        review_after_passes=after is not None and after.passes and after.run.number > (executed or 0),
    )


def follow_up(run_id: int, now: datetime) -> Run | None:
    """Start what follows a run that has ended and is reported, or stop the chain and say why. Safe to repeat.

    Returns the run that was started. The move of the chain and the new run are one transaction.
    """
    with transaction.atomic():
        run = Run.objects.select_for_update(of=("self",)).select_related("batch__project").get(pk=run_id)
        chain = run.autopilot_runs.going().select_for_update().first()
        if chain is None or run.is_live or run.reported_at is None:
            return None
        if refusal := _refusal(run, chain):
            _stop(chain, run, refusal, now)
            return None
        following = step_after(Step(chain.step), whole=chain.whole, review_required=run.batch.project.require_review)
        if following is None:
            move_autopilot(chain, AutopilotState.FINISHED, now=now, cause=_cause(chain), reason=_farewell(run))
            notifications.tell_end(run, now)
            return None
        try:
            with transaction.atomic():
                step, started = _start(following, run.batch, ExecuteOptions(**chain.options), _actor(chain), whole=chain.whole)
        except (ServiceError, PermissionDenied) as refused:
            _stop(chain, run, str(refused), now)
            return None
        last = step_after(step, whole=chain.whole, review_required=False) is None and not chain.whole
        state = AutopilotState.FINISHED if last else AutopilotState.GOING  # an execution needs nobody to follow it
        move_autopilot(chain, state, now=now, cause=_cause(chain), step=step, run=started)
        return started


def go_on(*, chain: AutopilotRun, actor: Actor, reason: str = "") -> None:
    """Let a stopped chain go on where it stands: what failed is tried again; a verdict against it is overruled for `reason`.

    Raises ServiceError, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH)
    with transaction.atomic():
        run = Run.objects.select_for_update(of=("self",)).select_related("batch").get(pk=chain.run_id)
        chain.refresh_from_db()
        if chain.state != AutopilotState.STOPPED:
            raise ServiceError(f"{chain} does not wait for anybody: it is {chain.state}.")
        if run.state in (RunState.FAILED, RunState.CANCELLED):
            services.retry(run=run, actor=actor, names=_retryable(run))  # lets the chain go on, too
            return
        verdict = _verdict(chain)
        if verdict is not None and not verdict.passes:
            overrule_review(review=verdict, reason=reason, actor=actor)
        move_autopilot(chain, AutopilotState.GOING, now=timezone.now(), cause=actor.cause)


def leave(*, chain: AutopilotRun, actor: Actor) -> None:
    """End the chain: a run that is going on goes on, and nothing follows it. Raises ServiceError, PermissionDenied."""
    actor.require(EXECUTE_BATCH)
    chain.refresh_from_db()
    if not chain.is_open or not move_autopilot(
        chain, AutopilotState.CANCELLED, now=timezone.now(), cause=actor.cause, reason=f"Ended by {actor.cause.partition(':')[2]}."
    ):
        raise ServiceError(f"{chain} is {chain.state} already.")


def _retryable(run: Run) -> list[str]:
    return list(run.tasks.resumable().values_list("name", flat=True))


def _start(step: Step, batch: Batch, options: ExecuteOptions, actor: Actor, *, whole: bool) -> tuple[Step, Run]:
    """The run of this step, or of the next one where there is nothing left to execute."""
    if step is Step.EXECUTE:
        try:
            return step, services.start_execution(batch=batch, actor=actor, options=options)
        except NothingToDo:
            if not whole:
                raise
            step = Step.REVIEW_AFTER
    if step is Step.UPDATE_CONTEXT:
        return step, update_context(batch=batch, actor=actor)
    return step, review(batch=batch, actor=actor, moment=MOMENT_OF[step])


def _refusal(run: Run, chain: AutopilotRun) -> str:
    """Why nothing may follow the run, for the person who is asked; "" when the next may."""
    name = f"Run {run.number} ({run.get_operation_display()})"
    if run.state == RunState.CANCELLED:
        return f"{name} was cancelled."
    if run.state != RunState.SUCCEEDED:
        failed = list(run.tasks.filter(state=TaskState.FAILED).values_list("name", flat=True)[:8])
        return f"{name} failed{': ' + ', '.join(failed) if failed else ''}. Mend what the reasons name, then let it go on."
    verdict = _verdict(chain)
    if verdict is not None and not verdict.passes:
        said = f"The review of batch {run.batch.number} says: {verdict.get_verdict_display() or 'nothing'}."
        return f"{said} Mend what it names and review again, or go on against it with a reason."
    if run.operation == Operation.UPDATE_CONTEXT and not run.context_change.decision:
        return f"{name} could not be written: {'; '.join(run.context_change.notes) or 'see its report'}."
    return ""


def _verdict(chain: AutopilotRun) -> Review | None:
    """The latest review that the chain's step is about; None for a step that is no review."""
    moment = MOMENT_OF.get(Step(chain.step))
    return None if moment is None else latest_review(chain.batch, moment) or Review.objects.filter(run=chain.run_id).first()


def _farewell(run: Run) -> str:
    if run.operation != Operation.UPDATE_CONTEXT:
        return ""
    change = run.context_change
    return "The update of the context waits for your decision." if change.decision == change.Decision.PROPOSED else ""


def _stop(chain: AutopilotRun, run: Run, reason: str, now: datetime) -> None:
    if not move_autopilot(chain, AutopilotState.STOPPED, now=now, cause=_cause(chain), reason=reason):
        return
    text = f"Batch {run.batch.number}: {run.batch.title} waits for you. {reason}"
    notifications.want(run, notifications.Event.PERSON, text, f"stopped {now.isoformat()}", now)
    if run.state == RunState.SUCCEEDED:
        note = f"\n\nWhat was to follow did not start: {reason}"
        Run.objects.filter(pk=run.pk).update(report=Concat("report", Value(note)))


def _cause(chain: AutopilotRun) -> str:
    return "policy:autopilot" if chain.whole else "policy:execute a plan"


def _actor(chain: AutopilotRun) -> Actor:
    """In whose name the next run is started; rights that were taken away meanwhile stop the chain."""
    user = chain.created_by
    return Actor(f"person:{user.get_username()}", user) if user else Actor("command:autopilot")
