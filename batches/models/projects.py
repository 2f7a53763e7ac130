"""Projects: repositories that batches work on, with default settings for runs."""

import shlex

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from batches.core.engine.execute_options import MOST_REPAIRS
from batches.core.gates.project_gates import COMMAND_TEXTS, GateRules, ProjectGate, When, standard_of, usual_standard_gates
from batches.core.review.declared_changes import FilePolicy
from batches.models.choices import Effort, FinishBy, GateWhen, Network, Scheduling, choices
from batches.models.visibility import ConfinedManager
from subagents.credentials import USES
from subagents.protected_paths import usual_patterns


def check_agent_command(text: str) -> None:
    """Raises ValidationError when `text` cannot be split into a program and its arguments."""
    try:
        shlex.split(text)
    except ValueError as problem:
        raise ValidationError(f"Not a valid command line: {problem}.") from None


class Project(models.Model):
    """A git repository that batches work on, with default settings for its runs."""

    class NotifyFormat(models.TextChoices):
        JSON = "json", "JSON with all facts"
        SLACK = "slack", "Slack, with a button"

    name = models.CharField(max_length=80, unique=True)
    slug = models.SlugField(max_length=80, unique=True)
    repository = models.CharField(max_length=1000, unique=True, help_text="Absolute path of the repository on this host.")
    base_branch = models.CharField(max_length=200)
    backend = models.CharField(max_length=40, default="steps")
    agent_command = models.CharField(
        max_length=1000, blank=True, validators=[check_agent_command], help_text="The program and arguments for the backend “command”."
    )
    agent_resume = models.CharField(
        max_length=1000, blank=True, validators=[check_agent_command], help_text="Continues the session {session}. Empty: it cannot."
    )
    max_parallel = models.PositiveSmallIntegerField(default=4, validators=[MinValueValidator(1)])
    phase_limit_minutes = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="Empty: the setting of the installation."
    )
    model = models.CharField(max_length=100, blank=True, help_text="The model for every phase. Empty: chosen by complexity.")
    retry_model = models.CharField(max_length=100, blank=True, help_text="The model after a failed attempt. Empty: chosen by complexity.")
    repairs = models.PositiveSmallIntegerField(
        default=2,
        validators=[MaxValueValidator(MOST_REPAIRS)],
        help_text="How often an agent may repair its work after a failed gate. 0: never.",
    )
    effort = models.CharField(max_length=6, choices=Effort, blank=True, default="", help_text="How long Claude thinks.")
    fallback_model = models.CharField(max_length=100, blank=True, help_text="The model while the chosen one is overloaded. Empty: none.")
    answer_minutes = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="After this time a question of an agent is answered by itself. Empty: it waits for a person.",
    )
    budget_usd = models.DecimalField(
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="The most that a batch may cost, in US dollars.",
    )
    phase_cap_usd = models.DecimalField(
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="The most that one attempt may cost, in US dollars.",
    )
    monthly_budget_usd = models.DecimalField(
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="The most that all batches and ideas may cost in a calendar month, in US dollars.",
    )
    silence_seconds = models.PositiveIntegerField(null=True, blank=True)
    fail_fast = models.BooleanField(default=False)
    scheduling = models.CharField(max_length=10, choices=Scheduling, default=Scheduling.STAGES)
    linear_team = models.CharField(max_length=20, blank=True, help_text="Key of the Linear team in which each PRP gets an issue.")
    linear_token_sealed = models.TextField(blank=True, editable=False, help_text="Encrypted (accounts/sealed.py); never shown.")
    forge = models.CharField(max_length=10, blank=True, default="", help_text="Kind of the code host, a ForgeKind; empty: none.")
    forge_address = models.CharField(max_length=500, blank=True, help_text="Address of the repository at the code host.")
    forge_fork = models.CharField(
        max_length=500, blank=True, default="", help_text="Address of the fork that branches are pushed to. Empty: the repository itself."
    )
    forge_token_sealed = models.TextField(blank=True, editable=False, help_text="Encrypted (accounts/sealed.py); never shown.")
    finish_by = models.CharField(
        max_length=12, choices=FinishBy, default=FinishBy.MERGE, help_text="What a batch that succeeded offers first."
    )
    remark_rounds = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(5)],
        help_text="How often failed checks and comments of a pull request are given to an agent automatically. 0: never.",
    )
    accept_context = models.BooleanField(default=False, help_text="Merge proposed context updates at once.")
    undeclared_edits = models.CharField(max_length=5, choices=choices(FilePolicy), default=FilePolicy.ALLOW)
    deletions = models.CharField(max_length=5, choices=choices(FilePolicy), default=FilePolicy.ALLOW)
    protected_paths = models.TextField(
        default=usual_patterns, blank=True, help_text="Patterns, one per line. An undeclared change of such a file waits for a person."
    )
    require_review = models.BooleanField(default=False, help_text="Execute only after a review approves or a person overrules it.")
    lint_command = models.CharField(max_length=500, blank=True, help_text="Runs as a gate after every phase or stage. Empty: no such gate.")
    lint_when = models.CharField(max_length=5, choices=GateWhen, default=GateWhen.PHASE)
    test_command = models.CharField(max_length=500, blank=True, help_text="Runs as a gate after every phase or stage. Empty: no such gate.")
    test_when = models.CharField(max_length=5, choices=GateWhen, default=GateWhen.PHASE)
    coverage_command = models.CharField(
        max_length=500, blank=True, help_text="Runs as a gate after every phase or stage. Empty: no such gate."
    )
    coverage_when = models.CharField(max_length=5, choices=GateWhen, default=GateWhen.STAGE)
    standard_gates = models.JSONField(
        default=usual_standard_gates, blank=True, help_text="Names of the standard gates that are switched on."
    )
    largest_file_mb = models.PositiveIntegerField(
        default=10, validators=[MinValueValidator(1)], help_text="The largest size of a changed file, in MB."
    )
    rerun_gates = models.BooleanField(default=True, help_text="Run the command of a failed gate once more.")
    network = models.CharField(max_length=5, choices=Network, default=Network.NONE, help_text="Which commands may reach the network.")
    allowed_hosts = models.TextField(
        blank=True, help_text="Hosts that commands with network access, agents and the set-up may reach, one per line. Empty: all."
    )
    setup_command = models.TextField(blank=True, help_text="A shell script that builds what commands need besides the commit.")
    setup_inputs = models.TextField(blank=True, help_text="Globs of files that the set-up depends on, one per line. Empty: lock files.")
    setup_network = models.BooleanField(default=True, help_text="Whether the set-up command may use the network.")
    bring_along = models.TextField(blank=True, help_text="Ignored files of the repository's folder that are copied, one per line.")
    environment_path = models.TextField(blank=True, help_text="Folders of the checkout that come first in PATH, one per line.")
    environment_variables = models.TextField(blank=True, help_text="NAME=VALUE, one per line; never a secret.")
    tool_paths = models.TextField(blank=True, help_text="Absolute paths that commands may read, one per line.")
    shared_context = models.BooleanField(default=True, help_text="Start all agents of a run with the same context.")
    instructions_executor = models.TextField(blank=True, help_text="Added to the prompt of every executor.")
    instructions_reviewer = models.TextField(blank=True, help_text="Added to the prompt of every reviewer.")
    instructions_generator = models.TextField(blank=True, help_text="Added to the prompt of who writes PRPs and plans.")
    mcp_servers = models.TextField(blank=True, help_text="The MCP servers of its agents, as in .mcp.json; a secret is ${NAME}.")
    allowed_tools = models.TextField(blank=True, help_text="Tools that Claude may use, one per line. Empty: all that are switched on.")
    denied_tools = models.TextField(blank=True, help_text="Tools that Claude may not use, one per line.")
    skills = models.BooleanField(default=False, help_text="Whether Claude is given the skills of the repository.")
    subagents = models.BooleanField(default=False, help_text="Whether Claude may use subagents.")
    web_search = models.BooleanField(default=False, help_text="Whether Claude may search the web.")
    web_fetch = models.BooleanField(default=False, help_text="Whether Claude may fetch pages.")
    archived_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="Since when lists hide it. Empty: they show it.")
    keep_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="After so many days logs are compressed and references of merged work dropped. Empty: never by itself.",
    )
    keep_megabytes = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Above so many megabytes of logs the oldest are removed. Empty: no limit.",
    )
    worker_hosts = models.TextField(blank=True, default="", help_text="Names of worker hosts that may execute its batches, one per line.")
    remote = models.CharField(
        max_length=1000, blank=True, default="", help_text="Where worker hosts fetch from and push to. Empty: the code host."
    )
    demo = models.BooleanField(default=False, editable=False, help_text="A demonstration with made-up data. The repository does not exist.")
    notify_webhook_sealed = models.TextField(
        blank=True, editable=False, help_text="Encrypted, because a webhook address is often a secret."
    )
    notify_secret_sealed = models.TextField(
        blank=True, editable=False, help_text="What messages to the webhook are signed with. Encrypted; never shown."
    )
    notify_format = models.CharField(max_length=5, choices=NotifyFormat, default=NotifyFormat.JSON)
    notify_others_sealed = models.TextField(
        blank=True, editable=False, help_text="Addresses of other services, one per line. Encrypted; never shown."
    )
    notify_mail = models.CharField(max_length=1000, blank=True)
    members_only = models.BooleanField(
        default=False, help_text="Only its members and administrators see it. Otherwise everybody does by the role of the account."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")

    objects = ConfinedManager["Project"]()

    class Meta:
        ordering = ["name"]
        constraints = [models.CheckConstraint(condition=Q(max_parallel__gte=1), name="project_runs_at_least_one")]

    def __str__(self) -> str:
        return self.name

    @property
    def workers(self) -> list[str]:
        """The names of the worker hosts that may execute its batches."""
        return self.worker_hosts.split()

    @property
    def told_roles(self) -> list[str]:
        """The roles for which these settings have instructions."""
        return [role for role in ("executor", "reviewer", "generator") if getattr(self, f"instructions_{role}")]

    @property
    def tools_given(self) -> list[str]:
        """What its settings give to Claude besides files and commands, in words."""
        switched = (("skills", "skills"), ("subagents", "subagents"), ("web_search", "web search"), ("web_fetch", "fetched pages"))
        named = ["MCP servers"] if self.mcp_servers else []
        return named + [words for name, words in switched if getattr(self, name)]

    @property
    def phase_limit_seconds(self) -> float:
        """The project's limit, or the installation's."""
        return settings.CE_PHASE_LIMIT_SECONDS if self.phase_limit_minutes is None else self.phase_limit_minutes * 60.0

    @property
    def gate_rules(self) -> GateRules:
        """The project's own gates, as set now."""
        commands = ((name, getattr(self, f"{name}_command"), getattr(self, f"{name}_when")) for name in COMMAND_TEXTS)
        return GateRules(
            project=tuple(ProjectGate(name, command, When(when)) for name, command, when in commands if command),
            standard=standard_of(self.standard_gates),
            largest_file_mb=self.largest_file_mb,
            rerun=self.rerun_gates,
        )


class ProjectSecret(models.Model):
    """A secret of a project: an environment variable for some of its commands. The value is encrypted and never shown."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="secrets")
    name = models.CharField(max_length=100)
    sealed = models.TextField(editable=False, help_text="Encrypted (accounts/sealed.py); never shown.")
    setup = models.BooleanField(default=False, help_text="Whether the set-up command is given it.")
    steps = models.BooleanField(default=False, help_text="Whether commands of steps are given it.")
    gates = models.BooleanField(default=False, help_text="Whether commands of gates are given it.")
    agent = models.BooleanField(default=False, help_text="Whether an agent and its shell are given it.")
    servers = models.BooleanField(default=False, help_text="Whether MCP servers that ask for it are given it.")
    changed_at = models.DateTimeField()
    changed_cause = models.CharField(max_length=200)

    objects = ConfinedManager["ProjectSecret"]()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="secret_name_once_per_project")]

    def __str__(self) -> str:
        return f"{self.name} of {self.project}"

    @property
    def uses(self) -> list[str]:
        """What it is given to, some of USES of subagents/credentials.py."""
        return [use for use in USES if getattr(self, use)]


class Membership(models.Model):
    """What a person, or everybody of a team, may do in one project, besides what the role of the account allows in open ones."""

    class Role(models.TextChoices):
        """Each includes the ones before it."""

        VIEWER = "viewer", "viewer: sees it"
        AUTHOR = "author", "author: also writes plans"
        EXECUTOR = "executor", "executor: also executes, which runs code"
        MAINTAINER = "maintainer", "maintainer: also merges, overrules reviews, decides updates of the context"
        ADMIN = "admin", "admin: also changes its settings and members"

    project = models.ForeignKey(Project, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="memberships")
    team = models.ForeignKey(Group, models.CASCADE, null=True, blank=True, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role)

    objects = ConfinedManager["Membership"]()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(user__isnull=False, team=None) | Q(user=None, team__isnull=False), name="member_is_one"),
            models.UniqueConstraint(fields=["project", "user"], name="person_once_per_project"),
            models.UniqueConstraint(fields=["project", "team"], name="team_once_per_project"),
        ]

    def __str__(self) -> str:
        return f"{self.user or self.team}: {self.role} of {self.project}"
