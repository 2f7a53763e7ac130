"""What figures are made of: one row for each ended attempt, run and stage."""


from django.db import models

from batches.core.engine.states import FailureReason, Operation, RunState
from batches.models.batches import Batch, Phase
from batches.models.choices import choices
from batches.models.projects import Project
from batches.models.runs import Attempt, Run


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
    limit_seconds = models.FloatField(null=True, help_text="The time limit of a phase that it was under.")
    silence_seconds = models.FloatField(null=True, help_text="The silence limit that it was under.")
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
    seconds = models.FloatField(help_text="From start to end, without the time that it waited for a person.")
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
    """How long one stage of an ended run took, from its first launch to its last end, without waiting for a person."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="stage_facts")
    stage = models.PositiveIntegerField()
    seconds = models.FloatField()
    attempts = models.PositiveIntegerField()

    class Meta:
        ordering = ["run", "stage"]
        constraints = [models.UniqueConstraint(fields=["run", "stage"], name="stage_fact_once_per_run")]

    def __str__(self) -> str:
        return f"Facts of stage {self.stage} of run {self.run_id}"
