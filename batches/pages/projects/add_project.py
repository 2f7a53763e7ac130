"""Adding a project."""

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from batches.accounts.rights import refusal
from batches.accounts.roles import ADD_PROJECT
from batches.pages.common import actor_of, refusals_in
from batches.pages.forms import Described
from batches.projects.add_project import create_project


class ProjectNew(Described, forms.Form):
    """A repository to work on."""

    name = forms.CharField(max_length=80, help_text="The name shown on these pages.", widget=forms.TextInput(attrs={"autofocus": True}))
    repository = forms.CharField(max_length=1000, help_text="Absolute path of a git repository on the machine that runs CE Web.")
    base_branch = forms.CharField(
        max_length=200,
        required=False,
        label="Base branch",
        help_text="Batches start from it. Only “Merge into it” on a batch's page writes to it. Empty: the current branch.",
    )


@require_http_methods(["GET", "HEAD", "POST"])
def project_new(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm(ADD_PROJECT):
        raise PermissionDenied(refusal("Adding a project", ADD_PROJECT))
    form = ProjectNew(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with refusals_in(form):
            project = create_project(**form.cleaned_data, actor=actor_of(request))
            messages.success(request, f"Added {project.name}.")
            return redirect("batches:project_set_up", project.slug)
    return render(request, "projects/add_project.html", {"form": form}, status=400 if form.errors else 200)
