"""Decide what a run does next: a snapshot in, a list of decisions out. No clock, no database, no process.

`orchestrator.advance` calls `decide` until it returns nothing. It applies the decisions in one transaction and acts on
them after the commit (docs/engine.md). Facts that only a host can see, such as a process that is gone or a heartbeat that
is old, are values in the snapshot.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from batches.core.engine.budget import Budget
from batches.core.engine.states import (
    ENDED_TASK_STATES,
    LIVE_TASK_STATES,
    RESTARTABLE_REASONS,
    FailureReason,
    RunEvent,
    RunState,
    TaskKind,
    TaskState,
    Waiting,
)
from batches.core.text.words import usd
from subagents.contract import Fault

MAX_BACKOFF_SECONDS = 60.0  # between a crash or a network fault and the restart
MAX_RATE_LIMIT_BACKOFF_SECONDS = 900.0  # when the provider names no time
MAX_RATE_LIMIT_SECONDS = 8 * 86400.0  # the longest known limit is a week; a later time is not believed
MAX_PUT_OFF_SECONDS = 3600.0  # between two attempts that the machine failed
# How an attempt ends that a person stopped, whatever its process died of; with any other verdict it had come to an end of its own.
NOT_OF_THE_WORK = frozenset(
    {
        FailureReason.CANCELLED,
        FailureReason.CRASHED,
        FailureReason.NEVER_STARTED,
        FailureReason.TIMEOUT,
        FailureReason.RATE_LIMITED,
        FailureReason.MACHINE_FAULT,
    }
)
# Faults of the provider that every attempt meets, and seconds from one to the next try: (the first, the longest).
HOLD_SECONDS: Mapping[str, tuple[float, float]] = {
    Fault.UNREACHABLE: (10.0, 300.0),
    Fault.OVERLOADED: (60.0, 900.0),
    Fault.KEY_REFUSED: (300.0, 3600.0),
    Fault.NO_CREDIT: (300.0, 3600.0),
    Fault.UNKNOWN_MODEL: (300.0, 3600.0),
}
COMMON: frozenset[str] = frozenset(HOLD_SECONDS)
# What such a wait is counted as; what a person has to put right is waiting for a person.
WAITING_FOR: Mapping[str, Waiting] = {Fault.UNREACHABLE: Waiting.MACHINE, Fault.OVERLOADED: Waiting.RATE_LIMIT}
LEAST_SHARE_OF_TIME = 0.1  # of the time limit that must be left for a repair
SUCCESS = "success"  # the verdict of a successful attempt; every other verdict is a FailureReason


@dataclass(frozen=True, slots=True)
class AttemptView:
    """The live attempt of a task. Ages are seconds of the host's monotonic clock."""

    number: int
    launched_seconds: float  # since it was launched
    started: bool = False  # its wrapper has reported the start
    silent_seconds: float = 0.0  # since the last new heartbeat, or since the start
    running_seconds: float = 0.0  # since the start
    stop_reason: FailureReason | None = None  # why it has been asked to stop
    stopping_seconds: float = 0.0  # since it was asked to stop
    exited: bool = False  # the process and everything that it started are gone
    verdict: str = ""  # "" while it runs; then SUCCESS or a FailureReason
    message: str = ""  # one sentence about the verdict
    merged: bool = False  # its commits are on the batch branch, or it has none
    merge_conflicts: tuple[str, ...] = ()  # files that could not be merged
    cost_usd: Decimal | None = None  # until now; None: unknown
    reserved_usd: Decimal | None = None  # at launch; None: no model, or neither budget nor cap
    fault: str = ""  # the kind of an agent_error, a value of Fault
    retry_at: datetime | None = None  # for rate_limited: when the provider accepts requests again, if known
    repairable: bool = False  # an agent did the work and can be asked to repair it
    asks: bool = False  # its agent waits for a person's answer
    stopped_by: str = ""  # the person who asked to stop this attempt alone


@dataclass(frozen=True, slots=True)
class TaskView:
    name: str
    stage: int
    position: int
    state: TaskState
    kind: TaskKind = TaskKind.PHASE
    waits_for: tuple[str, ...] = ()  # must have succeeded
    after: tuple[str, ...] = ()  # must have ended, with any result
    reason: str = ""
    blocked_by: str = ""
    restarts: int = 0
    not_before: datetime | None = None
    remaining: float = 0.0  # length of the longest path from this task to an end, this task included
    attempt: AttemptView | None = None
    reserve_usd: Decimal | None = None  # what its launch reserves; None: nothing
    repairs: int = 0  # rounds of repair since a person last started it
    rounds_seconds: float = 0.0  # what the earlier rounds took; time limit and cap hold for all rounds together
    rounds_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Halt:
    """Start nothing more and end the run: for the budget when running tasks have ended, for a refused key at once."""

    reason: FailureReason
    message: str


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The latest pause, by the wall clock. The pause also ends when the clock is set back to before `since`."""

    since: datetime
    until: datetime

    def holds(self, now: datetime) -> bool:
        return self.since <= now < self.until


@dataclass(frozen=True, slots=True)
class Trouble:
    """Trouble with the provider that all attempts of a backend meet: its kind, a value of Fault, and the pause before the next try."""

    fault: str
    since: datetime
    until: datetime
    holds: int = 1  # since the provider answered last

    def waits(self, now: datetime) -> bool:
        """Whether it is not time for the next try yet; a clock that was set back does not prolong the pause."""
        return self.since <= now < self.until


@dataclass(frozen=True, slots=True)
class Snapshot:
    state: RunState
    tasks: tuple[TaskView, ...]
    max_parallel: int
    paused: bool = False
    cancel_requested: bool = False
    fail_fast: bool = False
    by_stage: bool = True  # False: dataflow
    free_slots: int = 1_000_000  # on the host that calls
    unchecked_stages: frozenset[int] = frozenset()  # stages whose merged tree no gate has checked yet
    budget: Budget | None = None
    phase_cap_usd: Decimal | None = None
    rate_limit: RateLimit | None = None
    rate_limits: int = 0  # pauses since a phase last succeeded
    halted: Halt | None = None
    put_off: bool = False  # a fault of the machine: nothing starts or is merged until the ticker has found that it passed
    machine_faults: int = 0  # since a phase last succeeded
    repairs: int = 0  # rounds of repair that a phase may have after a failed gate or a merge conflict
    trouble: Trouble | None = None  # with the provider, until it has answered again


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits of a run, in seconds unless said otherwise."""

    silence_seconds: float = 60.0
    launch_seconds: float = 30.0
    phase_limit_seconds: float = 3600.0
    stop_grace_seconds: float = 8.0  # the wrapper needs up to 5 to end its tree after SIGTERM
    keep_grace_seconds: float = 30.0  # and up to 20 more to commit the unfinished work, where a person stopped this phase
    limit_grace_seconds: float = 10.0  # the wrapper enforces the limit; the host does so this much later
    crash_restarts: int = 2
    fault_restarts: int = 4  # after an overload or a network fault
    rate_limit_seconds: float = 15.0  # the shortest pause; it doubles until a phase succeeds
    put_off_seconds: float = 10.0  # the shortest pause after a fault of the machine; it doubles as well


@dataclass(frozen=True, slots=True)
class StartRun:
    pass


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask the attempt's process to end; `force` kills it after the grace period."""

    task: str
    reason: FailureReason
    force: bool


@dataclass(frozen=True, slots=True)
class Merge:
    task: str


@dataclass(frozen=True, slots=True)
class Succeed:
    task: str


@dataclass(frozen=True, slots=True)
class Fail:
    task: str
    reason: FailureReason
    message: str
    restart: bool  # a technical fault: start again automatically after a back-off


@dataclass(frozen=True, slots=True)
class Repair:
    """Put the task back in the queue: its agent gets the output of the gates that failed, or the conflicted tree, and works on.

    Round `number` of `of`.
    """

    task: str
    number: int
    of: int
    message: str


@dataclass(frozen=True, slots=True)
class Defer:
    """Put the task back in the queue, not failed: the provider refuses requests. Nothing starts until `until`."""

    task: str
    until: datetime
    message: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Put the task back in the queue without a failure: trouble with the provider that every attempt would meet (a value of Fault).

    The run starts nothing until `until`, and then one attempt, until the provider has answered one.
    """

    task: str
    fault: str
    until: datetime
    message: str


@dataclass(frozen=True, slots=True)
class PutOff:
    """Put the task back in the queue, not failed: the machine could not do it. The run does nothing until `until`."""

    task: str
    until: datetime
    message: str


@dataclass(frozen=True, slots=True)
class Cancel:
    task: str
    reason: FailureReason = FailureReason.CANCELLED
    message: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    task: str
    because: str  # the task whose failure is the root cause
    message: str


@dataclass(frozen=True, slots=True)
class Launch:
    """Start the task. `reserve_usd` of the budget is set aside; its agent may spend at most `max_cost_usd`."""

    task: str
    reserve_usd: Decimal | None = None
    max_cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class CheckStage:
    """Check the stage's gates again, on the merged tree."""

    stage: int


@dataclass(frozen=True, slots=True)
class EndRun:
    event: RunEvent


Decision = StartRun | Stop | Merge | Succeed | Fail | Repair | Defer | Hold | PutOff | Cancel | Block | Launch | CheckStage | Halt | EndRun


def decide(snapshot: Snapshot, now: datetime, policy: Policy) -> list[Decision]:
    """All decisions for this snapshot, in the order in which to apply them.

    Consequences of a decision come with the next call. The list is empty when the run can only wait. `now` is used for
    pauses and back-off only; ages are values of the snapshot.
    """
    if snapshot.state is RunState.QUEUED and not snapshot.cancel_requested:
        return [StartRun()]
    if snapshot.state not in (RunState.QUEUED, RunState.RUNNING):
        return []
    decisions: list[Decision] = []
    decisions += _decide_live_tasks(snapshot, now, policy)
    pending = [task for task in snapshot.tasks if task.state is TaskState.PENDING]
    if snapshot.cancel_requested:
        decisions += [Cancel(task.name) for task in pending]
        return decisions or _end(snapshot)
    if snapshot.halted is not None:
        decisions += [Cancel(task.name, snapshot.halted.reason, snapshot.halted.message) for task in pending]
        return decisions or _end(snapshot)
    blocked = _blocked(snapshot)
    decisions += blocked
    if any(isinstance(decision, Succeed | Fail | Repair | Defer | Hold | PutOff | Cancel | Halt) for decision in decisions):
        return decisions  # the next snapshot shows what may be launched now
    unlaunchable = {decision.task for decision in blocked}
    checks = [CheckStage(stage) for stage in sorted(snapshot.unchecked_stages) if _phases_ended(snapshot, stage)]
    decisions += checks
    if not checks and not snapshot.paused and not snapshot.put_off and not _rate_limited(snapshot, now) and not _held(snapshot, now):
        decisions += _launches(snapshot, now, unlaunchable)
    return decisions or _end(snapshot)


def waiting_for(snapshot: Snapshot, now: datetime) -> Waiting | None:
    """Why the run starts nothing more; None when nothing is ready or nothing prevents a start.

    Call it when `decide` returns nothing.
    """
    if snapshot.state is RunState.QUEUED:
        return Waiting.QUEUE
    live = [attempt for attempt in _live_attempts(snapshot) if not attempt.exited]
    if live and all(attempt.asks for attempt in live):
        return Waiting.PERSON
    if snapshot.put_off and snapshot.state is RunState.RUNNING and (_unmerged(snapshot) or _ready(snapshot, now, ())):
        return Waiting.MACHINE
    if snapshot.state is not RunState.RUNNING or snapshot.cancel_requested or snapshot.halted or not _ready(snapshot, now, ()):
        return None
    if snapshot.paused:  # while something is at work, the run is not waiting for anybody
        return None if any(task.state in LIVE_TASK_STATES for task in snapshot.tasks) else Waiting.PERSON
    if _rate_limited(snapshot, now):
        return Waiting.RATE_LIMIT
    if snapshot.trouble is not None and _held(snapshot, now):
        return WAITING_FOR.get(snapshot.trouble.fault, Waiting.PERSON)
    return Waiting.SLOT if _free_slots(snapshot) <= 0 else Waiting.BUDGET if snapshot.budget is not None else None


def _unmerged(snapshot: Snapshot) -> bool:
    """Whether finished work waits to be merged."""
    return any(attempt.exited and attempt.verdict == SUCCESS and not attempt.merged for attempt in _live_attempts(snapshot))


def _rate_limited(snapshot: Snapshot, now: datetime) -> bool:
    return snapshot.rate_limit is not None and snapshot.rate_limit.holds(now)


def _held(snapshot: Snapshot, now: datetime) -> bool:
    """Whether trouble with the provider keeps the run from starting anything: until the next try, and while one attempt tries."""
    if snapshot.trouble is None:
        return False
    return snapshot.trouble.waits(now) or any(not attempt.exited for attempt in _live_attempts(snapshot))


def hold_until(fault: str, holds: int, now: datetime) -> datetime:
    """When to try the provider again, the `holds`+1st time since it answered last."""
    first, most = HOLD_SECONDS.get(fault, (300.0, 3600.0))
    return now + timedelta(seconds=min(most, first * 2 ** min(holds, 20)))


def _decide_live_tasks(snapshot: Snapshot, now: datetime, policy: Policy) -> list[Decision]:
    overspent = _overspent(snapshot)
    decisions: list[Decision] = []
    for task in snapshot.tasks:
        if task.state in LIVE_TASK_STATES and task.attempt is not None:
            decision = _decide_attempt(task, task.attempt, snapshot, now, policy, overspent)
            if decision is not None:
                decisions.append(decision)
    return decisions


def _decide_attempt(
    task: TaskView, attempt: AttemptView, snapshot: Snapshot, now: datetime, policy: Policy, overspent: bool
) -> Decision | None:
    if attempt.exited:
        return _decide_ended_attempt(task, attempt, snapshot, now, policy)
    if attempt.stop_reason is not None:
        grace = policy.keep_grace_seconds if attempt.stopped_by else policy.stop_grace_seconds
        overdue = attempt.stopping_seconds > grace
        return Stop(task.name, attempt.stop_reason, force=True) if overdue else None
    if _ends_at_once(snapshot) or attempt.stopped_by:
        return Stop(task.name, FailureReason.CANCELLED, force=False)
    if not attempt.started:
        late = attempt.launched_seconds > policy.launch_seconds
        return Stop(task.name, FailureReason.NEVER_STARTED, force=True) if late else None
    if attempt.silent_seconds > policy.silence_seconds:
        return Stop(task.name, FailureReason.TIMEOUT, force=True)
    if attempt.running_seconds + task.rounds_seconds > policy.phase_limit_seconds + policy.limit_grace_seconds:
        return Stop(task.name, FailureReason.PHASE_TIME_LIMIT, force=True)
    if overspent and attempt.reserved_usd is not None:
        return Stop(task.name, FailureReason.BUDGET, force=False)
    return None


def _ends_at_once(snapshot: Snapshot) -> bool:
    """Whether running tasks stop too. Out of budget they go on: their cost is reserved."""
    return snapshot.cancel_requested or (snapshot.halted is not None and snapshot.halted.reason is not FailureReason.BUDGET)


def _decide_ended_attempt(
    task: TaskView, attempt: AttemptView, snapshot: Snapshot, now: datetime, policy: Policy
) -> Decision | None:
    """The result of a task whose process is gone. Finished work counts, even if a stop was requested meanwhile."""
    if attempt.verdict == SUCCESS:
        if attempt.merge_conflicts:
            files = ", ".join(attempt.merge_conflicts)
            if not _ends_at_once(snapshot) and _can_repair(task, attempt, snapshot, policy):
                return Repair(task.name, task.repairs + 1, snapshot.repairs, f"Could not be merged: {files}. Its agent joins both sides.")
            sentence = f"Could not be merged: {files}. Other changes to the same places were merged first; a retry starts from them."
            return Fail(task.name, FailureReason.MERGE_CONFLICT, sentence, restart=False)
        return Succeed(task.name) if attempt.merged else None if snapshot.put_off else Merge(task.name)
    common = attempt.verdict == FailureReason.AGENT_ERROR and attempt.fault in COMMON
    if attempt.stopped_by and (common or attempt.verdict in NOT_OF_THE_WORK):
        kept = "" if attempt.merged else " Its work so far is kept."
        return Cancel(task.name, message=f"Stopped by {attempt.stopped_by}.{kept}")
    if _ends_at_once(snapshot) or attempt.verdict == FailureReason.CANCELLED:
        halt = snapshot.halted
        return Cancel(task.name, halt.reason, halt.message) if halt and not snapshot.cancel_requested else Cancel(task.name)
    reason = FailureReason(attempt.verdict)
    if common and not (attempt.fault == Fault.OVERLOADED and task.restarts < policy.fault_restarts):
        trouble = snapshot.trouble
        if trouble is not None and trouble.waits(now):  # another attempt met it at the same time: one pause for all
            return Hold(task.name, attempt.fault, trouble.until, attempt.message)
        return Hold(task.name, attempt.fault, hold_until(attempt.fault, trouble.holds if trouble else 0, now), attempt.message)
    if reason is FailureReason.RATE_LIMITED:
        until = _pause_until(snapshot, attempt.retry_at, now, policy)
        return Defer(task.name, until, attempt.message or "The provider accepts no requests for now.")
    if reason is FailureReason.MACHINE_FAULT:
        return PutOff(task.name, put_off_until(snapshot.machine_faults, now, policy), attempt.message)
    if reason is FailureReason.BUDGET and snapshot.budget is not None and (attempt.stop_reason or snapshot.phase_cap_usd is None):
        # Not the phase's own cap: the budget of the whole batch is used up.
        return Cancel(task.name, FailureReason.BUDGET, _out_of_budget(snapshot.budget, "The phase was stopped; its commits are kept."))
    if _can_repair(task, attempt, snapshot, policy):
        return Repair(task.name, task.repairs + 1, snapshot.repairs, attempt.message)
    restart = not attempt.stopped_by and task.restarts < restart_limit(reason, attempt.fault, policy)
    return Fail(task.name, reason, attempt.message, restart)


def _can_repair(task: TaskView, attempt: AttemptView, snapshot: Snapshot, policy: Policy) -> bool:
    """Whether the phase's agent may try to repair what a gate refused, or to join what could not be merged.

    Rounds, time, cap and budget are left, and nobody stopped it.
    """
    asked = attempt.verdict == FailureReason.GATE_FAILED or bool(attempt.merge_conflicts)
    if not asked or not attempt.repairable or attempt.stopped_by or task.repairs >= snapshot.repairs:
        return False
    if task.rounds_seconds + attempt.running_seconds > policy.phase_limit_seconds * (1 - LEAST_SHARE_OF_TIME):
        return False
    cost = attempt.cost_usd if attempt.cost_usd is not None else attempt.reserved_usd or Decimal(0)
    if snapshot.phase_cap_usd is not None and task.rounds_usd + cost >= snapshot.phase_cap_usd:
        return False
    if snapshot.halted is not None or snapshot.budget is None:
        return snapshot.halted is None
    left = snapshot.budget.limit_usd - committed_usd(snapshot)
    return left > 0 and left >= _next_round_usd(task, attempt, snapshot, cost)


def _next_round_usd(task: TaskView, attempt: AttemptView, snapshot: Snapshot, cost: Decimal) -> Decimal:
    """What the next round reserves: as this one, or what the cap leaves."""
    if snapshot.phase_cap_usd is None:
        return attempt.reserved_usd or Decimal(0)
    return snapshot.phase_cap_usd - task.rounds_usd - cost


def restart_limit(reason: str, fault: str, policy: Policy) -> int:
    """How often a task that failed for this reason is restarted automatically."""
    if reason == FailureReason.AGENT_ERROR and fault in (Fault.TRANSIENT, Fault.OVERLOADED):
        return policy.fault_restarts
    return policy.crash_restarts if reason in RESTARTABLE_REASONS else 0


def back_off_seconds(reason: str, restarts: int) -> float:
    """Seconds to wait before restart number `restarts` + 1: short after a crash, longer after an overload."""
    first, factor = (2.0, 4) if reason == FailureReason.AGENT_ERROR else (0.5, 2)
    return min(MAX_BACKOFF_SECONDS, first * float(factor ** min(restarts, 20)))


def put_off_until(faults: int, now: datetime, policy: Policy) -> datetime:
    """When to try again after a fault of the machine, the `faults`+1st since a phase succeeded."""
    return now + timedelta(seconds=min(MAX_PUT_OFF_SECONDS, policy.put_off_seconds * 2 ** min(faults, 20)))


def _pause_until(snapshot: Snapshot, retry_at: datetime | None, now: datetime, policy: Policy) -> datetime:
    """When the run continues: at the time that the provider named, but not before a pause that doubles until a phase succeeds."""
    if snapshot.rate_limit is not None and snapshot.rate_limit.holds(now):
        least = snapshot.rate_limit.until  # another attempt hit the same limit: one pause for all
    else:
        doubled = policy.rate_limit_seconds * 2 ** min(snapshot.rate_limits, 20)
        least = now + timedelta(seconds=min(doubled, MAX_RATE_LIMIT_BACKOFF_SECONDS))
    believable = retry_at is not None and retry_at <= now + timedelta(seconds=MAX_RATE_LIMIT_SECONDS)
    return max(least, retry_at) if believable and retry_at is not None else least


def _blocked(snapshot: Snapshot) -> list[Block]:
    """The pending tasks that can no longer run, each with the task at the root of the failure."""
    by_name = {task.name: task for task in snapshot.tasks}
    root_of = {
        task.name: task.blocked_by or task.name
        for task in snapshot.tasks
        if task.state in (TaskState.FAILED, TaskState.BLOCKED, TaskState.CANCELLED)
    }
    failed = [task for task in snapshot.tasks if task.state is TaskState.FAILED]
    failed_checks = [task for task in failed if task.kind is TaskKind.STAGE_CHECK]
    blocks: list[Block] = []
    # In stage order, so that one pass blocks a chain of any length.
    for task in sorted(snapshot.tasks, key=lambda task: (task.stage, task.position)):
        if task.state is not TaskState.PENDING or task.name not in by_name:
            continue
        cause = next((name for name in task.waits_for if name in root_of), None)
        check = next((check for check in failed_checks if check.stage < task.stage), None)
        if cause is not None:
            root = root_of[cause]
            blocks.append(Block(task.name, root, f"Waits for {cause}, which {_fate(by_name[cause])}."))
        elif check is not None:
            root = check.name
            blocks.append(Block(task.name, root, f"The merged result of stage {check.stage} fails its gates."))
        elif snapshot.fail_fast and failed:
            root = failed[0].name
            blocks.append(Block(task.name, root, f"Fail-fast: {root} failed."))
        else:
            continue
        root_of[task.name] = root
    return blocks


def _fate(task: TaskView) -> str:
    if task.state is TaskState.CANCELLED and task.reason == FailureReason.BUDGET:
        return "was stopped for the budget"
    words = {TaskState.FAILED: "failed", TaskState.CANCELLED: "was cancelled"}
    return words.get(task.state, "is itself blocked")


def _launches(snapshot: Snapshot, now: datetime, excluded: Iterable[str]) -> Sequence[Launch | Halt]:
    """Launches for the ready tasks that slots and budget allow; Halt when no task is affordable and no reservation will be freed."""
    slots = _free_slots(snapshot)
    if slots <= 0:
        return []
    ready = _ready(snapshot, now, excluded)
    left = None if snapshot.budget is None else snapshot.budget.limit_usd - committed_usd(snapshot)
    if snapshot.trouble is not None:
        slots = 1  # one tries the provider for all
    chosen: list[TaskView] = []
    unaffordable: TaskView | None = None
    for task in ready:
        need = task.reserve_usd or Decimal(0)
        if left is not None and need and need > left:
            unaffordable = unaffordable or task
        elif len(chosen) < slots:
            chosen.append(task)
            left = None if left is None else left - need
    if unaffordable is not None and not chosen and snapshot.budget is not None:
        if _live_attempts(snapshot) or any(task.state is TaskState.PENDING and _backs_off(task, now) for task in snapshot.tasks):
            return []
        shortfall = f"The next phase reserves {usd(unaffordable.reserve_usd)}."
        return [Halt(FailureReason.BUDGET, _out_of_budget(snapshot.budget, shortfall))]
    return [Launch(task.name, task.reserve_usd, _max_cost(snapshot, task, left)) for task in chosen]


def _max_cost(snapshot: Snapshot, task: TaskView, left: Decimal | None) -> Decimal | None:
    """The most that the task's agent may spend: the phase cap, else its reservation plus everything unreserved."""
    if task.reserve_usd is None or snapshot.phase_cap_usd is not None or left is None:
        return task.reserve_usd
    return task.reserve_usd + left


def committed_usd(snapshot: Snapshot) -> Decimal:
    """Spent dollars plus those of running attempts: their reservation, or their cost if that is higher."""
    assert snapshot.budget is not None
    return snapshot.budget.spent_usd + sum((_commitment(attempt) for attempt in _live_attempts(snapshot)), Decimal(0))


def _commitment(attempt: AttemptView) -> Decimal:
    reserved, cost = attempt.reserved_usd or Decimal(0), attempt.cost_usd
    return reserved if cost is None else cost if attempt.exited else max(reserved, cost)


def _overspent(snapshot: Snapshot) -> bool:
    """Whether the known costs, running attempts included, exceed the budget."""
    if snapshot.budget is None:
        return False
    known = sum((attempt.cost_usd or Decimal(0) for attempt in _live_attempts(snapshot)), Decimal(0))
    return snapshot.budget.spent_usd + known > snapshot.budget.limit_usd


def _live_attempts(snapshot: Snapshot) -> list[AttemptView]:
    return [task.attempt for task in snapshot.tasks if task.state in LIVE_TASK_STATES and task.attempt is not None]


def _out_of_budget(budget: Budget, more: str) -> str:
    if (month := budget.month) is not None:
        spent = f"{usd(month.spent_usd)} of {usd(month.limit_usd)} is spent or set aside"
        return f"Stopped for the project's monthly budget: {spent}. {more} Raise it, or wait for the next month, and resume."
    return f"Stopped for the budget: {usd(budget.spent_usd)} of {usd(budget.limit_usd)} is spent. {more} Raise the budget and resume."


def _free_slots(snapshot: Snapshot) -> int:
    # A process that has ended uses no slot, even if its work is not merged yet.
    live = sum(task.state in LIVE_TASK_STATES and not (task.attempt and task.attempt.exited) for task in snapshot.tasks)
    return min(snapshot.max_parallel - live, snapshot.free_slots)


def _ready(snapshot: Snapshot, now: datetime, excluded: Iterable[str]) -> list[TaskView]:
    """The pending tasks that may start now; under dataflow scheduling those with the longest remaining path first."""
    skip = set(excluded)
    states = {task.name: task.state for task in snapshot.tasks}
    barrier = _open_stage(snapshot) if snapshot.by_stage else None
    ready = [
        task
        for task in snapshot.tasks
        if task.state is TaskState.PENDING
        and task.name not in skip
        and (barrier is None or task.stage <= barrier)
        and not _backs_off(task, now)
        and all(states.get(name) is TaskState.SUCCEEDED for name in task.waits_for)
        and all(states.get(name, TaskState.SUCCEEDED) in ENDED_TASK_STATES for name in task.after)
    ]
    if snapshot.by_stage:
        ready.sort(key=lambda task: (task.stage, task.position))
    else:
        ready.sort(key=lambda task: (-task.remaining, task.position))
    return ready


def _backs_off(task: TaskView, now: datetime) -> bool:
    """Whether the task still waits after a crash. A wait beyond the maximum means that the clock was set back, and is ignored."""
    return task.not_before is not None and now < task.not_before <= now + timedelta(seconds=MAX_BACKOFF_SECONDS)


def _open_stage(snapshot: Snapshot) -> int:
    """The first stage that has not ended. With stage scheduling no later stage may start."""
    unfinished = [task.stage for task in snapshot.tasks if task.state not in ENDED_TASK_STATES]
    return min(unfinished, default=0)


def _phases_ended(snapshot: Snapshot, stage: int) -> bool:
    return all(task.state in ENDED_TASK_STATES for task in snapshot.tasks if task.stage == stage)


def _end(snapshot: Snapshot) -> list[Decision]:
    if any(task.state not in ENDED_TASK_STATES for task in snapshot.tasks):
        return []
    return [EndRun(run_outcome(snapshot.tasks, cancelled=snapshot.cancel_requested))]


def run_outcome(tasks: Sequence[TaskView], *, cancelled: bool) -> RunEvent:
    """How a run ends when all its tasks have ended; `cancelled` if a person asked to cancel."""
    states = {task.state for task in tasks}
    if states <= {TaskState.SUCCEEDED}:
        return RunEvent.SUCCEED
    if cancelled or TaskState.FAILED not in states:
        return RunEvent.CANCEL
    return RunEvent.FAIL
