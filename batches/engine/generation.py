"""Generate a batch from a plan, and again while nothing of it has been executed; have its Linear issues created.

Nothing here starts a process: the ticker sees the rows within a quarter of a second.
"""

from contextlib import suppress
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.autopilot_steps import AutopilotState, AutopilotStep
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.engine.states import (
    Operation,
)
from batches.core.errors import MadeMeanwhile, ServiceError
from batches.core.plans.analysis import DocumentReport
from batches.core.text.words import counted
from batches.engine.execution_plan import plan_execution
from batches.engine.remote_base import look_at_base
from batches.integrations import linear_issues
from batches.models import Batch, LinearIssue, Plan, Project, Run
from batches.plans.conflict_decisions import decisions_of
from batches.plans.read_plan import report_of
from batches.plans.to_batch import create_conflicts, create_phases, next_number, replace_phases
from batches.repositories.repository import checked_repository
from batches.runs.busy_or_archived import refuse_busy
from batches.runs.create import free_run, open_autopilot
from batches.runs.transitions import move_autopilot
from subagents.contract import SubagentError
from subagents.workspace import RefMoved, branch_ref


def generate(
    *,
    plan: Plan,
    project: Project,
    actor: Actor,
    then: ExecuteOptions | None = None,
    full_autopilot: bool = False,
    asked_by: UUID | None = None,
    newest: int | None = None,
) -> Batch:
    """Create a batch from the plan on the project, and the run that writes its PRPs.

    The branch is created when that run starts its first task: rows without a branch are harmless, and a crash before the
    commit leaves no branch without rows.

    With `then` the execution follows once the PRPs are written; with `full_autopilot` also the reviews before and after it
    and the update of the context. `asked_by` identifies the submitted form: submitting it twice returns the same batch.
    `newest`: the highest number of the plan's batches that the person has seen, 0 for none.
    Raises ServiceError, PermissionDenied; MadeMeanwhile where a batch of the plan is newer than `newest`.
    """
    actor.require(EXECUTE_BATCH, project)
    if asked_by is not None and (existing := Batch.objects.filter(asked_by=asked_by).first()):
        return existing
    report = _sound_report(plan)
    try:
        repository = checked_repository(project)
        note = look_at_base(project, repository)
        base_commit = repository.branch_commit(project.base_branch)
        repository.refuse_missing_objects(base_commit)
        repository.exclude()
        with transaction.atomic():
            if newest is not None:
                Plan.objects.select_for_update(of=("self",)).get(pk=plan.pk)  # of two forms at once the later one waits here
                for made in Batch.objects.filter(plan=plan, number__gt=newest):
                    if asked_by is not None and made.asked_by == asked_by:
                        return made
                    raise MadeMeanwhile(f"Batch {made.number} of this plan was made after you opened this page.")
            batch = Batch.objects.create(
                number=next_number(repository.branches()),
                project=project,
                plan=plan,
                title=report.reading.plan.title[:300],
                base_branch=project.base_branch,
                base_commit=base_commit,
                created_by=actor.user,
                asked_by=asked_by,
                remote_note=note,
            )
            create_phases(batch, report)
            create_conflicts(batch, report, decisions_of(plan))
            if linear_issues.is_configured(project):
                linear_issues.want_issues(batch)
            if then is not None:
                plan_execution(batch=batch, options=then)  # refuse now what Execute would refuse later
            run = free_run(batch, Operation.GENERATE, actor)
            if then is not None:
                open_autopilot(run, AutopilotStep.GENERATE, then, actor, full_autopilot=full_autopilot)
            return batch
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    except IntegrityError:
        if asked_by is not None and (existing := Batch.objects.filter(asked_by=asked_by).first()):
            return existing  # the form was submitted twice at the same moment
        raise


def _sound_report(plan: Plan) -> DocumentReport:
    """The plan, read and analysed. Raises ServiceError with its errors when it has any."""
    report = report_of(plan)
    if report.reading.errors:
        shown = "; ".join(f"line {issue.line}: {issue.message}" for issue in report.reading.errors[:5])
        more = f" (and {len(report.reading.errors) - 5} more)" if len(report.reading.errors) > 5 else ""
        raise ServiceError(f"The plan has {counted(len(report.reading.errors), 'error')}: {shown}{more}")
    return report


def regeneration_refusal(batch: Batch) -> str:
    """Why the batch cannot be generated again; "" while nothing of it has been executed."""
    run = batch.runs.filter(operation__in=[Operation.EXECUTE, Operation.UPDATE_CONTEXT]).order_by("number").first()
    if run is None:
        return ""
    started = f"run {run.number} ({run.get_operation_display()}) has started on it"
    return f"Batch {batch.number} cannot be generated again: {started}. Create a new batch."


def regenerate(*, batch: Batch, plan: Plan, actor: Actor) -> Run:
    """Generate the batch again from `plan`, its own or another version, while nothing of it has been executed.

    Its branch starts again from the base branch; the old commits are kept under a reference. Earlier reviews of its PRPs
    no longer count. Returns the run that writes the PRPs. Raises ServiceError, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH, batch.project)
    report = _sound_report(plan)
    try:
        repository = checked_repository(batch)
        note = look_at_base(batch.project, repository)
        base_commit = repository.branch_commit(batch.project.base_branch)
        with transaction.atomic():
            refuse_busy(batch)
            if refusal := regeneration_refusal(batch):
                raise ServiceError(refusal)
            repository.refuse_checked_out(batch.branch)
            for autopilot_run in batch.autopilot_runs.open():
                reason = "The batch was generated again."
                move_autopilot(autopilot_run, AutopilotState.CANCELLED, now=timezone.now(), cause=actor.cause, reason=reason)
            replace_phases(batch, report)
            create_conflicts(batch, report, decisions_of(plan))
            if linear_issues.is_configured(batch.project):
                linear_issues.want_issues(batch)
            LinearIssue.objects.filter(phase__batch=batch).update(linked=False)
            title, base = report.reading.plan.title[:300], batch.project.base_branch
            columns = {"plan": plan, "title": title, "base_branch": base, "base_commit": base_commit, "remote_note": note}
            Batch.objects.filter(pk=batch.pk).update(edition=F("edition") + 1, **columns)
            Batch.objects.bump(batch.pk)
            batch.refresh_from_db()
            run = free_run(batch, Operation.GENERATE, actor)
            at = repository.ensure_branch(batch.branch, base_commit)
            if at != base_commit:
                with suppress(RefMoved):  # it is kept already
                    repository.move_ref(f"refs/ce/generated/batch-{batch.number}/before-run-{run.number}", at, None)
                repository.move_ref(branch_ref(batch.branch), base_commit, at)
            return run
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
