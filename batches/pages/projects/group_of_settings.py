"""A page of some settings of a project: its form, its suggestions from the repository, and what is saved."""

from collections.abc import Callable

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render

from batches.accounts.access import may
from batches.accounts.rights import refusal as refusal_of
from batches.accounts.roles import CHANGE_PROJECT
from batches.core.engine.pricing import MODELS
from batches.core.errors import BatchError
from batches.integrations.offered_models import offered_models
from batches.models import Project
from batches.pages.common import actor_of, refusals_in
from batches.projects.change_settings import update_project

USE_WORDS = (
    *(("setup", "Set-up command"), ("steps", "Steps"), ("gates", "Gates")),
    *(("agent", "Agents and their shells"), ("servers", "MCP servers that ask for it")),
)


def project_to_change(request: HttpRequest, slug: str) -> Project:
    """The project, for who may change its settings. Raises Http404, PermissionDenied."""
    project = get_object_or_404(Project, slug=slug)
    if not may(request.user, CHANGE_PROJECT, project):
        raise PermissionDenied(refusal_of("Changing a project", CHANGE_PROJECT))
    return project


def settings_page(
    request: HttpRequest,
    slug: str,
    name: str,
    form_class: "type[forms.ModelForm[Project]]",
    suggest: Callable[[Project, QueryDict], object],
    applies: str,
) -> HttpResponse:
    """A page of some settings: `name` is its address and template; `suggest` fills the form from the repository."""
    project = project_to_change(request, slug)
    data = request.POST.copy() if request.method == "POST" else None
    found, looked, refusal = None, data is not None and "look" in data, ""
    if data is not None and looked:
        try:
            found = suggest(project, data)
        except BatchError as error:
            refusal = str(error)
    form = form_class(data, instance=Project.objects.get(pk=project.pk))
    if data is not None and not looked and form.is_valid():
        with refusals_in(form):
            update_project(project=project, changes=form.cleaned_data, actor=actor_of(request))
            messages.success(request, f"Saved. {applies}")
            return redirect(f"batches:{name}", project.slug)
    context = {"project": project, "form": form, "looked": looked, "found": found, "refusal": refusal}
    context |= {"model_names": tuple(MODELS), "offered_models": offered_models}  # asked only by the page that shows them
    context |= {"secrets": project.secrets.all(), "uses": USE_WORDS}
    return render(request, f"projects/{name.removeprefix('project_')}.html", context, status=400 if form.errors and not looked else 200)
