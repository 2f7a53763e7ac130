"""The form of the Execute page, of a plan and of a batch. The services check whether it can be done."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms
from django.conf import settings

from batches.core.engine.execute_options import MOST_REPAIRS, ExecuteOptions
from batches.core.engine.pricing import MODELS
from batches.core.text.words import visible
from batches.engine.execution_plan import Planned, models_of
from batches.integrations.offered_models import listed_words, offered_models
from batches.models import OnConflict, Project, Scheduling
from batches.models.choices import BACKEND_CHOICES
from batches.pages.forms import BY_COMPLEXITY, COMPLEXITY_WORDS, Described, ModelField, SeenProject

PHASE_MODELS_UP_TO = 200  # with more phases there is no model list per phase


# Fields of the confirmation that keep what was entered while another choice draws it again.
KEPT_CHOICES = (
    *("what", "backend", "model", "max_parallel", "budget_usd", "on_conflict", "timeout_minutes", "scheduling", "fail_fast"),
    *("retry_model", "repairs", "phase_cap_usd", "host"),
)


INHERIT = [("", "The project's setting")]


class Execute(Described, forms.Form):
    """The confirmation before an execution. An empty field means the project's setting."""

    project = SeenProject(empty_label="Choose a project…", error_messages={"required": "Choose the project to execute it on."})
    backend = forms.ChoiceField(required=False, choices=INHERIT + BACKEND_CHOICES)
    max_parallel = forms.IntegerField(required=False, min_value=1, max_value=256, label="Phases in parallel")
    timeout_minutes = forms.FloatField(required=False, min_value=0.01, max_value=7 * 24 * 60, label="Time limit per phase, minutes")
    scheduling = forms.ChoiceField(required=False, choices=INHERIT + list(Scheduling.choices))
    on_conflict = forms.ChoiceField(
        required=False,
        choices=list(OnConflict.choices),
        label="Undecided conflicts",
        help_text="How to run phases that change the same file in parallel.",
    )
    fail_fast = forms.NullBooleanField(
        required=False,
        label="Stop at the first failure",
        widget=forms.Select(choices=[*INHERIT, ("true", "yes"), ("false", "no, continue where possible")]),
    )
    model = ModelField(help_text="By complexity: haiku for low and medium (sonnet for a retry of medium), sonnet for high.")
    retry_model = ModelField(label="Model for retries")
    budget_usd = forms.DecimalField(
        required=False, min_value=Decimal("0.01"), max_value=100_000, decimal_places=6, label="Budget for the batch, US dollars",
        help_text="Includes the cost of earlier runs of the batch. Nothing more starts when it is used up.",
    )  # fmt: skip
    phase_cap_usd = forms.DecimalField(
        required=False, min_value=Decimal("0.01"), max_value=100_000, decimal_places=6, label="Limit per phase, US dollars",
        help_text="The most that one attempt may cost.",
    )  # fmt: skip
    repairs = forms.IntegerField(
        required=False, min_value=0, max_value=MOST_REPAIRS, label="Repairs",
        help_text="How often an agent may repair its work after a failed gate. 0: never.",
    )  # fmt: skip
    host = forms.ChoiceField(required=False, help_text="The machine that executes it. A later retry goes on on the main host.")
    what = forms.ChoiceField(required=False, label="What")
    sent = forms.UUIDField(required=False, widget=forms.HiddenInput, initial=uuid4)  # identifies this form, however often it is sent

    def __init__(
        self,
        *args: Any,
        stages: Iterable[int] = (),
        phases: Iterable[str] = (),
        again: Iterable[str] = (),
        open_phases: Sequence[str] = (),
        of: Project | None = None,
        **kwargs: Any,
    ) -> None:
        """Each of `stages` and `phases` can be chosen on its own; `again` are tasks of the last run that can be retried.

        Each of `open_phases` may get its own model. What is left empty shows the value that `of`, the project, has for it.
        """
        super().__init__(*args, **kwargs)
        self.phase_keys = tuple(open_phases) if len(open_phases) <= PHASE_MODELS_UP_TO else ()
        for key in self.phase_keys:
            self.fields[f"model-{key}"] = ModelField()
            named = {"aria-label": f"Model of phase {key}", "class": "select-s", "placeholder": "as above"}
            self.fields[f"model-{key}"].widget.attrs |= named
        retries = [(f"retry:{key}", f"Retry {key} and the phases that it blocked") for key in again]
        resume = [("resume", "Resume the last run: all failed, blocked and cancelled phases")] if retries else []
        self.choose_from(
            "what",
            [
                ("", "All remaining phases"),
                *resume,
                *retries,
                *((f"stage:{number}", f"Only stage {number}") for number in stages),
                *((f"phase:{key}", f"Only phase {key}") for key in phases),
            ],
        )
        again_from = {"hx-get": "", "hx-include": "closest form", "hx-params": "not csrfmiddlewaretoken", "hx-trigger": "change"}
        shown = {"hx-target": "#execute-form", "hx-select": "#execute-form", "hx-swap": "outerHTML"}
        for name in ("project", "what", "backend", "model"):  # what the page says depends on them
            self.fields[name].widget.attrs |= again_from | shown
        if of is not None and of.workers:
            names = [settings.CE_HOST, *of.workers]
            self.choose_from("host", [("", "the one with the least work"), *((name, visible(name)) for name in names)])
        else:
            del self.fields["host"]
        self.model_names, self.offered_models = (COMPLEXITY_WORDS, *MODELS), offered_models()
        if said := listed_words():
            self.fields["model"].help_text += f" {said}"
        self._show_values(of)

    def _show_values(self, project: Project | None) -> None:
        """Say in each field what it stands at while it is left empty."""
        values = inherited(project)
        for name in ("max_parallel", "timeout_minutes", "budget_usd", "phase_cap_usd", "repairs", "model", "retry_model"):
            self.fields[name].widget.attrs["placeholder"] = values.get(name, "the project's setting")
        for name in ("backend", "scheduling"):
            _, *others = self.fields[name].widget.choices
            self.choose_from(name, [("", values.get(name, INHERIT[0][1])), *others])
        _, *others = self.fields["fail_fast"].widget.choices
        self.fields["fail_fast"].widget.choices = [("", values.get("fail_fast", INHERIT[0][1])), *others]

    @property
    def rest(self) -> list[tuple[str, str]]:
        """(label, value) of the fields under "More", as they stand."""
        found = []
        for name in ("on_conflict", "timeout_minutes", "scheduling", "fail_fast", "retry_model", "repairs", "phase_cap_usd", "host"):
            if name not in self.fields:
                continue
            field, value = self.fields[name], self[name].value()
            if isinstance(field.widget, forms.Select):
                text = next((label for key, label in field.widget.choices if str(key) == ("" if value is None else str(value).lower())), "")
            else:
                text = str(value or field.widget.attrs["placeholder"])
            found.append((str(field.label or name.replace("_", " ")).partition(",")[0], str(text)))
        return found

    @property
    def budget(self) -> object:
        """The entered budget, or the initial one."""
        return self.cleaned_data.get("budget_usd") if self.is_bound and self.is_valid() else self.initial.get("budget_usd")

    @property
    def goes_on(self) -> bool:
        """Whether to resume the last run instead of starting a new one."""
        return self.cleaned_data["what"].partition(":")[0] in ("resume", "retry")

    @property
    def names(self) -> list[str]:
        """The phases to retry; empty for all."""
        kind, _, chosen = self.cleaned_data["what"].partition(":")
        return [chosen] if kind == "retry" else []

    def options(self) -> ExecuteOptions:
        """The valid form as options for the services."""
        data = self.cleaned_data
        kind, _, chosen = data["what"].partition(":")
        return ExecuteOptions(
            stage=int(chosen) if kind == "stage" else None,
            phase=chosen if kind == "phase" else None,
            max_parallel=data["max_parallel"],
            backend=data["backend"] or None,
            timeout_minutes=data["timeout_minutes"],
            fail_fast=data["fail_fast"],
            on_conflict=None if self.goes_on else data["on_conflict"] or None,
            scheduling=data["scheduling"] or None,
            model=_model(data["model"]),
            retry_model=_model(data["retry_model"]),
            repairs=data["repairs"],
            host=None if self.goes_on else data.get("host") or None,
            models={key: data[f"model-{key}"] for key in self.phase_keys if data[f"model-{key}"] not in ("", BY_COMPLEXITY)},
            budget_usd=None if data["budget_usd"] is None else str(data["budget_usd"]),
            phase_cap_usd=None if data["phase_cap_usd"] is None else str(data["phase_cap_usd"]),
        )

    def models(self, project: Project | None, phases: Sequence[Planned]) -> list[tuple[object, str, forms.BoundField | None]]:
        """Each phase with the model that it gets by the current form, and its own field."""
        if project is None:
            return []
        if self.is_bound and self.is_valid():
            options = self.options()
        else:
            own = {key: self.initial.get(f"model-{key}") for key in self.phase_keys}
            options = ExecuteOptions(
                model=self.initial.get("model") or None,
                retry_model=self.initial.get("retry_model") or None,
                models={key: name for key, name in own.items() if name},
            )
        chosen = models_of(project, phases, options)
        return [(phase, str(chosen[phase.key]), self[f"model-{phase.key}"] if phase.key in self.phase_keys else None) for phase in phases]


def inherited(project: Project | None) -> dict[str, str]:
    """{field: the value that the project has for it}, in words; empty without a project."""
    if project is None:
        return {}
    amounts = {name: getattr(project, name) for name in ("budget_usd", "phase_cap_usd")}
    return {
        "backend": f"{project.backend} (project)",
        "max_parallel": f"{project.max_parallel} (project)",
        "timeout_minutes": f"{project.phase_limit_seconds / 60:g} (project)",
        "scheduling": f"{project.get_scheduling_display()} (project)",
        "fail_fast": f"{'yes' if project.fail_fast else 'no, continue where possible'} (project)",
        "model": f"{project.model or 'by complexity'} (project)",
        "retry_model": f"{project.retry_model or 'by complexity'} (project)",
        "repairs": f"{project.repairs} (project)",
        **{name: "none" if amount is None else f"{amount:.2f} (project)" for name, amount in amounts.items()},
    }


def _model(choice: str) -> str | None:
    return "" if choice == BY_COMPLEXITY else choice or None
