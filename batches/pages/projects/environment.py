"""The environment of a project: what its commands need besides the commit, and its secrets."""

import re

from django import forms
from django.http import HttpRequest, HttpResponse, QueryDict
from django.views.decorators.http import require_http_methods

from batches.core.gates.environment_proposal import EnvironmentProposal
from batches.gates.discovery import propose_setup
from batches.models import Project
from batches.pages.common import actor_of
from batches.pages.forms import Described
from batches.pages.projects.fields import stripped_lines
from batches.pages.projects.group_of_settings import settings_page


class ProjectEnvironment(Described, forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """What the commands of its steps and gates need besides the commit."""

    class Meta:
        model = Project
        fields = ["setup_command", "setup_inputs", "setup_network", "bring_along", "environment_path", "environment_variables"]
        widgets = {name: forms.Textarea(attrs={"rows": rows, "class": "mono"}) for name, rows in (
            ("setup_command", 4), ("setup_inputs", 2), ("bring_along", 2), ("environment_path", 2), ("environment_variables", 3)
        )}  # fmt: skip
        labels = {
            "setup_command": "Set-up command",
            "setup_inputs": "Input files",
            "setup_network": "The set-up command may use the network",
            "bring_along": "Bring along",
            "environment_path": "First in PATH",
            "environment_variables": "Environment variables",
        }
        help_texts = {
            "setup_command": "A shell script, such as: npm ci. It runs in a clean checkout, in the sandbox. Empty: nothing is built.",
            "setup_inputs": "Globs, one per line. When one of these files changes, the environment is built again. "
            "Empty: the usual manifests and lock files.",
            "setup_network": "Steps and gates follow the project's own network setting.",
            "bring_along": "Files of the repository's folder that git ignores, such as .env, one per line. They are copied, read-only.",
            "environment_path": "Folders of the checkout, one per line. Empty: .venv/bin, node_modules/.bin and the like, where they are.",
            "environment_variables": "NAME=VALUE, one per line. {environment}: its folder. Secrets have a form of their own.",
        }

    def clean_bring_along(self) -> str:
        return self._paths("bring_along")

    def clean_environment_path(self) -> str:
        return self._paths("environment_path")

    def clean_environment_variables(self) -> str:
        """NAME=VALUE in each line."""
        lines = stripped_lines(self.cleaned_data["environment_variables"])
        for line in lines:
            name = line.partition("=")[0].strip()
            if "=" not in line or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise forms.ValidationError(f"{line} is not of the form NAME=VALUE.")
        return "\n".join(lines)

    def _paths(self, field: str) -> str:
        """Relative paths that stay inside the repository, one per line."""
        lines = stripped_lines(self.cleaned_data[field])
        for line in lines:
            if line.startswith("/") or "\0" in line or {"..", ".git"} & set(line.split("/")):
                raise forms.ValidationError(f"{line} is not a path inside the repository.")
        return "\n".join(lines)


@require_http_methods(["GET", "HEAD", "POST"])
def project_environment(request: HttpRequest, slug: str) -> HttpResponse:
    """What commands need besides the commit. "look" fills the form with a proposal; only "Save" stores anything."""

    def suggest(project: Project, data: QueryDict) -> EnvironmentProposal | None:
        found = propose_setup(project=project, actor=actor_of(request))
        if found is not None:
            data["setup_command"], data["environment_variables"] = found.setup, found.variables
        return found

    return settings_page(request, slug, "project_environment", ProjectEnvironment, suggest, "Attempts that start from now on use it.")
