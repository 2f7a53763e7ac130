"""Forms: they check the format of what a person enters. The services check whether it can be done."""

import os
import re
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
from batches.models import ApiToken, OnConflict, Project, Scheduling
from batches.models.choices import BACKEND_CHOICES

MODEL_CHOICES = [(name, name) for name in MODELS]
BY_COMPLEXITY = "auto"  # the empty value means the project's setting
PHASE_MODELS_UP_TO = 200  # with more phases there is no model list per phase

INHERIT = [("", "The project's setting")]


class SeenProject(forms.ModelChoiceField):  # type: ignore[type-arg]  # generic in the stubs only
    """A choice of the projects that the person who is asked may see."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Project.objects.none(), **options)

    def __deepcopy__(self, memo: dict[int, Any]) -> "SeenProject":
        made: SeenProject = super().__deepcopy__(memo)
        made.queryset = Project.objects.all()  # asked anew for each form: what is seen depends on the request
        return made


class Described:
    """Links fields to their help texts for assistive technology."""

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

    name = forms.CharField(max_length=80, help_text="The name shown on these pages.")
    repository = forms.CharField(max_length=1000, help_text="Absolute path of a git repository on the machine that runs CE Web.")
    base_branch = forms.CharField(
        max_length=200,
        required=False,
        label="Base branch",
        help_text="Batches start from it. Only “Merge into it” on a batch's page writes to it. Empty: the current branch.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.describe()


class ProjectSettings(Described, forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """Default settings of a project's batches."""

    backend = forms.ChoiceField(
        choices=BACKEND_CHOICES,
        help_text="“steps” runs the commands in the plan's steps, without a model. “claude” and “command” use an agent.",
    )

    linear_token = forms.CharField(
        required=False,
        max_length=500,
        label="Linear token",
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
        help_text="Stored encrypted and never shown. Empty: no change.",
    )
    linear_forget = forms.BooleanField(required=False, label="Delete the Linear token", help_text="It is deleted when you save.")
    notify_webhook = forms.CharField(
        required=False,
        max_length=1000,
        label="Webhook for notifications",
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
        help_text="Called when a batch ends or needs a person. Stored encrypted and never shown. Empty: no change.",
    )
    notify_forget = forms.BooleanField(required=False, label="Delete the webhook", help_text="It is deleted when you save.")
    model = forms.ChoiceField(
        required=False, choices=[("", "by complexity"), *MODEL_CHOICES], help_text="For every phase, unless Execute sets another."
    )
    retry_model = forms.ChoiceField(
        required=False, choices=[("", "by complexity"), *MODEL_CHOICES], label="Model for retries", help_text="Used after a failed attempt."
    )
    budget_usd = forms.DecimalField(
        required=False, min_value=Decimal("0.01"), max_value=100_000, decimal_places=6, label="Budget per batch, US dollars",
        help_text="Empty: no limit. Each phase reserves its share. Nothing more starts when the budget is used up.",
    )  # fmt: skip
    phase_cap_usd = forms.DecimalField(
        required=False, min_value=Decimal("0.01"), max_value=100_000, decimal_places=6, label="Limit per phase, US dollars",
        help_text="Empty: no limit. An attempt that reaches it is stopped.",
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
            "notify_mail": "Email addresses for notifications",
            "agent_command": "Command of the agent",
            "max_parallel": "Phases in parallel",
            "phase_limit_minutes": "Time limit per phase, minutes",
            "silence_seconds": "Silence limit, seconds",
            "undeclared_edits": "Changes not declared in the plan",
            "deletions": "Deleted files",
            "network": "Network access for",
            "tool_paths": "Additional readable paths",
            "fail_fast": "Stop at the first failure",
            "require_review": "Require a review before Execute",
            "accept_context": "Accept context updates at once",
            "shared_context": "Start all agents with the same context",
        }
        help_texts = {
            "linear_team": "The team's key, such as ENG. Each PRP gets an issue there. Empty: no issues.",
            "agent_command": "For the backend “command”, such as: codex exec --json --sandbox workspace-write -",
            "max_parallel": "The most phases that run in parallel.",
            "phase_limit_minutes": "A phase that takes longer is stopped. Empty: the limit of the installation.",
            "scheduling": "Stage by stage, or each phase as soon as its dependencies are merged.",
            "undeclared_edits": "Always listed. With “fail” they are not merged, and the phase fails and names them.",
            "deletions": "Declared or not. Always listed. With “fail” they are not merged, and the phase fails and names them.",
            "network": "Commands run in a sandbox. With “nothing” they cannot even reach this machine's own ports.",
            "tool_paths": "Tools outside /usr and CE Web's own Python, such as /opt/jdk. Absolute paths, one per line, read-only.",
            "fail_fast": "Otherwise phases that do not depend on the failed one continue.",
            "require_review": "Execute only after a review approves the PRPs or a person overrules it.",
            "accept_context": "Otherwise a person accepts or rejects each update on its page.",
            "shared_context": "CLAUDE.md and memory files, the same for all, so that the provider can cache them.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.describe()


    def clean_notify_mail(self) -> str:
        """The addresses, separated by commas."""
        found = [one.strip() for one in self.cleaned_data["notify_mail"].split(",") if one.strip()]
        for one in found:
            validate_email(one)
        return ", ".join(found)

    def clean_tool_paths(self) -> str:
        """One normalised absolute path per line, none of which exposes everything or CE Web's data."""
        lines = _stripped_lines(self.cleaned_data["tool_paths"])
        data = os.path.realpath(settings.CE_DATA_DIR)
        for line in lines:
            if not os.path.isabs(line) or os.path.normpath(line) != line or "\0" in line:
                raise forms.ValidationError(f"{line} is not a normalised absolute path, such as /opt/jdk.")
            real = os.path.realpath(line)
            if os.path.commonpath([real, data]) in (real, data):
                raise forms.ValidationError(f"{line} would expose CE Web's data directory: enter a narrower path.")
        return "\n".join(lines)


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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.describe()

    def clean_bring_along(self) -> str:
        return self._paths("bring_along")

    def clean_environment_path(self) -> str:
        return self._paths("environment_path")

    def clean_environment_variables(self) -> str:
        """NAME=VALUE in each line. What the server itself sets cannot be replaced."""
        lines = _stripped_lines(self.cleaned_data["environment_variables"])
        for line in lines:
            name = line.partition("=")[0].strip()
            if "=" not in line or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise forms.ValidationError(f"{line} is not of the form NAME=VALUE.")
            if name in FIXED_VARIABLES:
                raise forms.ValidationError(f"{name} is set by CE Web; choose another name.")
        return "\n".join(lines)

    def _paths(self, field: str) -> str:
        """Relative paths that stay inside the repository, one per line."""
        lines = _stripped_lines(self.cleaned_data[field])
        for line in lines:
            if line.startswith("/") or "\0" in line or {"..", ".git"} & set(line.split("/")):
                raise forms.ValidationError(f"{line} is not a path inside the repository.")
        return "\n".join(lines)


def _stripped_lines(text: str) -> list[str]:
    return [line.strip() for line in text.replace("\r", "").split("\n") if line.strip()]


FIXED_VARIABLES = frozenset({"HOME", "TMPDIR", "PATH", "CE_ATTEMPT", "GIT_CONFIG_NOSYSTEM", "GIT_CEILING_DIRECTORIES"})


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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.describe()


class InstallationForm(Described, forms.Form):
    """Settings for all projects."""

    default_backend = forms.ChoiceField(
        choices=BACKEND_CHOICES,
        label="Backend of new projects",
        help_text="Each project can choose another.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.describe()


class ApiKeyForm(Described, forms.Form):
    """An API key, entered once and never shown again."""

    key = forms.CharField(
        max_length=1000,
        label="API key",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Stored encrypted and never shown again.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.describe()


class PlanText(forms.Form):
    """A plan as text, with the name of the file it came from."""

    text = forms.CharField(required=False, strip=False, widget=forms.Textarea)
    file_name = forms.CharField(required=False, max_length=255)
    project = SeenProject(required=False, empty_label="No project yet")


class Execute(Described, forms.Form):
    """The confirmation before an execution. An empty field means the project's setting."""

    project = SeenProject(empty_label=None)
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
    model = forms.ChoiceField(
        required=False,
        choices=[*INHERIT, (BY_COMPLEXITY, "by complexity"), *MODEL_CHOICES],
        help_text="By complexity: haiku for low and medium (sonnet for a retry of medium), sonnet for high.",
    )
    retry_model = forms.ChoiceField(
        required=False, choices=[*INHERIT, (BY_COMPLEXITY, "by complexity"), *MODEL_CHOICES], label="Model for retries"
    )
    budget_usd = forms.DecimalField(
        required=False, min_value=Decimal("0.01"), max_value=100_000, decimal_places=6, label="Budget for the batch, US dollars",
        help_text="Includes the cost of earlier runs of the batch. Nothing more starts when it is used up.",
    )  # fmt: skip
    phase_cap_usd = forms.DecimalField(
        required=False, min_value=Decimal("0.01"), max_value=100_000, decimal_places=6, label="Limit per phase, US dollars",
        help_text="The most that one attempt may cost.",
    )  # fmt: skip
    what = forms.ChoiceField(required=False, label="What")
    sent = forms.UUIDField(required=False, widget=forms.HiddenInput, initial=uuid4)  # identifies this form, however often it is sent

    def __init__(
        self,
        *args: Any,
        stages: Iterable[int] = (),
        phases: Iterable[str] = (),
        again: Iterable[str] = (),
        open_phases: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        """Each of `stages` and `phases` can be chosen on its own; `again` are tasks of the last run that can be retried.

        Each of `open_phases` may get its own model.
        """
        super().__init__(*args, **kwargs)
        self.phase_keys = tuple(open_phases) if len(open_phases) <= PHASE_MODELS_UP_TO else ()
        for key in self.phase_keys:
            widget = forms.Select(attrs={"aria-label": f"Model of phase {key}", "class": "select-s"})
            self.fields[f"model-{key}"] = forms.ChoiceField(required=False, choices=[("", "as above"), *MODEL_CHOICES], widget=widget)
        retries = [(f"retry:{key}", f"Retry {key} and the phases that it blocked") for key in again]
        resume = [("resume", "Resume the last run: all failed, blocked and cancelled phases")] if retries else []
        self.choose_from("what", [
            ("", "All remaining phases"),
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
            models={key: data[f"model-{key}"] for key in self.phase_keys if data[f"model-{key}"]},
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


def _model(choice: str) -> str | None:
    return "" if choice == BY_COMPLEXITY else choice or None


ROLE_CHOICES = [
    (VIEWER, "viewer: can see everything"),
    (AUTHOR, "author: can also write plans"),
    (EXECUTOR, "executor: can also execute plans, which runs code"),
    (ADMIN, "admin: can also manage projects, settings and people"),
]
WAYS = [("link", "a one-time link, valid for a day"), ("password", "a password")]


class UserNew(Described, forms.Form):
    """A new person."""

    name = forms.CharField(
        max_length=150, label="User name", widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"})
    )
    email = forms.EmailField(required=False, max_length=254, label="Email address", help_text="Optional.")
    role = forms.ChoiceField(choices=ROLE_CHOICES)
    way = forms.ChoiceField(choices=WAYS, label="First sign-in by", help_text="Shown once, so that you can pass it on.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.describe()


class UserChange(Described, forms.Form):
    email = forms.EmailField(required=False, max_length=254, label="Email address")
    role = forms.ChoiceField(choices=ROLE_CHOICES)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.initial.get("role"):
            self.choose_from("role", [("", "none: sees only projects as their member"), *ROLE_CHOICES])


class OwnPassword(Described, forms.Form):
    """One's own new password. A person without a password, signed in by a link, enters no old one."""

    old = forms.CharField(
        label="Current password", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )
    new = forms.CharField(
        label="New password",
        strip=False,
        help_text="At least 10 characters, and not a common password.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "minlength": "10"}),
    )
    again = forms.CharField(label="Repeat new password", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}))

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        if not user.has_usable_password():
            del self.fields["old"]
        self.describe()

    def clean_old(self) -> str:
        if not self.user.check_password(self.cleaned_data["old"]):
            raise forms.ValidationError("This is not your current password.")
        return ""

    def clean_again(self) -> str:
        if self.cleaned_data["again"] != self.cleaned_data.get("new"):
            raise forms.ValidationError("The two new passwords differ.")
        return ""


class TokenNew(Described, forms.Form):
    """A new API token."""

    name = forms.CharField(max_length=80, label="Purpose", help_text="For example: nightly job on build-3.")
    scope = forms.ChoiceField(
        choices=ApiToken.Scope.choices, required=False, initial="read", label="May", help_text="Never more than you may do yourself."
    )
    project = SeenProject(required=False, empty_label="all that you see", label="For the project")
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
