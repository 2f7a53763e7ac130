"""Runs, tasks and attempts. Only runs/transitions.py writes states."""

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, Self

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Exists, F, OuterRef, Q, Sum
from django.db.models.functions import Coalesce

from batches.core.engine.autopilot_steps import OPEN_AUTOPILOT_STATES, AutopilotState, AutopilotStep
from batches.core.engine.pricing import input_cost
from batches.core.engine.states import (
    ENDED_RUN_STATES,
    ENDED_TASK_STATES,
    LIVE_RUN_STATES,
    LIVE_TASK_STATES,
    RETRYABLE_TASK_STATES,
    FailureReason,
    Operation,
    RunEvent,
    RunState,
    TaskEvent,
    TaskKind,
    TaskState,
    Waiting,
)
from batches.core.metrics.durations import attempt_seconds, person_seconds, run_seconds, span_seconds
from batches.models.batches import Batch, Phase, Stage
from batches.models.choices import OnConflict, Scheduling, Travel, choices
from batches.models.processes import SupervisedProcess
from batches.models.visibility import ConfinedManager
from subagents.contract import Fault


class RunQuerySet(models.QuerySet["Run"]):
    def live(self) -> Self:
        """Runs that are queued or running."""
        return self.filter(state__in=sorted(LIVE_RUN_STATES))  # in the order of the constraint, whose index answers this

    def ended(self) -> Self:
        return self.filter(state__in=sorted(ENDED_RUN_STATES))

    def shown(self) -> Self:
        """Runs that determine the state of a batch. Reviews and context updates count only until they have ended.

        Annotates `followed`: whether the autopilot is about to start another run after it.
        """

        going = AutopilotRun.objects.filter(run=OuterRef("pk"), state=AutopilotState.GOING)
        over = Q(reported_at__isnull=False, followed=False)
        looks = Q(operation__in=[Operation.REVIEW, Operation.UPDATE_CONTEXT])
        return self.annotate(followed=Exists(going)).exclude(over & looks)

    def executions(self) -> Self:
        return self.filter(operation=Operation.EXECUTE)


RunManager = ConfinedManager.from_queryset(RunQuerySet)


class Run(models.Model):
    """One operation on a batch. A batch has at most one live run. A retry reopens the run."""

    followed: bool  # annotated by RunQuerySet.shown

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="runs")
    number = models.PositiveIntegerField(help_text="Number within the batch, from 1.")
    operation = models.CharField(max_length=20, choices=choices(Operation))
    state = models.CharField(max_length=12, choices=choices(RunState), default=RunState.QUEUED)
    paused = models.BooleanField(default=False)
    cancel_requested = models.BooleanField(default=False)
    cancel_cause = models.CharField(max_length=200, blank=True)
    selection = models.CharField(max_length=200, blank=True, help_text="Which part of the batch is executed. Empty: all of it.")
    backend = models.CharField(max_length=40)
    scheduling = models.CharField(max_length=10, choices=Scheduling)
    on_conflict = models.CharField(max_length=10, choices=OnConflict, default=OnConflict.WARN)
    max_parallel = models.PositiveSmallIntegerField(validators=[MinValueValidator(1)])
    parallel_limit = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Set below max_parallel after a rate limit.")
    model = models.CharField(max_length=100, blank=True, help_text="The model for every phase. Empty: chosen by complexity.")
    retry_model = models.CharField(max_length=100, blank=True, help_text="The model after a failed attempt. Empty: chosen by complexity.")
    budget_usd = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, help_text="The most that the whole batch may cost."
    )
    phase_cap_usd = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, help_text="The most that one attempt may cost."
    )
    repairs = models.PositiveSmallIntegerField(default=0, help_text="Rounds of repair that a phase may have after a failed gate.")
    rate_limited_since = models.DateTimeField(null=True, blank=True)
    rate_limited_until = models.DateTimeField(null=True, blank=True, help_text="Nothing starts before this time, because of a rate limit.")
    rate_limits = models.PositiveIntegerField(default=0, help_text="Rate limits since the last successful phase.")
    machine_fault = models.TextField(blank=True, help_text="The fault of the machine for which the run is put off. Empty: none.")
    machine_fault_since = models.DateTimeField(null=True, blank=True)
    machine_fault_until = models.DateTimeField(null=True, blank=True, help_text="When the machine is tried next.")
    machine_faults = models.PositiveIntegerField(default=0, help_text="Faults of the machine since the last successful phase.")
    trouble = models.CharField(max_length=20, choices=choices(Fault), blank=True, help_text="Trouble with the provider. Empty: none.")
    trouble_message = models.TextField(blank=True)
    trouble_since = models.DateTimeField(null=True, blank=True)
    trouble_paused_at = models.DateTimeField(null=True, blank=True, help_text="When the pause until the next try began.")
    trouble_until = models.DateTimeField(null=True, blank=True, help_text="When the provider is tried next.")
    trouble_holds = models.PositiveIntegerField(default=0, help_text="Pauses since the provider answered last.")
    stop_reason = models.CharField(max_length=20, choices=choices(FailureReason), blank=True, help_text="Why the engine stopped the run.")
    stop_message = models.TextField(blank=True)
    waiting_for = models.CharField(max_length=12, choices=choices(Waiting), blank=True, help_text="What ready phases wait for.")
    waiting_since = models.DateTimeField(null=True, blank=True)
    waited = models.JSONField(default=dict, blank=True, help_text="{reason: seconds} for the waits that have ended.")
    idle = models.JSONField(default=list, blank=True, help_text="[[from, to]] when it lay failed or paused until a person acted.")
    project_settings = models.JSONField(
        default=dict, blank=True, help_text="The project's settings at its start or last retry; what changed since reaches a retry."
    )
    host = models.CharField(max_length=120, blank=True, default="", help_text="The worker host that executes it. Empty: the main host.")
    travel = models.CharField(max_length=10, choices=Travel, blank=True, default="", help_text="Where its branch is on its way.")
    turn = models.PositiveIntegerField(default=0, help_text="How often it has changed hosts.")
    fail_fast = models.BooleanField(default=False)
    gate_rules = models.JSONField(default=dict, blank=True, help_text="The project's own gates when the run started.")
    phase_limit_seconds = models.FloatField()
    silence_seconds = models.FloatField()
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    reported_at = models.DateTimeField(null=True, blank=True, help_text="When the result file, the report and the archive were written.")
    report = models.TextField(blank=True)
    result = models.JSONField(null=True, blank=True, help_text="The content of batches/batch-N.result.json.")
    forecast_seconds = models.FloatField(
        null=True, blank=True, help_text="The median forecast when the run started. Empty if there was no data."
    )
    forecast_p90_seconds = models.FloatField(null=True, blank=True)
    forecast_usd = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True, help_text="The median forecast.")
    forecast_p90_usd = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    forecast_runs = models.PositiveIntegerField(default=0, help_text="How many finished phases the forecast is based on.")
    forecast_hours = models.FloatField(null=True, blank=True, help_text="Estimated hours of the longest chain in the forecast.")

    objects = RunManager()

    class Meta:
        ordering = ["-pk"]
        indexes = [  # what the ticker asks for in every round, without a look at history
            models.Index(fields=["id"], condition=Q(state__in=sorted(LIVE_RUN_STATES)), name="live_runs"),
            models.Index(fields=["id"], condition=Q(reported_at__isnull=True), name="unreported_runs"),
            models.Index(fields=["id"], condition=~Q(travel=""), name="travelling_runs"),
        ]
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
    def seconds(self) -> float | None:
        """How long it took, without the time that it waited for a person; None until it has ended."""
        return self.seconds_until(self.ended_at)

    def seconds_until(self, moment: datetime | None) -> float | None:
        """How long it took up to `moment` (its end, or now), without the time that it waited for a person; None before its start."""
        return None if moment is None else run_seconds(self.started_at, moment, self.person_seconds(moment))

    def person_seconds(self, moment: datetime) -> float:
        """How long it has waited for a person up to `moment`."""
        return person_seconds(self.waited, moment, self.waiting_for, self.waiting_since)

    @property
    def put_off_words(self) -> str:
        """What the run waits for, the machine or the provider, and when it is tried next; "" when it does not."""
        if self.is_live and self.trouble and self.trouble_until is not None:
            return f"Waiting for the provider: {self.trouble_message}. The next try is at {self.trouble_until:%H:%M:%S} UTC."
        if not self.is_live or not self.machine_fault or self.machine_fault_until is None:
            return ""
        return f"Waiting for the machine: {self.machine_fault}. The next try is at {self.machine_fault_until:%H:%M:%S} UTC."

    @property
    def parallel(self) -> int:
        """How many phases may run in parallel now."""
        return min(self.max_parallel, self.parallel_limit or self.max_parallel)

    @property
    def branch(self) -> str:
        """The branch that finished tasks are merged into. A context update has its own."""
        return self.batch.context_branch if self.operation == Operation.UPDATE_CONTEXT else self.batch.branch


class AutopilotRunQuerySet(models.QuerySet["AutopilotRun"]):
    def going(self) -> Self:
        return self.filter(state=AutopilotState.GOING)

    def open(self) -> Self:
        """Autopilot runs that are active or wait for a person."""
        return self.filter(state__in=OPEN_AUTOPILOT_STATES)


AutopilotRunManager = ConfinedManager.from_queryset(AutopilotRunQuerySet)


class AutopilotRun(models.Model):
    """Runs of a batch that start one another automatically: all operations (`whole`), or up to the execution of a plan.

    `run` is the current run, at `step`. The holder of the ticker's lock starts the next run in the transaction that updates
    this row, so a crash leaves either the old step or the new one.
    """

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="autopilot_runs")
    run = models.ForeignKey(Run, models.CASCADE, related_name="autopilot_runs")
    whole = models.BooleanField(default=False, help_text="All operations, up to the context update. Otherwise up to the execution.")
    step = models.CharField(max_length=16, choices=choices(AutopilotStep), default=AutopilotStep.GENERATE)
    state = models.CharField(max_length=10, choices=choices(AutopilotState), default=AutopilotState.GOING)
    options = models.JSONField(default=dict, blank=True, help_text="Options of the execution.")
    reason = models.TextField(blank=True, help_text="Why it stopped or ended.")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    moved_at = models.DateTimeField(auto_now_add=True)
    moved_cause = models.CharField(max_length=200, blank=True, help_text="person:NAME, command:NAME or policy:RULE.")

    objects = AutopilotRunManager()

    class Meta:
        db_table = "batches_chain"  # the table keeps the name of its first release
        verbose_name = "autopilot run"
        ordering = ["-pk"]
        indexes = [models.Index(fields=["run"], condition=Q(state=AutopilotState.GOING), name="going_chains")]
        constraints = [
            models.UniqueConstraint(
                fields=["batch"], condition=Q(state__in=sorted(OPEN_AUTOPILOT_STATES)), name="one_open_chain_per_batch"
            ),
            models.CheckConstraint(condition=Q(state__in=sorted(AutopilotState)), name="chain_state_known"),
            models.CheckConstraint(condition=~Q(state=AutopilotState.STOPPED) | ~Q(reason=""), name="stopped_chain_has_reason"),
        ]

    def __str__(self) -> str:
        return f"{'Autopilot' if self.whole else 'Execution'} of {self.batch}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_AUTOPILOT_STATES


class TaskQuerySet(models.QuerySet["Task"]):
    def newest_of(self, batch: "Batch", run: "Run | None") -> Self:
        """Tasks of the batch's execute runs in order of runs; or of `run`, if that is another operation that has not succeeded."""
        executed = self.filter(run__batch=batch, run__operation=Operation.EXECUTE)
        if run is not None and run.operation != Operation.EXECUTE and run.state != RunState.SUCCEEDED:
            executed = self.filter(run=run)
        return executed.order_by("run__number", "position")

    def resumable(self) -> Self:
        """Tasks that Resume retries: failed, cancelled and blocked ones, except dropped phases and those that wait for them."""
        rows = self.filter(state__in=RETRYABLE_TASK_STATES)
        dropped = self.model.objects.filter(run=OuterRef("run"), name=OuterRef("blocked_by")).exclude(dropped_ref="")
        return rows.filter(dropped_ref="").exclude(Exists(dropped))


TaskManager = ConfinedManager.from_queryset(TaskQuerySet)


class Task(models.Model):
    """One phase in a run, or the check of a stage: its gates, judged again on the merged tree."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="tasks")
    kind = models.CharField(max_length=12, choices=choices(TaskKind), default=TaskKind.PHASE)
    phase = models.ForeignKey(Phase, models.PROTECT, null=True, blank=True, related_name="tasks")
    stage = models.ForeignKey(Stage, models.PROTECT, related_name="tasks")
    name = models.CharField(max_length=60, help_text="Part of the contract files' names: 2a, or stage-2-check.")
    position = models.PositiveIntegerField()
    waits_for = models.JSONField(default=list, blank=True, help_text="Names of tasks that must succeed first.")
    after = models.JSONField(default=list, blank=True, help_text="Names of tasks that must end first, because of a conflict.")
    model = models.CharField(max_length=100, blank=True, help_text="The model for this phase. Empty: the run's model.")
    covers = models.JSONField(default=list, blank=True, help_text="For a stage check: ids of the merged attempts.")
    state = models.CharField(max_length=12, choices=choices(TaskState), default=TaskState.PENDING, db_index=True)
    reason = models.CharField(max_length=20, choices=choices(FailureReason), blank=True)
    message = models.TextField(blank=True)
    blocked_by = models.CharField(max_length=60, blank=True, help_text="Name of the failed task that blocks this one.")
    resume_session = models.BooleanField(default=False, help_text="The next attempt resumes the agent's last session.")
    restarts = models.PositiveIntegerField(default=0, help_text="Automatic restarts since a person last started the task.")
    not_before = models.DateTimeField(null=True, blank=True, help_text="The earliest time of the next launch, after a back-off.")
    remark = models.TextField(blank=True, help_text="What a person tells the agent of the attempts since they last started the task.")
    remark_cause = models.CharField(max_length=200, blank=True, help_text="Who said it.")
    repairs = models.PositiveIntegerField(default=0, help_text="Rounds of repair since a person last started the task.")
    rounds_seconds = models.FloatField(default=0, help_text="What the rounds before the next one took.")
    rounds_usd = models.DecimalField(max_digits=12, decimal_places=6, default=0, help_text="What they cost, as far as that is known.")
    changed_at = models.DateTimeField(auto_now_add=True)
    resolution = models.CharField(
        max_length=64, blank=True, help_text="A conflict resolution by a person: the commit that the next attempt judges."
    )
    dropped_ref = models.CharField(max_length=200, blank=True, help_text="Where the work is kept after a person dropped the phase.")

    objects = TaskManager()

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


class AttemptQuerySet(models.QuerySet["Attempt"]):
    def live(self) -> Self:
        """Attempts that have not ended."""
        return self.filter(ended_at__isnull=True)

    def spent(self) -> Decimal:
        """US dollars spent by ended attempts. If the cost of a started attempt is unknown, its reservation counts."""
        ended = self.filter(ended_at__isnull=False)
        unknown = ended.filter(cost_usd=None, started_at__isnull=False)
        known = ended.aggregate(total=Sum("cost_usd"))["total"] or Decimal(0)
        return known + (unknown.aggregate(total=Sum("reserved_usd"))["total"] or Decimal(0))

    def late_and_stuck(self, batch: "Batch", run: "Run", now: datetime, share: float, idle_seconds: float) -> tuple[list[int], list[int]]:
        """Ids of live attempts (silent for more than `share` of the run's silence limit, without progress for `idle_seconds`).

        A silent attempt is only in the first list. One query.
        """
        since, idle_since = now - timedelta(seconds=share * run.silence_seconds), now - timedelta(seconds=idle_seconds)
        silent = Q(last_beat_at__lt=since) | Q(last_beat_at__isnull=True, launched_at__lt=since)
        found = self.live().filter(silent | Q(last_progress_at__lt=idle_since), task__run=run, task__run__batch=batch).order_by("pk")
        late: list[int] = []
        stuck: list[int] = []
        for pk, seen in found.values_list("pk", Coalesce("last_beat_at", "launched_at")):
            (late if seen < since else stuck).append(pk)
        return late, stuck


AttemptManager = ConfinedManager.from_queryset(AttemptQuerySet)


class Attempt(SupervisedProcess):
    """One try of a task, with its own process, checkout, heartbeat, log and result. `number` tells old reports from new ones."""

    task = models.ForeignKey(Task, models.CASCADE, related_name="attempts")
    ref = models.CharField(max_length=200, help_text="The git reference that keeps its commits.")
    ready_at = models.DateTimeField(null=True, blank=True, help_text="When its dependencies were done, so that it could start.")
    waited_for = models.CharField(max_length=12, choices=choices(Waiting), blank=True, help_text="What it then waited for.")
    phase_limit_seconds = models.FloatField(null=True, blank=True, help_text="The time limit in force when it ended.")
    silence_seconds = models.FloatField(null=True, blank=True, help_text="The silence limit in force when it ended.")
    merge_commit = models.CharField(max_length=64, blank=True)
    merge_tree = models.CharField(max_length=64, blank=True)
    sent_commit = models.CharField(max_length=64, blank=True, help_text="The merge that its worker host was about to push.")
    note_commit = models.CharField(max_length=64, blank=True, help_text="The commit whose git note tells of its gates.")
    merge_conflicts = models.JSONField(null=True, blank=True, help_text="Files with a merge conflict.")
    remark = models.TextField(blank=True, help_text="What a person told its agent first.")
    questions = models.JSONField(
        default=list, blank=True, help_text="[{number, text, answers, at, answer, by, answered_at}]: what its agent asked people."
    )
    messages = models.JSONField(
        default=list, blank=True, help_text="[{text, by, at, read_at}]: what people say while it works; read_at is null until it is read."
    )
    remark_cause = models.CharField(max_length=200, blank=True, help_text="Who said it.")
    repair = models.CharField(max_length=200, blank=True, help_text="Which round of repair it is, in words; empty if it is none.")
    stop_cause = models.CharField(max_length=200, blank=True, help_text="Who asked to stop this attempt alone; empty if nobody did.")
    checkout_bytes = models.PositiveBigIntegerField(null=True, blank=True, help_text="Size of the checkout. Null if not measured.")
    checkout_removed_at = models.DateTimeField(null=True, blank=True, help_text="When the checkout was removed or found missing.")
    archive_ref = models.CharField(max_length=300, blank=True, help_text="The git reference that keeps uncommitted work.")
    work_files = models.JSONField(null=True, blank=True, help_text="{created, modified, deleted}, as last seen while it ran.")

    objects = AttemptManager()

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
    def seconds(self) -> float | None:
        """How long it took, from launch to end, with its start and its merge; None while it goes on."""
        return attempt_seconds(self.launched_at, self.ended_at)

    @property
    def steps_behind(self) -> int:
        """How many steps are done while it is at a step."""
        return max(0, (self.step or 0) - 1)

    @property
    def open_question(self) -> dict[str, Any] | None:
        """What its agent waits to be told; None when it asks nothing."""
        asked = self.questions[-1] if self.questions and self.ended_at is None and self.exited_at is None else None
        return asked if asked is not None and asked["answer"] is None else None

    @property
    def parts(self) -> list[tuple[str, float]]:
        """(name, seconds) of what its duration consists of, as far as known: its start, its work, and checks and merge by the engine."""
        if self.ended_at is None or self.started_at is None or self.exited_at is None:
            return []
        moments = (self.launched_at, self.started_at, self.exited_at, self.ended_at)
        names = ("start", "work", "merge")
        return [(name, span_seconds(*pair)) for name, pair in zip(names, pairwise(moments), strict=True)]

    @property
    def cache_saved(self) -> float | None:
        """The share of the input cost that the provider's cache saved, or None if unknown."""
        cost = input_cost(self.model, self.input_tokens, self.cache_write_tokens, self.cache_read_tokens)
        return None if cost is None else cost.saved


class PredictedConflict(models.Model):
    """A predicted merge conflict in one file: between two attempts, or between an attempt and the batch's branch.

    Rows are kept to compare predictions with real conflicts.
    """

    run = models.ForeignKey(Run, models.CASCADE, related_name="predictions")
    file = models.CharField(max_length=4096)
    phases = models.JSONField(help_text="Keys of the one or two phases.")
    first = models.ForeignKey(Attempt, models.CASCADE, related_name="+")
    second = models.ForeignKey(
        Attempt, models.CASCADE, null=True, blank=True, related_name="+", help_text="Empty if the conflict is with the batch's branch."
    )
    seen_at = models.DateTimeField()
    gone_at = models.DateTimeField(null=True, blank=True, help_text="When the prediction was no longer true, or the attempts had ended.")
    collided = models.BooleanField(null=True, help_text="Whether the conflict really happened. Unknown until merged.")

    objects = ConfinedManager["PredictedConflict"]()

    class Meta:
        ordering = ["-seen_at", "file"]
        constraints = [
            models.UniqueConstraint(fields=["first", "second", "file"], name="prediction_once_per_pair_and_file"),
            models.UniqueConstraint(fields=["first", "file"], condition=Q(second=None), name="prediction_once_per_attempt_and_file"),
        ]

    def __str__(self) -> str:
        return f"{self.file} ({', '.join(self.phases)})"


class Result(models.Model):
    """The result of an attempt: its result file, and the changes that git shows."""

    attempt = models.OneToOneField(Attempt, models.CASCADE, related_name="result")
    data = models.JSONField(help_text="The content of the result file.")
    status = models.CharField(max_length=10)
    steps_completed = models.PositiveIntegerField(null=True, blank=True)
    total_steps = models.PositiveIntegerField(null=True, blank=True)
    files_created = models.JSONField(default=list, blank=True)
    files_modified = models.JSONField(default=list, blank=True)
    files_deleted = models.JSONField(default=list, blank=True)
    undeclared = models.JSONField(default=list, blank=True, help_text="Changed files that the plan does not name.")
    looks = models.JSONField(
        default=list, blank=True, help_text="What to look at: [{kind, path, text, declared, phase}]. Declared ones are only named."
    )
    commits = models.JSONField(default=list, blank=True)
    diff = models.TextField(null=True, blank=True, help_text="Unified diff against the base, possibly truncated. Null until it is read.")

    objects = ConfinedManager["Result"]()

    class Meta:
        indexes = [models.Index(fields=["attempt"], condition=Q(diff__isnull=True), name="results_without_diff")]

    def __str__(self) -> str:
        return f"{self.attempt}: {self.status}"


class AttemptPrompt(models.Model):
    """What an attempt's agent was told, masked, with its middle left out where it is long. `sha256` is that of the whole."""

    attempt = models.OneToOneField(Attempt, models.CASCADE, related_name="prompt")
    sha256 = models.CharField(max_length=64)
    characters = models.PositiveIntegerField(help_text="The length of the whole prompt.")
    text = models.TextField()

    objects = ConfinedManager["AttemptPrompt"]()

    def __str__(self) -> str:
        return f"{self.attempt}: prompt {self.sha256[:12]}"


class Transition(models.Model):
    """One state change of a run or task, and its cause. Append-only."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="transitions")
    task = models.ForeignKey(Task, models.CASCADE, null=True, blank=True, related_name="transitions")
    attempt = models.ForeignKey(Attempt, models.CASCADE, null=True, blank=True, related_name="transitions")
    event = models.CharField(max_length=12, choices=sorted({*choices(TaskEvent), *choices(RunEvent)}))
    from_state = models.CharField(max_length=12)
    to_state = models.CharField(max_length=12)
    cause = models.CharField(max_length=200, help_text="person:NAME, command:NAME, host:NAME or policy:RULE.")
    reason = models.CharField(max_length=20, blank=True)
    message = models.TextField(blank=True)
    at = models.DateTimeField()

    objects = ConfinedManager["Transition"]()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.event}: {self.from_state} → {self.to_state}"


class Host(models.Model):
    """A machine that runs attempts, as last reported by its ticker."""

    name = models.CharField(max_length=120, unique=True)
    directory = models.CharField(max_length=32, blank=True, default="", help_text="Of a worker host: the id of its data directory.")
    place = models.TextField(blank=True, default="", help_text="Of a worker host: the path of its data directory.")
    pid = models.PositiveIntegerField(null=True, blank=True)
    slots = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    last_tick_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    facts = models.JSONField(default=dict, blank=True, help_text="Versions, free disk space and the start-up report.")

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
