"""What several forms of a project have in common."""

from typing import Any

from django import forms

from batches.core.engine.pricing import MODELS, check_model
from batches.core.errors import WrongChoice


class ModelField(forms.CharField):
    """A model's short name or exact id; "" for none."""

    def __init__(self, **more: Any) -> None:
        attributes = {"placeholder": ", ".join(MODELS), "list": "offered-models", "autocomplete": "off", "spellcheck": "false"}
        super().__init__(required=False, max_length=100, widget=forms.TextInput(attrs=attributes), **more)

    def clean(self, value: object) -> str:
        """Raises ValidationError with the short names for what is neither."""
        name = str(super().clean(value))
        try:
            return check_model(name) if name else ""
        except WrongChoice as problem:
            raise forms.ValidationError(str(problem)) from None


def stripped_lines(text: str) -> list[str]:
    return [line.strip() for line in text.replace("\r", "").split("\n") if line.strip()]
