"""The administration: all tables, read-only. Actions call services and show the result of each row."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.exceptions import NotRegistered
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django_q.models import Failure, OrmQ, Schedule, Success

from batches.accounts.actor import Actor
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.errors import BatchError, ServiceError
from batches.core.text.words import visible
from batches.engine import autopilot, execution, generation, retries, run_control
from batches.engine.conflict_resolutions import drop_phase, resolution_branch
from batches.models import (
    ApiToken,
    Attempt,
    AuditEvent,
    AutopilotRun,
    BaseMerge,
    Batch,
    Conflict,
    ContextChange,
    Finding,
    Gate,
    GateCheck,
    GateOpinion,
    Host,
    Idea,
    LinearIssue,
    Phase,
    Plan,
    PlanDecision,
    PredictedConflict,
    Project,
    PullRequest,
    Result,
    Review,
    Run,
    SignOff,
    Stage,
    Task,
    Transition,
    Verification,
)
from batches.models.visibility import PATHS
from batches.pages.common import LARGEST_NUMBER, read_number
from batches.review.services import review, update_context, usual_moment

BATCHES_OFFERED = 50

# django-q2's admin pages can run any function of the server; the health page shows the queue instead.
# Django's admin pages of users could remove the last administrator; /users/ cannot.
for _model in (OrmQ, Schedule, Success, Failure, User, Group):
    try:
        admin.site.unregister(_model)
    except NotRegistered:
        continue  # its application comes after ours, or registers nothing


class BatchFilter(admin.SimpleListFilter):
    """Rows of one batch; the newest can be chosen, any other by ?batch=NUMBER."""

    title, parameter_name = "batch", "batch"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        newest = Batch.objects.order_by("-number").values_list("number", "title")[:BATCHES_OFFERED]
        return [(str(number), visible(f"{number}: {title}")) for number, title in newest]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        number = read_number(self.value(), most=LARGEST_NUMBER)
        path = PATHS[queryset.model.__name__].removesuffix("project")
        return queryset if number is None else queryset.filter(**{f"{path}number": number})


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """A table whose rows can be viewed but not added, changed or deleted."""

    list_per_page = 50
    show_full_result_count = False

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Its own filters, and those by batch and by project where its rows belong to one."""
        path, filters = PATHS.get(self.model.__name__, ""), list(super().get_list_filter(request))
        if path.endswith("batch__project") or self.model is Batch:
            filters.insert(0, BatchFilter)
        if path.endswith("project") and path not in filters:
            filters.append(path)
        return filters

    def view_on_site(self, obj: Model) -> str | None:
        """The product's page of a row, where it has one."""
        match obj:
            case Project():
                return reverse("batches:project_detail", args=[obj.slug])
            case Plan():
                return reverse("batches:plan_detail", args=[obj.pk])
            case Batch():
                return reverse("batches:detail", args=[obj.number])
            case Run():
                return reverse("batches:detail", args=[obj.batch.number])
            case Phase():
                return reverse("batches:phase", args=[obj.batch.number, obj.key])
            case Task() if obj.phase is not None:
                return reverse("batches:phase", args=[obj.run.batch.number, obj.phase.key])
            case Attempt() if obj.task.phase is not None:
                return f"{reverse('batches:phase', args=[obj.task.run.batch.number, obj.task.phase.key])}?attempt={obj.pk}"
        return None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def each_row(
    model_admin: "ReadOnlyAdmin", request: HttpRequest, rows: QuerySet[Any], call: Callable[[Any, Actor], str], *, max_messages: int = 20
) -> None:
    """Call a service for every row, and show one message per row: the result, or why it was refused."""
    actor = Actor.person(request.user)
    done = refused = 0
    for row in rows:
        try:
            text, level = f"{row}: {call(row, actor)}", messages.SUCCESS
            done += 1
        except (BatchError, PermissionDenied) as error:
            text, level = f"{row}: refused. {error}", messages.WARNING
            refused += 1
        if done + refused <= max_messages:
            model_admin.message_user(request, text, level)
    model_admin.message_user(request, f"{done} done, {refused} refused.", messages.INFO)


@admin.register(Project)
class ProjectAdmin(ReadOnlyAdmin):
    """Read-only: the project's page checks changes."""

    list_display = ["name", "repository", "base_branch", "backend", "max_parallel", "created_at"]
    search_fields = ["name", "repository"]
    exclude = ["linear_token_sealed", "forge_token_sealed", "notify_secret_sealed"]


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    """Read-only: people are added and changed on the page People."""

    list_display = ["username", "email", "is_active", "is_superuser", "last_login", "date_joined"]
    list_filter = ["groups", "is_active"]
    search_fields = ["username", "email"]
    fields = ["username", "email", "is_active", "is_superuser", "groups", "last_login", "date_joined"]


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    list_display = ["name", "user", "ending", "created_at", "expires_at", "last_used_at", "revoked_at"]
    list_select_related = ["user"]
    exclude = ["digest"]


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ["at", "kind", "what", "cause", "address", "refused"]
    list_filter = ["kind", "refused"]
    search_fields = ["what", "cause"]


@admin.register(Plan)
class PlanAdmin(ReadOnlyAdmin):
    list_display = ["title", "version", "project", "phase_count", "stage_count", "error_count", "created_at", "created_by"]
    list_filter = ["project"]
    search_fields = ["title", "file_name"]
    list_select_related = ["project", "created_by"]
    actions = ["generate_selected"]

    @admin.action(description="Generate batches of selected plans", permissions=["view"])
    def generate_selected(self, request: HttpRequest, queryset: QuerySet[Plan]) -> None:
        """Generate a batch from each plan on its project."""

        def call(plan: Plan, actor: Actor) -> str:
            if plan.project is None:
                raise ServiceError("It has no project; choose one on the plan's page.")
            return f"{generation.generate(plan=plan, project=plan.project, actor=actor)} is being generated."

        each_row(self, request, queryset.select_related("project").order_by("pk"), call)


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    list_display = ["number", "title", "project", "base_branch", "created_at", "created_by"]
    list_filter = ["project"]
    search_fields = ["title", "number"]
    list_select_related = ["project", "created_by"]
    actions = ["execute_selected", "review_selected", "update_context_of_selected", "regenerate_selected"]

    @admin.action(description="Execute the remaining phases of selected batches", permissions=["view"])
    def execute_selected(self, request: HttpRequest, queryset: QuerySet[Batch]) -> None:
        """Start an execution of each batch with its project's settings."""

        def call(batch: Batch, actor: Actor) -> str:
            run = execution.execute(batch=batch, actor=actor, options=ExecuteOptions())
            return f"run {run.number} executes it."

        each_row(self, request, queryset.select_related("project", "plan").order_by("pk"), call)

    @admin.action(description="Review selected batches", permissions=["view"])
    def review_selected(self, request: HttpRequest, queryset: QuerySet[Batch]) -> None:
        """Review the code of executed batches, and the PRPs of the others."""

        def call(batch: Batch, actor: Actor) -> str:
            run = review(batch=batch, actor=actor, moment=usual_moment(batch))
            return f"run {run.number} reviews it."

        each_row(self, request, queryset.select_related("project", "plan").order_by("pk"), call)

    @admin.action(description="Update the context of selected batches", permissions=["view"])
    def update_context_of_selected(self, request: HttpRequest, queryset: QuerySet[Batch]) -> None:
        """Propose updates of PRPs, CLAUDE.md and memory files after the batches' executions."""

        def call(batch: Batch, actor: Actor) -> str:
            run = update_context(batch=batch, actor=actor)
            return f"run {run.number} proposes an update on {batch.context_branch}."

        each_row(self, request, queryset.select_related("project", "plan").order_by("pk"), call)

    @admin.action(description="Regenerate the PRPs of selected batches", permissions=["view"])
    def regenerate_selected(self, request: HttpRequest, queryset: QuerySet[Batch]) -> None:
        """Regenerate batches of which nothing was executed, from the latest version of their plans."""

        def call(batch: Batch, actor: Actor) -> str:
            plan = Plan.objects.series_of(batch.plan).order_by("-version")[0]
            run = generation.regenerate(batch=batch, plan=plan, actor=actor)
            return f"run {run.number} regenerates its PRPs."

        each_row(self, request, queryset.select_related("project", "plan").order_by("pk"), call)


@admin.register(Stage)
class StageAdmin(ReadOnlyAdmin):
    list_display = ["batch", "number"]
    list_select_related = ["batch"]


@admin.register(Phase)
class PhaseAdmin(ReadOnlyAdmin):
    list_display = ["prp_id", "batch", "stage", "key", "title", "hours", "complexity"]
    search_fields = ["title", "key", "prp_id"]
    list_select_related = ["batch", "stage"]


@admin.register(Gate)
class GateAdmin(ReadOnlyAdmin):
    list_display = ["phase", "position", "kind", "text", "command"]
    list_filter = ["kind"]
    list_select_related = ["phase"]


@admin.register(LinearIssue)
class LinearIssueAdmin(ReadOnlyAdmin):
    list_display = ["phase", "identifier", "url", "tries", "error", "next_try_at", "created_at"]
    search_fields = ["identifier", "error"]
    list_select_related = ["phase__batch"]


@admin.register(Conflict)
class ConflictAdmin(ReadOnlyAdmin):
    list_display = ["batch", "file", "kind", "phases", "decision", "decided_by", "collided"]
    list_filter = ["kind", "decision"]
    list_select_related = ["batch", "decided_by"]


@admin.register(PredictedConflict)
class PredictedConflictAdmin(ReadOnlyAdmin):
    list_display = ["run", "file", "phases", "seen_at", "gone_at", "collided"]
    list_filter = ["collided"]
    list_select_related = ["run__batch"]


@admin.register(Idea)
class IdeaAdmin(ReadOnlyAdmin):
    list_display = ["project", "title", "wanted", "plan", "cap_usd", "problem", "created_by", "created_at"]
    list_filter = ["wanted"]
    list_select_related = ["project", "plan", "created_by"]


@admin.register(PlanDecision)
class PlanDecisionAdmin(ReadOnlyAdmin):
    list_display = ["plan", "file", "kind", "phases", "decision", "decided_by", "decided_at"]
    list_filter = ["kind", "decision"]
    list_select_related = ["plan", "decided_by"]


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ["batch", "number", "operation", "state", "paused", "backend", "started_at", "ended_at", "created_by"]
    list_filter = ["state", "operation"]
    list_select_related = ["batch", "created_by"]
    actions = ["cancel_selected"]

    @admin.action(description="Cancel selected runs", permissions=["view"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        """Cancel the selected runs and end all their processes."""

        def call(run: Run, actor: Actor) -> str:
            run_control.cancel(run=run, actor=actor)
            return "is being cancelled."

        each_row(self, request, queryset.select_related("batch").order_by("pk"), call)


@admin.register(AutopilotRun)
class AutopilotRunAdmin(ReadOnlyAdmin):
    list_display = ["batch", "whole", "step", "state", "reason", "run", "moved_at", "moved_cause", "created_by"]
    list_filter = ["state", "step", "whole"]
    list_select_related = ["batch", "run__batch", "created_by"]
    actions = ["go_on_selected", "leave_selected"]

    @admin.action(description="Resume selected autopilot runs", permissions=["view"])
    def go_on_selected(self, request: HttpRequest, queryset: QuerySet[AutopilotRun]) -> None:
        """Resume waiting autopilot runs. A review that does not approve is overruled on its batch's page."""

        def call(autopilot_run: AutopilotRun, actor: Actor) -> str:
            autopilot.resume(autopilot_run=autopilot_run, actor=actor)
            return "resumed."

        each_row(self, request, queryset.select_related("batch").order_by("pk"), call)

    @admin.action(description="End selected autopilot runs", permissions=["view"])
    def leave_selected(self, request: HttpRequest, queryset: QuerySet[AutopilotRun]) -> None:
        """End the autopilot; the current run continues."""

        def call(autopilot_run: AutopilotRun, actor: Actor) -> str:
            autopilot.stop(autopilot_run=autopilot_run, actor=actor)
            return "ended."

        each_row(self, request, queryset.select_related("batch").order_by("pk"), call)


@admin.register(Task)
class TaskAdmin(ReadOnlyAdmin):
    list_display = ["name", "run", "kind", "state", "reason", "message", "changed_at"]
    list_filter = ["state", "reason", "kind"]
    search_fields = ["name", "message"]
    list_select_related = ["run__batch"]
    actions = ["retry_selected", "drop_selected", "take_resolution_of_selected"]

    @admin.action(description="Retry selected tasks", permissions=["view"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        """Retry the selected tasks and those that they blocked."""

        def call(task: Task, actor: Actor) -> str:
            opened = retries.retry_task(task=task, actor=actor)
            return f"will be retried: {', '.join(one.name for one in opened)}."

        each_row(self, request, queryset.select_related("run__batch").order_by("pk"), call)

    @admin.action(description="Drop the phases of selected tasks", permissions=["view"])
    def drop_selected(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        """Drop failed phases. Their work is kept; phases that depend on them stay blocked."""

        def call(task: Task, actor: Actor) -> str:
            return f"dropped, its work is kept as {drop_phase(task=task, actor=actor)}."

        each_row(self, request, queryset.select_related("run__batch__project").order_by("pk"), call)

    @admin.action(description="Take my resolutions of selected tasks (branches resolve/batch-N-PHASE)", permissions=["view"])
    def take_resolution_of_selected(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        """Take the branch that the conflict's page names for a manual resolution."""

        def call(task: Task, actor: Actor) -> str:
            branch = resolution_branch(task)
            opened = retries.take_resolution(task=task, commit=branch, actor=actor)
            return f"{branch} is judged and merged; will be retried: {', '.join(one.name for one in opened)}."

        each_row(self, request, queryset.select_related("run__batch__project").order_by("pk"), call)


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    list_display = ["task", "number", "host", "outcome", "reason", "launched_at", "ended_at", "tokens_used", "cost_usd"]
    list_filter = ["outcome", "reason", "host"]
    list_select_related = ["task__run__batch"]
    exclude = ["token"]  # secret: it authenticates the attempt's reports


@admin.register(Result)
class ResultAdmin(ReadOnlyAdmin):
    list_display = ["attempt", "status", "steps_completed", "total_steps"]
    list_filter = ["status"]
    list_select_related = ["attempt__task__run__batch"]


@admin.register(GateCheck)
class GateCheckAdmin(ReadOnlyAdmin):
    list_display = ["title", "origin", "attempt", "status", "flaky", "command", "exit_code", "seconds", "at"]
    list_filter = ["status", "flaky", "origin"]
    list_select_related = ["gate", "attempt__task__run__batch"]


@admin.register(SignOff)
class SignOffAdmin(ReadOnlyAdmin):
    list_display = ["gate", "accepted", "attempt", "name", "at", "reason", "withdrawn_name", "withdrawn_at", "withdraw_reason"]
    search_fields = ["name", "reason", "gate__text"]
    list_select_related = ["gate", "attempt__task__run__batch"]


@admin.register(GateOpinion)
class GateOpinionAdmin(ReadOnlyAdmin):
    list_display = ["gate", "attempt", "review", "opinion", "evidence", "model"]
    list_filter = ["opinion"]
    list_select_related = ["gate", "attempt__task__run__batch", "review__run__batch"]


@admin.register(Review)
class ReviewAdmin(ReadOnlyAdmin):
    list_display = ["run", "moment", "verdict", "commit", "overruled_name", "overrule_reason"]
    list_filter = ["moment", "verdict"]
    list_select_related = ["run__batch"]


@admin.register(Finding)
class FindingAdmin(ReadOnlyAdmin):
    list_display = ["review", "severity", "category", "place", "message", "suggestion"]
    list_filter = ["severity", "category"]
    search_fields = ["place", "message"]
    list_select_related = ["review__run__batch"]


@admin.register(ContextChange)
class ContextChangeAdmin(ReadOnlyAdmin):
    list_display = ["run", "decision", "files", "decided_cause", "decided_at", "merge_commit"]
    list_filter = ["decision"]
    list_select_related = ["run__batch"]


@admin.register(Transition)
class TransitionAdmin(ReadOnlyAdmin):
    list_display = ["at", "run", "task", "event", "from_state", "to_state", "reason", "cause"]
    list_filter = ["event", "to_state", "reason"]
    search_fields = ["cause", "message"]
    list_select_related = ["run__batch", "task__run__batch"]


@admin.register(BaseMerge)
class BaseMergeAdmin(ReadOnlyAdmin):
    list_display = ["batch", "base_branch", "method", "merged", "problem", "cause", "asked_at", "ended_at"]
    list_filter = ["merged", "method"]
    list_select_related = ["batch"]


@admin.register(PullRequest)
class PullRequestAdmin(ReadOnlyAdmin):
    list_display = ["batch", "forge", "number", "status", "url", "error", "cause", "asked_at", "ended_at"]
    list_filter = ["status", "forge"]
    list_select_related = ["batch"]


@admin.register(Verification)
class VerificationAdmin(ReadOnlyAdmin):
    list_display = ["batch", "agrees", "problem", "cause", "asked_at", "ended_at"]
    list_filter = ["agrees"]
    list_select_related = ["batch"]


@admin.register(Host)
class HostAdmin(ReadOnlyAdmin):
    list_display = ["name", "pid", "slots", "started_at", "last_tick_at", "lease_until"]
