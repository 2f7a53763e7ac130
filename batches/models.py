"""The rows: what was planned, what is going on, and what happened. Invariants are constraints, not hopes.

State is written by `querysets.py` alone, along the table in `core/states.py`.
"""

import shlex
import uuid

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q

from batches.core.chain import OPEN_CHAIN_STATES, ChainState, Step
from batches.core.changes import FilePolicy
from batches.core.ledger import Opinion
from batches.core.pricing import input_cost
from batches.core.project_gates import COMMAND_TEXTS, GateRules, ProjectGate, When, standard_of, usual_standard_gates
from batches.core.review import PASSING_VERDICTS, Moment, Severity, Verdict
from batches.core.states import (
    ENDED_RUN_STATES,
    ENDED_TASK_STATES,
    LIVE_RUN_STATES,
    LIVE_TASK_STATES,
    RETRYABLE_TASK_STATES,
    Event,
    FailureReason,
    Operation,
    RunEvent,
    RunState,
    TaskKind,
    TaskState,
    Waiting,
)
from batches.querysets import AttemptQuerySet, BatchQuerySet, ChainQuerySet, PlanQuerySet, RunQuerySet, TaskQuerySet
from subagents.contract import Fault, GateOrigin


def choices(enum: type) -> list[tuple[str, str]]:
    """Django choices of a core enum, so that there is one list of states."""
    return [(member.value, member.value.replace("_", " ")) for member in enum]


class Scheduling(models.TextChoices):
    STAGES = "stages", "stage by stage"
    DATAFLOW = "dataflow", "as soon as dependencies are merged"


class OnConflict(models.TextChoices):
    WARN = "warn", "run anyway"
    SERIALIZE = "serialize", "one after the other"
    ABORT = "abort", "do not start"


class GateWhen(models.TextChoices):
    PHASE = When.PHASE, "after every phase"
    STAGE = When.STAGE, "after every stage"


class Network(models.TextChoices):
    NONE = "none", "nothing"
    STEPS = "steps", "steps"
    ALL = "all", "steps and gates"


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


class Plan(models.Model):
    """An uploaded markdown document, kept as it came; it may have faults, then it cannot be executed.

    Editing makes the next version of the same series; a kept text is never changed.
    """

    first_version = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="later_versions", help_text="Empty: this one is the first."
    )
    version = models.PositiveIntegerField(default=1)
    project = models.ForeignKey(Project, models.SET_NULL, null=True, blank=True, related_name="plans")
    title = models.CharField(max_length=300)
    file_name = models.CharField(max_length=255, blank=True)
    text = models.TextField()
    sha256 = models.CharField(max_length=64)
    phase_count = models.PositiveIntegerField(default=0)
    stage_count = models.PositiveIntegerField(default=0)
    error_count = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")

    objects = PlanQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["first_version", "version"], name="plan_version_once_per_series"),
            models.CheckConstraint(
                condition=Q(first_version__isnull=True, version=1) | Q(first_version__isnull=False, version__gte=2),
                name="plan_first_iff_version_one",
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def series_id(self) -> int:
        """The id of the series' first version."""
        return self.first_version_id or self.pk


class Batch(models.Model):
    """One plan made executable on one project; its state is that of its runs (see BatchQuerySet.with_state)."""

    number = models.PositiveIntegerField(unique=True)
    project = models.ForeignKey(Project, models.PROTECT, related_name="batches")
    plan = models.ForeignKey(Plan, models.PROTECT, related_name="batches")
    title = models.CharField(max_length=300)
    base_branch = models.CharField(max_length=200)
    base_commit = models.CharField(max_length=64)
    edition = models.PositiveIntegerField(default=1, help_text="How often its phases were made from a plan.")
    version = models.PositiveBigIntegerField(default=1, help_text="Raised with every change that a page shows.")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    asked_by = models.UUIDField(null=True, editable=False, unique=True, help_text="The form that asked for it: sent twice, it makes one.")

    objects = BatchQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        verbose_name_plural = "batches"
        permissions = [
            ("execute_batch", "May execute, retry, pause and cancel"),
            ("merge_batch", "May merge a batch into its base branch"),
        ]
        constraints = [models.CheckConstraint(condition=Q(number__gte=1), name="batch_number_from_one")]

    def __str__(self) -> str:
        return f"Batch {self.number}"

    @property
    def branch(self) -> str:
        """The branch in the project's repository that finished phases are merged into."""
        return f"ce/batch-{self.number}"

    @property
    def context_branch(self) -> str:
        """The branch that the latest update of the context is proposed on."""
        return f"ce/context-{self.number}"


class Stage(models.Model):
    """The phases of a batch that may run side by side. Its state is derived from its tasks, never stored."""

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="stages")
    number = models.PositiveIntegerField()

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["batch", "number"], name="stage_once_per_batch"),
            models.CheckConstraint(condition=Q(number__gte=1), name="stage_number_from_one"),
        ]

    def __str__(self) -> str:
        return f"Stage {self.number}"


class Phase(models.Model):
    """One phase of the plan as it was read when the batch was made."""

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="phases")
    stage = models.ForeignKey(Stage, models.CASCADE, related_name="phases")
    key = models.CharField(max_length=40)
    position = models.PositiveIntegerField(help_text="Place in the document, from 1.")
    order = models.PositiveIntegerField(help_text="Place within the stage, from 1.")
    prp_id = models.CharField(max_length=60)
    slug = models.SlugField(max_length=80)
    title = models.CharField(max_length=300)
    goal = models.TextField(blank=True)
    hours = models.FloatField(null=True, blank=True)
    hours_text = models.CharField(max_length=200, blank=True)
    complexity = models.CharField(max_length=10)
    files = models.JSONField(default=list, blank=True)
    dependencies = models.JSONField(default=list, blank=True, help_text="Keys of phases of this batch.")
    steps = models.JSONField(default=list, blank=True, help_text="[{number, text, commands}]")
    line = models.PositiveIntegerField(default=0)
    remaining_hours = models.FloatField(default=0, help_text="Longest path from here to an end, this phase included.")

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["batch", "key"], name="phase_key_once_per_batch"),
            models.UniqueConstraint(fields=["batch", "position"], name="phase_position_once_per_batch"),
            models.UniqueConstraint(fields=["stage", "order"], name="phase_order_once_per_stage"),
        ]

    def __str__(self) -> str:
        return f"Phase {self.key}: {self.title}"


class LinearIssue(models.Model):
    """The issue of one PRP: wanted from the moment its row is there, created once `url` is known.

    `uid` is the issue's id, chosen before Linear knows of it, so that it cannot be created twice.
    """

    phase = models.OneToOneField(Phase, models.CASCADE, related_name="linear_issue")
    uid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    identifier = models.CharField(max_length=50, blank=True, help_text="As Linear shows it, such as ENG-12.")
    url = models.CharField(max_length=500, blank=True)
    linked = models.BooleanField(default=False, help_text="Its address is in the PRP document.")
    tries = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True, help_text="Why it could not be created when it was last tried.")
    next_try_at = models.DateTimeField(help_text="Not tried before this moment.")
    claimed_until = models.DateTimeField(null=True, blank=True, help_text="Somebody is at it.")
    created_at = models.DateTimeField(null=True, blank=True, help_text="When it was created in Linear.")

    class Meta:
        ordering = ["phase__position"]
        constraints = [models.CheckConstraint(condition=Q(linked=False) | ~Q(url=""), name="linked_issue_has_address")]

    def __str__(self) -> str:
        return self.identifier or f"Issue of {self.phase}"


class Gate(models.Model):
    """One check-box under Validation Gates, bound to the check that the server runs (or to none: unverified)."""

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="gates")
    position = models.PositiveIntegerField(help_text="Place in the list, from 1.")
    text = models.TextField()
    kind = models.CharField(max_length=30)
    command = models.TextField(blank=True)
    spec = models.JSONField(help_text="The binding as subagents.contract.GateSpec reads it.")

    class Meta:
        ordering = ["position"]
        permissions = [("tick_gate", "May tick a gate that no rule can check")]
        constraints = [models.UniqueConstraint(fields=["phase", "position"], name="gate_once_per_phase")]

    def __str__(self) -> str:
        return self.text


class Conflict(models.Model):
    """A file, directory or glob that several phases change, and what was decided about it."""

    class Kind(models.TextChoices):
        SAME_STAGE = "same_stage", "same stage"
        CROSS_STAGE = "cross_stage", "unordered across stages"
        ORDERED = "ordered", "ordered"

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="conflicts")
    file = models.CharField(max_length=1000)
    kind = models.CharField(max_length=12, choices=Kind)
    phases = models.JSONField(help_text="Keys of the phases that meet there, in document order.")
    decision = models.CharField(max_length=10, choices=OnConflict, blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    collided = models.BooleanField(null=True, help_text="Whether a merge really met a conflict there; unknown until merged.")

    class Meta:
        ordering = ["kind", "file"]
        constraints = [models.UniqueConstraint(fields=["batch", "file", "kind"], name="conflict_once_per_file_and_kind")]

    def __str__(self) -> str:
        return f"{self.file} ({', '.join(self.phases)})"


class PlanDecision(models.Model):
    """What a person decided about a conflict of a plan before there is a batch. Rows are only added; the latest counts."""

    plan = models.ForeignKey(Plan, models.CASCADE, related_name="decisions")
    file = models.CharField(max_length=1000)
    kind = models.CharField(max_length=12, choices=Conflict.Kind)
    phases = models.JSONField(help_text="Keys of the phases that meet there; with others it is another conflict.")
    decision = models.CharField(max_length=10, choices=OnConflict)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.file} ({', '.join(self.phases)}): {self.get_decision_display()}"


class Run(models.Model):
    """One operation over a batch. A batch has one live run at most; retry re-opens the run it belongs to."""

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="runs")
    number = models.PositiveIntegerField(help_text="Counts the runs of the batch, from 1.")
    operation = models.CharField(max_length=20, choices=choices(Operation))
    state = models.CharField(max_length=12, choices=choices(RunState), default=RunState.QUEUED)
    paused = models.BooleanField(default=False)
    cancel_requested = models.BooleanField(default=False)
    cancel_cause = models.CharField(max_length=200, blank=True)
    selection = models.CharField(max_length=200, blank=True, help_text="Which part of the batch; empty: all of it.")
    backend = models.CharField(max_length=40)
    scheduling = models.CharField(max_length=10, choices=Scheduling)
    on_conflict = models.CharField(max_length=10, choices=OnConflict, default=OnConflict.WARN)
    max_parallel = models.PositiveSmallIntegerField(validators=[MinValueValidator(1)])
    parallel_limit = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Lower than max_parallel since a rate limit.")
    model = models.CharField(max_length=100, blank=True, help_text="Of every phase; empty: by its complexity.")
    retry_model = models.CharField(max_length=100, blank=True, help_text="After a failure of the work; empty: by complexity.")
    budget_usd = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True, help_text="Of the whole batch.")
    phase_cap_usd = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True, help_text="Of one attempt.")
    rate_limited_since = models.DateTimeField(null=True, blank=True)
    rate_limited_until = models.DateTimeField(null=True, blank=True, help_text="The latest pause; nothing is started until then.")
    rate_limits = models.PositiveIntegerField(default=0, help_text="Pauses since the last phase that succeeded.")
    stop_reason = models.CharField(max_length=20, choices=choices(FailureReason), blank=True, help_text="Why the engine stopped all of it.")
    stop_message = models.TextField(blank=True)
    waiting_for = models.CharField(max_length=12, choices=choices(Waiting), blank=True, help_text="What keeps ready phases from starting.")
    waiting_since = models.DateTimeField(null=True, blank=True)
    waited = models.JSONField(default=dict, blank=True, help_text="{what for: seconds} of the waits that are over.")
    fail_fast = models.BooleanField(default=False)
    gate_rules = models.JSONField(default=dict, blank=True, help_text="Gates beside the plan's, as the project had them at its start.")
    phase_limit_seconds = models.FloatField()
    silence_seconds = models.FloatField()
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    reported_at = models.DateTimeField(null=True, blank=True, help_text="When result file, report and archive were written.")
    report = models.TextField(blank=True)
    result = models.JSONField(null=True, blank=True, help_text="What batches/batch-N.result.json holds.")
    forecast_seconds = models.FloatField(null=True, blank=True, help_text="Median, as told at its start; empty: no data yet.")
    forecast_p90_seconds = models.FloatField(null=True, blank=True)
    forecast_usd = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True, help_text="Median.")
    forecast_p90_usd = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    forecast_runs = models.PositiveIntegerField(default=0, help_text="Finished phases that the forecast rests on.")
    forecast_hours = models.FloatField(null=True, blank=True, help_text="Estimated hours of the longest chain that it was made of.")

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["batch", "number"], name="run_number_once_per_batch"),
            models.UniqueConstraint(fields=["batch"], condition=Q(state__in=sorted(LIVE_RUN_STATES)), name="one_live_run_per_batch"),
            models.CheckConstraint(condition=Q(state__in=sorted(RunState)), name="run_state_known"),
            models.CheckConstraint(
                condition=Q(state__in=sorted(ENDED_RUN_STATES), ended_at__isnull=False)
                | Q(state__in=sorted(LIVE_RUN_STATES), ended_at__isnull=True),
                name="run_ended_iff_end_known",
            ),
            models.CheckConstraint(condition=Q(max_parallel__gte=1), name="run_runs_at_least_one"),
        ]

    def __str__(self) -> str:
        return f"{self.batch}, run {self.number} ({self.operation})"

    @property
    def is_live(self) -> bool:
        return self.state in LIVE_RUN_STATES

    @property
    def parallel(self) -> int:
        """How many phases may run at once now."""
        return min(self.max_parallel, self.parallel_limit or self.max_parallel)

    @property
    def branch(self) -> str:
        """The branch that its finished tasks are merged into: an update of the context proposes on one of its own."""
        return self.batch.context_branch if self.operation == Operation.UPDATE_CONTEXT else self.batch.branch


class Chain(models.Model):
    """Runs of a batch that follow one another by themselves: an autopilot (`whole`), or up to the execution of a plan.

    `run` is the one that stands at `step`. The next is started in the transaction that moves this row, by whoever holds
    the ticker's lock, so a crash leaves either the old step or the new one.
    """

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="chains")
    run = models.ForeignKey(Run, models.CASCADE, related_name="chains")
    whole = models.BooleanField(default=False, help_text="Through reviews to the update of the context; otherwise up to the execution.")
    step = models.CharField(max_length=16, choices=choices(Step), default=Step.GENERATE)
    state = models.CharField(max_length=10, choices=choices(ChainState), default=ChainState.GOING)
    options = models.JSONField(default=dict, blank=True, help_text="How its execution is carried out.")
    reason = models.TextField(blank=True, help_text="Why it stopped or ended, for people.")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    moved_at = models.DateTimeField(auto_now_add=True)
    moved_cause = models.CharField(max_length=200, blank=True, help_text="person:NAME, command:NAME or policy:RULE.")

    objects = ChainQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["batch"], condition=Q(state__in=sorted(OPEN_CHAIN_STATES)), name="one_open_chain_per_batch"),
            models.CheckConstraint(condition=Q(state__in=sorted(ChainState)), name="chain_state_known"),
            models.CheckConstraint(condition=~Q(state=ChainState.STOPPED) | ~Q(reason=""), name="stopped_chain_has_reason"),
        ]

    def __str__(self) -> str:
        return f"{'Autopilot' if self.whole else 'Execution'} of {self.batch}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_CHAIN_STATES


class Task(models.Model):
    """One phase within a run, or the gates of one stage judged again on the merged tree."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="tasks")
    kind = models.CharField(max_length=12, choices=choices(TaskKind), default=TaskKind.PHASE)
    phase = models.ForeignKey(Phase, models.PROTECT, null=True, blank=True, related_name="tasks")
    stage = models.ForeignKey(Stage, models.PROTECT, related_name="tasks")
    name = models.CharField(max_length=60, help_text="Names the contract files: 2a, or stage-2-check.")
    position = models.PositiveIntegerField()
    waits_for = models.JSONField(default=list, blank=True, help_text="Names of tasks that must have succeeded.")
    after = models.JSONField(default=list, blank=True, help_text="Names of tasks that must have ended (serialised conflicts).")
    model = models.CharField(max_length=100, blank=True, help_text="Chosen for this phase; empty: as the run says.")
    covers = models.JSONField(default=list, blank=True, help_text="A stage check's merged attempts (their ids).")
    state = models.CharField(max_length=12, choices=choices(TaskState), default=TaskState.PENDING, db_index=True)
    reason = models.CharField(max_length=20, choices=choices(FailureReason), blank=True)
    message = models.TextField(blank=True)
    blocked_by = models.CharField(max_length=60, blank=True, help_text="The task whose failure blocked this one.")
    resume_session = models.BooleanField(default=False, help_text="The next attempt goes on with the agent's last session.")
    restarts = models.PositiveIntegerField(default=0, help_text="Restarts by the engine since a person last asked.")
    not_before = models.DateTimeField(null=True, blank=True, help_text="Back-off: not launched before this moment.")
    changed_at = models.DateTimeField(auto_now_add=True)
    resolution = models.CharField(max_length=64, blank=True, help_text="A person's commit that the next attempt starts from and judges.")
    dropped_ref = models.CharField(max_length=200, blank=True, help_text="A person gave the phase up; its work is kept there.")

    objects = TaskQuerySet.as_manager()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["run", "name"], name="task_name_once_per_run"),
            models.UniqueConstraint(fields=["run", "phase"], condition=Q(kind=TaskKind.PHASE), name="task_once_per_phase_and_run"),
            models.CheckConstraint(condition=Q(state__in=sorted(TaskState)), name="task_state_known"),
            models.CheckConstraint(
                condition=Q(kind=TaskKind.PHASE, phase__isnull=False) | Q(kind=TaskKind.STAGE_CHECK, phase__isnull=True),
                name="task_has_phase_iff_phase_task",
            ),
            models.CheckConstraint(
                condition=(Q(state=TaskState.FAILED) & ~Q(reason="")) | ~Q(state=TaskState.FAILED),
                name="failed_task_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.run}: {self.name}"

    @property
    def is_live(self) -> bool:
        return self.state in LIVE_TASK_STATES

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED_TASK_STATES

    @property
    def can_retry(self) -> bool:
        return self.state in RETRYABLE_TASK_STATES


class Attempt(models.Model):
    """One try of a task: its own process, checkout, heartbeat, log and result. `number` is the fence.

    Rows are facts seen by the host that runs it; what they mean is decided in `core/decide.py`.
    """

    class Outcome(models.TextChoices):
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"
        DEFERRED = "deferred"

    task = models.ForeignKey(Task, models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    token = models.CharField(max_length=64)
    host = models.CharField(max_length=120)
    directory = models.CharField(max_length=1000, help_text="Lock, start and end of its process.")
    checkout = models.CharField(max_length=1000)
    ref = models.CharField(max_length=200, help_text="Where its commits are kept.")
    base_commit = models.CharField(max_length=64)
    spec = models.JSONField()
    launched_at = models.DateTimeField()
    launched_clock = models.FloatField(help_text="The host's monotonic clock at launch, in seconds.")
    ready_at = models.DateTimeField(null=True, blank=True, help_text="When nothing in the plan kept it from starting any more.")
    waited_for = models.CharField(max_length=12, choices=choices(Waiting), blank=True, help_text="What it waited for from then on.")
    relaunched_clock = models.FloatField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    pid = models.PositiveIntegerField(null=True, blank=True)
    last_beat_at = models.DateTimeField(null=True, blank=True, help_text="When this host saw a new heartbeat.")
    beat_clock = models.FloatField(null=True, blank=True, help_text="The host's monotonic clock then, in seconds.")
    last_progress_at = models.DateTimeField(null=True, blank=True)
    heartbeat = models.JSONField(null=True, blank=True)
    step = models.PositiveIntegerField(null=True, blank=True)
    total_steps = models.PositiveIntegerField(null=True, blank=True)
    progress = models.CharField(max_length=500, blank=True)
    tokens_used = models.PositiveBigIntegerField(null=True, blank=True)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    model = models.CharField(max_length=100, blank=True, help_text="The language model asked for; empty: none.")
    reserved_usd = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, help_text="Of the budget, at its launch; empty: nothing was to be kept."
    )
    session = models.CharField(max_length=100, blank=True, help_text="The agent's session; a later attempt may go on with it.")
    sandbox = models.CharField(max_length=40, blank=True, help_text="The sandbox level it ran in; empty: not known.")
    input_tokens = models.PositiveBigIntegerField(null=True, blank=True, help_text="Read by the model and not from a cache.")
    output_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    cache_read_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    cache_write_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    elapsed_seconds = models.FloatField(null=True, blank=True)
    stop_reason = models.CharField(max_length=20, choices=choices(FailureReason), blank=True, help_text="Why it was told to stop.")
    stop_clock = models.FloatField(null=True, blank=True)
    exited_at = models.DateTimeField(null=True, blank=True, help_text="When its process, with all it started, was seen to be gone.")
    exit_code = models.IntegerField(null=True, blank=True)
    verdict = models.CharField(max_length=20, blank=True, help_text="success, or the failure reason that its result or end gives.")
    fault = models.CharField(max_length=20, choices=choices(Fault), blank=True, help_text="What kind of agent_error.")
    retry_at = models.DateTimeField(null=True, blank=True, help_text="With rate_limited: when requests are taken again.")
    head_commit = models.CharField(max_length=64, blank=True)
    tree = models.CharField(max_length=64, blank=True, help_text="The tree that its gates were judged on.")
    merge_commit = models.CharField(max_length=64, blank=True)
    merge_tree = models.CharField(max_length=64, blank=True)
    merge_conflicts = models.JSONField(null=True, blank=True, help_text="Files that could not be merged.")
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome, blank=True)
    reason = models.CharField(max_length=20, choices=choices(FailureReason), blank=True)
    message = models.TextField(blank=True)
    checkout_bytes = models.PositiveBigIntegerField(null=True, blank=True, help_text="What its folder takes; null: not measured.")
    checkout_removed_at = models.DateTimeField(null=True, blank=True, help_text="When its folder was removed, or seen to be gone.")
    archive_ref = models.CharField(max_length=300, blank=True, help_text="Where what it had not committed is kept.")
    work_files = models.JSONField(null=True, blank=True, help_text="{created, modified, deleted} as last seen while it ran.")
    log_tail = models.TextField(blank=True)
    log_bytes = models.PositiveBigIntegerField(default=0)

    objects = AttemptQuerySet.as_manager()

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["task", "number"], name="attempt_number_once_per_task"),
            models.UniqueConstraint(fields=["task"], condition=Q(ended_at__isnull=True), name="one_live_attempt_per_task"),
            models.UniqueConstraint(fields=["merge_commit"], condition=~Q(merge_commit=""), name="merge_commit_once"),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True, outcome="") | (Q(ended_at__isnull=False) & ~Q(outcome="")),
                name="attempt_ended_iff_outcome_known",
            ),
            models.CheckConstraint(condition=~Q(outcome="failed") | ~Q(reason=""), name="failed_attempt_has_reason"),
            models.CheckConstraint(condition=Q(started_at__isnull=True) | ~Q(pid=None), name="started_attempt_has_pid"),
        ]
        indexes = [models.Index(fields=["host"], condition=Q(ended_at__isnull=True), name="live_attempts_of_host")]

    def __str__(self) -> str:
        return f"{self.task}, attempt {self.number}"

    @property
    def cache_saved(self) -> float | None:
        """The share of its input's cost that the provider's cache saved; None when unknown."""
        cost = input_cost(self.model, self.input_tokens, self.cache_write_tokens, self.cache_read_tokens)
        return None if cost is None else cost.saved


class PredictedConflict(models.Model):
    """A file at which an attempt would have collided, had it been merged when it was looked at: with another one, or with the branch.

    Rows stay, to be compared with what really collided.
    """

    run = models.ForeignKey(Run, models.CASCADE, related_name="predictions")
    file = models.CharField(max_length=4096)
    phases = models.JSONField(help_text="Keys of the phases, one or two.")
    first = models.ForeignKey(Attempt, models.CASCADE, related_name="+")
    second = models.ForeignKey(Attempt, models.CASCADE, null=True, blank=True, related_name="+", help_text="Empty: the batch's branch.")
    seen_at = models.DateTimeField()
    gone_at = models.DateTimeField(null=True, blank=True, help_text="When it was no longer true, or the attempts had ended.")
    collided = models.BooleanField(null=True, help_text="Whether a merge really met it; unknown until merged.")

    class Meta:
        ordering = ["-seen_at", "file"]
        constraints = [
            models.UniqueConstraint(fields=["first", "second", "file"], name="prediction_once_per_pair_and_file"),
            models.UniqueConstraint(fields=["first", "file"], condition=Q(second=None), name="prediction_once_per_attempt_and_file"),
        ]

    def __str__(self) -> str:
        return f"{self.file} ({', '.join(self.phases)})"


class Result(models.Model):
    """What an attempt left: its result file as read, and what git says it changed."""

    attempt = models.OneToOneField(Attempt, models.CASCADE, related_name="result")
    data = models.JSONField(help_text="The result file.")
    status = models.CharField(max_length=10)
    steps_completed = models.PositiveIntegerField(null=True, blank=True)
    total_steps = models.PositiveIntegerField(null=True, blank=True)
    files_created = models.JSONField(default=list, blank=True)
    files_modified = models.JSONField(default=list, blank=True)
    files_deleted = models.JSONField(default=list, blank=True)
    undeclared = models.JSONField(default=list, blank=True, help_text="Changed files that the plan does not name.")
    commits = models.JSONField(default=list, blank=True)
    diff = models.TextField(null=True, blank=True, help_text="Unified diff against the base, cut at a limit; null until it was read.")

    def __str__(self) -> str:
        return f"{self.attempt}: {self.status}"


class GateCheck(models.Model):
    """One judgement of a gate: by an attempt on its own checkout, or by a stage check on the merged tree.

    Gates of the project and of the server are no rows of their own: `gate` is empty, and the judgement says what it was.
    """

    gate = models.ForeignKey(Gate, models.CASCADE, null=True, blank=True, related_name="checks")
    attempt = models.ForeignKey(Attempt, models.CASCADE, related_name="gate_checks")
    origin = models.CharField(max_length=8, choices=choices(GateOrigin), default=GateOrigin.PLAN)
    position = models.PositiveIntegerField(default=0, help_text="Within its origin, from 1.")
    text = models.TextField(blank=True, help_text="What it asks for, where there is no gate of the plan.")
    kind = models.CharField(max_length=30, blank=True)
    status = models.CharField(max_length=12)
    command = models.TextField(blank=True)
    exit_code = models.IntegerField(null=True, blank=True)
    commit = models.CharField(max_length=64, blank=True)
    output = models.TextField(blank=True)
    seconds = models.FloatField(null=True, blank=True)
    note = models.TextField(blank=True)
    flaky = models.BooleanField(default=False, help_text="It failed, and passed when it was run again on the same files.")
    first_exit_code = models.IntegerField(null=True, blank=True)
    first_output = models.TextField(blank=True, help_text="Of the run before the one that counts.")
    at = models.DateTimeField()

    class Meta:
        ordering = ["attempt", "gate__phase__position", "gate__position", "origin", "position"]
        constraints = [
            models.UniqueConstraint(fields=["gate", "attempt"], name="gate_checked_once_per_attempt"),
            models.UniqueConstraint(
                fields=["attempt", "origin", "position"], condition=Q(gate__isnull=True), name="other_gate_checked_once_per_attempt"
            ),
            models.CheckConstraint(
                condition=Q(gate__isnull=False, origin="plan") | (Q(gate__isnull=True) & ~Q(origin="plan") & ~Q(text="")),
                name="gate_check_of_plan_iff_gate",
            ),
            models.CheckConstraint(condition=Q(flaky=False) | Q(status="passed"), name="flaky_gate_passed"),
        ]

    def __str__(self) -> str:
        return f"{self.title}: {self.status}"

    @property
    def title(self) -> str:
        """What the gate asks for, whoever asks."""
        return self.gate.text if self.gate else self.text


class GateTick(models.Model):
    """A named person's word that a gate holds which no rule can check. Rows are only added; withdrawing completes one."""

    gate = models.ForeignKey(Gate, models.CASCADE, related_name="ticks")
    attempt = models.ForeignKey(Attempt, models.CASCADE, related_name="ticks", help_text="What was looked at; a later attempt has no tick.")
    commit = models.CharField(max_length=64, blank=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    name = models.CharField(max_length=150, help_text="Who ticked it; stays when the account goes.")
    at = models.DateTimeField()
    reason = models.TextField()
    withdrawn_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    withdrawn_name = models.CharField(max_length=150, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdraw_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["gate", "attempt"], condition=Q(withdrawn_at__isnull=True), name="one_standing_tick"),
            models.CheckConstraint(condition=~Q(name="") & ~Q(reason=""), name="tick_by_name_with_reason"),
            models.CheckConstraint(
                condition=Q(withdrawn_at__isnull=True, withdrawn_name="", withdraw_reason="")
                | (Q(withdrawn_at__isnull=False) & ~Q(withdrawn_name="") & ~Q(withdraw_reason="")),
                name="tick_withdrawn_by_name_with_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.gate}: ticked by {self.name}"


class Review(models.Model):
    """A review of a batch, before execution or after; empty but for its moment until its run has succeeded."""

    run = models.OneToOneField(Run, models.CASCADE, related_name="review")
    moment = models.CharField(max_length=6, choices=choices(Moment))
    verdict = models.CharField(max_length=24, choices=choices(Verdict), blank=True)
    scores = models.JSONField(default=list, blank=True, help_text="One object a PRP: score, band, verdict, drift, size.")
    semantic = models.TextField(blank=True, help_text="What a reader with judgement said, or that nobody was asked.")
    path = models.CharField(max_length=200, blank=True, help_text="The report's place on the batch branch.")
    commit = models.CharField(max_length=64, blank=True, help_text="The commit that wrote the report there.")
    problem = models.TextField(blank=True, help_text="Why the report could not be written onto the branch.")
    text = models.TextField(blank=True, help_text="The report.")
    overruled_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    overruled_name = models.CharField(max_length=150, blank=True, help_text="Who overruled it; stays when the account goes.")
    overruled_at = models.DateTimeField(null=True, blank=True)
    overrule_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-run__number"]
        constraints = [
            models.CheckConstraint(
                condition=Q(overruled_at__isnull=True, overruled_name="", overrule_reason="")
                | (Q(overruled_at__isnull=False) & ~Q(overruled_name="") & ~Q(overrule_reason="")),
                name="review_overruled_by_name_with_reason",
            )
        ]

    def __str__(self) -> str:
        return f"Review {self.moment} of {self.run.batch}, run {self.run.number}"

    @property
    def passes(self) -> bool:
        """Whether work may go on after it: it approves, or a named person overruled it."""
        return self.verdict in PASSING_VERDICTS or self.overruled_at is not None


class Finding(models.Model):
    """One thing that a review found: how bad, where, and what to do about it."""

    review = models.ForeignKey(Review, models.CASCADE, related_name="findings")
    phase = models.ForeignKey(Phase, models.CASCADE, null=True, blank=True, related_name="findings", help_text="Empty: the whole batch.")
    position = models.PositiveIntegerField()
    severity = models.CharField(max_length=10, choices=choices(Severity))
    category = models.CharField(max_length=40)
    place = models.CharField(max_length=1000)
    message = models.TextField()
    suggestion = models.TextField(blank=True)

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["review", "position"], name="finding_once_per_position")]

    def __str__(self) -> str:
        return f"{self.severity}: {self.place}: {self.message}"


class GateOpinion(models.Model):
    """What a review after execution says of a gate that no rule can check; never a judgement by itself."""

    gate = models.ForeignKey(Gate, models.CASCADE, related_name="opinions")
    attempt = models.ForeignKey(Attempt, models.CASCADE, related_name="gate_opinions", help_text="Whose work was looked at.")
    review = models.ForeignKey(Review, models.CASCADE, related_name="gate_opinions")
    opinion = models.CharField(max_length=14, choices=choices(Opinion))
    evidence = models.TextField(blank=True, help_text="What it rests on, or why nothing was judged.")
    model = models.CharField(max_length=80, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["gate", "review"], name="one_opinion_per_review"),
            models.CheckConstraint(
                condition=Q(opinion="not_judged") | (~Q(evidence="") & ~Q(model="")), name="opinion_has_evidence_and_model"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.gate}: {self.get_opinion_display()}"


class ContextChange(models.Model):
    """What an update of the context proposes, on a branch of its own, and what was decided about it."""

    class Decision(models.TextChoices):
        UNCHANGED = "unchanged", "nothing to change"
        PROPOSED = "proposed", "proposed"
        ACCEPTED = "accepted", "accepted"
        REJECTED = "rejected", "rejected"

    run = models.OneToOneField(Run, models.CASCADE, related_name="context_change")
    base_commit = models.CharField(max_length=64, help_text="Where the batch branch was when the update began.")
    head_commit = models.CharField(max_length=64, blank=True)
    files = models.JSONField(default=list, blank=True, help_text="Paths that it changes.")
    diff = models.TextField(blank=True)
    notes = models.JSONField(default=list, blank=True, help_text="What was left alone, and why.")
    decision = models.CharField(max_length=10, choices=Decision, blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    decided_cause = models.CharField(max_length=200, blank=True, help_text="person:NAME, command:NAME or policy:RULE.")
    decided_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True)
    merge_commit = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-run__number"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(decision__in=["accepted", "rejected"]) | (Q(decided_at__isnull=False) & ~Q(decided_cause="")),
                name="context_decided_by_somebody",
            )
        ]

    def __str__(self) -> str:
        return f"Context of {self.run.batch}, run {self.run.number}"

    @property
    def ref(self) -> str:
        """Where its commits are kept for good, also after another update or a rejection."""
        return f"refs/ce/context/batch-{self.run.batch.number}/run-{self.run.number}"


class Landing(models.Model):
    """One merge of a batch's branch into its base branch that somebody asked for. Written before git acts, closed after it."""

    class Method(models.TextChoices):
        FAST_FORWARD = "ff", "fast-forward"
        MERGE_COMMIT = "no_ff", "merge commit"

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="landings")
    base_branch = models.CharField(max_length=200)
    method = models.CharField(max_length=5, choices=Method)
    from_commit = models.CharField(max_length=64, help_text="Where the base branch was.")
    batch_commit = models.CharField(max_length=64, help_text="Where the batch's branch was.")
    to_commit = models.CharField(max_length=64, help_text="Where the base branch is to be afterwards.")
    folder = models.CharField(max_length=1000, blank=True, help_text="Where the base branch was checked out; empty: nowhere.")
    cause = models.CharField(max_length=200, help_text="person:NAME or command:NAME.")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    asked_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    merged = models.BooleanField(null=True, help_text="Unknown until it has ended.")
    problem = models.TextField(blank=True, help_text="Why it was not merged.")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["batch"], condition=Q(ended_at__isnull=True), name="one_open_landing_per_batch"),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True, merged__isnull=True) | Q(ended_at__isnull=False, merged__isnull=False),
                name="landing_ended_iff_outcome_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.batch} into {self.base_branch}"


class Transition(models.Model):
    """One move of a run or task, with who or what caused it. Rows are only ever added."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="transitions")
    task = models.ForeignKey(Task, models.CASCADE, null=True, blank=True, related_name="transitions")
    attempt = models.ForeignKey(Attempt, models.CASCADE, null=True, blank=True, related_name="transitions")
    event = models.CharField(max_length=12, choices=sorted({*choices(Event), *choices(RunEvent)}))
    from_state = models.CharField(max_length=12)
    to_state = models.CharField(max_length=12)
    cause = models.CharField(max_length=200, help_text="person:NAME, command:NAME, host:NAME or policy:RULE.")
    reason = models.CharField(max_length=20, blank=True)
    message = models.TextField(blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.event}: {self.from_state} → {self.to_state}"


class AttemptFact(models.Model):
    """What figures are made of: one ended attempt at a phase, written in the transaction that ends it (facts.py).

    Money in millionths of a US dollar, so that sums are exact on every database. Unknown is null. What it repeats of other
    rows is repeated so that 100,000 of them are read without a join.
    """

    attempt = models.OneToOneField(Attempt, models.CASCADE, primary_key=True, related_name="fact")
    run = models.ForeignKey(Run, models.CASCADE, related_name="attempt_facts")
    batch = models.ForeignKey(Batch, models.CASCADE, related_name="+", db_index=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="+", db_index=False)
    phase = models.ForeignKey(Phase, models.CASCADE, related_name="+")
    demo = models.BooleanField(default=False)
    ended_at = models.DateTimeField()
    day = models.DateField(help_text="Of its end, UTC.")
    operation = models.CharField(max_length=20, choices=choices(Operation))
    role = models.CharField(max_length=20)
    model = models.CharField(max_length=100, blank=True)
    stage = models.PositiveIntegerField()
    key = models.CharField(max_length=40)
    kind = models.CharField(max_length=300, help_text="The phase's title without figures and case.")
    complexity = models.CharField(max_length=10)
    number = models.PositiveIntegerField()
    retry = models.BooleanField(default=False, help_text="The phase was tried in this run before; being put off by a limit is no try.")
    outcome = models.CharField(max_length=10, choices=Attempt.Outcome)
    reason = models.CharField(max_length=20, choices=choices(FailureReason), blank=True)
    fault = models.CharField(max_length=20, blank=True)
    seconds = models.FloatField(help_text="From launch to end.")
    waited_seconds = models.FloatField(null=True, help_text="From being ready to launch.")
    waited_for = models.CharField(max_length=12, blank=True)
    tokens = models.PositiveBigIntegerField(null=True)
    input_tokens = models.PositiveBigIntegerField(null=True)
    output_tokens = models.PositiveBigIntegerField(null=True)
    cache_read_tokens = models.PositiveBigIntegerField(null=True)
    cache_write_tokens = models.PositiveBigIntegerField(null=True)
    cost_micros = models.BigIntegerField(null=True, help_text="The sum of its priced requests.")
    input_micros = models.BigIntegerField(null=True, help_text="What its input costs at the usual prices.")
    input_full_micros = models.BigIntegerField(null=True, help_text="What it would cost without the provider's cache.")
    hours = models.FloatField(null=True, help_text="Estimated.")
    files_declared = models.PositiveIntegerField(null=True, help_text="Changed, and named by the plan.")
    files_undeclared = models.PositiveIntegerField(null=True, help_text="Changed, and not named by the plan.")
    drift = models.FloatField(null=True, help_text="Per cent, of an execution that succeeded.")
    conflict = models.BooleanField(default=False, help_text="Its merge met a conflict.")
    by_hand = models.BooleanField(default=False, help_text="It judged a person's resolution of a conflict.")
    gates_passed = models.PositiveIntegerField(default=0)
    gates_failed = models.PositiveIntegerField(default=0)
    gates_unverified = models.PositiveIntegerField(default=0)
    gates_flaky = models.PositiveIntegerField(default=0, help_text="Of the passed ones.")

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["demo", "operation", "ended_at"], name="attempt_facts_by_end")]

    def __str__(self) -> str:
        return f"Facts of attempt {self.attempt_id}"


class RunFact(models.Model):
    """What figures are made of: one ended run with the sums over its attempts; gone while the run goes on again."""

    run = models.OneToOneField(Run, models.CASCADE, primary_key=True, related_name="fact")
    batch = models.ForeignKey(Batch, models.CASCADE, related_name="+")
    project = models.ForeignKey(Project, models.CASCADE, related_name="+", db_index=False)
    demo = models.BooleanField(default=False)
    ended_at = models.DateTimeField()
    day = models.DateField(help_text="Of its end, UTC.")
    operation = models.CharField(max_length=20, choices=choices(Operation))
    outcome = models.CharField(max_length=12, choices=choices(RunState))
    critical = models.BooleanField(default=False, help_text="It failed, and not because a person, a budget or a missing agent stopped it.")
    seconds = models.FloatField(help_text="From start to end.")
    work_seconds = models.FloatField(null=True, help_text="Over its attempts.")
    queue_seconds = models.FloatField(default=0)
    slot_seconds = models.FloatField(default=0)
    rate_limit_seconds = models.FloatField(default=0)
    budget_seconds = models.FloatField(default=0)
    person_seconds = models.FloatField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    retries = models.PositiveIntegerField(default=0)
    phases = models.PositiveIntegerField(default=0, help_text="That succeeded in it.")
    by_hand = models.PositiveIntegerField(default=0, help_text="Of these, after a person resolved a conflict.")
    tokens = models.PositiveBigIntegerField(null=True)
    input_tokens = models.PositiveBigIntegerField(null=True)
    output_tokens = models.PositiveBigIntegerField(null=True)
    cache_read_tokens = models.PositiveBigIntegerField(null=True)
    cache_write_tokens = models.PositiveBigIntegerField(null=True)
    cost_micros = models.BigIntegerField(null=True)
    estimated_hours = models.FloatField(null=True, help_text="Of the phases that succeeded and have an estimate.")
    estimated_seconds = models.FloatField(null=True, help_text="What these took.")
    forecast_seconds = models.FloatField(null=True, help_text="Median, as told at its start.")
    forecast_p90_seconds = models.FloatField(null=True)
    forecast_runs = models.PositiveIntegerField(default=0)
    drift = models.FloatField(null=True, help_text="Per cent, mean over its phases.")
    files_undeclared = models.PositiveIntegerField(null=True)
    conflicts_predicted = models.PositiveIntegerField(default=0)
    conflicts_true = models.PositiveIntegerField(default=0, help_text="Of the predicted ones, those that a merge met.")
    conflicts_false = models.PositiveIntegerField(default=0, help_text="Of the predicted ones, those that no merge met.")
    conflicts_real = models.PositiveIntegerField(default=0, help_text="Attempts whose merge met a conflict.")
    gates_passed = models.PositiveIntegerField(default=0)
    gates_failed = models.PositiveIntegerField(default=0)
    gates_unverified = models.PositiveIntegerField(default=0)
    gates_flaky = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["demo", "operation", "ended_at"], name="run_facts_by_end")]

    def __str__(self) -> str:
        return f"Facts of run {self.run_id}"


class StageFact(models.Model):
    """How long one stage of an ended run took, from its first launch to its last end."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="stage_facts")
    stage = models.PositiveIntegerField()
    seconds = models.FloatField()
    attempts = models.PositiveIntegerField()

    class Meta:
        ordering = ["run", "stage"]
        constraints = [models.UniqueConstraint(fields=["run", "stage"], name="stage_fact_once_per_run")]

    def __str__(self) -> str:
        return f"Facts of stage {self.stage} of run {self.run_id}"


class Host(models.Model):
    """A machine that carries out attempts, as its ticker last reported."""

    name = models.CharField(max_length=120, unique=True)
    pid = models.PositiveIntegerField(null=True, blank=True)
    slots = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    last_tick_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    facts = models.JSONField(default=dict, blank=True, help_text="Versions, disk, start-up report.")

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(lease_until__isnull=True) | Q(last_tick_at__isnull=True) | Q(lease_until__gte=F("last_tick_at")),
                name="lease_ends_after_tick",
            )
        ]

    def __str__(self) -> str:
        return self.name


class Installation(models.Model):
    """What is set for the whole installation: one row. A key that an administrator entered is kept encrypted (keys.py)."""

    default_backend = models.CharField(max_length=40, default="steps", help_text="Of projects that are made from now on.")
    api_key = models.TextField(blank=True, help_text="Encrypted.")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="one_installation")]

    def __str__(self) -> str:
        return "Installation"


class SettingChange(models.Model):
    """Who changed which setting of the installation, and when; never to what. Rows are only ever added."""

    at = models.DateTimeField(auto_now_add=True)
    cause = models.CharField(max_length=200)
    name = models.CharField(max_length=60)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} by {self.cause}"


class ApiToken(models.Model):
    """A person's key to the API, known by its hash only. It may do what that person may, until it is revoked or its time is over."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80, help_text="What it is for.")
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token, in hexadecimal digits.")
    ending = models.CharField(max_length=4, help_text="Its last characters, to know it by.")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: it does not end by itself.")
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute.")
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], condition=Q(revoked_at__isnull=True), name="one_standing_token_per_name")
        ]

    def __str__(self) -> str:
        return f"{self.name} (…{self.ending})"


class AuditEvent(models.Model):
    """What a person or a command did that leaves no other row: sign-ins, people, tokens, projects. Rows are only ever added."""

    class Kind(models.TextChoices):
        SIGN_IN = "sign-in", "sign-in"
        USER = "user", "people"
        TOKEN = "token", "API tokens"
        PROJECT = "project", "projects"

    at = models.DateTimeField(db_index=True)
    kind = models.CharField(max_length=10, choices=Kind)
    cause = models.CharField(max_length=200, help_text="person:NAME, command:NAME, or address:IP of somebody who was not signed in.")
    what = models.CharField(max_length=300)
    address = models.GenericIPAddressField(null=True, blank=True)
    refused = models.BooleanField(default=False, help_text="It was tried and turned away.")

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["address", "at"], condition=Q(kind="token", refused=True), name="refused_tokens_of_address")]

    def __str__(self) -> str:
        return f"{self.what} by {self.cause}"


class Notice(models.Model):
    """One message that a batch has ended or needs a person, to one receiver, until it is sent or given up."""

    class Event(models.TextChoices):
        ENDED = "ended", "ended"
        PERSON = "needs_person", "needs a person"

    class Channel(models.TextChoices):
        WEBHOOK = "webhook", "webhook"
        MAIL = "mail", "mail"

    run = models.ForeignKey(Run, models.CASCADE, related_name="notices")
    event = models.CharField(max_length=12, choices=Event)
    channel = models.CharField(max_length=7, choices=Channel)
    about = models.CharField(max_length=80, help_text="What is told; the same is told once.")
    text = models.TextField()
    created_at = models.DateTimeField()
    tries = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True, blank=True, help_text="Somebody is at it.")
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, help_text="Why it could not be sent when it was last tried.")

    class Meta:
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["run", "channel", "about"], name="notice_once_per_channel")]
        indexes = [models.Index(fields=["next_try_at"], condition=Q(sent_at__isnull=True), name="unsent_notices")]

    def __str__(self) -> str:
        return self.text
