"""States, events and reasons, and the one table that says which moves exist (framework.md §6, style.md §4)."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from batches.core.errors import BatchError


class Operation(StrEnum):
    """What a run does over a batch."""

    GENERATE = "generate"
    EXECUTE = "execute"
    REVIEW = "review"
    UPDATE_CONTEXT = "update_context"


class TaskKind(StrEnum):
    """A task is one phase within a run, or the gates of a stage judged again on the merged tree."""

    PHASE = "phase"
    STAGE_CHECK = "stage_check"


class TaskState(StrEnum):
    PENDING = "pending"
    LAUNCHING = "launching"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"


class TaskEvent(StrEnum):
    LAUNCH = "launch"
    BEAT = "beat"
    SUCCEED = "succeed"
    FAIL = "fail"
    BLOCK = "block"
    CANCEL = "cancel"
    RETRY = "retry"
    DEFER = "defer"
    DROP = "drop"  # a person gives a failed task up


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunEvent(StrEnum):
    START = "start"
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"
    REOPEN = "reopen"


class FailureReason(StrEnum):
    """Why an attempt, and with it a task, failed: a closed list (framework.md §6)."""

    TIMEOUT = "timeout"
    NEVER_STARTED = "never_started"
    CRASHED = "crashed"
    BAD_RESULT = "bad_result"
    GATE_FAILED = "gate_failed"
    MERGE_CONFLICT = "merge_conflict"
    AGENT_ERROR = "agent_error"
    RATE_LIMITED = "rate_limited"
    BUDGET = "budget"
    NEEDS_AGENT = "needs_agent"
    CANCELLED = "cancelled"
    PHASE_TIME_LIMIT = "phase_time_limit"


class Waiting(StrEnum):
    """What keeps a run from starting more although a phase is ready."""

    QUEUE = "queue"  # the run itself has not begun
    SLOT = "slot"
    RATE_LIMIT = "rate_limit"
    BUDGET = "budget"  # what is left is reserved for phases at work
    PERSON = "person"  # somebody paused it


LIVE_TASK_STATES = frozenset({TaskState.LAUNCHING, TaskState.RUNNING})
ENDED_TASK_STATES = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.BLOCKED, TaskState.CANCELLED})
RETRYABLE_TASK_STATES = frozenset({TaskState.FAILED, TaskState.BLOCKED, TaskState.CANCELLED})
LIVE_RUN_STATES = frozenset({RunState.QUEUED, RunState.RUNNING})
ENDED_RUN_STATES = frozenset(RunState) - LIVE_RUN_STATES

# Faults of the machinery, not of the work: the same attempt may well succeed when it is tried again.
RESTARTABLE_REASONS = frozenset({FailureReason.CRASHED, FailureReason.NEVER_STARTED})

_RETRY_TO_PENDING = dict.fromkeys(RETRYABLE_TASK_STATES, TaskState.PENDING)
TASK_MOVES: Mapping[TaskEvent, Mapping[TaskState, TaskState]] = MappingProxyType(
    {
        TaskEvent.LAUNCH: {TaskState.PENDING: TaskState.LAUNCHING},
        TaskEvent.BEAT: {TaskState.LAUNCHING: TaskState.RUNNING, TaskState.RUNNING: TaskState.RUNNING},
        TaskEvent.SUCCEED: {TaskState.LAUNCHING: TaskState.SUCCEEDED, TaskState.RUNNING: TaskState.SUCCEEDED},
        TaskEvent.FAIL: {TaskState.LAUNCHING: TaskState.FAILED, TaskState.RUNNING: TaskState.FAILED},
        TaskEvent.BLOCK: {TaskState.PENDING: TaskState.BLOCKED},
        TaskEvent.CANCEL: {
            TaskState.PENDING: TaskState.CANCELLED,
            TaskState.LAUNCHING: TaskState.CANCELLED,
            TaskState.RUNNING: TaskState.CANCELLED,
        },
        TaskEvent.RETRY: _RETRY_TO_PENDING,
        # Put off by a limit from outside: back to the queue, and no failure.
        TaskEvent.DEFER: {TaskState.LAUNCHING: TaskState.PENDING, TaskState.RUNNING: TaskState.PENDING},
        TaskEvent.DROP: {TaskState.FAILED: TaskState.CANCELLED},
    }
)
RUN_MOVES: Mapping[RunEvent, Mapping[RunState, RunState]] = MappingProxyType(
    {
        RunEvent.START: {RunState.QUEUED: RunState.RUNNING},
        RunEvent.SUCCEED: {RunState.RUNNING: RunState.SUCCEEDED},
        RunEvent.FAIL: {RunState.RUNNING: RunState.FAILED},
        RunEvent.CANCEL: {RunState.QUEUED: RunState.CANCELLED, RunState.RUNNING: RunState.CANCELLED},
        RunEvent.REOPEN: {RunState.FAILED: RunState.RUNNING, RunState.CANCELLED: RunState.RUNNING},
    }
)


class TransitionRefused(BatchError):
    """There is no such move: a stale button or a bug, never worth a second try."""

    def __init__(self, state: str, event: str) -> None:
        self.state, self.event = state, event
        super().__init__(f"{event} is not possible from state {state}")


def next_state(state: TaskState, event: TaskEvent) -> TaskState:
    """Where `event` takes a task from `state`. Raises TransitionRefused when the table has no such move."""
    try:
        return TASK_MOVES[event][state]
    except KeyError:
        raise TransitionRefused(state, event) from None


def next_run_state(state: RunState, event: RunEvent) -> RunState:
    """Where `event` takes a run from `state`. Raises TransitionRefused when the table has no such move."""
    try:
        return RUN_MOVES[event][state]
    except KeyError:
        raise TransitionRefused(state, event) from None
