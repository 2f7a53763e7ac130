"""The page of a project: its work and its settings."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from batches.accounts.access import may
from batches.accounts.rights import refusal
from batches.accounts.roles import ADD_PROJECT, CHANGE_PROJECT, MERGE_BATCH, WRITE_PLANS
from batches.accounts.sessions import is_confirmed
from batches.core.engine.pricing import MODELS
from batches.engine.preflight import preflight_checks
from batches.integrations.notifications import TRIES, ways_of
from batches.integrations.offered_models import offered_models
from batches.models import Notification, Project
from batches.pages.accounts.sign_in import ask_to_confirm
from batches.pages.batches.batch_list import rows_of
from batches.pages.common import actor_of, refusals_in
from batches.pages.projects.settings_form import OTHER_SERVICES, ProjectSettings, fill_in
from batches.projects.change_settings import update_project
from batches.projects.monthly_budget import month_to_date

TREND_RUNS = 30
SECRETS = ("linear_token", "linear_forget", "notify_webhook", "notify_secret", "notify_forget", *OTHER_SERVICES)


@require_http_methods(["GET", "HEAD", "POST"])
def project_detail(request: HttpRequest, slug: str) -> HttpResponse:
    project = get_object_or_404(Project, slug=slug)
    may_change = may(request.user, CHANGE_PROJECT, project)
    if request.method == "POST" and not may_change:
        raise PermissionDenied(refusal("Changing a project", CHANGE_PROJECT))
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
        with refusals_in(form):
            update_project(project=project, changes=form.cleaned_data, actor=actor_of(request))
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
        "batches": rows_of(project.batches.with_state().order_by("-number")[:10]),
        "notices": Notification.objects.filter(run__batch__project=project, user=None)[:5] if may_change else [],
        "notice_tries": TRIES,
        "notice_ways": list(dict.fromkeys(str(channel.label) for channel, _ in ways_of(project))) if may_change else [],
        "plans": project.plans.defer("text")[:10],
    }
    return render(request, "projects/project.html", context, status=400 if form.errors and not filled else 200)
