"""Forms of several pages: they check the format of what a person enters. The services check whether it can be done."""

from collections.abc import Sequence
from typing import Any

from django import forms

from batches.core.engine.pricing import check_model
from batches.core.errors import WrongChoice
from batches.core.text.words import visible
from batches.models import Project

COMPLEXITY_WORDS = "by complexity"
BY_COMPLEXITY = "auto"  # the empty value means the project's setting


class SeenProject(forms.ModelChoiceField):  # type: ignore[type-arg]  # generic in the stubs only
    """A choice of the projects that the person who is asked may see."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Project.objects.none(), **options)

    def __deepcopy__(self, memo: dict[int, Any]) -> "SeenProject":
        made: SeenProject = super().__deepcopy__(memo)
        made.queryset = Project.objects.filter(archived_at=None)  # asked anew for each form: what is seen depends on the request
        return made

    def label_from_instance(self, obj: Project) -> str:
        """The name, with characters that hide or reorder text named, as pages show it."""
        return visible(str(obj))


class Described:
    """Links fields to their help texts for assistive technology."""

    fields: dict[str, forms.Field]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if field.help_text:
                field.widget.attrs["aria-describedby"] = f"id_{name}_help"

    def choose_from(self, name: str, choices: Sequence[tuple[str, str]]) -> None:
        """Set the choices, (value, label), of a field that offers some."""
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices


class ModelField(forms.CharField):
    """A model by its short name or exact id, or "by complexity"; the page offers names that are known."""

    def __init__(self, **options: Any) -> None:
        listed = {"list": "offered-models", "autocomplete": "off", "spellcheck": "false"}
        super().__init__(required=False, max_length=100, widget=forms.TextInput(attrs=listed), **options)

    def prepare_value(self, value: Any) -> Any:
        """As it is shown."""
        return COMPLEXITY_WORDS if value == BY_COMPLEXITY else value

    def clean(self, value: Any) -> str:
        """BY_COMPLEXITY, a model, or "". Raises ValidationError."""
        name = str(super().clean(value))
        if name.lower() in ("", BY_COMPLEXITY, COMPLEXITY_WORDS):
            return BY_COMPLEXITY if name else ""
        try:
            return check_model(name)
        except WrongChoice as problem:
            raise forms.ValidationError(str(problem)) from problem
