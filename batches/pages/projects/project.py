"""The page of a project: its work, its settings, and buttons for its messages and commands."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from batches.accounts.access import may
from batches.accounts.roles import ADD_PROJECT, CHANGE_PROJECT, MERGE_BATCH, WRITE_PLANS
from batches.accounts.sessions import is_confirmed
from batches.core.engine.pricing import MODELS
from batches.core.errors import BatchError
from batches.engine.preflight import preflight_checks
from batches.integrations.installation import offered_models
from batches.integrations.notifications import TRIES, send_again, try_channels
from batches.models import Notification, Project
from batches.pages.accounts.sign_in import ask_to_confirm
from batches.pages.common import act, actor_of
from batches.pages.projects.settings_form import ProjectSettings, fill_in
from batches.projects.archive import archive_project
from batches.projects.claude_commands import change_claude_commands
from batches.projects.monthly_budget import month_to_date
from batches.projects.services import update_project

TREND_RUNS = 30


SECRETS = ("linear_token", "linear_forget", "notify_webhook", "notify_secret", "notify_forget")


@require_http_methods(["GET", "HEAD", "POST"])
def project_detail(request: HttpRequest, slug: str) -> HttpResponse:
    project = get_object_or_404(Project, slug=slug)
    may_change = may(request.user, CHANGE_PROJECT, project)
    if request.method == "POST" and not may_change:
        raise PermissionDenied("Changing a project requires the role admin, of the installation or in the project.")
    data = request.POST.copy() if request.method == "POST" else None
    filled = data is not None and "fill" in data
    if data is not None and filled:
        said = fill_in(data)
        (messages.info if said else messages.error)(request, said or "Choose a recipe first.")
    form = ProjectSettings(data, instance=Project.objects.get(pk=project.pk))
    if request.method == "POST" and not filled and form.is_valid():
        form.cleaned_data.pop("recipe")
        if any(form.cleaned_data.get(name) for name in SECRETS) and not is_confirmed(request):
            return ask_to_confirm(request)
        try:
            update_project(project=project, changes=form.cleaned_data, actor=actor_of(request))
        except BatchError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, "Saved.")
            return redirect(f"{reverse('batches:project_detail', args=[project.slug])}?tab=settings")
    settings_shown = request.method == "POST" or request.GET.get("tab") == "settings"
    context = {
        "tab": "settings" if settings_shown else "work",
        "groups": form.groups,
        "may_write": may(request.user, WRITE_PLANS, project),
        "trend": [one for one in project.batches.with_state().order_by("-number")[:TREND_RUNS] if one.run_ended_at is not None][::-1],
        "checks": preflight_checks(project=project) if "checks" in request.GET else (),
        "project": project,
        "model_names": tuple(MODELS),
        "offered_models": offered_models,
        "form": form,
        "may_change": may_change,
        "may_delete": may(request.user, ADD_PROJECT, None),
        "may_merge": may(request.user, MERGE_BATCH, project),
        "rules": project.gate_rules,
        "month": month_to_date(project, timezone.now()),
        "batches": project.batches.with_state().order_by("-number")[:10],
        "notices": Notification.objects.filter(run__batch__project=project)[:5] if may_change else [],
        "notice_tries": TRIES,
        "plans": project.plans.defer("text")[:10],
    }
    return render(request, "projects/project.html", context, status=400 if form.errors and not filled else 200)


@require_POST
def archive(request: HttpRequest, slug: str) -> HttpResponse:
    """Archive the project; with `back` bring it back."""
    project, back = get_object_or_404(Project, slug=slug), "back" in request.POST

    def verb() -> str:
        archive_project(project=project, actor=actor_of(request), back=back)
        return "Lists show it again." if back else "Archived: lists hide it and its batches, and nothing was deleted."

    return act(request, verb, reverse("batches:project_detail", args=[slug]))


@require_POST
def try_messages(request: HttpRequest, slug: str) -> HttpResponse:
    """Send a test notification over the project's channels."""
    project = get_object_or_404(Project, slug=slug)
    return act(
        request,
        lambda: try_channels(project=project, actor=actor_of(request)),
        reverse("batches:project_detail", args=[project.slug]),
    )


@require_POST
def message_again(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Send one notification of the project once more."""
    project = get_object_or_404(Project, slug=slug)
    notice = get_object_or_404(Notification.objects.select_related("run__batch__project"), pk=pk, run__batch__project=project)

    def verb() -> str:
        send_again(notice=notice, actor=actor_of(request))
        return f"It is sent again by {notice.get_channel_display()}."

    return act(request, verb, reverse("batches:project_detail", args=[project.slug]))


@require_POST
def project_commands(request: HttpRequest, slug: str) -> HttpResponse:
    """Install or renew the commands for Claude Code in the repository, or remove them."""
    project = get_object_or_404(Project, slug=slug)
    remove = request.POST.get("do") == "remove"
    return act(
        request,
        lambda: change_claude_commands(project=project, actor=actor_of(request), remove=remove).words,
        reverse("batches:project_detail", args=[project.slug]),
    )
