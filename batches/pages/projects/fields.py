"""What several forms of a project have in common."""

from collections.abc import Callable
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


def checked_lines(text: str, fault_of: Callable[[str], str], most: int) -> str:
    """One thing per line. Raises ValidationError for a line that has a fault, and for more than `most`."""
    lines = stripped_lines(text)
    for number, line in enumerate(lines, start=1):
        if fault := fault_of(line):
            raise forms.ValidationError(f"Line {number}, {line[:100]}: {fault}.")
    if len(lines) > most:
        raise forms.ValidationError(f"These are {len(lines)} lines; at most {most} are allowed.")
    return "\n".join(lines)
