"""Forms of a project's settings, environment and gates, and of the installation."""

import os
import re
from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.core.validators import validate_email
from django.http import QueryDict

from batches.core.engine.pricing import MODELS, check_model
from batches.core.errors import WrongChoice
from batches.core.gates.project_gates import STANDARD_TEXTS
from batches.models import Project
from batches.models.choices import BACKEND_CHOICES, Effort
from batches.pages.forms import Described
from subagents.agent_recipes import RECIPES, recipe_of
from subagents.agent_tools import MOST_RULES, ToolServer, fault_of_rule, read_servers
from subagents.allowed_hosts import MOST_HOSTS, allowed_host, fault_of_host, is_allowed, plain_host
from subagents.protected_paths import MOST_PATTERNS, fault_of_pattern

MOST_INSTRUCTIONS = 8_000
INSTRUCTIONS = ("instructions_executor", "instructions_reviewer", "instructions_generator")


class ModelField(forms.CharField):
    """A model's short name or exact id; "" for none."""

    def __init__(self, **more: Any) -> None:
        attributes = {"placeholder": ", ".join(MODELS), "autocomplete": "off", "spellcheck": "false"}
        super().__init__(required=False, max_length=100, widget=forms.TextInput(attrs=attributes), **more)

    def clean(self, value: object) -> str:
        """Raises ValidationError with the short names for what is neither."""
        name = str(super().clean(value))
        try:
            return check_model(name) if name else ""
        except WrongChoice as problem:
            raise forms.ValidationError(str(problem)) from None


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


# Groups of the settings of a project; a field that is in none of them stands under "More".
SETTING_GROUPS = (
    ("Project", ("name", "base_branch")),
    ("Agent", ("backend", "recipe", "agent_command", "agent_resume", "repairs", "answer_minutes", "shared_context")),
    ("Model", ("model", "retry_model")),
    ("Money", ("budget_usd", "phase_cap_usd", "monthly_budget_usd")),
    ("Pace and limits", ("max_parallel", "scheduling", "phase_limit_minutes", "silence_seconds", "fail_fast")),
    ("Reviews and files", ("require_review", "accept_context", "undeclared_edits", "deletions", "protected_paths")),
    ("Network and tools", ("network", "allowed_hosts", "tool_paths")),
    ("Notifications", ("notify_webhook", "notify_secret", "notify_forget", "notify_format", "notify_mail")),
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
            *("linear_team", "notify_format", "notify_mail"),
        ]
        widgets = {
            name: forms.Textarea(attrs={"rows": rows}) for name, rows in (("allowed_hosts", 2), ("tool_paths", 2), ("protected_paths", 6))
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
            "fail_fast": "Stop at the first failure",
            "require_review": "Require a review before Execute",
            "accept_context": "Accept context updates at once",
            "shared_context": "Start all agents with the same context",
        }
        help_texts = {
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
            "fail_fast": "Otherwise phases that do not depend on the failed one continue.",
            "require_review": "Execute only after a review approves the PRPs or a person overrules it.",
            "accept_context": "Otherwise a person accepts or rejects each update on its page.",
            "shared_context": "CLAUDE.md and memory files, the same for all, so that the provider can cache them.",
        }

    def clean_allowed_hosts(self) -> str:
        """One host per line."""
        lines = _stripped_lines(self.cleaned_data["allowed_hosts"])
        for number, line in enumerate(lines, start=1):
            if fault := fault_of_host(line):
                raise forms.ValidationError(f"Line {number}, {line[:100]}: {fault}.")
        if len(lines) > MOST_HOSTS:
            raise forms.ValidationError(f"These are {len(lines)} lines; at most {MOST_HOSTS} are allowed.")
        return "\n".join(lines)

    def clean_notify_mail(self) -> str:
        """The addresses, separated by commas."""
        found = [one.strip() for one in self.cleaned_data["notify_mail"].split(",") if one.strip()]
        for one in found:
            validate_email(one)
        return ", ".join(found)

    def clean_protected_paths(self) -> str:
        """One pattern per line, each of which says what it covers."""
        lines = _stripped_lines(self.cleaned_data["protected_paths"])
        for number, line in enumerate(lines, start=1):
            if fault := fault_of_pattern(line):
                raise forms.ValidationError(f"Line {number}, {line[:100]}: {fault}.")
        if len(lines) > MOST_PATTERNS:
            raise forms.ValidationError(f"These are {len(lines)} lines; at most {MOST_PATTERNS} are allowed.")
        return "\n".join(lines)

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


def fill_in(data: QueryDict) -> str:
    """Put the commands of the chosen recipe into the posted fields; what the agent needs, in words, "" when none is chosen."""
    recipe = recipe_of(data.get("recipe", ""))
    if recipe is None:
        return ""
    data["backend"], data["agent_command"], data["agent_resume"] = "command", recipe.command, recipe.resume
    return f"Filled in for {recipe.label}, as tried with version {recipe.version}. It needs {recipe.needs}. Nothing is saved yet."


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


MCP_EXAMPLE = """{
  "tracker": {"url": "https://tracker.example.org/mcp", "headers": {"Authorization": "Bearer ${TRACKER_TOKEN}"}},
  "browser": {"command": "/opt/mcp/browser", "args": ["--headless"], "env": {"KEY": "${BROWSER_KEY}"}}
}"""


class ProjectTools(Described, forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """What Claude may use in a phase, besides what it is given anyway."""

    class Meta:
        model = Project
        fields = ["mcp_servers", "allowed_tools", "denied_tools", "skills", "subagents", "web_search", "web_fetch"]
        widgets = {
            "mcp_servers": forms.Textarea(attrs={"rows": 8, "class": "mono", "placeholder": MCP_EXAMPLE, "spellcheck": "false"}),
            "allowed_tools": forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
            "denied_tools": forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
        }
        labels = {
            "mcp_servers": "MCP servers",
            "allowed_tools": "Allowed tools",
            "denied_tools": "Denied tools",
            "skills": "Skills of the repository",
            "subagents": "Subagents",
            "web_search": "Search the web",
            "web_fetch": "Fetch pages",
        }
        help_texts = {
            "mcp_servers": "As in .mcp.json. A program is started in the sandbox; an address is asked by CE Web. A secret is written "
            "${NAME} and kept on the page Environment. An attempt fails when a server does not work, unless it has “required”: false.",
            "allowed_tools": "One per line, such as Bash or mcp__tracker__search. Where the program's tools are named, it has only "
            "those; where a server's are named, it has only those of that server. Empty: all.",
            "denied_tools": "Such as WebFetch, Bash(git push:*) or mcp__tracker__delete_*. A denial wins.",
            "skills": "Those in .claude/skills, as they are in the commit that a batch begins with.",
            "subagents": "Those in .claude/agents, and Claude's own. Each counts for the phase's limits.",
            "web_search": "The provider searches, and charges for each search. No network is needed here.",
            "web_fetch": "From the sandbox: the project's network settings must let it.",
        }

    @property
    def switches(self) -> list[forms.BoundField]:
        return [self[name] for name in ("skills", "subagents", "web_search", "web_fetch")]

    def clean_mcp_servers(self) -> str:
        """The text, if its servers can be read, may be reached and get their secrets."""
        text = str(self.cleaned_data["mcp_servers"]).replace("\r", "").strip()
        try:
            servers = read_servers(text)
        except ValueError as fault:
            raise forms.ValidationError(str(fault)) from None
        given = set(self.instance.secrets.filter(servers=True).values_list("name", flat=True))
        hosts = [allowed_host(line) for line in _stripped_lines(self.instance.allowed_hosts)]
        for server in servers:
            if missing := [name for name in server.secrets if name not in given]:
                said = f"{server.name} asks for the secret {missing[0]}: store it first, on the page Environment, for MCP servers."
                raise forms.ValidationError(said)
            host, port = server.host
            if hosts and host and not is_allowed(plain_host(host) or host, port, hosts):
                raise forms.ValidationError(f"{server.name}: {host}:{port} is not among the project's allowed hosts; add it there.")
        return text

    def clean(self) -> dict[str, object]:
        """The lists name tools that there are, and pages can be fetched only with the network."""
        cleaned: dict[str, object] = super().clean() or {}
        servers: list[ToolServer] = [] if "mcp_servers" in self.errors else read_servers(str(cleaned.get("mcp_servers", "")))
        for name in ("allowed_tools", "denied_tools"):
            lines = _stripped_lines(str(cleaned.get(name, "")))
            for number, line in enumerate(lines, start=1):
                names = [server.name for server in servers]
                fault = fault_of_rule(line, names, patterns=name == "denied_tools")
                if fault and not ("mcp_servers" in self.errors and line.startswith("mcp__")):
                    self.add_error(name, f"Line {number}, {line[:100]}: {fault}.")
                    break
            if len(lines) > MOST_RULES:
                self.add_error(name, f"These are {len(lines)} lines; at most {MOST_RULES} are allowed.")
            cleaned[name] = "\n".join(lines)
        if cleaned.get("web_fetch") and self.instance.network == "none":
            self.add_error("web_fetch", "The sandbox has no network: set “Network access for” in the project's settings first.")
        return cleaned


class InstallationForm(Described, forms.Form):
    """Settings for all projects."""

    default_backend = forms.ChoiceField(
        choices=BACKEND_CHOICES,
        label="Backend of new projects",
        help_text="Each project can choose another.",
    )


class ApiKeyForm(Described, forms.Form):
    """An API key, entered once and never shown again."""

    key = forms.CharField(
        max_length=1000,
        label="API key",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Stored encrypted and never shown again.",
    )
