"""The gates of a project, judged in addition to those of its plans."""

from django import forms
from django.http import HttpRequest, HttpResponse, QueryDict
from django.views.decorators.http import require_http_methods

from batches.core.gates.discovery import Proposal
from batches.core.gates.project_gates import STANDARD_TEXTS
from batches.gates.discovery import look_at_repository
from batches.models import Project
from batches.pages.common import actor_of
from batches.pages.forms import Described
from batches.pages.projects.group_of_settings import settings_page


class ProjectGates(Described, forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """The project's own gates, judged in addition to the plan's."""

    standard_gates = forms.MultipleChoiceField(
        choices=[(name.value, text) for name, text in STANDARD_TEXTS.items()],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Standard gates, after every phase",
    )

    class Meta:
        model = Project
        fields = [
            *(f"{name}_{part}" for name in ("lint", "test", "coverage") for part in ("command", "when")),
            *("standard_gates", "largest_file_mb", "rerun_gates"),
        ]
        labels = {
            **{f"{name}_command": f"{name.capitalize()} command" for name in ("lint", "test", "coverage")},
            **{f"{name}_when": f"{name.capitalize()}, how often" for name in ("lint", "test", "coverage")},
            "largest_file_mb": "Largest changed file, MB",
            "rerun_gates": "Run a failed command once more",
        }
        help_texts = {
            "lint_command": "Runs in the phase's checkout; exit code 0 passes. Empty: no such gate.",
            "test_command": "Does not pass if no test runs. Empty: no such gate.",
            "coverage_command": "The command must fail if coverage is below the threshold. Empty: no such gate.",
            "largest_file_mb": "For the standard gate on file sizes.",
            "rerun_gates": "If it then passes, the gate passes and is marked flaky. Both outputs are kept.",
        }


@require_http_methods(["GET", "HEAD", "POST"])
def project_gates(request: HttpRequest, slug: str) -> HttpResponse:
    """The project's own gates. "look" suggests some from the repository; only "Save" stores anything."""

    def suggest(project: Project, data: QueryDict) -> Proposal:
        found = look_at_repository(project=project, actor=actor_of(request))
        for name in ("lint", "test", "coverage"):
            if one := getattr(found, name):
                data[f"{name}_command"] = one.command
        return found

    return settings_page(request, slug, "project_gates", ProjectGates, suggest, "They apply from the next run or retry.")
