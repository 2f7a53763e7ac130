"""The transition table, over every pair of state and event."""

import itertools

import pytest

from batches.core.engine.failure_reasons import SENTENCES
from batches.core.engine.states import (
    ENDED_RUN_STATES,
    ENDED_TASK_STATES,
    LIVE_TASK_STATES,
    RUN_MOVES,
    FailureReason,
    RunEvent,
    RunState,
    TaskEvent,
    TaskState,
    TransitionRefused,
    next_run_state,
    next_state,
)

TASK_TABLE = {
    ("launch", "pending"): "launching",
    ("beat", "launching"): "running",
    ("beat", "running"): "running",
    ("succeed", "launching"): "succeeded",
    ("succeed", "running"): "succeeded",
    ("fail", "launching"): "failed",
    ("fail", "running"): "failed",
    ("block", "pending"): "blocked",
    ("cancel", "pending"): "cancelled",
    ("cancel", "launching"): "cancelled",
    ("cancel", "running"): "cancelled",
    ("defer", "launching"): "pending",
    ("defer", "running"): "pending",
    ("repair", "launching"): "pending",
    ("repair", "running"): "pending",
    ("drop", "failed"): "cancelled",
    ("retry", "failed"): "pending",
    ("retry", "blocked"): "pending",
    ("retry", "cancelled"): "pending",
}


@pytest.mark.parametrize(("event", "state"), list(itertools.product(TaskEvent, TaskState)))
def test_a_task_moves_as_the_table_of_the_house_says_and_in_no_other_way(event: TaskEvent, state: TaskState):
    expected = TASK_TABLE.get((event.value, state.value))
    if expected is None:
        with pytest.raises(TransitionRefused, match=f"{event} is not possible from state {state}"):
            next_state(state, event)
    else:
        assert next_state(state, event) == expected


@pytest.mark.parametrize(("event", "state"), list(itertools.product(RunEvent, RunState)))
def test_a_run_never_leaves_an_end_but_by_reopening_and_never_leaves_success(event: RunEvent, state: RunState):
    if state not in RUN_MOVES[event]:
        with pytest.raises(TransitionRefused):
            next_run_state(state, event)
        return
    target = next_run_state(state, event)
    assert state is not RunState.SUCCEEDED
    if state in ENDED_RUN_STATES:
        assert (event, target) == (RunEvent.REOPEN, RunState.RUNNING)


def test_every_state_is_pending_live_or_ended_and_only_one_of_them():
    assert set(TaskState) == {TaskState.PENDING} | LIVE_TASK_STATES | ENDED_TASK_STATES
    assert not LIVE_TASK_STATES & ENDED_TASK_STATES


def test_every_reason_of_a_failure_has_a_sentence():
    assert set(SENTENCES) == set(FailureReason)
