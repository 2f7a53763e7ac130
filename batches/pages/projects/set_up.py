"""The set-up of a project that was just added: what its repository speaks for, in one form with one button."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from batches.accounts.access import may
from batches.accounts.roles import ADD_PROJECT
from batches.core.errors import BatchError
from batches.gates.discovery import look_at_repository, propose_setup
from batches.models import Project
from batches.models.choices import BACKEND_CHOICES
from batches.pages.common import actor_of, refusals_in
from batches.pages.projects.environment import ProjectEnvironment
from batches.pages.projects.gates import ProjectGates
from batches.pages.projects.group_of_settings import project_to_change
from batches.projects.change_settings import update_project

COMMANDS = ("lint", "test", "coverage")


class ProjectSetUp(ProjectEnvironment):
    """What most projects need to say before their first batch."""

    backend = forms.ChoiceField(
        choices=BACKEND_CHOICES,
        label="Who does the steps",
        help_text="“steps” runs the commands in the plan's steps, without a model. “claude” has an agent do them, and needs an API key. "
        "Other agents: in the settings.",
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.choose_from("backend", [one for one in BACKEND_CHOICES if one[0] in (self.instance.backend, "steps", "claude")])

    class Meta(ProjectEnvironment.Meta):
        fields = ["setup_command", "environment_variables", *(f"{name}_command" for name in COMMANDS), "backend"]
        labels = ProjectEnvironment.Meta.labels | ProjectGates.Meta.labels
        help_texts = ProjectEnvironment.Meta.help_texts | ProjectGates.Meta.help_texts


@require_http_methods(["GET", "HEAD", "POST"])
def project_set_up(request: HttpRequest, slug: str) -> HttpResponse:
    """The form, filled in with what the repository speaks for where nothing is set yet; POST saves it as it stands."""
    project = project_to_change(request, slug)
    proposed: dict[str, str] = {}
    why: dict[str, str] = {}
    unseen: tuple[str, ...] = ()
    refusal = ""
    try:
        environment = propose_setup(project=project, actor=actor_of(request))
        found = look_at_repository(project=project, actor=actor_of(request))
    except BatchError as error:
        refusal = str(error)
    else:
        if environment is not None:
            proposed |= {"setup_command": environment.setup, "environment_variables": environment.variables}
            why["setup_command"] = environment.why
            unseen = tuple(path for path in environment.readable if path not in project.tool_paths.split("\n"))
        for name in COMMANDS:
            if (one := getattr(found, name)) is not None:
                proposed[f"{name}_command"], why[f"{name}_command"] = one.command, one.why
    initial = {name: text for name, text in proposed.items() if not getattr(project, name)}
    why = {name: text for name, text in why.items() if name in initial}
    form = ProjectSetUp(request.POST or None, instance=Project.objects.get(pk=project.pk), initial=initial)
    opens = bool(unseen) and may(request.user, ADD_PROJECT, None)
    if request.method == "POST" and form.is_valid():
        changes: dict[str, object] = dict(form.cleaned_data)
        if opens and form.cleaned_data["setup_command"]:
            changes["tool_paths"] = "\n".join(filter(None, [project.tool_paths.strip(), *unseen]))
        with refusals_in(form):
            update_project(project=project, changes=changes, actor=actor_of(request))
            messages.success(request, f"{project.name} is set up. Write its first plan, or describe what you want.")
            return redirect("batches:project_detail", project.slug)
    context = {"project": project, "form": form, "why": why, "unseen": unseen, "opens": opens, "refusal": refusal, "proposed": proposed}
    return render(request, "projects/set_up.html", context, status=400 if form.errors else 200)
