"""The ticker of this host: it watches the host's processes, copies what they write into rows, and advances every live run.

Each host has one ticker: the process that holds `ticker.lock` (a slice of the cluster, or a command when no cluster runs).
It checks an attempt's LOCK FIRST and reads its files after, so a free lock means that the files are final. Ages come from
the monotonic clock, which all processes of one boot share, so a jump of the wall clock ends nothing.
"""

import fcntl
import logging
import os
import platform
import select
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, transaction
from django.db.models.functions import Now
from django.utils import timezone

from batches.core.engine.decide import SUCCESS
from batches.core.engine.states import ENDED_RUN_STATES, FailureReason, Operation, TaskEvent, TaskState
from batches.core.errors import ServiceError
from batches.engine import (
    agent_questions,
    attempt_results,
    autopilot,
    drafting,
    messages_to_agents,
    orchestrator,
    preparation,
    reporting,
    verifications,
    worker_hosts,
)
from batches.engine.attempt_results import End
from batches.engine.data_directory import check_identity, is_engine
from batches.engine.disk_space import low_file_system, watched_file_systems
from batches.engine.gate_notes import complete_notes
from batches.engine.lease import renew_dead_man
from batches.engine.remove_checkouts import remove_checkouts
from batches.engine.sandboxing import sandbox_level
from batches.engine.snapshots import TickContext, has_commits
from batches.engine.taken_up import settle_lost
from batches.models import Attempt, AutopilotRun, Batch, Host, Project, Result, Run
from batches.models.prepared import Prepared
from batches.repositories.ownership import OWNER, OwnedByAnother, Owner, claim, this_installation
from batches.repositories.repository import folder_of, repository_of
from batches.runs.transitions import move_task
from subagents import launcher
from subagents.contract import Heartbeat, SubagentError, TaskSpec
from subagents.launcher import Observation
from subagents.machine_faults import MachineFault, fault_of, probe
from subagents.sandbox import SandboxUnavailable
from subagents.workspace import RepositoryProblem

logger = logging.getLogger(__name__)

ROUND_SECONDS = 0.25  # the ticker sees a new run or a pressed button within this time, and the end of an attempt at once
MINUTE_SECONDS = 60.0  # between two runs of the tasks that the schedule starts each minute
RELAUNCH_SECONDS = 3.0  # a launch without a sign of life is repeated; link(2) ensures that the attempt starts once at most
MIRROR_SECONDS = 1.0  # progress is written to the row at most this often, unless a step was completed
ADVANCE_SECONDS = 1.0  # a run is advanced this often even when nothing changed, for its limits and back-off
BLIND_SECONDS = 5.0  # after this long without a round, attempts may look silent although only the ticker or the machine stood still
PATIENCE_SECONDS = 5.0  # so for this long silence fails no attempt
LATE_SECONDS = 5.0  # a heartbeat that is later than this may be one that could not be written
LOG_AGAIN_SECONDS = 60.0  # an error that every round meets is logged this often
LEASE_SECONDS = 30.0
LEASE_RENEWAL_SECONDS = 5.0
LOG_TAIL_BYTES = 64 * 1024


class TickerBusy(Exception):
    """Another process of this host is the ticker. `by_command`: it is a command that waits, not the cluster."""

    def __init__(self, by_command: bool) -> None:
        self.by_command = by_command
        super().__init__(f"the ticker of this host is {'a command' if by_command else 'the cluster'}")


class NotTheEngine(ServiceError):
    """Another data directory has been made the one that drives the runs."""


def ticker_mark() -> Path:
    """The file that each round writes; `manage.py up` restarts the cluster when it grows old."""
    return Path(settings.CE_DATA_DIR) / "ticker.alive"


@contextmanager
def ticker_lock(*, by_command: bool = False) -> Iterator[None]:
    """Be this host's ticker. Raises TickerBusy when another process is. The kernel releases the lock when the process dies.

    The lock file says which kind of process holds it, and its id.
    """
    directory = Path(settings.CE_DATA_DIR)
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / "ticker.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TickerBusy(os.pread(descriptor, 1, 0) == b"c") from None
        os.pwrite(descriptor, b"%s%-10d\n" % (b"c" if by_command else b"s", os.getpid()), 0)
        yield
    finally:
        os.close(descriptor)


LIVE_ATTEMPTS: Prepared[Attempt] = Prepared(
    lambda host: (
        Attempt.objects.live().filter(host=host).select_related("task__run__batch__project").defer("log_tail", "spec", "heartbeat")
    )
)
LIVE_RUNS: Prepared[Run] = Prepared(
    lambda host, travel: Run.objects.live().filter(host=host, travel=travel).select_related("batch__project")
)
UNREPORTED: Prepared[Run] = Prepared(  # those that are at home
    lambda travel: Run.objects.filter(reported_at=None, travel=travel).select_related("batch__project", "created_by")
)
TO_FOLLOW_UP: Prepared[int] = Prepared(
    lambda: AutopilotRun.objects.going().filter(run__state__in=sorted(ENDED_RUN_STATES), run__reported_at__isnull=False)
    .values_list("run", flat=True)
)


@dataclass(slots=True)
class WatchedAttempt:
    """What the ticker remembers about a live attempt to save reads and writes; losing it costs only time."""

    spec: TaskSpec
    heartbeat: Heartbeat | None = None  # the last one that was considered
    mirrored_clock: float = 0.0
    log_bytes: int = -1
    pidfd: int = -1


@dataclass(slots=True)
class RunChanges:
    """What happened in a run since the last round: ends to record, and successes to merge, the oldest first."""

    ends: list[End] = field(default_factory=list)
    unmerged: list[Attempt] = field(default_factory=list)


@dataclass(slots=True)
class Ticker:
    """Rounds of observation, record, advance, wait. Use only under `ticker_lock`."""

    host: str
    watched: dict[int, WatchedAttempt] = field(default_factory=dict)
    advanced: dict[int, tuple[int, float]] = field(default_factory=dict)  # run -> (batch version, clock)
    ended: list[End] = field(default_factory=list)  # recorded, their files not archived yet
    unreported: dict[int, float] = field(default_factory=dict)  # run -> clock of a report that could not be written
    verifying: int = 0  # verifications that run, each in a slot
    drafting: int = 0  # agents at work on ideas, each in a slot
    hurry: bool = False  # more work is left than one round does: do not wait
    renewed_clock: float = float("-inf")
    owner: Owner = field(default_factory=Owner)
    claimed: dict[str, str] = field(default_factory=dict)  # repository -> what its reference of the owner holds
    patient_until: float = float("-inf")

    def run(self, seconds: float, should_stop: Callable[[], bool]) -> None:
        """Tick for `seconds`, or until `should_stop`; then close everything."""
        end = time.monotonic() + seconds
        self.owner = this_installation()
        launcher.warm()
        try:
            while not should_stop():
                self.round()
                left = end - time.monotonic()
                if left <= 0:
                    break
                self.wait(min(ROUND_SECONDS, left))
        finally:
            for pk in list(self.watched):
                self._forget(pk)

    def round(self) -> None:
        """Observe every attempt and advance every run once."""
        close_old_connections()
        launcher.reap()
        clock = time.monotonic()
        now = timezone.now()
        if not 0 <= clock - _last_round() <= BLIND_SECONDS:
            self.patient_until = clock + PATIENCE_SECONDS
        run_changes = self.observe_all(now, clock)
        if not self.advance_all(run_changes, clock):
            self.clean_up(now)
        self.renew_lease(now, clock)
        _mark_round(clock)
        if settings.CE_WORKER:
            return
        with isolate_errors("verifications cannot be advanced"):
            free = settings.CE_SLOTS - len(self.watched) - self.drafting
            self.verifying = verifications.advance_verifications(self.host, now, free)
        with isolate_errors("ideas cannot be advanced"):
            free = settings.CE_SLOTS - len(self.watched) - self.verifying
            self.drafting = drafting.advance_ideas(TickContext(now, clock, self.host, free, clock < self.patient_until))

    def wait(self, seconds: float) -> None:
        """Sleep until a watched process ends, at most `seconds`."""
        if self.hurry:
            self.hurry = False
            return
        poll = select.poll()
        for watched in self.watched.values():
            if watched.pidfd >= 0:
                poll.register(watched.pidfd, select.POLLIN)
        poll.poll(seconds * 1000)

    def observe_all(self, now: datetime, clock: float) -> dict[int, RunChanges]:
        """Copy what changed into rows. Returns {run: the ends to record and the successes to merge}."""
        run_changes: dict[int, RunChanges] = {}
        attempts = {attempt.pk: attempt for attempt in LIVE_ATTEMPTS.rows(host=self.host)}
        for pk in self.watched.keys() - attempts.keys():
            self._forget(pk)
        for attempt in attempts.values():
            if attempt.exited_at is not None:
                waiting = run_changes.setdefault(attempt.task.run_id, RunChanges()).unmerged
                if attempt.verdict == SUCCESS and has_commits(attempt) and not (attempt.merge_commit or attempt.merge_conflicts):
                    waiting.append(attempt)
            elif (end := self._observe_isolated(attempt, now, clock)) is not None:
                run_changes.setdefault(attempt.task.run_id, RunChanges()).ends.append(end)
        for run in run_changes.values():
            run.unmerged.sort(key=lambda attempt: attempt.exited_at or now)
        return run_changes

    def _observe_isolated(self, attempt: Attempt, now: datetime, clock: float) -> End | None:
        """Observe one attempt; an error ends that attempt and affects no other."""
        try:
            return self._observe(attempt, now, clock)
        except (OperationalError, InterfaceError):
            raise  # the database is unreachable, which affects every attempt
        except (OSError, MachineFault) as error:  # a full disk or too many open files: the next round may succeed
            log_throttled(f"attempt={attempt.pk} cannot be observed: {error}")
        except Exception as error:  # noqa: BLE001 -- another version's row, or a report that fits no column, ends this attempt only
            log_throttled(f"attempt={attempt.pk} cannot be understood", exc_info=True)
            self._give_up(attempt, f"It cannot be understood by this version ({type(error).__name__}: {error}).", now)
        return None

    def _give_up(self, attempt: Attempt, message: str, now: datetime) -> None:
        """Stop an attempt that cannot be observed, and record its end once no process of it is left."""
        launcher.prevent_start(attempt.directory)
        launcher.stop(attempt.directory, force=True)
        if launcher.is_held(attempt.directory):
            return
        attempt.exited_at = now
        with transaction.atomic():
            Attempt.objects.filter(pk=attempt.pk, exited_at=None).update(
                exited_at=now, verdict=FailureReason.BAD_RESULT, message=message
            )
            Batch.objects.bump(attempt.task.run.batch_id)
        self._forget(attempt.pk)

    def _observe(self, attempt: Attempt, now: datetime, clock: float) -> End | None:
        """Copy the progress of a live attempt into its row; return the end of one that is over, else None."""
        watched = self.watched.get(attempt.pk)
        if watched is None:
            watched = self.watched[attempt.pk] = WatchedAttempt(TaskSpec.from_json(attempt.spec))
        observation = launcher.observe(watched.spec)
        if observation.held:
            self._mirror(attempt, watched, observation, now, clock)
        elif observation.started is None:
            self._missing(attempt, clock)
        elif not observation.started.pid or observation.ended is not None or not launcher.sweep(attempt.directory):
            # `sweep` found nothing alive: a killed wrapper takes its processes with it.
            if observation.ended is None and observation.started.pid and settle_lost(attempt, now, crashed=True):
                return None
            return End.of(attempt, watched.spec, observation)
        return None

    def _missing(self, attempt: Attempt, clock: float) -> None:
        """Launch again an attempt without a lock or a start: the launch may have died with the process that made it."""
        last = attempt.relaunched_clock or attempt.launched_clock
        if attempt.stop_reason:
            launcher.prevent_start(attempt.directory)
        elif not 0 <= clock - last < RELAUNCH_SECONDS:
            if settle_lost(attempt, timezone.now()):
                return
            Attempt.objects.filter(pk=attempt.pk).update(relaunched_clock=clock)
            orchestrator.launch(attempt)

    def _mirror(self, attempt: Attempt, watched: WatchedAttempt, observation: Observation, now: datetime, clock: float) -> None:
        if watched.pidfd < 0:
            watched.pidfd = launcher.pidfd(observation.started) or -1
        if observation.started is None:
            return
        if any(one["read_at"] is None for one in attempt.messages):
            messages_to_agents.deliver(attempt, now)
        if attempt.questions:
            agent_questions.pass_answers(attempt, now)
        if observation.heartbeat is not None and observation.heartbeat.question:
            agent_questions.note_question(attempt, observation.heartbeat.question, now)
        changes: dict[str, object] = {}
        if attempt.started_at is None:
            started_at = attempt_results.wall_time(observation.started.started_at)
            changes |= {"started_at": started_at, "pid": observation.started.pid, "beat_clock": clock, "last_beat_at": now}
        due = clock - watched.mirrored_clock >= MIRROR_SECONDS
        heartbeat, last = observation.heartbeat, watched.heartbeat
        is_new = heartbeat is not None and (last is None or last.last_update != heartbeat.last_update)
        if heartbeat is not None and is_new and (due or changes or last is None or last.step != heartbeat.step):
            watched.heartbeat = heartbeat
            # A ticker that has just started must not mistake an old heartbeat for a new one.
            if last is not None or attempt.last_beat_at is None or attempt.heartbeat != heartbeat.to_json():
                changes |= attempt_results.heartbeat_fields(heartbeat, now, clock)
        late = attempt.beat_clock is not None and clock - attempt.beat_clock > watched.spec.heartbeat_seconds + LATE_SECONDS
        if due and late and probe((os.path.dirname(observation.files.heartbeat),)):
            changes |= {"beat_clock": clock}  # the silence is the disk's
        if due:
            watched.mirrored_clock = clock
            logged = attempt_results.log_fields(observation.files.log, watched.log_bytes)
            watched.log_bytes = int(str(logged.get("log_bytes", watched.log_bytes)))
            changes |= logged
        if not changes:
            return
        with transaction.atomic():
            if not Attempt.objects.filter(pk=attempt.pk, exited_at=None).update(**changes):
                return
            if attempt.task.state == TaskState.LAUNCHING:
                move_task(attempt.task, TaskEvent.BEAT, now=now, cause=f"host:{self.host}", attempt=attempt)
            else:
                Batch.objects.bump(attempt.task.run.batch_id)

    def advance_all(self, run_changes: dict[int, RunChanges], clock: float) -> bool:
        """Advance the runs that changed and those last advanced ADVANCE_SECONDS ago; True when something was launched.

        `clock` is when the attempts were observed, so time that has passed since then does not count as their silence.
        """
        launched = False
        patient = clock < self.patient_until
        for run in LIVE_RUNS.rows(**worker_hosts.place()):
            version, last = self.advanced.get(run.pk, (-1, float("-inf")))
            if run.pk not in run_changes and run.batch.version == version and clock - last < ADVANCE_SECONDS:
                continue
            changed = run_changes.get(run.pk, RunChanges())
            now = timezone.now()
            put_off = orchestrator.is_put_off(run, now)
            if put_off and not changed.ends and run.batch.version == version and clock - last < ADVANCE_SECONDS:
                continue  # its finished work cannot be merged now
            self.advanced[run.pk] = (run.batch.version, clock)
            free = settings.CE_SLOTS - len(self.watched) - self.verifying - self.drafting
            slots = 0 if low_file_system(folder_of(run.batch)) else free
            context = TickContext(now, clock, self.host, slots, patient)
            with isolate_errors(f"run={run.pk} cannot be advanced"), putting_off(run.pk, context):
                if not put_off and (owned := self.owned_by_another(run.batch.project)):
                    orchestrator.put_off(run.pk, owned, context)
                    continue
                if not put_off and preparation.prepare(run, context):
                    self.hurry = True  # more may wait, or the run may end
                    continue
                progress = orchestrator.advance(run.pk, context, changed.ends, () if put_off else changed.unmerged)
                for end in changed.ends:
                    self._forget(end.attempt.pk)
                    self.ended.append(end)
                self.hurry = self.hurry or progress.unfinished
                for attempt, pid in progress.launched:
                    descriptor = _pidfd(pid)
                    self.watched[attempt.pk] = WatchedAttempt(TaskSpec.from_json(attempt.spec), pidfd=descriptor)
                    self.hurry = self.hurry or descriptor < 0  # it may already have ended
                    launched = True
        return launched

    def owned_by_another(self, project: Project) -> str:
        """Claim the project's repository, mostly by one look at a file; a sentence if another installation has it."""
        if not self.owner.installation:
            return ""
        try:
            repository = repository_of(project)
            if repository.reference(OWNER) != self.claimed.get(project.repository):
                self.claimed[project.repository] = claim(repository, self.owner)
        except OwnedByAnother as problem:
            log_throttled(f"project={project.slug}: {problem}")
            return str(problem)
        except RepositoryProblem:
            pass  # the attempt that needs it says so
        return ""

    def clean_up(self, now: datetime) -> None:
        """Archive, report and follow up: work that waits until everything that could start has started."""
        ended, self.ended = self.ended, []
        for end in ended:
            spec = end.spec
            try:
                attempt_results.put_files_away(end)
                launcher.remove_checkout(spec)
            except (OSError, SubagentError) as error:
                log_throttled(f"batch={spec.batch_id} task={spec.name} attempt={spec.attempt} archive: {error}")
                if fault_of(error) is not None:  # a full disk: the next round may succeed
                    self.ended.append(end)
        if settings.CE_WORKER:  # the main host reports and follows up
            attempt_results.fill_diffs_of_host(self.host)
            return
        unreported = UNREPORTED.rows(travel="")
        for run in unreported:
            if run.operation == Operation.EXECUTE:
                with isolate_errors(f"run={run.pk}: a note of its gates cannot be written"):
                    complete_notes(run)
        for run in (run for run in unreported if run.state in ENDED_RUN_STATES):
            if time.monotonic() - self.unreported.get(run.pk, float("-inf")) < LATE_SECONDS:
                continue
            self.unreported[run.pk] = time.monotonic()
            with isolate_errors(f"run={run.pk} cannot be reported"):
                attempt_results.fill_diffs(Result.objects.filter(attempt__task__run=run))
                remove_checkouts(run, self.host)
                reporting.finish(run, now)
                del self.unreported[run.pk]
        # A separate loop: if the ticker is killed between report and follow-up, the next one finds the run here.
        for run_id in TO_FOLLOW_UP.rows():
            with isolate_errors(f"run={run_id} cannot be followed up"):
                autopilot.follow_up(run_id, now)
        attempt_results.fill_diffs_of_host(self.host)

    def renew_lease(self, now: datetime, clock: float) -> None:
        if clock - self.renewed_clock < LEASE_RENEWAL_SECONDS:
            return
        self.renewed_clock = clock
        if not is_engine():
            raise NotTheEngine(f"{settings.CE_DATA_DIR} no longer drives the runs: another data directory was adopted. It stops here.")
        # By the clock of the database, which all hosts share.
        times = {"last_tick_at": Now(), "lease_until": Now() + timedelta(seconds=LEASE_SECONDS)}
        columns = {"pid": os.getpid(), "slots": settings.CE_SLOTS, "facts": _facts(), **times}
        Host.objects.update_or_create(name=self.host, defaults=columns, create_defaults={**columns, "started_at": now})
        if settings.CE_WORKER:
            renew_dead_man(clock)

    def _forget(self, pk: int) -> None:
        watched = self.watched.pop(pk, None)
        if watched is not None and watched.pidfd >= 0:
            with suppress(OSError):
                os.close(watched.pidfd)


def _last_round() -> float:
    """The monotonic clock at the last round of this host's ticker, in any process; minus infinity for none."""
    try:
        return float(ticker_mark().read_text())
    except (FileNotFoundError, ValueError):
        return float("-inf")


def _mark_round(clock: float) -> None:
    try:
        ticker_mark().write_text(f"{clock}\n")
    except OSError:  # the disk is full; the time stamp still shows that the ticker is alive
        ticker_mark().touch()


_logged: dict[str, float] = {}


@contextmanager
def isolate_errors(what: str) -> Iterator[None]:
    """Keep an error in one run from affecting the others: log it as `what`; the next round tries again."""
    try:
        yield
    except (OperationalError, InterfaceError):
        raise  # the database is unreachable, which affects every run
    except Exception:  # noqa: BLE001 -- whatever it is, the other runs continue
        log_throttled(what, exc_info=True)


@contextmanager
def putting_off(run_id: int, context: TickContext) -> Iterator[None]:
    """Put the run off when the machine cannot do the step, instead of trying it again in every round."""
    try:
        yield
    except (SubagentError, OSError, MemoryError) as error:
        fault = fault_of(error, (str(settings.CE_DATA_DIR),))
        if fault is None:
            raise
        log_throttled(f"run={run_id} put off: {fault}", exc_info=True)
        orchestrator.put_off(run_id, str(fault), context)


def log_throttled(message: str, *, exc_info: bool = False) -> None:
    """Log an error that every round would log again, at most once a minute."""
    now = time.monotonic()
    if now - _logged.get(message, float("-inf")) >= LOG_AGAIN_SECONDS:
        _logged[message] = now
        logger.error(message, exc_info=exc_info)


def _facts() -> dict[str, object]:
    """What the health page shows about this host; pages read rows, never the disk."""
    try:
        sandbox = sandbox_level().words()
    except (SandboxUnavailable, OSError) as error:
        sandbox = str(error)
    told = {"memory": os.environ.get(MEMORY_VARIABLE, ""), "at start": os.environ.get(STARTUP_VARIABLE, "")}
    disks = [one.to_json() for one in watched_file_systems()]
    return {"file_systems": disks, "python": platform.python_version(), "sandbox": sandbox, **told}


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except (OSError, ValueError):
        return -1  # it has ended or never existed: the next round finds out


MEMORY_VARIABLE = "CE_MEMORY_LIMIT"  # the same for how the memory of attempts is limited
STARTUP_VARIABLE = "CE_STARTUP_REPORT"  # how the cluster passes its start-up report to its workers


def startup_report(host: str) -> str:
    """What happened to attempts while no ticker ran: "3 were running: 1 alive, 1 finished meanwhile, 1 dead"."""
    counts: Counter[str] = Counter()
    for attempt in Attempt.objects.live().filter(host=host, exited_at=None).only("directory", "spec"):
        observation = launcher.observe(TaskSpec.from_json(attempt.spec))
        counts["alive" if observation.held else "finished meanwhile" if observation.ended else "dead, will be judged"] += 1
    if not counts:
        return "Nothing was running."
    total = sum(counts.values())
    return f"{total} {'was' if total == 1 else 'were'} running: {', '.join(f'{count} {what}' for what, count in counts.items())}."


def tick_until(done: Callable[[], bool], each_minute: Callable[[], object] = lambda: None) -> None:
    """Wait until `done`, and be the ticker whenever no other process of this host is. For commands that wait.

    While it is the ticker it also calls `each_minute`, as the schedule of a running installation does.
    """
    due = time.monotonic() + MINUTE_SECONDS

    def stop() -> bool:
        nonlocal due
        if time.monotonic() >= due:
            each_minute()
            due = time.monotonic() + MINUTE_SECONDS
        return done()

    check_identity(engine=True)
    while not done():
        try:
            with ticker_lock(by_command=True):
                ticker = Ticker(settings.CE_HOST)
                ticker.run(settings.CE_SLICE_SECONDS, should_stop=stop)
        except TickerBusy:
            time.sleep(ROUND_SECONDS)
