"""The tab “Settings” of a project: default settings of its batches."""

import os
from decimal import Decimal

from django import forms
from django.conf import settings
from django.core.validators import validate_email
from django.http import QueryDict

from batches.models import Project
from batches.models.choices import BACKEND_CHOICES
from batches.pages.forms import Described
from batches.pages.projects.fields import ModelField, checked_lines, stripped_lines
from subagents.agent_recipes import RECIPES, recipe_of
from subagents.allowed_hosts import MOST_HOSTS, fault_of_host
from subagents.protected_paths import MOST_PATTERNS, fault_of_pattern

OTHER_SERVICES = ("notify_others", "notify_others_forget")
# Groups of the settings of a project; a field that is in none of them stands under "More".
SETTING_GROUPS = (
    ("Project", ("name", "base_branch")),
    ("Agent", ("backend", "recipe", "agent_command", "agent_resume", "repairs", "answer_minutes", "shared_context")),
    ("Model", ("model", "retry_model")),
    ("Money", ("budget_usd", "phase_cap_usd", "monthly_budget_usd")),
    ("Pace and limits", ("max_parallel", "scheduling", "phase_limit_minutes", "silence_seconds", "fail_fast")),
    ("Retention", ("keep_days", "keep_megabytes")),
    ("Reviews and files", ("require_review", "accept_context", "undeclared_edits", "deletions", "protected_paths")),
    ("Hosts", ("worker_hosts", "remote")),
    ("Network and tools", ("network", "allowed_hosts", "tool_paths")),
    ("Notifications", ("notify_webhook", "notify_secret", "notify_forget", "notify_format", "notify_mail", *OTHER_SERVICES)),
    ("Linear", ("linear_team", "linear_token", "linear_forget")),
)


class ProjectSettings(Described, forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """Default settings of a project's batches."""

    backend = forms.ChoiceField(
        choices=BACKEND_CHOICES,
        help_text="“steps” runs the commands in the plan's steps, without a model. “claude” and “command” use an agent.",
    )

    recipe = forms.ChoiceField(
        required=False,
        choices=[("", "none"), *((one.name, one.label) for one in RECIPES)],
        label="Recipe of an agent",
        help_text="“Fill in” below puts its commands into the two fields for the backend “command”.",
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
    notify_secret = forms.CharField(
        required=False,
        max_length=200,
        label="Secret of the webhook",
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
        help_text="Each message is signed with it, so that its receiver knows who sent it. At least 16 characters. Empty: no change.",
    )
    notify_forget = forms.BooleanField(
        required=False, label="Delete the webhook", help_text="It and its secret are deleted when you save."
    )
    notify_others = forms.CharField(
        required=False,
        max_length=5000,
        label="Other services",
        widget=forms.Textarea(attrs={"rows": 2, "autocomplete": "off", "spellcheck": "false"}),
        help_text="One address per line, as apprise reads it: tgram://TOKEN/CHAT. Replaces all. Stored encrypted and never shown. "
        "Empty: no change.",
    )
    notify_others_forget = forms.BooleanField(
        required=False, label="Delete the other services", help_text="They are deleted when you save."
    )
    model = ModelField(help_text="For every phase, unless Execute sets another. Empty: by complexity. Or an exact id.")
    retry_model = ModelField(label="Model for retries", help_text="Used after a failed attempt. Empty: by complexity.")
    budget_usd = forms.DecimalField(
        required=False, min_value=Decimal("0.01"), max_value=100_000, decimal_places=6, label="Budget per batch, US dollars",
        help_text="Empty: no limit. Each phase reserves its share. Nothing more starts when the budget is used up.",
    )  # fmt: skip
    phase_cap_usd = forms.DecimalField(
        required=False, min_value=Decimal("0.01"), max_value=100_000, decimal_places=6, label="Limit per phase, US dollars",
        help_text="Empty: no limit. An attempt that reaches it is stopped.",
    )  # fmt: skip

    monthly_budget_usd = forms.DecimalField(
        required=False, min_value=Decimal("0.01"), max_value=1_000_000, decimal_places=6, label="Monthly budget, US dollars",
        help_text="For all batches and ideas. Empty: no limit. From 80 % on this page warns; then nothing more starts.",
    )  # fmt: skip

    @property
    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        """The fields by group, in the order of SETTING_GROUPS; what is in none comes last."""
        listed = {name for _, names in SETTING_GROUPS for name in names}
        rest = ("More", tuple(name for name in self.fields if name not in listed))
        groups = ((title, [self[name] for name in names if name in self.fields]) for title, names in (*SETTING_GROUPS, rest))
        return [(title, fields) for title, fields in groups if fields]

    class Meta:
        model = Project
        fields = [
            *("name", "base_branch", "backend", "agent_command", "agent_resume"),
            *("max_parallel", "phase_limit_minutes", "silence_seconds", "scheduling"),
            *("model", "retry_model", "repairs", "answer_minutes", "budget_usd", "phase_cap_usd", "monthly_budget_usd"),
            *("undeclared_edits", "deletions", "protected_paths", "network", "allowed_hosts", "tool_paths"),
            *("fail_fast", "require_review", "accept_context", "shared_context"),
            *("worker_hosts", "remote", "keep_days", "keep_megabytes"),
            *("linear_team", "notify_format", "notify_mail"),
        ]
        widgets = {
            name: forms.Textarea(attrs={"rows": rows})
            for name, rows in (("allowed_hosts", 2), ("tool_paths", 2), ("worker_hosts", 2), ("protected_paths", 6))
        }
        labels = {
            "answer_minutes": "Answer by itself after, minutes",
            "linear_team": "Linear team",
            "notify_format": "Format of the webhook",
            "notify_mail": "Email addresses for notifications",
            "agent_command": "Command of the agent",
            "agent_resume": "Command that continues a session",
            "max_parallel": "Phases in parallel",
            "phase_limit_minutes": "Time limit per phase, minutes",
            "silence_seconds": "Silence limit, seconds",
            "undeclared_edits": "Changes not declared in the plan",
            "deletions": "Deleted files",
            "protected_paths": "Protected paths",
            "network": "Network access for",
            "allowed_hosts": "Allowed hosts",
            "tool_paths": "Additional readable paths",
            "keep_days": "Keep plain logs for, days",
            "keep_megabytes": "Keep logs up to, MB",
            "worker_hosts": "Worker hosts",
            "remote": "Remote",
            "fail_fast": "Stop at the first failure",
            "require_review": "Require a review before Execute",
            "accept_context": "Accept context updates at once",
            "shared_context": "Start all agents with the same context",
        }
        help_texts = {
            "base_branch": "The branch that batches start from. Only a merge of a batch writes to it.",
            "silence_seconds": "Empty: the setting of the installation.",
            "notify_mail": "Email addresses, separated by commas.",
            "answer_minutes": "An agent's question is then answered by itself. Empty: it waits for a person.",
            "repairs": "After a failed gate or a merge conflict the agent repairs its work, this often. 0: never.",
            "linear_team": "The team's key, such as ENG. Each PRP gets an issue there. Empty: no issues.",
            "agent_command": "For the backend “command”. {prompt_file}, {model} and {checkout} are replaced; without {prompt_file} the "
            "prompt comes on standard input.",
            "agent_resume": "The same with {session}. Empty: a retry or repair starts a new session on the kept work.",
            "max_parallel": "The most phases that run in parallel.",
            "phase_limit_minutes": "A phase that takes longer is stopped. Empty: the limit of the installation.",
            "scheduling": "Stage by stage, or each phase as soon as its dependencies are merged.",
            "undeclared_edits": "Always listed. With “fail” they are not merged, and the phase fails and names them.",
            "deletions": "Declared or not. Always listed. With “fail” they are not merged, and the phase fails and names them.",
            "protected_paths": "Files, folders, globs, one per line. An undeclared change of one waits for a person.",
            "network": "Commands run in a sandbox. With “nothing” they cannot even reach this machine's own ports.",
            "allowed_hosts": "One per line, such as pypi.org, *.example.org or git.example.org:8443. They are all that steps, gates, the "
            "set-up and agents can reach. Empty: who has network access reaches every host.",
            "tool_paths": "Tools outside /usr and CE Web's own Python, such as /opt/jdk. Absolute paths, one per line, read-only.",
            "keep_days": "Then logs are compressed, and references of merged work dropped. Empty: never by itself.",
            "keep_megabytes": "Then the oldest are removed, of runs that ended more than a day ago. Empty: no limit.",
            "worker_hosts": "Names of machines that may execute its batches besides this one, one per line.",
            "remote": "Through it work reaches worker hosts: a bare repository on a shared disk, or https. Empty: the code host.",
            "fail_fast": "Otherwise phases that do not depend on the failed one continue.",
            "require_review": "Execute only after a review approves the PRPs or a person overrules it.",
            "accept_context": "Otherwise a person accepts or rejects each update on its page.",
            "shared_context": "CLAUDE.md and memory files, the same for all, so that the provider can cache them.",
        }

    def clean_allowed_hosts(self) -> str:
        """One host per line."""
        return checked_lines(self.cleaned_data["allowed_hosts"], fault_of_host, MOST_HOSTS)

    def clean_notify_mail(self) -> str:
        """The addresses, separated by commas."""
        found = [one.strip() for one in self.cleaned_data["notify_mail"].split(",") if one.strip()]
        for one in found:
            validate_email(one)
        return ", ".join(found)

    def clean_protected_paths(self) -> str:
        """One pattern per line, each of which says what it covers."""
        return checked_lines(self.cleaned_data["protected_paths"], fault_of_pattern, MOST_PATTERNS)

    def clean_worker_hosts(self) -> str:
        """One name per line."""
        return "\n".join(stripped_lines(self.cleaned_data["worker_hosts"]))

    def clean_tool_paths(self) -> str:
        """One normalised absolute path per line, none of which exposes everything or CE Web's data."""
        lines = stripped_lines(self.cleaned_data["tool_paths"])
        data = os.path.realpath(settings.CE_DATA_DIR)
        for line in lines:
            if not os.path.isabs(line) or os.path.normpath(line) != line or "\0" in line:
                raise forms.ValidationError(f"{line} is not a normalised absolute path, such as /opt/jdk.")
            real = os.path.realpath(line)
            if os.path.commonpath([real, data]) in (real, data):
                raise forms.ValidationError(f"{line} would expose CE Web's data directory: enter a narrower path.")
        return "\n".join(lines)


def fill_in(data: QueryDict) -> str:
    """Put the commands of the chosen recipe into the posted fields. Returns what its agent needs, "" for none."""
    recipe = recipe_of(data.get("recipe", ""))
    if recipe is None:
        return ""
    data["backend"], data["agent_command"], data["agent_resume"] = "command", recipe.command, recipe.resume
    return f"Filled in for {recipe.label}, as tried with version {recipe.version}. It needs {recipe.needs}. Nothing is saved yet."
