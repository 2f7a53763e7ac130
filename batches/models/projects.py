"""Projects: the repositories that batches work on, with the defaults of their runs."""

import shlex

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from batches.core.gates.project_gates import COMMAND_TEXTS, GateRules, ProjectGate, When, standard_of, usual_standard_gates
from batches.core.review.declared_changes import FilePolicy
from batches.models.choices import GateWhen, Network, Scheduling, choices


def check_agent_command(text: str) -> None:
    """Raises ValidationError when `text` cannot be split into a program and its arguments."""
    try:
        shlex.split(text)
    except ValueError as problem:
        raise ValidationError(f"This is no command line: {problem}.") from None


class Project(models.Model):
    """A git repository that batches work on, with the defaults of its runs."""

    class NotifyFormat(models.TextChoices):
        JSON = "json", "JSON with all facts"
        SLACK = "slack", "Slack (text only)"

    name = models.CharField(max_length=80, unique=True)
    slug = models.SlugField(max_length=80, unique=True)
    repository = models.CharField(max_length=1000, unique=True, help_text="Absolute path of the repository on this host.")
    base_branch = models.CharField(max_length=200, help_text="The branch that batches start from; never written to.")
    backend = models.CharField(max_length=40, default="steps")
    agent_command = models.CharField(
        max_length=1000, blank=True, validators=[check_agent_command], help_text="The program of the backend command, with its arguments."
    )
    max_parallel = models.PositiveSmallIntegerField(default=4, validators=[MinValueValidator(1)])
    phase_limit_minutes = models.PositiveIntegerField(default=60, validators=[MinValueValidator(1)])
    model = models.CharField(max_length=100, blank=True, help_text="Of every phase; empty: by its complexity.")
    retry_model = models.CharField(max_length=100, blank=True, help_text="After a failure of the work; empty: by complexity.")
    budget_usd = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, validators=[MinValueValidator(0)], help_text="Of a batch, US dollars."
    )
    phase_cap_usd = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, validators=[MinValueValidator(0)], help_text="Of one attempt, US dollars."
    )
    silence_seconds = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: the installation's setting.")
    fail_fast = models.BooleanField(default=False)
    scheduling = models.CharField(max_length=10, choices=Scheduling, default=Scheduling.STAGES)
    linear_team = models.CharField(max_length=20, blank=True, help_text="Key of the Linear team that gets an issue for each PRP.")
    linear_token_sealed = models.TextField(blank=True, editable=False, help_text="Encrypted (integrations/sealed.py); never shown.")
    accept_context = models.BooleanField(default=False, help_text="What an update of the context proposes is merged at once.")
    undeclared_edits = models.CharField(max_length=5, choices=choices(FilePolicy), default=FilePolicy.ALLOW)
    deletions = models.CharField(max_length=5, choices=choices(FilePolicy), default=FilePolicy.ALLOW)
    require_review = models.BooleanField(default=False, help_text="Execute waits for a review that approves, or for a person's word.")
    lint_command = models.CharField(max_length=500, blank=True, help_text="A gate of every phase or stage; empty: none.")
    lint_when = models.CharField(max_length=5, choices=GateWhen, default=GateWhen.PHASE)
    test_command = models.CharField(max_length=500, blank=True, help_text="A gate of every phase or stage; empty: none.")
    test_when = models.CharField(max_length=5, choices=GateWhen, default=GateWhen.PHASE)
    coverage_command = models.CharField(max_length=500, blank=True, help_text="A gate of every phase or stage; empty: none.")
    coverage_when = models.CharField(max_length=5, choices=GateWhen, default=GateWhen.STAGE)
    standard_gates = models.JSONField(default=usual_standard_gates, blank=True, help_text="Names of the server's own gates that are on.")
    largest_file_mb = models.PositiveIntegerField(default=10, validators=[MinValueValidator(1)], help_text="Of a changed file, in MB.")
    rerun_gates = models.BooleanField(default=True, help_text="A command of a gate that fails is run once more.")
    network = models.CharField(max_length=5, choices=Network, default=Network.NONE, help_text="What may reach the network.")
    tool_paths = models.TextField(blank=True, help_text="Absolute paths that commands may read, one a line.")
    shared_context = models.BooleanField(default=True, help_text="Agents of a run get the same context first.")
    demo = models.BooleanField(default=False, editable=False, help_text="A demonstration: made up, there is no such repository.")
    notify_webhook_sealed = models.TextField(blank=True, editable=False, help_text="Encrypted: such an address is often a secret.")
    notify_format = models.CharField(max_length=5, choices=NotifyFormat, default=NotifyFormat.JSON)
    notify_mail = models.CharField(max_length=1000, blank=True, help_text="Mail addresses, separated by commas.")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["name"]
        constraints = [models.CheckConstraint(condition=Q(max_parallel__gte=1), name="project_runs_at_least_one")]

    def __str__(self) -> str:
        return self.name

    @property
    def phase_limit_seconds(self) -> float:
        """Its own limit; while it was left at what a new project has, the installation's."""
        usual = type(self)._meta.get_field("phase_limit_minutes").default
        return settings.CE_PHASE_LIMIT_SECONDS if self.phase_limit_minutes == usual else self.phase_limit_minutes * 60.0

    @property
    def gate_rules(self) -> GateRules:
        """The gates beside a plan's, as the settings have them now."""
        commands = ((name, getattr(self, f"{name}_command"), getattr(self, f"{name}_when")) for name in COMMAND_TEXTS)
        return GateRules(
            project=tuple(ProjectGate(name, command, When(when)) for name, command, when in commands if command),
            standard=standard_of(self.standard_gates),
            largest_file_mb=self.largest_file_mb,
            rerun=self.rerun_gates,
        )
