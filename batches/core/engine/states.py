"""States, events and failure reasons, and the table of all allowed transitions (docs/engine.md)."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from batches.core.errors import BatchError


class Operation(StrEnum):
    """What a run does with a batch."""

    GENERATE = "generate"
    EXECUTE = "execute"
    REVIEW = "review"
    UPDATE_CONTEXT = "update_context"


class TaskKind(StrEnum):
    """A task is one phase of a run, or the check of a stage's gates on the merged tree."""

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
    REPAIR = "repair"  # a gate failed: the agent gets its output and tries again; no failure of the phase yet
    DROP = "drop"  # a person gives up a failed task


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
    """Why an attempt, and with it its task, failed: a closed list (docs/engine.md)."""

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
    MEMORY_LIMIT = "memory_limit"
    SETUP_FAILED = "setup_failed"
    PROVIDER_FAULT = "provider_fault"  # of an attempt that met trouble that is common to all; no task fails for it
    MACHINE_FAULT = "machine_fault"  # of an attempt that was put off; no task fails for it


class Waiting(StrEnum):
    """Why a run starts nothing although a phase is ready."""

    QUEUE = "queue"  # the run has not started
    SLOT = "slot"
    RATE_LIMIT = "rate_limit"
    BUDGET = "budget"  # the rest is reserved for running phases
    PERSON = "person"  # somebody paused it
    MACHINE = "machine"  # no space, an I/O error and the like


LIVE_TASK_STATES = frozenset({TaskState.LAUNCHING, TaskState.RUNNING})
ENDED_TASK_STATES = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.BLOCKED, TaskState.CANCELLED})
RETRYABLE_TASK_STATES = frozenset({TaskState.FAILED, TaskState.BLOCKED, TaskState.CANCELLED})
LIVE_RUN_STATES = frozenset({RunState.QUEUED, RunState.RUNNING})
ENDED_RUN_STATES = frozenset(RunState) - LIVE_RUN_STATES

# Technical faults, not faults of the work: the same attempt may succeed when it is started again.
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
        # An external limit delays the task: back to the queue, no failure.
        TaskEvent.DEFER: {TaskState.LAUNCHING: TaskState.PENDING, TaskState.RUNNING: TaskState.PENDING},
        TaskEvent.REPAIR: {TaskState.LAUNCHING: TaskState.PENDING, TaskState.RUNNING: TaskState.PENDING},
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
    """The table has no such transition: an outdated page or a bug. Never retried."""

    def __init__(self, state: str, event: str) -> None:
        self.state, self.event = state, event
        super().__init__(f"{event} is not possible from state {state}")


def next_state(state: TaskState, event: TaskEvent) -> TaskState:
    """The state of a task after `event` in `state`. Raises TransitionRefused when the table has no such transition."""
    try:
        return TASK_MOVES[event][state]
    except KeyError:
        raise TransitionRefused(state, event) from None


def next_run_state(state: RunState, event: RunEvent) -> RunState:
    """The state of a run after `event` in `state`. Raises TransitionRefused when the table has no such transition."""
    try:
        return RUN_MOVES[event][state]
    except KeyError:
        raise TransitionRefused(state, event) from None
