"""Projects: repositories that batches work on, and default settings for runs."""

from collections.abc import Callable

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from batches.accounts.access import may
from batches.accounts.rights import refusal
from batches.accounts.roles import ADD_PROJECT, CHANGE_PROJECT, MERGE_BATCH, WRITE_PLANS
from batches.accounts.sessions import is_confirmed
from batches.core.errors import BatchError
from batches.core.gates.discovery import Proposal
from batches.core.gates.environment_proposal import EnvironmentProposal
from batches.engine.preflight import preflight_checks
from batches.gates.discovery import look_at_repository, propose_setup
from batches.integrations.notifications import TRIES, send_again, try_channels
from batches.models import Notification, Project
from batches.pages.accounts.sign_in import ask_to_confirm, confirmed
from batches.pages.common import act, actor_of
from batches.pages.installation.forms import (
    ProjectAgents,
    ProjectEnvironment,
    ProjectGates,
    ProjectNew,
    ProjectSettings,
    ProjectTools,
    fill_in,
)
from batches.projects.framework import change_framework
from batches.projects.month import month_to_date
from batches.projects.secrets import delete_secret, keep_secret
from batches.projects.services import create_project, update_project

USE_WORDS = (
    *(("setup", "Set-up command"), ("steps", "Steps"), ("gates", "Gates")),
    *(("agent", "Agents and their shells"), ("servers", "MCP servers that ask for it")),
)
TREND_RUNS = 30
SECRETS = ("linear_token", "linear_forget", "notify_webhook", "notify_secret", "notify_forget")


@require_safe
def project_list(request: HttpRequest) -> HttpResponse:
    projects = Project.objects.annotate(batch_count=Count("batches"), newest=Max("batches__number")).order_by("name")
    return render(request, "installation/project_list.html", {"projects": projects})


@require_http_methods(["GET", "HEAD", "POST"])
def project_new(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm(ADD_PROJECT):
        raise PermissionDenied(refusal("Adding a project", ADD_PROJECT))
    form = ProjectNew(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            project = create_project(**form.cleaned_data, actor=actor_of(request))
        except BatchError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"Added {project.name}.")
            return redirect("batches:project_detail", project.slug)
    return render(request, "installation/project_new.html", {"form": form}, status=400 if form.errors else 200)


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
        "form": form,
        "may_change": may_change,
        "may_merge": may(request.user, MERGE_BATCH, project),
        "rules": project.gate_rules,
        "month": month_to_date(project, timezone.now()),
        "batches": project.batches.with_state().order_by("-number")[:10],
        "notices": Notification.objects.filter(run__batch__project=project)[:5] if may_change else [],
        "notice_tries": TRIES,
        "plans": project.plans.defer("text")[:10],
    }
    return render(request, "installation/project_detail.html", context, status=400 if form.errors and not filled else 200)


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
        lambda: change_framework(project=project, actor=actor_of(request), remove=remove).words,
        reverse("batches:project_detail", args=[project.slug]),
    )


@require_http_methods(["GET", "HEAD", "POST"])
def project_gates(request: HttpRequest, slug: str) -> HttpResponse:
    """The project's own gates. "look" fills the form with suggestions from the repository; only "Save" stores anything."""

    def suggest(project: Project, data: QueryDict) -> Proposal:
        found = look_at_repository(project=project, actor=actor_of(request))
        for name in ("lint", "test", "coverage"):
            if one := getattr(found, name):
                data[f"{name}_command"] = one.command
        return found

    return _settings_page(request, slug, "project_gates", ProjectGates, suggest, "They apply from the next run or retry.")


@require_http_methods(["GET", "HEAD", "POST"])
def project_environment(request: HttpRequest, slug: str) -> HttpResponse:
    """What commands need besides the commit. "look" fills the form with a proposal; only "Save" stores anything."""

    def suggest(project: Project, data: QueryDict) -> EnvironmentProposal | None:
        found = propose_setup(project=project, actor=actor_of(request))
        if found is not None:
            data["setup_command"], data["environment_variables"] = found.setup, found.variables
        return found

    return _settings_page(request, slug, "project_environment", ProjectEnvironment, suggest, "Attempts that start from now on use it.")


@require_http_methods(["GET", "HEAD", "POST"])
def project_agents(request: HttpRequest, slug: str) -> HttpResponse:
    """What agents of the project are told besides their task."""
    applies = "Attempts that start from now on are told them."
    return _settings_page(request, slug, "project_agents", ProjectAgents, lambda project, data: None, applies)


@require_http_methods(["GET", "HEAD", "POST"])
def project_tools(request: HttpRequest, slug: str) -> HttpResponse:
    """What Claude may use in the project besides files and commands."""
    applies = "Attempts that start from now on have them."
    return _settings_page(request, slug, "project_tools", ProjectTools, lambda project, data: None, applies)


def _settings_page(
    request: HttpRequest,
    slug: str,
    name: str,
    form_class: type[ProjectGates | ProjectEnvironment | ProjectAgents | ProjectTools],
    suggest: Callable[[Project, QueryDict], object],
    applies: str,
) -> HttpResponse:
    """A page of some settings: `name` is its address and template; `suggest` fills the form from the repository, without saving."""
    project = get_object_or_404(Project, slug=slug)
    if not may(request.user, CHANGE_PROJECT, project):
        raise PermissionDenied("Changing a project requires the role admin, of the installation or in the project.")
    data = request.POST.copy() if request.method == "POST" else None
    found, looked, refusal = None, data is not None and "look" in data, ""
    if data is not None and looked:
        try:
            found = suggest(project, data)
        except BatchError as error:
            refusal = str(error)
    form = form_class(data, instance=Project.objects.get(pk=project.pk))
    if data is not None and not looked and form.is_valid():
        try:
            update_project(project=project, changes=form.cleaned_data, actor=actor_of(request))
        except BatchError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"Saved. {applies}")
            return redirect(f"batches:{name}", project.slug)
    context = {"project": project, "form": form, "looked": looked, "found": found, "refusal": refusal}
    context |= {"secrets": project.secrets.all(), "uses": USE_WORDS}
    return render(request, f"installation/{name}.html", context, status=400 if form.errors and not looked else 200)


@require_POST
@confirmed
def project_secret(request: HttpRequest, slug: str) -> HttpResponse:
    """Store, replace or ("delete") delete a secret. Its value is in no answer, also not in one that refuses it."""
    project = get_object_or_404(Project, slug=slug)
    name = request.POST.get("name", "").strip()

    def verb() -> str:
        if "delete" in request.POST:
            delete_secret(project=project, name=name, actor=actor_of(request))
            return f"Deleted {name}."
        uses = [use for use, _ in USE_WORDS if use in request.POST]
        keep_secret(project=project, name=name, value=request.POST.get("value", ""), uses=uses, actor=actor_of(request))
        return f"{name} is stored, encrypted. Attempts that start from now on are given it."

    return act(request, verb, reverse("batches:project_environment", args=[project.slug]))
