"""The data for metrics: one row per ended attempt, run and stage."""

from django.db import models

from batches.core.engine.states import FailureReason, Operation, RunState
from batches.core.gates.success import Success
from batches.models.batches import Batch, Phase
from batches.models.choices import choices
from batches.models.projects import Project
from batches.models.runs import Attempt, Run
from batches.models.visibility import ConfinedManager


class AttemptFact(models.Model):
    """Metrics of one ended attempt at a phase, written in the transaction that ends it (metrics/facts.py).

    Money is in millionths of a US dollar, so that sums are exact on every database. Unknown is null. Columns of other tables
    are copied, so that 100,000 rows can be read without a join.
    """

    attempt = models.OneToOneField(Attempt, models.CASCADE, primary_key=True, related_name="fact")
    run = models.ForeignKey(Run, models.CASCADE, related_name="attempt_facts")
    batch = models.ForeignKey(Batch, models.CASCADE, related_name="+", db_index=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="+", db_index=False)
    phase = models.ForeignKey(Phase, models.CASCADE, related_name="+")
    demo = models.BooleanField(default=False)
    ended_at = models.DateTimeField()
    day = models.DateField(help_text="The day on which it ended, in UTC.")
    operation = models.CharField(max_length=20, choices=choices(Operation))
    role = models.CharField(max_length=20)
    model = models.CharField(max_length=100, blank=True)
    stage = models.PositiveIntegerField()
    key = models.CharField(max_length=40)
    kind = models.CharField(max_length=300, help_text="The phase's title in lower case, without digits.")
    complexity = models.CharField(max_length=10)
    number = models.PositiveIntegerField()
    retry = models.BooleanField(default=False, help_text="The phase was tried before in this run. Waiting for a limit is not a try.")
    outcome = models.CharField(max_length=10, choices=Attempt.Outcome)
    success = models.CharField(
        max_length=20, choices=choices(Success), blank=True, help_text="What is behind an execution that succeeded. Empty for others."
    )
    reason = models.CharField(max_length=20, choices=choices(FailureReason), blank=True)
    fault = models.CharField(max_length=20, blank=True)
    seconds = models.FloatField(help_text="Seconds from launch to end.")
    limit_seconds = models.FloatField(null=True, help_text="The time limit of a phase that it was under.")
    silence_seconds = models.FloatField(null=True, help_text="The silence limit that it was under.")
    waited_seconds = models.FloatField(null=True, help_text="Seconds from ready to launched.")
    waited_for = models.CharField(max_length=12, blank=True)
    tokens = models.PositiveBigIntegerField(null=True)
    input_tokens = models.PositiveBigIntegerField(null=True)
    output_tokens = models.PositiveBigIntegerField(null=True)
    cache_read_tokens = models.PositiveBigIntegerField(null=True)
    cache_write_tokens = models.PositiveBigIntegerField(null=True)
    cost_micros = models.BigIntegerField(null=True, help_text="The cost of its requests.")
    input_micros = models.BigIntegerField(null=True, help_text="The cost of its input at list prices.")
    input_full_micros = models.BigIntegerField(null=True, help_text="What its input would cost without the provider's cache.")
    hours = models.FloatField(null=True, help_text="The plan's estimate.")
    files_declared = models.PositiveIntegerField(null=True, help_text="Changed files that the plan names.")
    files_undeclared = models.PositiveIntegerField(null=True, help_text="Changed files that the plan does not name.")
    drift = models.FloatField(null=True, help_text="Per cent. Known for successful executions only.")
    conflict = models.BooleanField(default=False, help_text="The merge had a conflict.")
    by_hand = models.BooleanField(default=False, help_text="The attempt judged a conflict resolution made by a person.")
    gates_passed = models.PositiveIntegerField(default=0)
    gates_failed = models.PositiveIntegerField(default=0)
    gates_unverified = models.PositiveIntegerField(default=0)
    gates_flaky = models.PositiveIntegerField(default=0, help_text="How many of the passed gates were flaky.")

    objects = ConfinedManager["AttemptFact"]()

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["demo", "operation", "ended_at"], name="attempt_facts_by_end")]

    def __str__(self) -> str:
        return f"Facts of attempt {self.attempt_id}"


class RunFact(models.Model):
    """Metrics of one ended run, with sums over its attempts. Deleted when the run is resumed."""

    run = models.OneToOneField(Run, models.CASCADE, primary_key=True, related_name="fact")
    batch = models.ForeignKey(Batch, models.CASCADE, related_name="+")
    project = models.ForeignKey(Project, models.CASCADE, related_name="+", db_index=False)
    demo = models.BooleanField(default=False)
    ended_at = models.DateTimeField()
    day = models.DateField(help_text="The day on which it ended, in UTC.")
    operation = models.CharField(max_length=20, choices=choices(Operation))
    outcome = models.CharField(max_length=12, choices=choices(RunState))
    critical = models.BooleanField(default=False, help_text="The run failed for another reason than a person, a budget or a missing agent.")
    seconds = models.FloatField(help_text="Seconds from start to end, without the time that it waited for a person.")
    work_seconds = models.FloatField(null=True, help_text="Total seconds of all attempts.")
    queue_seconds = models.FloatField(default=0)
    slot_seconds = models.FloatField(default=0)
    rate_limit_seconds = models.FloatField(default=0)
    budget_seconds = models.FloatField(default=0)
    person_seconds = models.FloatField(default=0)
    machine_seconds = models.FloatField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    retries = models.PositiveIntegerField(default=0)
    phases = models.PositiveIntegerField(default=0, help_text="Phases that succeeded in this run.")
    by_hand = models.PositiveIntegerField(default=0, help_text="How many of these succeeded after a person resolved a conflict.")
    tokens = models.PositiveBigIntegerField(null=True)
    input_tokens = models.PositiveBigIntegerField(null=True)
    output_tokens = models.PositiveBigIntegerField(null=True)
    cache_read_tokens = models.PositiveBigIntegerField(null=True)
    cache_write_tokens = models.PositiveBigIntegerField(null=True)
    cost_micros = models.BigIntegerField(null=True)
    estimated_hours = models.FloatField(null=True, help_text="Total estimate of the successful phases that have one.")
    estimated_seconds = models.FloatField(null=True, help_text="How long these phases took.")
    forecast_seconds = models.FloatField(null=True, help_text="The median forecast when the run started.")
    forecast_p90_seconds = models.FloatField(null=True)
    forecast_runs = models.PositiveIntegerField(default=0)
    drift = models.FloatField(null=True, help_text="Per cent, the mean of its phases.")
    files_undeclared = models.PositiveIntegerField(null=True)
    conflicts_predicted = models.PositiveIntegerField(default=0)
    conflicts_true = models.PositiveIntegerField(default=0, help_text="Predicted conflicts that happened.")
    conflicts_false = models.PositiveIntegerField(default=0, help_text="Predicted conflicts that did not happen.")
    conflicts_real = models.PositiveIntegerField(default=0, help_text="Attempts whose merge had a conflict.")
    gates_passed = models.PositiveIntegerField(default=0)
    gates_failed = models.PositiveIntegerField(default=0)
    gates_unverified = models.PositiveIntegerField(default=0)
    gates_flaky = models.PositiveIntegerField(default=0)

    objects = ConfinedManager["RunFact"]()

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["demo", "operation", "ended_at"], name="run_facts_by_end")]

    def __str__(self) -> str:
        return f"Facts of run {self.run_id}"


class StageFact(models.Model):
    """Duration of one stage of an ended run, from its first launch to its last end, without waiting for a person."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="stage_facts")
    stage = models.PositiveIntegerField()
    seconds = models.FloatField()
    attempts = models.PositiveIntegerField()

    objects = ConfinedManager["StageFact"]()

    class Meta:
        ordering = ["run", "stage"]
        constraints = [models.UniqueConstraint(fields=["run", "stage"], name="stage_fact_once_per_run")]

    def __str__(self) -> str:
        return f"Facts of stage {self.stage} of run {self.run_id}"
