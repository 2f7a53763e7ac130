"""What the host writes down about a process that it supervises: the columns that every table of such processes has."""

from django.db import models
from django.db.models import Q

from batches.core.engine.states import FailureReason
from batches.models.choices import choices
from subagents.contract import Fault

# An ended process that used a model, at a cost that nobody knows. Where sums of costs stand, they are then "at least" so much.
UNPRICED = Q(cost_usd=None, started_at__isnull=False, ended_at__isnull=False) & (
    Q(tokens_used__gt=0) | (Q(spec__backend="command") & ~Q(model=""))
)


class SupervisedProcess(models.Model):
    """One process with its own checkout, heartbeat, log and result. `number` tells old reports from new ones.

    Rows hold facts that the host observed. core/engine/decide.py decides what they mean.
    """

    class Outcome(models.TextChoices):
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"
        DEFERRED = "deferred"
        REPAIRED = "repaired"  # a gate failed, and the next attempt is a round of repair

    number = models.PositiveIntegerField()
    token = models.CharField(max_length=64)
    host = models.CharField(max_length=120)
    directory = models.CharField(max_length=1000, help_text="Folder with the lock, start and end files of the process.")
    checkout = models.CharField(max_length=1000)
    base_commit = models.CharField(max_length=64)
    spec = models.JSONField()
    launched_at = models.DateTimeField()
    launched_clock = models.FloatField(help_text="The host's monotonic clock at launch, in seconds.")
    relaunched_clock = models.FloatField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    pid = models.PositiveIntegerField(null=True, blank=True)
    last_beat_at = models.DateTimeField(null=True, blank=True, help_text="When the host last saw a new heartbeat.")
    beat_clock = models.FloatField(null=True, blank=True, help_text="The host's monotonic clock at that heartbeat, in seconds.")
    last_progress_at = models.DateTimeField(null=True, blank=True)
    heartbeat = models.JSONField(null=True, blank=True)
    step = models.PositiveIntegerField(null=True, blank=True)
    total_steps = models.PositiveIntegerField(null=True, blank=True)
    progress = models.CharField(max_length=500, blank=True)
    activity = models.CharField(max_length=200, blank=True, help_text="What its agent does now: reads src/app.py. Empty if unknown.")
    activity_since = models.DateTimeField(null=True, blank=True)
    tokens_used = models.PositiveBigIntegerField(null=True, blank=True)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    model = models.CharField(max_length=100, blank=True, help_text="The language model. Empty if none is used.")
    reserved_usd = models.DecimalField(
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        help_text="Amount of the budget reserved at launch. Empty if there was no budget.",
    )
    session = models.CharField(max_length=100, blank=True, help_text="The agent's session, which a later attempt may resume.")
    sandbox = models.CharField(max_length=40, blank=True, help_text="The sandbox level that it ran in. Empty if unknown.")
    input_tokens = models.PositiveBigIntegerField(null=True, blank=True, help_text="Input tokens that did not come from a cache.")
    output_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    cache_read_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    cache_write_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    elapsed_seconds = models.FloatField(null=True, blank=True)
    stop_reason = models.CharField(max_length=20, choices=choices(FailureReason), blank=True, help_text="Why the engine stopped it.")
    stop_clock = models.FloatField(null=True, blank=True)
    exited_at = models.DateTimeField(null=True, blank=True, help_text="When the process and all its children had ended.")
    exit_code = models.IntegerField(null=True, blank=True)
    verdict = models.CharField(max_length=20, blank=True, help_text="“success”, or the failure reason from its result.")
    fault = models.CharField(max_length=20, choices=choices(Fault), blank=True, help_text="The kind of agent_error.")
    retry_at = models.DateTimeField(null=True, blank=True, help_text="After a rate limit: when requests are accepted again.")
    head_commit = models.CharField(max_length=64, blank=True)
    tree = models.CharField(max_length=64, blank=True, help_text="The git tree that the gates judged.")
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome, blank=True)
    reason = models.CharField(max_length=20, choices=choices(FailureReason), blank=True)
    message = models.TextField(blank=True)
    log_tail = models.TextField(blank=True)
    log_bytes = models.PositiveBigIntegerField(default=0)

    class Meta:
        abstract = True
