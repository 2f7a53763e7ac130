"""What a person enters to write a plan: its text, or a template to start from."""

from typing import Any

from django import forms

from batches.core.plans.templates import ABOUT_CHARACTERS, TemplateKind
from batches.pages.forms import Described, SeenProject


class PlanText(forms.Form):
    """A plan as text, with the name of the file it came from."""

    text = forms.CharField(required=False, strip=False, widget=forms.Textarea)
    file_name = forms.CharField(required=False, max_length=255)
    project = SeenProject(required=False, empty_label="No project yet")


class TemplateStart(Described, forms.Form):
    """Which template a plan starts from, for which project, and a sentence about the work."""

    template = forms.ChoiceField(label="Kind of work", choices=[(kind.value, kind.label) for kind in TemplateKind])
    project = SeenProject(required=False, empty_label="None yet")
    about = forms.CharField(
        required=False,
        max_length=ABOUT_CHARACTERS,
        label="What is it about?",
        help_text="One sentence, such as: totals are wrong for an empty order.",
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, auto_id="start_%s", **options)  # the editor on the same page has a project, too
        for field in self.fields.values():
            field.widget.attrs["form"] = "template-form"  # the fields stand inside the editor's form
