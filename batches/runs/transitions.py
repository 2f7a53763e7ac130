"""The only place that writes the state of runs, tasks and the autopilot, as the transition tables of the core allow."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from django.db import transaction
from django.db.models import F

from batches.core.engine.autopilot_steps import AutopilotState
from batches.core.engine.states import (
    ENDED_RUN_STATES,
    RunEvent,
    RunState,
    TaskEvent,
    TaskState,
    Waiting,
    next_run_state,
    next_state,
)
from batches.models import Attempt, AutopilotRun, Batch, Run, RunFact, StageFact, Task, Transition
from batches.runs.provider_trouble import NO_TROUBLE
from batches.runs.waits import waited_columns


class Movable(Protocol):
    """A task: its model instance, or the few columns that decisions need."""

    pk: int
    run_id: int
    state: str


def move_run(run: Run, event: RunEvent, *, now: datetime, cause: str, message: str = "") -> bool:
    """Move `run` to the state that `event` leads to, unless someone moved it first.

    Returns False when the row is no longer in the state that was read; the caller then does nothing.
    Raises TransitionRefused when the table has no such move.
    """
    before = RunState(run.state)
    target = next_run_state(before, event)
    stamps: dict[str, object] = {"ended_at": now if target in ENDED_RUN_STATES else None}
    if event is RunEvent.START:
        stamps["started_at"] = now
    if event is RunEvent.REOPEN:
        stamps |= {"reported_at": None, "cancel_requested": False, "cancel_cause": "", "paused": False}
        stamps |= {"stop_reason": "", "stop_message": "", "parallel_limit": None, "rate_limits": 0}
        stamps |= {"machine_fault": "", "machine_fault_since": None, "machine_fault_until": None, "machine_faults": 0}
        stamps |= NO_TROUBLE
        if run.started_at is None:  # it was cancelled while it was queued
            stamps["started_at"] = now
        elif run.ended_at is not None:  # until somebody asked for it to go on it waited for a person
            stamps |= waited_columns(run, Waiting.PERSON, run.ended_at, now)
    with transaction.atomic():
        moved = Run.objects.filter(pk=run.pk, state=before).update(state=target, **stamps)
        if moved:
            Transition.objects.create(run=run, event=event, from_state=before, to_state=target, cause=cause, message=message, at=now)
            if event is RunEvent.REOPEN:  # the run continues, so it has no final figures
                RunFact.objects.filter(run=run.pk).delete()
                StageFact.objects.filter(run=run.pk).delete()
            Batch.objects.bump(run.batch_id)
    if moved:
        run.state = target
        for name, value in stamps.items():
            setattr(run, name, value)
    return bool(moved)


def move_task(
    task: Movable,
    event: TaskEvent,
    *,
    now: datetime,
    cause: str,
    attempt: Attempt | None = None,
    reason: str = "",
    message: str = "",
    bump: bool = True,
    **fields: object,
) -> bool:
    """Move `task` to the state that `event` leads to, unless someone moved it first; `fields` are written in the same UPDATE.

    With `bump` off, the caller increments the batch's version itself, once for many moves.

    Returns False when the row is no longer in the state that was read; the caller then does nothing.
    Raises TransitionRefused when the table has no such move (a bug or a stale button, never retried).
    """
    before = TaskState(task.state)
    target = next_state(before, event)
    fields |= {"reason": reason, "message": message, "changed_at": now}
    with transaction.atomic(savepoint=False):
        moved = Task.objects.filter(pk=task.pk, state=before).update(state=target, **fields)
        if moved:
            Transition.objects.create(
                run_id=task.run_id,
                task_id=task.pk,
                attempt=attempt,
                event=event,
                from_state=before,
                to_state=target,
                cause=cause,
                reason=reason,
                message=message,
                at=now,
            )
            if bump:
                Batch.objects.filter(runs=task.run_id).update(version=F("version") + 1)
    if moved:
        task.state = target
        for name, value in fields.items():
            setattr(task, name, value)
    return bool(moved)


def move_tasks(tasks: Sequence[Movable], events: Sequence[TaskEvent], *, now: datetime, cause: str) -> bool:
    """Move these tasks, all in the same state, through all of `events`. In the caller's transaction, which bumps the batch.

    False, and nothing is written, when one of them is no longer in the state that was read. Raises TransitionRefused.
    """
    before = TaskState(tasks[0].state)
    states = [before]
    for event in events:
        states.append(next_state(states[-1], event))
    there = Task.objects.select_for_update(of=("self",)).filter(pk__in=[task.pk for task in tasks], state=before)
    if len(there) != len(tasks):
        return False
    Task.objects.filter(pk__in=[task.pk for task in tasks]).update(state=states[-1], reason="", message="", changed_at=now)
    Transition.objects.bulk_create(
        Transition(run_id=task.run_id, task_id=task.pk, event=event, from_state=old, to_state=new, cause=cause, at=now)
        for task in tasks
        for event, old, new in zip(events, states, states[1:], strict=False)
    )
    return True


def move_autopilot(
    autopilot_run: AutopilotRun, target: AutopilotState, *, now: datetime, cause: str, reason: str = "", **fields: object
) -> bool:
    """Move an open autopilot run, unless someone moved it first; `fields` are written in the same UPDATE.

    Returns False when the row is no longer in the state that was read; the caller then does nothing.
    """
    fields |= {"reason": reason, "moved_at": now, "moved_cause": cause}
    with transaction.atomic():
        moved = AutopilotRun.objects.open().filter(pk=autopilot_run.pk, state=autopilot_run.state).update(state=target, **fields)
        if moved:
            Batch.objects.bump(autopilot_run.batch_id)
    if moved:
        autopilot_run.state = target
        for name, value in fields.items():
            setattr(autopilot_run, name, value)
    return bool(moved)
