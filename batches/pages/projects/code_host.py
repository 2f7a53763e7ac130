"""The code host of a project: the address there, the token, and what a batch that succeeded offers first."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from batches.accounts.sessions import is_confirmed
from batches.models.choices import FinishBy, ForgeKind
from batches.pages.accounts.sign_in import ask_to_confirm
from batches.pages.common import actor_of, refusals_in
from batches.pages.forms import Described
from batches.pages.projects.group_of_settings import project_to_change
from batches.projects.change_settings import update_project


class ProjectForge(Described, forms.Form):
    """Where pull requests of the project's batches go."""

    forge = forms.ChoiceField(
        required=False,
        choices=[("", "none"), *ForgeKind.choices],
        label="Code host",
        help_text="What the host of the repository runs, also on a server of your own.",
    )
    forge_address = forms.CharField(
        required=False,
        max_length=500,
        label="Address of the repository",
        widget=forms.TextInput(attrs={"placeholder": "https://github.com/ada/shop", "autocomplete": "off", "spellcheck": "false"}),
        help_text="Of its page there. Branches are pushed to it, and pull requests opened in it.",
    )
    forge_fork = forms.CharField(
        required=False,
        max_length=500,
        label="Fork to push to",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="Where the token may not push to the repository itself. Change it while no pull request is open. Empty: no fork.",
    )
    forge_token = forms.CharField(
        required=False,
        max_length=500,
        label="Token",
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
        help_text="May push, and read and write pull requests and issues. Stored encrypted and never shown. Empty: no change.",
    )
    forge_forget = forms.BooleanField(required=False, label="Delete the token", help_text="It is deleted when you save.")
    finish_by = forms.ChoiceField(
        choices=FinishBy.choices,
        label="Offered first",
        help_text="The main button of a batch that succeeded; both stand beside each other.",
    )

    remark_rounds = forms.IntegerField(
        min_value=0,
        max_value=5,
        label="Remarks given to an agent automatically",
        help_text="So often per pull request, for failed checks and comments of people who may push there. 0: a person decides each time.",
    )


@require_http_methods(["GET", "HEAD", "POST"])
def project_forge(request: HttpRequest, slug: str) -> HttpResponse:
    """Whoever changes the address or the token is asked for the password first: branches go there."""
    project = project_to_change(request, slug)
    shown = {name: getattr(project, name) for name in ("forge", "forge_address", "forge_fork", "finish_by", "remark_rounds")}
    form = ProjectForge(request.POST or None, initial=shown)
    if request.method == "POST" and form.is_valid():
        if {"forge", "forge_address", "forge_fork", "forge_token", "forge_forget"} & set(form.changed_data) and not is_confirmed(request):
            return ask_to_confirm(request)
        with refusals_in(form):
            update_project(project=project, changes=form.cleaned_data, actor=actor_of(request))
            messages.success(request, "Saved.")
            return redirect("batches:project_forge", project.slug)
    context = {"project": project, "form": form}
    return render(request, "projects/code_host.html", context, status=400 if form.errors else 200)
