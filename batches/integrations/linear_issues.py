"""Creates one Linear issue per PRP from the rows that request them, independent of runs.

The issue's id is chosen before the request. A process that was killed after creating an issue finds it again by that id, and
Linear refuses a second issue with it. A failure is stored in the row and retried later; it never stops a run.
"""

import logging
import re
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.accounts.sealed import Unreadable, unseal
from batches.core.engine.states import LIVE_RUN_STATES, Operation, RunState
from batches.core.errors import NothingToDo, ServiceError
from batches.core.text.issue import IssueText
from batches.integrations.linear import Linear, LinearError
from batches.models import Batch, LinearIssue, Phase, Project, Run
from batches.plans.prp_document import prp_of
from batches.repositories.repository import repository_of
from subagents.contract import SubagentError
from subagents.documents import commit_documents, read_document, with_front_matter

logger = logging.getLogger(__name__)

ISSUE = re.compile(r"(?:https://linear\.app/[\w-]+/issue/)?(?P<identifier>[A-Za-z][A-Za-z0-9]{0,19}-[0-9]{1,9})(?:[/?#]\S*)?")
CLAIM = timedelta(seconds=60)  # longer than one issue takes
FIRST_BACKOFF, LONGEST_BACKOFF = timedelta(minutes=1), timedelta(hours=1)
WORK_SECONDS = 12.0  # for one call of `work`; a queued task may take 30


def is_configured(project: Project) -> bool:
    """Whether PRPs of the project get issues."""
    return bool(project.linear_team and (project.linear_token_sealed or settings.LINEAR_API_KEY))


def read_issue(project: Project, address: str) -> IssueText:
    """What the issue behind a link says, or one named by its identifier. Only issues of the project's team are read.

    Raises ServiceError, which says what to do instead.
    """
    paste = "Paste its text instead."
    if not is_configured(project):
        raise ServiceError(f"{project.name} has no Linear team and token in its settings, so its issues cannot be read. {paste}")
    named = ISSUE.fullmatch(address.strip())
    if named is None:
        raise ServiceError(f"“{address.strip()[:80]}” is no link to a Linear issue. {paste}")
    identifier = named["identifier"].upper()
    if identifier.partition("-")[0] != project.linear_team.upper():
        raise ServiceError(f"{identifier} is not of the team {project.linear_team}, which is the project's. {paste}")
    try:
        with Linear(_token_of(project), settings.CE_LINEAR_URL) as linear:
            return linear.read(identifier)
    except LinearError as problem:
        raise ServiceError(f"{problem} {paste}") from None


def want_issues(batch: Batch) -> int:
    """Request issues for the phases without one. Returns how many. Runs in the caller's transaction."""
    missing = Phase.objects.filter(batch=batch, linear_issue=None)
    return len(LinearIssue.objects.bulk_create(LinearIssue(phase=phase, next_try_at=timezone.now()) for phase in missing))


def waiting(now: datetime) -> QuerySet[LinearIssue]:
    """Issues to create now: the PRP is written, no process holds the row, and next_try_at has passed."""
    written = Run.objects.filter(batch=OuterRef("phase__batch"), operation=Operation.GENERATE, state=RunState.SUCCEEDED)
    return LinearIssue.objects.filter(Exists(written), _unclaimed(now), url="", next_try_at__lte=now)


def unlinked(now: datetime) -> QuerySet[LinearIssue]:
    """Created issues whose address is not yet in the PRP document, of batches without a live run."""
    live = Run.objects.filter(batch=OuterRef("phase__batch"), state__in=LIVE_RUN_STATES)
    return LinearIssue.objects.filter(~Exists(live), linked=False, next_try_at__lte=now).exclude(url="")


def has_work(now: datetime) -> bool:
    return waiting(now).exists() or unlinked(now).exists()


def work(*, batch: Batch | None = None, seconds: float = WORK_SECONDS) -> None:
    """Create requested issues, of one batch or all, for about `seconds`, and write them into the PRPs. Idempotent."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rows = waiting(timezone.now())
        row = (rows if batch is None else rows.filter(phase__batch=batch)).order_by("next_try_at", "pk").first()
        if row is None:
            break
        _create_those_of(row.phase.batch, end)
    batches = Batch.objects.filter(phases__linear_issue__in=unlinked(timezone.now())).select_related("project").distinct()
    for one in batches if batch is None else batches.filter(pk=batch.pk):
        _link(one)


def _create_those_of(batch: Batch, end: float) -> None:
    """Create the waiting issues of one batch, in the order of the plan, over one connection."""
    rows = waiting(timezone.now()).filter(phase__batch=batch).select_related("phase__stage").order_by("phase__position")
    project, linear = batch.project, None
    try:
        linear = Linear(_token_of(project), settings.CE_LINEAR_URL)
        team = linear.team_id(project.linear_team)
        for row in rows:
            if time.monotonic() > end:
                return
            _create(linear, team, batch, row)
    except LinearError as problem:
        _put_off(batch, str(problem), problem.retry_seconds)
    finally:
        if linear is not None:
            linear.__exit__()


def _token_of(project: Project) -> str:
    if not project.linear_token_sealed:
        if settings.LINEAR_API_KEY:
            return str(settings.LINEAR_API_KEY)
        raise LinearError("No token is set. Enter one in the project's settings.")
    try:
        return unseal(project.linear_token_sealed)
    except Unreadable as problem:
        raise LinearError(f"The project's token cannot be read. {problem}") from None


def _create(linear: Linear, team: str, batch: Batch, row: LinearIssue) -> None:
    """Create one issue, unless another process holds it. Raises LinearError if other issues would fail, too."""
    now = timezone.now()
    mine = LinearIssue.objects.filter(_unclaimed(now), pk=row.pk, url="")
    if not mine.update(claimed_until=now + CLAIM, tries=F("tries") + 1):
        return
    uid = str(row.uid)
    try:
        issue = linear.find(uid) if row.tries else None
        issue = issue or linear.create(uid=uid, team_id=team, title=_title(row.phase), description=_description(batch, row.phase))
    except LinearError as problem:
        LinearIssue.objects.filter(pk=row.pk).update(
            claimed_until=None, error=str(problem), next_try_at=_next_try(row.tries + 1, problem.retry_seconds)
        )
        Batch.objects.bump(batch.pk)
        logger.warning("batch=%s phase=%s linear: %s", batch.number, row.phase.key, problem)
        if problem.retry_seconds is not None:
            raise
        return
    LinearIssue.objects.filter(pk=row.pk).update(
        claimed_until=None, error="", identifier=issue.identifier, url=issue.url, created_at=timezone.now(), next_try_at=timezone.now()
    )
    Batch.objects.bump(batch.pk)
    logger.info("batch=%s phase=%s linear issue %s", batch.number, row.phase.key, issue.identifier)


def _put_off(batch: Batch, problem: str, seconds: float | None) -> None:
    """Postpone every waiting issue of the project, because the token or the team failed."""
    rows = waiting(timezone.now()).filter(phase__batch__project=batch.project_id)
    tries = max(rows.values_list("tries", flat=True), default=0)
    numbers = set(rows.values_list("phase__batch", flat=True))
    rows_pks: Sequence[int] = list(rows.values_list("pk", flat=True))
    LinearIssue.objects.filter(pk__in=rows_pks).update(error=problem, tries=F("tries") + 1, next_try_at=_next_try(tries + 1, seconds))
    for pk in numbers:
        Batch.objects.bump(pk)
    logger.warning("batch=%s linear: %s", batch.number, problem)


def _next_try(tries: int, seconds: float | None) -> datetime:
    pause = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(tries - 1, 10)) if seconds is None else timedelta(seconds=seconds)
    return timezone.now() + pause


def _unclaimed(now: datetime) -> Q:
    return Q(claimed_until__isnull=True) | Q(claimed_until__lt=now)


def _title(phase: Phase) -> str:
    return f"{phase.prp_id}: {phase.title}"[:250]


def _description(batch: Batch, phase: Phase) -> str:
    path = prp_of(batch, phase, batch.created_at).path
    lines = [phase.goal, "", f"Work order: `{path}` on `{batch.branch}`."]
    lines += [f"Complexity: {phase.complexity}. Hours: {phase.hours_text or '—'}.", "", f"CE Web batch {batch.number}, phase {phase.key}."]
    return "\n".join(lines)


def _link(batch: Batch) -> None:
    """Write the issues' addresses into the front matter of the PRP documents, as one commit on the batch branch."""
    rows = list(unlinked(timezone.now()).filter(phase__batch=batch).select_related("phase__stage"))
    try:
        repository = repository_of(batch)
        head = repository.branch_commit(batch.branch)
        files: dict[str, bytes] = {}
        for row in rows:
            path = prp_of(batch, row.phase, batch.created_at).path
            text = read_document(repository, head, path)
            changed = None if text is None else with_front_matter(text, {"issue": row.url})
            if changed is not None:
                files[path] = changed
        message = f"PRP-{batch.number}: Link issues - {batch.title}\n"
        commit_documents(repository, batch.branch, files, message, str(Path(settings.CE_DATA_DIR) / "documents"))
    except (SubagentError, OSError) as problem:
        logger.warning("batch=%s issues not linked: %s", batch.number, problem)
        later = timezone.now() + LONGEST_BACKOFF
        LinearIssue.objects.filter(pk__in=[row.pk for row in rows]).update(next_try_at=later)
        return
    LinearIssue.objects.filter(pk__in=[row.pk for row in rows]).update(linked=True)


def request_issues(*, batch: Batch, actor: Actor) -> int:
    """Have the missing Linear issues of the batch created, also failed ones; returns how many. Raises ServiceError."""
    actor.require(EXECUTE_BATCH, batch.project)
    if not is_configured(batch.project):
        raise ServiceError(f"Enter a Linear team and a token in the settings of {batch.project.name} first.")
    with transaction.atomic():
        want_issues(batch)
        lacking = LinearIssue.objects.filter(phase__batch=batch, url="").update(next_try_at=timezone.now())
        if not lacking:
            raise NothingToDo(f"Every PRP of batch {batch.number} already has its issue.")
        Batch.objects.bump(batch.pk)
    return lacking
