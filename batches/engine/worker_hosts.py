"""Worker hosts: the main host gives them runs of executions, their branches travel through the project's remote.

A run belongs to one host, which alone decides, launches and merges: the main host, or the worker host in `Run.host`. The branch
goes out through the remote before the worker begins, comes there with each merge BEFORE the merge is recorded, and comes home after
the end. So what rows know is never lost with a worker, and the main host takes a run over from rows and remote
(docs/decisions/worker-hosts.md).
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from batches.core.engine.states import ENDED_RUN_STATES, FailureReason
from batches.core.errors import ServiceError, WrongChoice
from batches.core.text.words import duration
from batches.engine.remove_checkouts import remove_checkouts
from batches.engine.taken_up import LEFT, settle_of_lost_host
from batches.integrations.code_hosts.connection import checked_place
from batches.integrations.code_hosts.home import home_of, is_configured
from batches.integrations.code_hosts.types import ForgeError
from batches.models import Attempt, Batch, Host, Installation, Project, Run
from batches.models.choices import Travel
from batches.repositories.repository import folder_of, repository_of
from subagents import launcher
from subagents.contract import SubagentError
from subagents.remotes import Remote, RemoteProblem, clone_at, fetch_refs, push_refs
from subagents.workspace import RefMoved, Repository, branch_ref

logger = logging.getLogger(__name__)

CLONE_SECONDS = 25.0  # less than a queued task may take
WAIT_SECONDS = 15.0  # between two tries of a remote that did not answer
FORGED = (
    "{remote} has another branch for this run than its merges say, so it is not taken over. See who pushes to refs/ce/travel/ there. "
    "The clone of the worker host has the right one: git push --force {address} {branch}:{there}."
)
NEITHER = "Set Remote in the project's settings: a path on a disk that all hosts share, or an https address. Or set its code host."


def place() -> dict[str, str]:
    """The columns of the runs that this host owns now: for filters."""
    return {"host": settings.CE_HOST, "travel": Travel.AWAY} if settings.CE_WORKER else {"host": "", "travel": ""}


def is_owner(run: Run) -> bool:
    """Whether this host owns the run, as its row says: it alone decides, launches and merges."""
    return all(getattr(run, name) == value for name, value in place().items())


def remote_of(project: Project) -> Remote:
    """Where the project's branches travel. Raises ServiceError naming the setting, ForgeError."""
    if project.remote.startswith("/"):
        return Remote(project.remote)
    if project.remote:
        return Remote(project.remote, checked_place(project.remote).ip)
    if is_configured(project):
        return home_of(project).remote()
    raise ServiceError(f"{project.name} has no remote through which its work could reach a worker host. {NEITHER}")


def choose_host(project: Project, wanted: str | None) -> str:
    """The host for a new execution, "" for the main host: the one that is wanted, else the one with the least work for its slots.

    Raises ServiceError, WrongChoice.
    """
    if wanted == settings.CE_HOST or (wanted is None and not project.workers):
        return ""
    if wanted is not None and wanted not in project.workers:
        allowed = ", ".join([settings.CE_HOST, *project.workers])
        raise WrongChoice(f"{project.name} does not run on {wanted}, but on: {allowed}. Its settings name its worker hosts.")
    alive = {host.name: host for host in Host.objects.exclude(directory="").filter(name__in=project.workers, lease_until__gt=Now())}
    if wanted is not None:
        if wanted not in alive:
            raise ServiceError(f"The worker host {wanted} {_silence(wanted)}. Start it (manage.py up --no-web), or choose another host.")
        remote_of(project)
        return wanted
    slots = {"": settings.CE_SLOTS} | {name: host.slots for name, host in alive.items()}
    return min(slots, key=lambda name: (_work(name) / max(1, slots[name]), name))


def _silence(name: str) -> str:
    last = Host.objects.filter(name=name).values_list("last_tick_at", flat=True).first()
    return f"has not been heard of for {duration((timezone.now() - last).total_seconds())}" if last else "has never been heard of"


def _work(name: str) -> int:
    """Live runs and attempts of a host."""
    runs = Run.objects.live().filter(host=name).count()
    return runs + Attempt.objects.live().filter(task__run__host=name).count()


def send_merge(repository: Repository, attempt: Attempt, commit: str) -> bool:
    """Bring the run's branch, and the attempt that was merged, to the remote before the merge `commit` is recorded.

    The row first says which merge will come, since others may push there, too. False, and nothing is sent, when the run is no longer
    this host's. Raises RemoteProblem.
    """
    run = attempt.task.run
    mine = Run.objects.filter(pk=run.pk, turn=run.turn, **place())
    if not Attempt.objects.filter(pk=attempt.pk, ended_at=None, task__run__in=mine).update(sent_commit=commit):
        return False
    try:
        remote = remote_of(run.batch.project)
    except (ServiceError, ForgeError) as problem:
        raise RemoteProblem("unreachable", str(problem)) from problem
    push_refs(repository, remote, {_there(run): branch_ref(run.branch), _attempts_there(attempt.ref): attempt.ref})
    return True


def _prefix() -> str:
    return f"refs/ce/travel/{Installation.objects.values_list('identity', flat=True).get(pk=1)}"


def _there(run: Run) -> str:
    """What the run's branch is called at the remote in this turn: a host that has lost the run writes to a name that nobody reads."""
    return f"{_prefix()}/batch-{run.batch.number}/run-{run.number}/{run.turn}"


def _attempts_there(ref: str) -> str:
    return f"{_prefix()}/{ref.removeprefix('refs/ce/')}"


def _attempts_of(run: Run) -> str:
    return f"refs/ce/attempts/batch-{run.batch.number}/run-{run.number}/"


# The exchange: one task of the queue at a time on each host


def has_work() -> bool:
    """Whether a run is on its way, or may be lost; or on a worker host, whether it holds one."""
    return _travelling().exists() or (settings.CE_WORKER and _left_here().exists())


def _travelling() -> QuerySet[Run]:
    """The runs for which this host has something to do."""
    waiting = Run.objects.exclude(travel="").exclude(machine_fault_until__gt=timezone.now())
    if settings.CE_WORKER:
        mine = waiting.filter(host=settings.CE_HOST)
        return mine.filter(travel=Travel.SENT) | mine.filter(travel=Travel.AWAY, state__in=sorted(ENDED_RUN_STATES))
    gone = ~Exists(Host.objects.filter(name=OuterRef("host"), lease_until__gt=Now() - _dead_man()))
    ours = waiting.filter(travel__in=(Travel.OUTWARD, Travel.HOMEWARD, Travel.LOST))
    return ours | waiting.filter(gone, travel__in=(Travel.SENT, Travel.AWAY)) | waiting.filter(travel=Travel.SENT, cancel_requested=True)


def _dead_man() -> timedelta:
    return timedelta(seconds=settings.CE_DEAD_MAN_SECONDS)


def _left_here() -> QuerySet[Attempt]:
    """Attempts of this host whose run another one has taken over meanwhile, and which may still be at work."""
    since = timezone.now() - timedelta(days=1)
    message = LEFT.format(host=settings.CE_HOST)
    return Attempt.objects.filter(host=settings.CE_HOST, exited_at__gt=since, verdict=FailureReason.MACHINE_FAULT, message=message)


def exchange() -> str:
    """Do what is due on this host for runs that travel. Safe to repeat; one process at a time."""
    with _alone() as held:
        if not held:
            return "another one is at it"
        done = 0
        for run in _travelling().select_related("batch__project").order_by("pk"):
            try:
                _step(run)
                done += 1
            except (SubagentError, ServiceError, ForgeError, OSError) as problem:
                _wait(run, str(problem))
        if settings.CE_WORKER:
            for attempt in _left_here():
                if launcher.is_held(attempt.directory):
                    logger.warning("attempt=%s was taken over by the main host; it is stopped", attempt.pk)
                    launcher.stop(attempt.directory, force=True)
        return f"{done} runs"


@contextmanager
def _alone() -> Iterator[bool]:
    descriptor = os.open(Path(settings.CE_DATA_DIR) / "exchange.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _move(run: Run, to: str, **columns: object) -> bool:
    """Write where the run is on its way, unless it has moved meanwhile."""
    clear = {"machine_fault": "", "machine_fault_since": None, "machine_fault_until": None} if run.machine_fault else {}
    with transaction.atomic():
        here = Run.objects.filter(pk=run.pk, travel=run.travel, turn=run.turn, host=run.host)
        moved = bool(here.update(travel=to, **clear, **columns))
        Batch.objects.bump(run.batch_id)
    logger.info("batch=%s run=%s host=%s travels: %s -> %s", run.batch.number, run.number, run.host, run.travel, to or "here")
    return moved


def _wait(run: Run, problem: str) -> None:
    """Say on the batch's page why the run stands still, and try again a little later."""
    logger.warning("batch=%s run=%s %s: %s", run.batch.number, run.number, run.travel, problem)
    now = timezone.now()
    columns = {"machine_fault": problem.rstrip("."), "machine_fault_until": now + timedelta(seconds=WAIT_SECONDS)}
    Run.objects.filter(pk=run.pk, travel=run.travel).update(**columns, machine_fault_since=run.machine_fault_since or now)
    Batch.objects.bump(run.batch_id)


def _step(run: Run) -> None:
    if settings.CE_WORKER:
        steps = {Travel.SENT: _arrive, Travel.AWAY: _send_home}
    else:
        steps = {Travel.OUTWARD: _send, Travel.HOMEWARD: _come_home, Travel.LOST: _settle}
    steps.get(Travel(run.travel), _take_over)(run)


def _send(run: Run) -> None:
    """Main host: push the batch's branch. A run that was cancelled meanwhile stays here."""
    if run.cancel_requested:
        _move(run, "", host="")
        return
    push_refs(repository_of(run.batch), remote_of(run.batch.project), {_there(run): branch_ref(run.branch)}, seconds=CLONE_SECONDS)
    _move(run, Travel.SENT)


def _arrive(run: Run) -> None:
    """Worker host: fetch the branch, into a clone that is made when there is none."""
    remote, folder = remote_of(run.batch.project), folder_of(run.batch)
    if not os.path.isdir(folder):
        clone_at(folder, remote, _there(run), seconds=CLONE_SECONDS)
    fetch_refs(repository_of(run.batch), remote, {_there(run): branch_ref(run.branch)}, seconds=CLONE_SECONDS)
    _move(run, Travel.AWAY)


def _send_home(run: Run) -> None:
    """Worker host: after the end push what was not merged, too, and remove the checkouts of what was."""
    repository = repository_of(run.batch)
    refs = repository.references(_attempts_of(run))
    given = {_attempts_there(ref): ref for ref in refs} | {_there(run): branch_ref(run.branch)}
    push_refs(repository, remote_of(run.batch.project), given, seconds=CLONE_SECONDS)
    remove_checkouts(run, settings.CE_HOST)
    _move(run, Travel.HOMEWARD)


def _come_home(run: Run) -> None:
    """Main host: fetch the branch and the attempts of a run that has ended; it is reported and followed up here."""
    _fetch_home(run)
    _move(run, "", turn=run.turn + 1)
    _tidy(run)


def _take_over(run: Run) -> None:
    """Main host: take a run over whose worker host has been silent for longer than its attempts live on without it.

    From here on the row says that the worker does not own it: it records nothing more, and what it still pushes nobody reads.
    """
    if _move(run, Travel.LOST, host=""):
        logger.warning("batch=%s run=%s worker host %s is lost; taken over", run.batch.number, run.number, run.host)


def _settle(run: Run) -> None:
    """What the remote has of it counts; the other attempts that were under way are ended, and done again here.

    A run that is cancelled ends without the remote where that has another branch.
    """
    with suppress(*[ServiceError] if run.cancel_requested else []):
        _fetch_home(run)
    for attempt in Attempt.objects.live().filter(task__run=run, merge_commit="").select_related("task__run__batch__project"):
        settle_of_lost_host(attempt, timezone.now())
    _move(run, "", turn=run.turn + 1)


def _fetch_home(run: Run) -> None:
    """Fetch what the worker host pushed. A branch that was moved here meanwhile is kept under refs/ce/archive/.

    Raises ServiceError when the branch there is not what the rows say: others may push to the remote, too.
    """
    repository, remote = repository_of(run.batch), remote_of(run.batch.project)
    arrived, branch = f"refs/ce/arrived/batch-{run.batch.number}", branch_ref(run.branch)
    own = _attempts_of(run)
    fetch_refs(repository, remote, {_there(run): arrived, f"{_attempts_there(own)}*": f"{own}*"}, seconds=CLONE_SECONDS)
    there, here = repository.reference(arrived), repository.reference(branch)
    rows = Attempt.objects.filter(task__run=run)
    merged = set(rows.exclude(merge_commit="").values_list("merge_commit", flat=True))
    known = there in merged or rows.filter(sent_commit=there).exists() or (here and repository.is_ancestor(there, here))
    if not known or any(not repository.is_ancestor(commit, there) for commit in merged):
        words = FORGED.format(remote=remote.name, address=remote.address, branch=run.branch, there=_there(run))
        raise ServiceError(words + (" Or cancel the run: then only what is here counts." if run.is_live else ""))
    if here and here != there and repository.is_ancestor(there, here):
        return
    if here and not repository.is_ancestor(here, there):
        with suppress(RefMoved):  # it is kept already
            repository.move_ref(f"refs/ce/archive/batch-{run.batch.number}/moved-{here[:12]}", here, None)
    if here != there:
        repository.move_ref(branch, there, here or None, why="came from a worker host")


def _tidy(run: Run) -> None:
    """Remove what travelled from the remote: it is here now."""
    with suppress(SubagentError, ServiceError, ForgeError):
        kept = repository_of(run.batch).references(_attempts_of(run))
        gone = dict.fromkeys((_there(run), *map(_attempts_there, kept)), "")
        push_refs(repository_of(run.batch), remote_of(run.batch.project), gone)
