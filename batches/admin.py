"""The administration: all tables, read-only. Actions call services and show the result of each row."""

from collections.abc import Callable, Mapping
from functools import wraps
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
from batches.engine import autopilot, execution, generation, pause_and_cancel, retries
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
from batches.review.begin_context_update import update_context
from batches.review.begin_review import review, usual_moment

BATCHES_OFFERED = 50
MESSAGES_SHOWN = 20

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


def for_each(description: str, *related: str) -> Callable[[Callable[[Any, Actor], str]], Callable[..., None]]:
    """An action of an admin page: it asks a service for each chosen row, and shows what it says or why it refuses."""

    def action_of(call: Callable[[Any, Actor], str]) -> Callable[..., None]:
        @admin.action(description=description, permissions=["view"])
        @wraps(call)
        def action(model_admin: ReadOnlyAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> None:
            actor, done, refused = Actor.person(request.user), 0, 0
            for row in queryset.select_related(*related).order_by("pk"):
                try:
                    text, level = f"{row}: {call(row, actor)}", messages.SUCCESS
                    done += 1
                except (BatchError, PermissionDenied) as error:
                    text, level = f"{row}: refused. {error}", messages.WARNING
                    refused += 1
                if done + refused <= MESSAGES_SHOWN:
                    model_admin.message_user(request, text, level)
            model_admin.message_user(request, f"{done} done, {refused} refused.", messages.INFO)

        return action

    return action_of


@admin.register(Project)
class ProjectAdmin(ReadOnlyAdmin):
    """Read-only: the project's page checks changes."""

    list_display = ["name", "repository", "base_branch", "backend", "max_parallel", "created_at"]
    search_fields = ["name", "repository"]
    exclude = ["linear_token_sealed", "forge_token_sealed", "notify_secret_sealed", "notify_others_sealed"]


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    """Read-only: people are added and changed on the page People."""

    list_display = ["username", "email", "is_active", "is_superuser", "last_login", "date_joined"]
    list_filter = ["groups", "is_active"]
    search_fields = ["username", "email"]
    fields = ["username", "email", "is_active", "is_superuser", "groups", "last_login", "date_joined"]


@for_each("Generate batches of selected plans", "project")
def generate_selected(plan: Plan, actor: Actor) -> str:
    """Generate a batch from each plan on its project."""
    if plan.project is None:
        raise ServiceError("It has no project; choose one on the plan's page.")
    return f"{generation.generate(plan=plan, project=plan.project, actor=actor)} is being generated."


@admin.register(Plan)
class PlanAdmin(ReadOnlyAdmin):
    list_display = ["title", "version", "project", "phase_count", "stage_count", "error_count", "created_at", "created_by"]
    list_filter = ["project"]
    search_fields = ["title", "file_name"]
    list_select_related = ["project", "created_by"]
    actions = [generate_selected]


@for_each("Execute the remaining phases of selected batches", "project", "plan")
def execute_selected(batch: Batch, actor: Actor) -> str:
    """Start an execution of each batch with its project's settings."""
    run = execution.execute(batch=batch, actor=actor, options=ExecuteOptions())
    return f"run {run.number} executes it."


@for_each("Review selected batches", "project", "plan")
def review_selected(batch: Batch, actor: Actor) -> str:
    """Review the code of executed batches, and the PRPs of the others."""
    run = review(batch=batch, actor=actor, moment=usual_moment(batch))
    return f"run {run.number} reviews it."


@for_each("Update the context of selected batches", "project", "plan")
def update_context_of_selected(batch: Batch, actor: Actor) -> str:
    """Propose updates of PRPs, CLAUDE.md and memory files after the batches' executions."""
    run = update_context(batch=batch, actor=actor)
    return f"run {run.number} proposes an update on {batch.context_branch}."


@for_each("Regenerate the PRPs of selected batches", "project", "plan")
def regenerate_selected(batch: Batch, actor: Actor) -> str:
    """Regenerate batches of which nothing was executed, from the latest version of their plans."""
    plan = Plan.objects.series_of(batch.plan).order_by("-version")[0]
    run = generation.regenerate(batch=batch, plan=plan, actor=actor)
    return f"run {run.number} regenerates its PRPs."


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    list_display = ["number", "title", "project", "base_branch", "created_at", "created_by"]
    list_filter = ["project"]
    search_fields = ["title", "number"]
    list_select_related = ["project", "created_by"]
    actions = [execute_selected, review_selected, update_context_of_selected, regenerate_selected]


@for_each("Cancel selected runs", "batch")
def cancel_selected(run: Run, actor: Actor) -> str:
    """Cancel the selected runs and end all their processes."""
    pause_and_cancel.cancel(run=run, actor=actor)
    return "is being cancelled."


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ["batch", "number", "operation", "state", "paused", "backend", "started_at", "ended_at", "created_by"]
    list_filter = ["state", "operation"]
    list_select_related = ["batch", "created_by"]
    actions = [cancel_selected]


@for_each("Resume selected autopilot runs", "batch")
def go_on_selected(autopilot_run: AutopilotRun, actor: Actor) -> str:
    """Resume waiting autopilot runs. A review that does not approve is overruled on its batch's page."""
    autopilot.resume(autopilot_run=autopilot_run, actor=actor)
    return "resumed."


@for_each("End selected autopilot runs", "batch")
def leave_selected(autopilot_run: AutopilotRun, actor: Actor) -> str:
    """End the autopilot; the current run continues."""
    autopilot.stop(autopilot_run=autopilot_run, actor=actor)
    return "ended."


@admin.register(AutopilotRun)
class AutopilotRunAdmin(ReadOnlyAdmin):
    list_display = ["batch", "whole", "step", "state", "reason", "run", "moved_at", "moved_cause", "created_by"]
    list_filter = ["state", "step", "whole"]
    list_select_related = ["batch", "run__batch", "created_by"]
    actions = [go_on_selected, leave_selected]


@for_each("Retry selected tasks", "run__batch")
def retry_selected(task: Task, actor: Actor) -> str:
    """Retry the selected tasks and those that they blocked."""
    opened = retries.retry_task(task=task, actor=actor)
    return f"will be retried: {', '.join(one.name for one in opened)}."


@for_each("Drop the phases of selected tasks", "run__batch__project")
def drop_selected(task: Task, actor: Actor) -> str:
    """Drop failed phases. Their work is kept; phases that depend on them stay blocked."""
    return f"dropped, its work is kept as {drop_phase(task=task, actor=actor)}."


@for_each("Take my resolutions of selected tasks (branches resolve/batch-N-PHASE)", "run__batch__project")
def take_resolution_of_selected(task: Task, actor: Actor) -> str:
    """Take the branch that the conflict's page names for a manual resolution."""
    branch = resolution_branch(task)
    opened = retries.take_resolution(task=task, commit=branch, actor=actor)
    return f"{branch} is judged and merged; will be retried: {', '.join(one.name for one in opened)}."


@admin.register(Task)
class TaskAdmin(ReadOnlyAdmin):
    list_display = ["name", "run", "kind", "state", "reason", "message", "changed_at"]
    list_filter = ["state", "reason", "kind"]
    search_fields = ["name", "message"]
    list_select_related = ["run__batch"]
    actions = [retry_selected, drop_selected, take_resolution_of_selected]


# Tables without actions: {model: (its columns, the filters beside it, what a search reads, what is joined)}.
TABLES: Mapping[type[Model], tuple[str, str, str, str]] = {
    ApiToken: ("name user ending created_at expires_at last_used_at revoked_at", "", "", "user"),
    AuditEvent: ("at kind what cause address refused", "kind refused", "what cause", ""),
    Stage: ("batch number", "", "", "batch"),
    Phase: ("prp_id batch stage key title hours complexity", "", "title key prp_id", "batch stage"),
    Gate: ("phase position kind text command", "kind", "", "phase"),
    LinearIssue: ("phase identifier url tries error next_try_at created_at", "", "identifier error", "phase__batch"),
    Conflict: ("batch file kind phases decision decided_by collided", "kind decision", "", "batch decided_by"),
    PredictedConflict: ("run file phases seen_at gone_at collided", "collided", "", "run__batch"),
    Idea: ("project title wanted plan cap_usd problem created_by created_at", "wanted", "", "project plan created_by"),
    PlanDecision: ("plan file kind phases decision decided_by decided_at", "kind decision", "", "plan decided_by"),
    Attempt: ("task number host outcome reason launched_at ended_at tokens_used cost_usd", "outcome reason host", "", "task__run__batch"),
    Result: ("attempt status steps_completed total_steps", "status", "", "attempt__task__run__batch"),
    GateCheck: (
        "title origin attempt status flaky command exit_code seconds at",
        "status flaky origin",
        "",
        "gate attempt__task__run__batch",
    ),
    SignOff: (
        "gate accepted attempt name at reason withdrawn_name withdrawn_at withdraw_reason",
        "",
        "name reason gate__text",
        "gate attempt__task__run__batch",
    ),
    GateOpinion: ("gate attempt review opinion evidence model", "opinion", "", "gate attempt__task__run__batch review__run__batch"),
    Review: ("run moment verdict commit overruled_name overrule_reason", "moment verdict", "", "run__batch"),
    Finding: ("review severity category place message suggestion", "severity category", "place message", "review__run__batch"),
    ContextChange: ("run decision files decided_cause decided_at merge_commit", "decision", "", "run__batch"),
    Transition: (
        "at run task event from_state to_state reason cause",
        "event to_state reason",
        "cause message",
        "run__batch task__run__batch",
    ),
    BaseMerge: ("batch base_branch method merged problem cause asked_at ended_at", "merged method", "", "batch"),
    PullRequest: ("batch forge number status url error cause asked_at ended_at", "status forge", "", "batch"),
    Verification: ("batch agrees problem cause asked_at ended_at", "agrees", "", "batch"),
    Host: ("name pid slots started_at last_tick_at lease_until", "", "", ""),
}
SECRET_COLUMNS = {ApiToken: "digest", Attempt: "token"}  # never shown: they authenticate

for _model, (_columns, _filters, _searched, _joined) in TABLES.items():
    admin.site.register(
        _model,
        ReadOnlyAdmin,
        list_display=_columns.split(),
        list_filter=_filters.split(),
        search_fields=_searched.split(),
        list_select_related=_joined.split() or False,
        exclude=[SECRET_COLUMNS[_model]] if _model in SECRET_COLUMNS else None,
    )
