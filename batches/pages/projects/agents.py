"""What agents of a project are told besides their task."""

from django import forms
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from batches.models import Project
from batches.models.choices import Effort
from batches.pages.forms import Described
from batches.pages.projects.fields import ModelField
from batches.pages.projects.group_of_settings import settings_page

MOST_INSTRUCTIONS = 8_000


INSTRUCTIONS = ("instructions_executor", "instructions_reviewer", "instructions_generator")


class ProjectAgents(Described, forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """What agents of this project are told besides their task, and how Claude works."""

    effort = forms.ChoiceField(
        required=False,
        choices=[("", "as its program does by itself"), *Effort.choices],
        help_text="How long Claude thinks before it acts: more takes more tokens.",
    )
    fallback_model = ModelField(label="Model during an overload", help_text="While the chosen one is overloaded. Empty: none.")

    class Meta:
        model = Project
        fields = [*INSTRUCTIONS, "effort", "fallback_model"]
        widgets = {name: forms.Textarea(attrs={"rows": 5, "maxlength": MOST_INSTRUCTIONS}) for name in INSTRUCTIONS}
        labels = {name: f"Instructions for the {name.removeprefix('instructions_')}" for name in INSTRUCTIONS}
        help_texts = {
            "instructions_executor": "Added to its prompt in every phase, such as: Write docstrings. Never touch legacy/.",
            "instructions_reviewer": "Such as: Look for missing translations.",
            "instructions_generator": "For who adds notes to PRPs, and who drafts plans.",
        }

    def clean(self) -> dict[str, object]:
        """Each text is short enough to be told as a whole."""
        cleaned: dict[str, object] = super().clean() or {}
        for name in INSTRUCTIONS:
            text = str(cleaned.get(name, "")).replace("\r", "").strip()
            if len(text) > MOST_INSTRUCTIONS:
                self.add_error(name, f"These are {len(text):,} characters; at most {MOST_INSTRUCTIONS:,} are told. Shorten it.")
            cleaned[name] = text
        return cleaned


@require_http_methods(["GET", "HEAD", "POST"])
def project_agents(request: HttpRequest, slug: str) -> HttpResponse:
    """What agents of the project are told besides their task."""
    applies = "Attempts that start from now on are told them."
    return settings_page(request, slug, "project_agents", ProjectAgents, lambda project, data: None, applies)
