"""One step of a run: snapshot, decide and record in one transaction, then act after the commit. See docs/engine.md.

`advance` is idempotent. Only the holder of the host's ticker lock calls it, so no two calls act at once. A crash between
record and act leaves a launched attempt without a process; the ordinary rules restart it.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from batches.core.engine import decide as core
from batches.core.engine.states import (
    ENDED_RUN_STATES,
    FailureReason,
    Operation,
    RunEvent,
    TaskEvent,
    TaskKind,
    Waiting,
)
from batches.core.plans.conflicts import covering_entries
from batches.core.review import declared_changes
from batches.engine import worker_hosts
from batches.engine.attempt_results import End, record_end, resolve_comments
from batches.engine.gate_notes import NoteOfMerge, outcomes_of
from batches.engine.purses import keep_purse
from batches.engine.repairs import base_of_repair
from batches.engine.snapshots import TaskRow, TickContext, policy_of, stage_merges, take_snapshot, task_rows
from batches.engine.taken_up import CAUSE, TAKEN_UP, take_up
from batches.engine.task_specs import new_attempt
from batches.integrations.api_keys import key_for
from batches.metrics import facts
from batches.models import Attempt, Batch, Conflict, Project, Run, Scheduling, Task
from batches.models.prepared import Prepared
from batches.projects.secrets import SecretUnreadable, secrets_of_task
from batches.repositories.batch_branch import LOST, refuse_moved, with_way_out
from batches.repositories.repository import folder_of, repository_of
from batches.runs.provider_trouble import NO_TROUBLE, columns_of, hold_others
from batches.runs.transitions import move_run, move_task
from batches.runs.waits import waited_columns
from subagents import launcher
from subagents.contract import GateOutcome, OrchestrationFiles, SubagentError, TaskSpec
from subagents.machine_faults import MachineFault, fault_of, full, probe
from subagents.remotes import RemoteProblem
from subagents.workspace import AlreadyMerged, MergeConflict, RefMoved, Repository, RepositoryProblem

logger = logging.getLogger(__name__)

MERGES_AT_ONCE = 4  # between two looks at the processes
TRY_MACHINE_SECONDS = 30.0  # between two tries of a machine that does not work: a try costs next to nothing


LOCKED_RUN: Prepared[Run] = Prepared(
    lambda run: Run.objects.select_for_update(of=("self",)).select_related("batch__project").filter(pk=run)
)
LIVE_OF_RUN: Prepared[Attempt] = Prepared(
    lambda run: Attempt.objects.live().filter(task__run=run).defer("log_tail", "heartbeat", "spec")
)
FULL_TASK: Prepared[Task] = Prepared(lambda task: Task.objects.select_related("phase", "stage").filter(pk=task))


@dataclass(frozen=True, slots=True)
class Acts:
    """What to do to processes and branches once the transaction is committed."""

    launches: tuple[Attempt, ...] = ()
    stops: tuple[tuple[Attempt, bool], ...] = ()
    merges: tuple[Attempt, ...] = ()
    pause: core.RateLimit | None = None  # also pauses the other runs of the same backend
    trouble: bool = False  # with the provider, which the other runs of the same backend have, too


@dataclass(frozen=True, slots=True)
class Progress:
    """What `advance` did: launched attempts with their process ids (0: none), and whether to call again at once."""

    launched: tuple[tuple[Attempt, int], ...]
    unfinished: bool


def advance(run_id: int, context: TickContext, ends: Sequence[End] = (), unmerged: Sequence[Attempt] = ()) -> Progress:
    """Advance the run by one step: record the `ends` that the ticker saw, or merge one attempt; then start what may start.

    `unmerged` are attempts whose success is recorded and whose commits are not on the batch branch yet. Each merge takes
    git about 10 ms. The ticker observes its processes after some merges, so freed slots are filled first. A single
    successful end is merged before it is recorded: tasks that wait for it start one transaction sooner. A crash in
    between costs nothing, because the next step finds the merge.

    Raises what the database raises; the failed step is then not recorded at all, and the next call repeats it.
    """
    merged: list[Merged] = []
    merging = not ends and bool(unmerged)
    if merging:
        for attempt in unmerged[:MERGES_AT_ONCE]:
            outcome = merge(attempt, TaskSpec.from_json(attempt.spec), attempt.head_commit, outcomes_of(attempt))
            merged += [outcome] if outcome is not None else []
            if outcome is None or outcome.fault:
                break
    elif len(ends) == 1 and ends[0].to_merge and not unmerged:
        merging = True
        outcome = merge(ends[0].attempt, ends[0].spec, ends[0].result.head_commit, ends[0].result.gates)
        merged += [outcome] if outcome is not None else []
    acts = record_step(run_id, context, ends, merged)
    if acts.launches:
        keep_purse(acts.launches[0].task.run, context.host, acts.launches)
    launched = tuple((attempt, launch(attempt)) for attempt in acts.launches)
    for attempt, force in acts.stops:
        _stop(attempt, force)
    if acts.pause is not None:
        pause_other_runs(run_id, acts.pause)
    if acts.trouble:
        hold_others(run_id)
    # A merge that another git process held up is tried again, but not at once.
    return Progress(launched, unfinished=bool(acts.merges) and (bool(merged) or not merging))


def record_step(run_id: int, context: TickContext, ends: Sequence[End] = (), merged: "Sequence[Merged]" = ()) -> Acts:
    """In one transaction: lock the run, write the facts, then decide and write until nothing more follows from the rows alone.

    Returns what is to be done after the commit; nothing is started or stopped here.
    """
    with transaction.atomic():
        run = LOCKED_RUN.first(run=run_id)
        if run is None:
            raise Run.DoesNotExist(f"run {run_id} is gone")
        if not worker_hosts.is_owner(run):
            return Acts()  # another host has taken it over: nothing of it is recorded or done here
        for end in ends:
            record_end(end, context.now)
        for one in merged:
            one.record(run.batch_id)
        tasks = task_rows(run)
        attempts = {attempt.task_id: attempt for attempt in LIVE_OF_RUN.rows(run=run_id)}
        policy = policy_of(run, context)
        if run.trouble and _answered(run, attempts.values(), ends):
            Run.objects.filter(pk=run_id).update(**NO_TROUBLE)
            for name, value in NO_TROUBLE.items():
                setattr(run, name, value)
            Batch.objects.bump(run.batch_id)
        tip = merged[0].commit if len(merged) == 1 else ""  # of several the last may have been merged before the others
        writer = _Writer(run, tasks, attempts, context, tip, policy)
        if fault := next((one.fault for one in merged if one.fault), ""):
            writer.put_off(core.put_off_until(run.machine_faults, context.now, policy), fault)
        while True:
            snapshot = take_snapshot(run, list(writer.tasks.values()), attempts, writer.context)
            decisions = core.decide(snapshot, context.now, policy)
            for decision in decisions:
                writer.apply(decision)
            if not decisions or writer.merges:
                break  # git merges after the commit, so the next step sees the outcome
        if not decisions:
            writer.wait(core.waiting_for(snapshot, context.now))
        writer.record_facts()
        if writer.moved or ends:
            Batch.objects.bump(run.batch_id)
    for end in ends:
        level = logging.INFO if end.verdict == core.SUCCESS else logging.WARNING
        ids = (end.spec.batch_id, end.spec.name, end.spec.attempt)
        logger.log(level, "batch=%s task=%s attempt=%s ended verdict=%s %s", *ids, end.verdict, end.message)
    return writer.acts()


def _answered(run: Run, live: Iterable[Attempt], ends: Sequence[End]) -> bool:
    """Whether the provider has answered an attempt that was launched after the trouble: it works again."""
    since = run.trouble_paused_at
    if since is None:
        return True
    late = [attempt for attempt in live if attempt.launched_at > since and attempt.fault not in core.COMMON]
    ended = {end.attempt.pk for end in ends if end.verdict in (core.SUCCESS, FailureReason.GATE_FAILED)}
    return any(attempt.tokens_used or attempt.pk in ended for attempt in late)


class _Writer:
    """Applies decisions within one transaction and collects what to do after it."""

    def __init__(
        self, run: Run, tasks: dict[str, TaskRow], attempts: dict[int, Attempt], context: TickContext, tip: str, policy: core.Policy
    ) -> None:
        self.run, self.tasks, self.attempts, self.began, self.policy = run, tasks, attempts, context, policy
        self.launches: list[Attempt] = []
        self.stops: list[tuple[Attempt, bool]] = []
        self.merges: list[Attempt] = []
        self.tip = tip
        self.ended_attempts: list[int] = []
        self.moved = self.ended = False
        self.pause: core.RateLimit | None = None
        self.trouble = False

    def acts(self) -> Acts:
        return Acts(tuple(self.launches), tuple(self.stops), tuple(self.merges), self.pause, self.trouble)

    @property
    def context(self) -> TickContext:
        return replace(self.began, free_slots=self.began.free_slots - len(self.launches))

    def apply(self, decision: core.Decision) -> None:
        match decision:
            case core.StartRun():
                self._move_run(RunEvent.START)
            case core.EndRun(event):
                self._move_run(event)
            case core.Launch(name):
                self._launch(self.tasks[name], decision)
            case core.Stop(name, reason, force):
                self._stop(self.tasks[name], reason, force)
            case core.Merge(name):
                self.merges.append(self.attempts[self.tasks[name].pk])
            case core.Succeed(name):
                resolve_comments(self.attempts[self.tasks[name].pk])
                self._end_attempt(self.tasks[name], TaskEvent.SUCCEED, Attempt.Outcome.SUCCEEDED)
                if self.run.rate_limits or self.run.machine_faults:
                    self._change(rate_limits=0, machine_faults=0)
            case core.Fail(name, reason, message, restart):
                self._fail(self.tasks[name], reason, message, restart)
            case core.Repair(name):
                self._repair(self.tasks[name], decision)
            case core.Defer(name, until, message):
                self._defer(self.tasks[name], until, message)
            case core.Hold(name, fault, until, message):
                # Its session is no worse for it: the next attempt goes on there, where that is possible.
                self._end_attempt(
                    self.tasks[name],
                    TaskEvent.DEFER,
                    Attempt.Outcome.DEFERRED,
                    FailureReason.PROVIDER_FAULT,
                    message,
                    resume_session=True,
                )
                self._change(**columns_of(self.run, fault, until, message, self.context.now))
                self.trouble = True
                logger.warning("batch=%s run=%s held for %s until %s", self.run.batch.number, self.run.number, fault, until.isoformat())
            case core.PutOff(name, until, message):
                self._end_attempt(self.tasks[name], TaskEvent.DEFER, Attempt.Outcome.DEFERRED, FailureReason.MACHINE_FAULT, message)
                self.put_off(until, message)
            case core.Cancel(name, reason, message):
                self._cancel(self.tasks[name], reason, message)
            case core.Halt(reason, message):
                self._change(stop_reason=reason, stop_message=message)
                logger.warning("batch=%s run=%s halted reason=%s %s", self.run.batch.number, self.run.number, reason, message)
            case core.Block(name, because, message):
                self._move(self.tasks[name], TaskEvent.BLOCK, message=message, blocked_by=because)
            case core.CheckStage(stage):
                self._check(stage)

    def record_facts(self) -> None:
        """Write the facts for metrics: of the attempts that ended, and of the run if it ended."""
        if self.ended_attempts:
            facts.record_attempts(self.ended_attempts)
        if self.ended:
            facts.record_runs([self.run.pk])

    def _move_run(self, event: RunEvent) -> None:
        cause = self.run.cancel_cause if event is RunEvent.CANCEL and self.run.cancel_cause else self.context.cause
        move_run(self.run, event, now=self.context.now, cause=cause, message=self.run.stop_message)
        self.ended = self.run.state in ENDED_RUN_STATES
        logger.info("batch=%s run=%s %s", self.run.batch.number, self.run.number, event)

    def _move(
        self,
        task: TaskRow,
        event: TaskEvent,
        *,
        attempt: Attempt | None = None,
        reason: str = "",
        message: str = "",
        cause: str = "",
        **fields: object,
    ) -> None:
        moved = move_task(
            task,
            event,
            now=self.context.now,
            cause=cause or self.context.cause,
            attempt=attempt,
            reason=reason,
            message=message,
            bump=False,
            **fields,
        )
        self.moved = self.moved or moved
        if moved:
            logger.info(
                "batch=%s task=%s attempt=%s %s%s",
                self.run.batch.number,
                task.name,
                attempt.number if attempt else "-",
                event,
                f" reason={reason}" if reason else "",
            )

    def _change(self, **columns: object) -> None:
        """Write columns of the run, also to `self.run`, so that the next snapshot sees them."""
        Run.objects.filter(pk=self.run.pk).update(**columns)
        for name, value in columns.items():
            setattr(self.run, name, value)
        self.moved = True

    def wait(self, now_for: Waiting | None) -> None:
        """Store what the run waits for now, and add the time it waited for the previous thing."""
        before, since = self.run.waiting_for, self.run.waiting_since
        if before == (now_for or ""):
            return
        columns = waited_columns(self.run, before, since, self.context.now) if before and since is not None else {}
        self._change(waiting_for=now_for or "", waiting_since=self.context.now if now_for else None, **columns)

    def _launch(self, task: TaskRow, decision: core.Launch) -> None:
        problem, base = "", ""
        if task.kind == TaskKind.STAGE_CHECK:
            self._cover(task)
        full_task = FULL_TASK.rows(task=task.pk)[0]
        try:
            self.tip = self.tip or self._find_tip()
            # A resolution is compared with the commit it was made on; the branch may have moved on since.
            base = (repository_of(self.run.batch).merge_base(self.tip, full_task.resolution) if full_task.resolution else None) or self.tip
            base = base_of_repair(full_task) or base
        except RefMoved as busy:  # another git holds the lock; a stale lock is broken after some seconds
            logger.warning("batch=%s task=%s launch postponed: %s", self.run.batch.number, task.name, busy)
            task.not_before = self.context.now + timedelta(seconds=1)
            Task.objects.filter(pk=task.pk).update(not_before=task.not_before)
            self.moved = True
            return
        except MachineFault:
            raise
        except SubagentError as error:
            problem = with_way_out(self.run.batch, error)
        taken = None if problem else take_up(self.run, full_task, base, self.context)
        if taken is not None:  # the rows were restored: it runs, has run or is merged already
            words = taken.message or TAKEN_UP
            self._move(task, TaskEvent.LAUNCH, attempt=taken, message=words, not_before=None, blocked_by="", cause=CAUSE)
            self.attempts[task.pk] = taken
            if taken.exited_at is None:
                self.launches.append(taken)  # harmless if it has started
            return
        attempt = new_attempt(self.run, full_task, base, self.context, decision, self._ready_at(task))
        self._move(task, TaskEvent.LAUNCH, attempt=attempt, not_before=None, blocked_by="")
        self.attempts[task.pk] = attempt
        if problem:  # the repository or the branch is gone, so the attempt has no commit to start from
            Attempt.objects.filter(pk=attempt.pk).update(exited_at=self.context.now)
            self._fail(task, FailureReason.AGENT_ERROR, problem, restart=False)
        else:
            self.launches.append(attempt)

    def _ready_at(self, task: TaskRow) -> datetime:
        """Since when neither the plan nor the task's own back-off has kept it from starting."""
        names = {*task.waits_for, *task.after}
        by_stage = self.run.scheduling == Scheduling.STAGES
        before = [other for other in self.tasks.values() if other.name in names or (by_stage and other.stage_number < task.stage_number)]
        times = (self.run.started_at, task.changed_at, task.not_before, *(other.changed_at for other in before))
        return min(self.context.now, max((time for time in times if time is not None), default=self.context.now))

    def _find_tip(self) -> str:
        """The commit that work starts from; the first task of a batch creates its branch. Raises SubagentError."""
        batch, repository = self.run.batch, repository_of(self.run.batch)
        if self.run.operation == Operation.GENERATE and not Attempt.objects.filter(task__run__batch=batch).exists():
            return repository.ensure_branch(batch.branch, batch.base_commit)
        tip = repository.branch_commit(self.run.branch)
        if self.run.operation == Operation.EXECUTE:  # a review tells what it finds there
            refuse_moved(batch, repository, tip)
        return tip

    def _stop(self, task: TaskRow, reason: FailureReason, force: bool) -> None:
        attempt = self.attempts[task.pk]
        Attempt.objects.filter(pk=attempt.pk, ended_at=None).update(stop_reason=reason, stop_clock=self.context.clock)
        attempt.stop_reason, attempt.stop_clock = reason, self.context.clock
        self.moved = True
        self.stops.append((attempt, force))
        logger.info("batch=%s task=%s attempt=%s stop reason=%s force=%s", self.run.batch.number, task.name, attempt.number, reason, force)

    def _end_attempt(
        self,
        task: TaskRow,
        event: TaskEvent,
        outcome: Attempt.Outcome,
        reason: str = "",
        message: str = "",
        cause: str = "",
        **fields: object,
    ) -> None:
        attempt = self.attempts.pop(task.pk)
        limits = {"phase_limit_seconds": self.run.phase_limit_seconds, "silence_seconds": self.run.silence_seconds}
        Attempt.objects.filter(pk=attempt.pk, ended_at=None).update(
            ended_at=self.context.now, outcome=outcome, reason=reason, message=message, **limits
        )
        self._move(task, event, attempt=attempt, reason=reason, message=message, cause=cause, **fields)
        self.ended_attempts.append(attempt.pk)

    def _fail(self, task: TaskRow, reason: FailureReason, message: str, restart: bool) -> None:
        fault = self.attempts[task.pk].fault
        self._end_attempt(task, TaskEvent.FAIL, Attempt.Outcome.FAILED, reason, message)
        if restart:
            pause = core.back_off_seconds(reason, task.restarts)
            limit = core.restart_limit(reason, fault, self.policy)
            move_task(
                task,
                TaskEvent.RETRY,
                now=self.context.now,
                cause="policy:restart after a crash" if not fault else "policy:restart after a fault of the provider",
                message=f"Restarted automatically ({task.restarts + 1} of {limit}) after: {message}",
                restarts=task.restarts + 1,
                not_before=self.context.now + timedelta(seconds=pause),
                bump=False,
            )

    def _repair(self, task: TaskRow, decision: core.Repair) -> None:
        """Return the task to pending: its next attempt works on from this one's work, with the output of the gates that failed.

        Where it could not be merged, it works on from both sides, and the files say where they differ.
        """
        attempt = self.attempts[task.pk]
        collided = bool(attempt.merge_conflicts)
        cost = attempt.cost_usd if attempt.cost_usd is not None else attempt.reserved_usd or Decimal(0)
        self._end_attempt(
            task,
            TaskEvent.REPAIR,
            Attempt.Outcome.REPAIRED,
            FailureReason.MERGE_CONFLICT if collided else FailureReason.GATE_FAILED,
            decision.message,
            cause="policy:repair of a merge conflict" if collided else "policy:repair after a failed gate",
            repairs=decision.number,
            rounds_seconds=task.rounds_seconds + (attempt.elapsed_seconds or 0.0),
            rounds_usd=task.rounds_usd + cost,
        )

    def _defer(self, task: TaskRow, until: datetime, message: str) -> None:
        """Return the task to pending, pause the run, halve its parallel limit; one that several meet counts once."""
        self._end_attempt(task, TaskEvent.DEFER, Attempt.Outcome.DEFERRED, FailureReason.RATE_LIMITED, message)
        run, now = self.run, self.context.now
        if run.rate_limited_since and run.rate_limited_until and core.RateLimit(run.rate_limited_since, run.rate_limited_until).holds(now):
            until = max(until, run.rate_limited_until)
            self._change(rate_limited_until=until)
        else:
            self._change(
                rate_limited_since=now,
                rate_limited_until=until,
                rate_limits=run.rate_limits + 1,
                parallel_limit=max(1, run.parallel // 2),
            )
        self.pause = core.RateLimit(now, until)
        logger.warning("batch=%s run=%s rate limited until %s", run.batch.number, run.number, until.isoformat())

    def put_off(self, until: datetime, fault: str) -> None:
        """Put the run off for a fault of the machine; one that several tasks meet counts once."""
        if not self.run.machine_fault:
            faults = self.run.machine_faults + 1
            self._change(machine_fault=fault, machine_fault_since=self.context.now, machine_fault_until=until, machine_faults=faults)
            logger.warning("batch=%s run=%s put off until %s: %s", self.run.batch.number, self.run.number, until.isoformat(), fault)

    def _cancel(self, task: TaskRow, reason: FailureReason, message: str) -> None:
        if task.pk in self.attempts:
            cause = self.attempts[task.pk].stop_cause  # of who stopped this phase alone
            self._end_attempt(task, TaskEvent.CANCEL, Attempt.Outcome.CANCELLED, reason, message or "Cancelled.", cause=cause)
        else:
            self._move(task, TaskEvent.CANCEL, reason=reason, message=message or "Cancelled before it started.")

    def _cover(self, task: TaskRow) -> None:
        """A stage check judges what is merged when it starts. One that a person requested on its own keeps its list."""
        if all(other.kind == TaskKind.STAGE_CHECK for other in self.tasks.values()):
            return
        members = [other.pk for other in self.tasks.values() if other.stage_id == task.stage_id]
        task.covers = sorted(attempt.pk for attempts in stage_merges(members).values() for attempt in attempts)
        Task.objects.filter(pk=task.pk).update(covers=task.covers)

    def _check(self, number: int) -> None:
        members = [task for task in self.tasks.values() if task.stage_number == number]
        phases = [task for task in members if task.kind == TaskKind.PHASE]
        rounds = sum(task.kind == TaskKind.STAGE_CHECK for task in members)
        name = f"stage-{number}" if not rounds else f"stage-{number}.{rounds + 1}"
        Task.objects.create(
            run=self.run,
            kind=TaskKind.STAGE_CHECK,
            stage_id=phases[0].stage_id,
            name=name,
            position=max(task.position for task in members),
            changed_at=self.context.now,
        )
        self.tasks[name] = task_rows(self.run)[name]
        self.moved = True


def launch(attempt: Attempt) -> int:
    """Start the process; returns its id, or 0. After an error the rules act: the attempt never starts, so it is restarted or fails."""
    changes: dict[str, object]
    try:
        launcher.prepare(TaskSpec.from_json(attempt.spec))
        return launcher.launch(attempt.directory, key_for(attempt.spec["backend"]), secrets_of_task(attempt.task_id))
    except SecretUnreadable as problem:  # another try would end the same
        changes = {"message": str(problem), "verdict": FailureReason.SETUP_FAILED, "exited_at": timezone.now()}
        if _cannot_start(attempt):
            Attempt.objects.filter(pk=attempt.pk, exited_at=None).update(**changes)
        return 0
    except (OSError, ValueError, SubagentError) as error:
        logger.error("batch=%s task=%s attempt=%s launch: %s", attempt.spec["batch_id"], attempt.task_id, attempt.number, error)
        changes = {"message": f"Could not be launched: {error}"}
        if (fault := fault_of(error, (attempt.directory, attempt.checkout, attempt.spec["repository"]))) and _cannot_start(attempt):
            changes = {"message": str(fault), "verdict": FailureReason.MACHINE_FAULT, "exited_at": timezone.now()}
        Attempt.objects.filter(pk=attempt.pk, exited_at=None).update(**changes)
        return 0


def _cannot_start(attempt: Attempt) -> bool:
    try:
        return launcher.prevent_start(attempt.directory)
    except OSError:  # where not even this can be written, a wrapper cannot publish its start either
        return True


def put_off(run_id: int, fault: str, context: TickContext) -> None:
    """Put a run off for a fault of the machine outside of its attempts, while nothing of the step was recorded."""
    with transaction.atomic():
        run = Run.objects.select_for_update(of=("self",)).get(pk=run_id)
        until = core.put_off_until(run.machine_faults, context.now, policy_of(run, context))
        writer = _Writer(run, {}, {}, context, "", policy_of(run, context))
        writer.put_off(until, fault)
        Batch.objects.bump(run.batch_id)


def is_put_off(run: Run, now: datetime) -> bool:
    """Whether the run still waits for the machine. When it is time, the machine is tried first, without an attempt."""
    if not run.machine_fault or run.machine_fault_until is None:
        return False
    if now < run.machine_fault_until <= now + timedelta(seconds=core.MAX_PUT_OFF_SECONDS):  # a clock set back does not prolong it
        return True
    fault = _fault_of_places(run.batch.project)
    changes: dict[str, object] = {"machine_fault": "", "machine_fault_since": None, "machine_fault_until": None}
    if fault:
        changes = {"machine_fault": fault, "machine_fault_until": now + timedelta(seconds=TRY_MACHINE_SECONDS)}
    with transaction.atomic():
        if Run.objects.filter(pk=run.pk, machine_fault_until=run.machine_fault_until).update(**changes):
            Batch.objects.bump(run.batch_id)
    return bool(fault)


def _fault_of_places(project: Project) -> str:
    """The fault of the machine in the places that a run of the project writes to, in words; "" for none."""
    orchestration = OrchestrationFiles(folder_of(project)).root
    try:
        folders = (str(settings.CE_DATA_DIR), orchestration, repository_of(project).common_dir)
        return str(probe(folders) or full(folders) or "")
    except (SubagentError, OSError) as error:  # a repository that is gone is said by the attempt that needs it
        return str(fault_of(error, (folder_of(project),)) or "")


def pause_other_runs(run_id: int, pause: core.RateLimit) -> None:
    """Pause the other live runs of the backend until the rate limit ends: they all use the same key.

    Not in the transaction of the run that met the limit: that one holds its row, and two such would deadlock.
    """
    met = Run.objects.filter(pk=run_id).values_list("backend", flat=True).first()
    if met is not None:
        pause_backend(met, pause, but=run_id)


def pause_backend(backend: str, pause: core.RateLimit, *, but: int = 0) -> None:
    """Pause the live runs of a backend, without `but`, until the rate limit ends: they all use the same key."""
    others = Run.objects.live().filter(backend=backend).exclude(pk=but).exclude(rate_limited_until__gte=pause.until)
    for other in others.order_by("pk").values_list("pk", "batch_id"):
        with transaction.atomic():
            Run.objects.filter(pk=other[0]).update(rate_limited_since=pause.since, rate_limited_until=pause.until)
            Batch.objects.bump(other[1])


def _stop(attempt: Attempt, force: bool) -> None:
    if attempt.started_at is None and launcher.prevent_start(attempt.directory):
        return  # it can never start now; the next observation finds that out
    launcher.stop(attempt.directory, force)


@dataclass(frozen=True, slots=True)
class Merged:
    """The outcome of merging an attempt, as columns of its row. `commit` is the merge commit; "" when there is none."""

    attempt_id: int
    commit: str
    facts: Mapping[str, object]
    collided: tuple[str, ...] = ()
    fault: str = ""  # of the machine: nothing was merged, and it says nothing about the work

    def record(self, batch_id: int) -> None:
        """Write the outcome to the attempt's row, once. In the caller's transaction."""
        if self.fault:
            return
        Attempt.objects.filter(pk=self.attempt_id, ended_at=None, merge_commit="").update(**self.facts)
        if self.collided:
            announced = Conflict.objects.filter(batch=batch_id).exclude(collided=True)
            above = covering_entries([*self.collided, *announced.values_list("file", flat=True)])
            met = {entry for file in self.collided for entry in (file, *above.get(file, ()))}
            announced.filter(file__in=met).update(collided=True)


def merge(attempt: Attempt, spec: TaskSpec, head_commit: str, outcomes: tuple[GateOutcome, ...]) -> Merged | None:
    """Merge the attempt's commits into the branch of its run, with a note of its gates. Safe to repeat: a second merge finds the first.

    Returns None when the branch is busy, or the run is no longer this host's: the next step tries again, or finds that out.
    """
    run = attempt.task.run
    try:
        repository = repository_of(run.batch)
        reason, refusal = _refusal(repository, run, spec, head_commit)
        if refusal:
            return Merged(attempt.pk, "", {"verdict": reason, "message": refusal})
        if run.branch == run.batch.branch:
            refuse_moved(run.batch, repository, repository.branch_commit(run.branch))
        subject = f"{spec.prp_id}: Merge phase {spec.key} - {spec.phase_name}"
        note = NoteOfMerge(repository, spec, outcomes, head_commit)
        beside = note.moves if run.operation == Operation.EXECUTE else None
        outcome = repository.merge(run.branch, head_commit, subject, {"CE-Attempt": attempt.ref}, beside)
        if isinstance(outcome, MergeConflict):
            return Merged(attempt.pk, "", {"merge_conflicts": list(outcome.files)}, outcome.files)
        if isinstance(outcome, AlreadyMerged):
            commit, tree = repository.merge_of(run.branch, head_commit)
        else:
            commit, tree = outcome.commit, outcome.tree
        if run.host and not worker_hosts.send_merge(repository, attempt, commit):
            return None
        return Merged(attempt.pk, commit, {"merge_commit": commit, "merge_tree": tree, "note_commit": note.commit})
    except RefMoved as busy:  # another git works on the branch, or was killed there: a stale lock is broken after some seconds
        logger.warning("batch=%s attempt=%s merge postponed: %s", run.batch.number, attempt.pk, busy)
        return None
    except RemoteProblem as problem:  # it is merged here only; the next try finds the merge and pushes it
        return Merged(attempt.pk, "", {}, fault=str(problem))
    except (SubagentError, OSError) as problem:
        if fault := fault_of(problem, (spec.repository,)):
            return Merged(attempt.pk, "", {}, fault=str(fault))
        if isinstance(problem, RepositoryProblem) and problem.code in LOST:  # of the branch, not of the work
            return Merged(attempt.pk, "", {"verdict": FailureReason.AGENT_ERROR, "message": with_way_out(run.batch, problem)})
        facts = {"verdict": FailureReason.MERGE_CONFLICT, "message": f"Could not be merged: {problem}"}
        return Merged(attempt.pk, "", facts)


def _refusal(repository: Repository, run: Run, spec: TaskSpec, head_commit: str) -> tuple[FailureReason, str]:
    """Why these commits may not be merged although their gates passed: (reason, sentence), the sentence "" when they may.

    Judged by what git says about the commits, not by what the attempt claimed. Links that leave the tree and nested
    repositories are never merged; the rest is the project's choice. Raises GitError.
    """
    if blocked := repository.blocked_entries(spec.base_commit, head_commit):
        return FailureReason.AGENT_ERROR, f"Not merged: {'; '.join(blocked)}"
    project = run.batch.project
    policies = {"undeclared_edits": project.undeclared_edits, "deletions": project.deletions}
    if run.operation != Operation.EXECUTE or declared_changes.FilePolicy.FAIL not in policies.values():
        return FailureReason.GATE_FAILED, ""
    found = repository.changes(spec.base_commit, head_commit)
    files = (found.created, found.modified, found.deleted)
    return FailureReason.GATE_FAILED, declared_changes.refusal(spec.files_modified, *files, **policies)
