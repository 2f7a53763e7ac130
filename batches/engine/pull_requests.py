"""Pull requests of batches: opened and updated at the code host, and watched until they are merged or closed (docs/pull-requests.md).

A person asks for one; the row says so. Tasks of the cluster, or the command that waits, push the branch and ask the code host. All
that matters is in rows and at the code host, so a process that was killed, or an answer that was lost, is followed by one that looks
what is there first: nothing is opened twice.
"""

import hashlib
import logging
import time
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import MERGE_BATCH
from batches.core.errors import NothingToDo, ServiceError
from batches.core.review.risk import risk_of
from batches.core.text.pull_request import Told, body_of, title_of
from batches.engine.pull_request_remarks import answer_automatically, keep_checks, keep_comments, link_to
from batches.engine.reporting import batch_result
from batches.gates.ledger import read_ledger
from batches.integrations.code_hosts.home import Home, home_of, is_configured
from batches.integrations.code_hosts.types import Forge, ForgeError, Request, RequestState
from batches.integrations.notifications import site_address
from batches.models import Batch, PullRequest
from batches.repositories.merges import not_ready
from batches.repositories.repository import checked_repository
from batches.review.phase_facts import facts_of
from subagents.contract import SubagentError
from subagents.remotes import RemoteProblem, push_branch

logger = logging.getLogger(__name__)

CLAIM = timedelta(seconds=60)  # longer than one turn takes
FIRST_BACKOFF, LONGEST_BACKOFF = timedelta(minutes=1), timedelta(hours=1)
# How often an open pull request is looked at: soon after something happened, then ever more rarely.
FIRST_LOOK, LONGEST_LOOK = timedelta(minutes=1), timedelta(minutes=30)
WORK_SECONDS = 5.0  # a new turn begins; one takes at most 20 s more, and a queued task may take 30
Status = PullRequest.Status


def ask_for_pull_request(*, batch: Batch, actor: Actor, replace: bool = False) -> PullRequest:
    """Have a pull request of the batch's branch opened, or the open one brought up to date and looked at.

    With `replace` the next push may take the place of what was pushed before. Raises ServiceError, NothingToDo, PermissionDenied.
    """
    actor.require(MERGE_BATCH, batch.project)
    try:
        home = home_of(batch.project)
    except ForgeError as problem:
        raise ServiceError(str(problem)) from None
    if refusal := not_ready(batch):
        raise ServiceError(refusal)
    now = timezone.now()
    again = {"next_try_at": now, "error": "", "tries": 0, "quiet_looks": 0, **({"replace": True} if replace else {})}
    with transaction.atomic():
        there = PullRequest.objects.filter(batch=batch, ended_at=None)
        if not there.update(**again):
            try:
                with transaction.atomic():
                    PullRequest.objects.create(
                        batch=batch,
                        forge=home.kind,
                        address=home.address,
                        head=batch.branch,
                        base=batch.base_branch,
                        cause=actor.cause,
                        asked_by=actor.user,
                        asked_at=now,
                        next_try_at=now,
                    )
            except IntegrityError:  # somebody asked at the same moment
                there.update(**again)
        Batch.objects.bump(batch.pk)
    return PullRequest.objects.get(batch=batch, ended_at=None)


def pull_request_refusal(batch: Batch) -> str:
    """Why no pull request can be asked for now; "" if one can."""
    try:
        home_of(batch.project)
    except ForgeError as problem:
        return str(problem)
    return not_ready(batch)


def forget_pull_request(*, batch: Batch, actor: Actor) -> None:
    """Give up a pull request here; what is at the code host stays. Raises NothingToDo, PermissionDenied."""
    actor.require(MERGE_BATCH, batch.project)
    with transaction.atomic():
        ended = {"status": Status.CLOSED, "ended_at": timezone.now()}
        if not PullRequest.objects.filter(batch=batch, ended_at=None).update(**ended):
            raise NothingToDo("There is no open pull request to give up.")
        Batch.objects.bump(batch.pk)


def is_asked_soon(row: PullRequest) -> bool:
    """Whether the code host is being asked, or will be within seconds."""
    now = timezone.now()
    return row.next_try_at <= now or (row.claimed_until is not None and row.claimed_until > now)


def waiting(now: datetime) -> QuerySet[PullRequest]:
    """Those to look after now."""
    unclaimed = Q(claimed_until__isnull=True) | Q(claimed_until__lt=now)
    return PullRequest.objects.filter(unclaimed, ended_at=None, next_try_at__lte=now)


def has_work(now: datetime) -> bool:
    return waiting(now).exists()


def work(*, batch: Batch | None = None, seconds: float = WORK_SECONDS) -> None:
    """Look after pull requests, of one batch or all, for about `seconds`. Safe to repeat and to run in parallel: each row is claimed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = timezone.now()
        rows = waiting(now) if batch is None else waiting(now).filter(batch=batch)
        row = rows.select_related("batch__project").order_by("next_try_at", "pk").first()
        if row is None:
            return
        if waiting(now).filter(pk=row.pk).update(claimed_until=now + CLAIM):
            _turn(row)


def _turn(row: PullRequest) -> None:
    """One turn: push, open or update, look. Whatever fails is kept in the row and tried later."""
    batch = row.batch
    try:
        if not is_configured(batch.project):
            raise ForgeError(f"{batch.project.name} names no code host any more. Enter it again, or give the pull request up.")
        home = home_of(batch.project)
        if home.address != row.address:
            raise ForgeError(f"The pull request is at {row.address}, and the project is now at {home.address}. Give it up, then ask again.")
        with home.opened() as forge:
            seen = None if row.number is None else forge.look(row.number)
            changed = seen is not None and _look(row, seen)
            # While a run works on the branch, what is there stays as it is.
            if row.ended_at is None and not batch.runs.live().exists():
                changed |= _push(row, home)
                changed |= _tell(row, forge)
                changed |= seen is not None and _come_back(row, forge, seen)
    except (ForgeError, SubagentError) as problem:
        seconds = problem.retry_seconds if isinstance(problem, ForgeError) else None
        pause = _backoff(row.tries + 1) if seconds is None else timedelta(seconds=seconds)
        diverged = isinstance(problem, RemoteProblem) and problem.code == "diverged"
        failed = {"tries": F("tries") + 1, "error": str(problem)[:1000], "diverged": diverged}
        _keep(row, {**failed, "next_try_at": timezone.now() + pause}, show=True)
        logger.warning("batch=%s pull request: %s", batch.number, problem)
        return
    quiet = 0 if changed else row.quiet_looks + 1
    pause = min(LONGEST_LOOK, FIRST_LOOK * 1.5 ** min(quiet, 20))
    now = timezone.now()
    columns = {"tries": 0, "error": "", "diverged": False, "quiet_looks": quiet, "looked_at": now, "next_try_at": now + pause}
    _keep(row, columns, show=changed or bool(row.error))


def _keep(row: PullRequest, columns: dict[str, object], *, show: bool) -> None:
    with transaction.atomic():
        PullRequest.objects.filter(pk=row.pk).update(claimed_until=None, **columns)
        if show:
            Batch.objects.bump(row.batch_id)


def _note(row: PullRequest, **columns: object) -> None:
    """Keep at once what was done there, so that it is known if this process ends now."""
    PullRequest.objects.filter(pk=row.pk).update(**columns)
    for name, value in columns.items():
        setattr(row, name, value)


def _push(row: PullRequest, home: Home) -> bool:
    """Push the branch where it has moved. True if something was pushed."""
    batch = row.batch
    repository = checked_repository(batch)
    if repository.branch_commit(row.head) == row.pushed_commit:
        return False
    over = row.pushed_commit if row.replace and row.pushed_commit else None
    _note(row, pushed_commit=push_branch(repository, home.pushed_to(), row.head, over=over), replace=False)
    logger.info("batch=%s pushed %s", batch.number, row.pushed_commit[:12])
    return True


def _tell(row: PullRequest, forge: Forge) -> bool:
    """Open the pull request, or give it a new title and body where they differ. True if something was sent."""
    title, body = told_of(row.batch)
    told = hashlib.sha256(f"{title}\0{body}".encode()).hexdigest()
    if row.number is None:
        # First of all: an answer may have been lost after the request was opened.
        there = forge.find(row.head, row.base)
        found = there or forge.create(row.head, row.base, title, body)
        _note(row, number=found.number, url=link_to(found.url), status=Status.OPEN, told="" if there else told)
        logger.info("batch=%s pull request %s", row.batch.number, row.url)
    if told == row.told:
        return False
    forge.update(row.number or 0, title, body)
    _note(row, told=told)
    return True


def _look(row: PullRequest, seen: Request) -> bool:
    """Keep what became of it. True if that is new."""
    if seen.state.value == row.status:
        return False
    over = seen.state is not RequestState.OPEN
    columns = {"status": seen.state.value, "merge_commit": seen.merge_commit, "ended_at": timezone.now() if over else None}
    _note(row, **columns)
    logger.info("batch=%s pull request %s is %s", row.batch.number, row.number, seen.state)
    return True


def _come_back(row: PullRequest, forge: Forge, seen: Request) -> bool:
    """Keep checks and comments, and have an agent work on them where the project says so. True if something is new."""
    new = keep_checks(row, forge)
    if seen.updated != row.seen or not seen.updated:
        new |= keep_comments(row, forge.comments(seen.number))
        _note(row, seen=seen.updated[:100])
    return answer_automatically(row) or new


def told_of(batch: Batch) -> tuple[str, str]:
    """(title, body) of the batch's pull request as it is now. Raises ForgeError before the first execution."""
    run = batch.runs.executions().order_by("-number").first()
    if run is None:
        raise ForgeError(f"Batch {batch.number} has not been executed yet; there is nothing to open a pull request for.")
    run.batch = batch
    phases = list(batch.phases.select_related("stage").prefetch_related("gates"))
    risks = {phase.key: risk_of(facts_of(phase)) for phase in phases}
    told = Told(
        address=site_address("batches:detail", batch.number),
        risks={key: f"{risk.band} ({risk.shown} of 100)" for key, risk in risks.items()},
        declared={phase.key: phase.files for phase in phases},
    )
    return title_of(batch.number, batch.title), body_of(batch_result(run), read_ledger(batch), told)


def _backoff(tries: int) -> timedelta:
    return min(LONGEST_BACKOFF, FIRST_BACKOFF * float(2 ** min(tries - 1, 10)))
