"""Forms: what a person types, checked for shape. Whether it can be done is for the services to say."""

import os
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.core.validators import validate_email

from batches.accounts.api_tokens import LIVES_DAYS
from batches.accounts.roles import ADMIN, AUTHOR, EXECUTOR, VIEWER
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.engine.pricing import MODELS
from batches.core.gates.project_gates import STANDARD_TEXTS
from batches.engine.execution_plan import Planned, models_of
from batches.models import OnConflict, Project, Scheduling
from batches.models.choices import BACKEND_CHOICES

MODEL_CHOICES = [(name, name) for name in MODELS]
BY_COMPLEXITY = "auto"  # in place of the empty value, which means the project's setting
PHASE_MODELS_UP_TO = 200  # phases; beyond, a model for each of them is nothing that anybody picks from lists

INHERIT = [("", "The project's setting")]


class Described:
    """Fields tell assistive technology about their help and their errors."""

    fields: dict[str, forms.Field]

    def describe(self) -> None:
        for name, field in self.fields.items():
            if field.help_text:
                field.widget.attrs["aria-describedby"] = f"id_{name}_help"

    def choose_from(self, name: str, choices: Sequence[tuple[str, str]]) -> None:
        """Set the choices, (value, label), of a field that offers some."""
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices


class ProjectNew(Described, forms.Form):
    """A repository to work on."""

    name = forms.CharField(max_length=80, help_text="How it is called on these pages.")
    repository = forms.CharField(max_length=1000, help_text="Absolute path of a git repository on the machine where CE Web runs.")
    base_branch = forms.CharField(
        max_length=200,
        required=False,
        label="Base branch",
        help_text="Batches start from it; only Merge into it, on a batch's page, writes to it. Empty: the current branch.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.describe()


class ProjectSettings(Described, forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """How its batches are executed unless somebody says otherwise."""

    backend = forms.ChoiceField(
        choices=BACKEND_CHOICES,
        help_text="steps runs the fenced commands of the steps and needs no model; claude and command bring an agent.",
    )

    linear_token = forms.CharField(
        required=False,
        max_length=500,
        label="Linear token",
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
        help_text="Kept encrypted and never shown. Empty: as it is.",
    )
    linear_forget = forms.BooleanField(required=False, label="Forget the Linear token", help_text="It is erased when you save.")
    notify_webhook = forms.CharField(
        required=False,
        max_length=1000,
        label="Webhook for messages",
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
        help_text="Told when a batch ends or needs a person. Kept encrypted and never shown. Empty: as it is.",
    )
    notify_forget = forms.BooleanField(required=False, label="Forget the webhook", help_text="It is erased when you save.")
    model = forms.ChoiceField(
        required=False, choices=[("", "by complexity"), *MODEL_CHOICES], help_text="Of every phase, unless Execute says otherwise."
    )
    retry_model = forms.ChoiceField(
        required=False, choices=[("", "by complexity"), *MODEL_CHOICES], label="Model of retries", help_text="After a failed attempt."
    )
    budget_usd = forms.DecimalField(
        required=False, min_value=Decimal("0.01"), max_value=100_000, decimal_places=6, label="Budget of a batch, US dollars",
        help_text="Empty: none. Reserved before each phase; reached, nothing more starts.",
    )  # fmt: skip
    phase_cap_usd = forms.DecimalField(
        required=False, min_value=Decimal("0.01"), max_value=100_000, decimal_places=6, label="Cap of a phase, US dollars",
        help_text="Empty: none. An attempt that reaches it is stopped.",
    )  # fmt: skip

    class Meta:
        model = Project
        fields = [
            *("name", "base_branch", "backend", "agent_command", "max_parallel", "phase_limit_minutes", "silence_seconds", "scheduling"),
            *("model", "retry_model", "budget_usd", "phase_cap_usd"),
            *("undeclared_edits", "deletions", "network", "tool_paths"),
            *("fail_fast", "require_review", "accept_context", "shared_context"),
            *("linear_team", "notify_format", "notify_mail"),
        ]
        widgets = {"tool_paths": forms.Textarea(attrs={"rows": 2})}
        labels = {
            "linear_team": "Linear team",
            "notify_format": "Format of the webhook",
            "notify_mail": "Mail addresses for messages",
            "agent_command": "Command of the agent",
            "max_parallel": "Phases at once",
            "phase_limit_minutes": "Time limit of a phase, minutes",
            "silence_seconds": "Silence limit, seconds",
            "undeclared_edits": "Changes that the plan does not declare",
            "deletions": "Deleted files",
            "network": "Network for commands of",
            "tool_paths": "More paths to read",
            "fail_fast": "Stop at the first failure",
            "require_review": "Require a review before Execute",
            "accept_context": "Accept context updates at once",
            "shared_context": "Give all agents of a run the same context first",
        }
        help_texts = {
            "linear_team": "Its key, such as ENG: each PRP gets an issue there. Empty: none.",
            "agent_command": "For the backend command, such as: codex exec --json --sandbox workspace-write -",
            "max_parallel": "At most this many side by side.",
            "phase_limit_minutes": "A phase that takes longer is stopped.",
            "scheduling": "Stage by stage, or each phase as soon as what it depends on is merged.",
            "undeclared_edits": "Always listed; with fail they are not merged, and the phase fails naming them.",
            "deletions": "Declared or not. Always listed; with fail they are not merged, and the phase fails naming them.",
            "network": "Commands run in a sandbox. Nothing: not even this machine's own ports.",
            "tool_paths": "Tools outside /usr and CE Web's own Python, such as /opt/jdk; absolute, one a line. Never written to.",
            "fail_fast": "Otherwise whatever does not depend on the failed phase goes on.",
            "require_review": "Execute waits until a review approves the PRPs, or a named person overrules it.",
            "accept_context": "Otherwise somebody accepts or rejects each on its page.",
            "shared_context": "CLAUDE.md and memories, once for all, so that the provider's cache serves them.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.describe()


    def clean_notify_mail(self) -> str:
        """Addresses with a comma between them."""
        found = [one.strip() for one in self.cleaned_data["notify_mail"].split(",") if one.strip()]
        for one in found:
            validate_email(one)
        return ", ".join(found)

    def clean_tool_paths(self) -> str:
        """One normal absolute path a line; none that shows everything, or what CE Web keeps."""
        lines = [line.strip() for line in self.cleaned_data["tool_paths"].replace("\r", "").split("\n") if line.strip()]
        data = os.path.realpath(settings.CE_DATA_DIR)
        for line in lines:
            if not os.path.isabs(line) or os.path.normpath(line) != line or "\0" in line:
                raise forms.ValidationError(f"{line} is not a plain absolute path, such as /opt/jdk.")
            real = os.path.realpath(line)
            if os.path.commonpath([real, data]) in (real, data):
                raise forms.ValidationError(f"{line} would show CE Web's own data directory: name what is needed below it.")
        return "\n".join(lines)


class ProjectGates(Described, forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """Which gates its runs judge beside the plan's."""

    standard_gates = forms.MultipleChoiceField(
        choices=[(name.value, text) for name, text in STANDARD_TEXTS.items()],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Without a command, after every phase",
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
            "rerun_gates": "Run a command that fails once more",
        }
        help_texts = {
            "lint_command": "Run in the phase's checkout; exit code 0 passes. Empty: no such gate.",
            "test_command": "A run without any test does not pass. Empty: no such gate.",
            "coverage_command": "It has to fail by itself below the threshold. Empty: no such gate.",
            "largest_file_mb": "For the gate that looks at sizes.",
            "rerun_gates": "When it passes then, the gate counts as passed and is marked flaky; both outputs are kept.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.describe()


class InstallationForm(Described, forms.Form):
    """What holds for all projects."""

    default_backend = forms.ChoiceField(
        choices=BACKEND_CHOICES,
        label="Backend of new projects",
        help_text="Each project can say otherwise.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.describe()


class ApiKeyForm(Described, forms.Form):
    """A key, entered once and never shown again."""

    key = forms.CharField(
        max_length=1000,
        label="API key",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Kept encrypted; shown to nobody again.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.describe()


class PlanText(forms.Form):
    """A plan as text, with the name of the file it came from."""

    text = forms.CharField(required=False, strip=False, widget=forms.Textarea)
    file_name = forms.CharField(required=False, max_length=255)
    project = forms.ModelChoiceField(Project.objects.all(), required=False, empty_label="No project yet")


class Execute(Described, forms.Form):
    """The confirmation before anything runs; an empty field means the project's default."""

    project = forms.ModelChoiceField(Project.objects.all(), empty_label=None)
    backend = forms.ChoiceField(required=False, choices=INHERIT + BACKEND_CHOICES)
    max_parallel = forms.IntegerField(required=False, min_value=1, max_value=256, label="Phases at once")
    timeout_minutes = forms.FloatField(required=False, min_value=0.01, max_value=7 * 24 * 60, label="Time limit of a phase, minutes")
    scheduling = forms.ChoiceField(required=False, choices=INHERIT + list(Scheduling.choices))
    on_conflict = forms.ChoiceField(
        required=False,
        choices=list(OnConflict.choices),
        label="Conflicts nobody decided",
        help_text="What happens to phases that change the same file at the same time.",
    )
    fail_fast = forms.NullBooleanField(
        required=False,
        label="Stop at the first failure",
        widget=forms.Select(choices=[*INHERIT, ("true", "yes"), ("false", "no, whatever can go on does")]),
    )
    model = forms.ChoiceField(
        required=False,
        choices=[*INHERIT, (BY_COMPLEXITY, "by complexity"), *MODEL_CHOICES],
        help_text="By complexity: low and medium get haiku (medium sonnet for a retry), high gets sonnet.",
    )
    retry_model = forms.ChoiceField(
        required=False, choices=[*INHERIT, (BY_COMPLEXITY, "by complexity"), *MODEL_CHOICES], label="Model of retries"
    )
    budget_usd = forms.DecimalField(
        required=False, min_value=Decimal("0.01"), max_value=100_000, decimal_places=6, label="Budget of the batch, US dollars",
        help_text="Counts all that the batch has spent, earlier runs too. Reached, nothing more starts.",
    )  # fmt: skip
    phase_cap_usd = forms.DecimalField(
        required=False, min_value=Decimal("0.01"), max_value=100_000, decimal_places=6, label="Cap of a phase, US dollars",
        help_text="What one attempt may cost.",
    )  # fmt: skip
    what = forms.ChoiceField(required=False, label="What")
    sent = forms.UUIDField(required=False, widget=forms.HiddenInput, initial=uuid4)  # this very form, however often it is sent

    def __init__(
        self,
        *args: Any,
        stages: Iterable[int] = (),
        phases: Iterable[str] = (),
        again: Iterable[str] = (),
        open_phases: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        """`stages` and `phases` can be chosen alone; `again` are tasks of the last run that can be tried again.

        `open_phases` may each be given a model of its own.
        """
        super().__init__(*args, **kwargs)
        self.phase_keys = tuple(open_phases) if len(open_phases) <= PHASE_MODELS_UP_TO else ()
        for key in self.phase_keys:
            widget = forms.Select(attrs={"aria-label": f"Model of phase {key}", "class": "select-s"})
            self.fields[f"model-{key}"] = forms.ChoiceField(required=False, choices=[("", "as above"), *MODEL_CHOICES], widget=widget)
        retries = [(f"retry:{key}", f"Retry {key}, with what it blocked") for key in again]
        resume = [("resume", "Go on with the last run: whatever failed, was blocked or cancelled")] if retries else []
        self.choose_from("what", [
            ("", "Everything that is left"),
            *resume,
            *retries,
            *((f"stage:{number}", f"Only stage {number}") for number in stages),
            *((f"phase:{key}", f"Only phase {key}") for key in phases),
        ])
        for name in ("max_parallel", "timeout_minutes", "budget_usd", "phase_cap_usd"):
            self.fields[name].widget.attrs["placeholder"] = "The project's setting"
        self.describe()

    @property
    def budget(self) -> object:
        """The budget as chosen so far, or as the field begins with."""
        return self.cleaned_data.get("budget_usd") if self.is_bound and self.is_valid() else self.initial.get("budget_usd")

    @property
    def goes_on(self) -> bool:
        """Whether the last run is to go on, instead of a new one: what it consists of is settled."""
        return self.cleaned_data["what"].partition(":")[0] in ("resume", "retry")

    @property
    def names(self) -> list[str]:
        """The phases to be tried again; empty: all that can be."""
        kind, _, chosen = self.cleaned_data["what"].partition(":")
        return [chosen] if kind == "retry" else []

    def options(self) -> ExecuteOptions:
        """The cleaned form as the services take it."""
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
            models={key: data[f"model-{key}"] for key in self.phase_keys if data[f"model-{key}"]},
            budget_usd=None if data["budget_usd"] is None else str(data["budget_usd"]),
            phase_cap_usd=None if data["phase_cap_usd"] is None else str(data["phase_cap_usd"]),
        )

    def models(self, project: Project | None, phases: Sequence[Planned]) -> list[tuple[object, str, forms.BoundField | None]]:
        """Each phase with the model that it gets as the form stands, and its own field."""
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


def _model(choice: str) -> str | None:
    return "" if choice == BY_COMPLEXITY else choice or None


ROLE_CHOICES = [
    (VIEWER, "viewer: sees everything"),
    (AUTHOR, "author: also writes plans"),
    (EXECUTOR, "executor: also executes them, hence runs code"),
    (ADMIN, "admin: also projects, settings and people"),
]
WAYS = [("link", "a link that signs in once, for a day"), ("password", "a password")]


class UserNew(Described, forms.Form):
    """Somebody who may sign in."""

    name = forms.CharField(
        max_length=150, label="User name", widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"})
    )
    email = forms.EmailField(required=False, max_length=254, label="Mail address", help_text="For their own messages; may be empty.")
    role = forms.ChoiceField(choices=ROLE_CHOICES)
    way = forms.ChoiceField(choices=WAYS, label="Way in", help_text="Shown once, for you to hand over.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.describe()


class UserChange(Described, forms.Form):
    email = forms.EmailField(required=False, max_length=254, label="Mail address")
    role = forms.ChoiceField(choices=ROLE_CHOICES)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.initial.get("role"):
            self.choose_from("role", [("", "none: signs in and sees the pages"), *ROLE_CHOICES])


class OwnPassword(Described, forms.Form):
    """A new password of one's own; whoever came by a link and has none yet gives no old one."""

    old = forms.CharField(
        label="Present password", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )
    new = forms.CharField(
        label="New password",
        strip=False,
        help_text="At least 10 characters, and none of the common ones.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "minlength": "10"}),
    )
    again = forms.CharField(label="New password again", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}))

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        if not user.has_usable_password():
            del self.fields["old"]
        self.describe()

    def clean_old(self) -> str:
        if not self.user.check_password(self.cleaned_data["old"]):
            raise forms.ValidationError("That is not your present password.")
        return ""

    def clean_again(self) -> str:
        if self.cleaned_data["again"] != self.cleaned_data.get("new"):
            raise forms.ValidationError("The two new passwords differ.")
        return ""


class TokenNew(Described, forms.Form):
    """A token for a program of one's own."""

    name = forms.CharField(max_length=80, label="What it is for", help_text="Such as: nightly job on build-3.")
    lives = forms.ChoiceField(
        choices=[*((str(days), f"{days} days") for days in LIVES_DAYS), ("", "until it is revoked")],
        required=False,
        initial="90",
        label="Works for",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.describe()

    @property
    def days(self) -> int | None:
        return int(self.cleaned_data["lives"]) if self.cleaned_data["lives"] else None
