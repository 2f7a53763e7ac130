"""Reviews with their findings, context updates, and merges into the base branch."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from batches.core.review.types import PASSING_VERDICTS, ReviewTiming, Severity, Verdict
from batches.models.batches import Batch, Phase
from batches.models.choices import choices
from batches.models.runs import Run
from batches.models.visibility import ConfinedManager


class Review(models.Model):
    """A review of a batch, before or after execution. Only `moment` is set until its run succeeds."""

    run = models.OneToOneField(Run, models.CASCADE, related_name="review")
    moment = models.CharField(max_length=6, choices=choices(ReviewTiming))
    verdict = models.CharField(max_length=24, choices=choices(Verdict), blank=True)
    scores = models.JSONField(default=list, blank=True, help_text="One object per PRP: score, band, verdict, drift, size.")
    semantic = models.TextField(blank=True, help_text="What the model that read the work wrote, or that none was asked.")
    path = models.CharField(max_length=200, blank=True, help_text="Path of the report on the batch's branch.")
    commit = models.CharField(max_length=64, blank=True, help_text="The commit that added the report.")
    problem = models.TextField(blank=True, help_text="Why the report could not be committed.")
    text = models.TextField(blank=True, help_text="The report.")
    overruled_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    overruled_name = models.CharField(
        max_length=150, blank=True, help_text="Who overruled the review. The name stays when the account is deleted."
    )
    overruled_at = models.DateTimeField(null=True, blank=True)
    overrule_reason = models.TextField(blank=True)

    objects = ConfinedManager["Review"]()

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
        """Whether work may continue: the review approves, or a person overruled it."""
        return self.verdict in PASSING_VERDICTS or self.overruled_at is not None


class Finding(models.Model):
    """One finding of a review: severity, place, and what to do."""

    review = models.ForeignKey(Review, models.CASCADE, related_name="findings")
    phase = models.ForeignKey(
        Phase, models.CASCADE, null=True, blank=True, related_name="findings", help_text="Empty if the finding is about the whole batch."
    )
    position = models.PositiveIntegerField()
    severity = models.CharField(max_length=10, choices=choices(Severity))
    category = models.CharField(max_length=40)
    place = models.CharField(max_length=1000)
    message = models.TextField()
    suggestion = models.TextField(blank=True)

    objects = ConfinedManager["Finding"]()

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["review", "position"], name="finding_once_per_position")]

    def __str__(self) -> str:
        return f"{self.severity}: {self.place}: {self.message}"


class ContextChange(models.Model):
    """A proposed context update on its own branch, and the decision about it."""

    class Decision(models.TextChoices):
        UNCHANGED = "unchanged", "nothing to change"
        PROPOSED = "proposed", "proposed"
        ACCEPTED = "accepted", "accepted"
        REJECTED = "rejected", "rejected"

    run = models.OneToOneField(Run, models.CASCADE, related_name="context_change")
    base_commit = models.CharField(max_length=64, help_text="Commit of the batch's branch when the update began.")
    head_commit = models.CharField(max_length=64, blank=True)
    files = models.JSONField(default=list, blank=True, help_text="Paths of the changed files.")
    diff = models.TextField(blank=True)
    notes = models.JSONField(default=list, blank=True, help_text="What was not changed, and why.")
    decision = models.CharField(max_length=10, choices=Decision, blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    decided_cause = models.CharField(max_length=200, blank=True, help_text="person:NAME, command:NAME or policy:RULE.")
    decided_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True)
    merge_commit = models.CharField(max_length=64, blank=True)

    objects = ConfinedManager["ContextChange"]()

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
        """The git reference that keeps the commits, also after a rejection or another update."""
        return f"refs/ce/context/batch-{self.run.batch.number}/run-{self.run.number}"


class BaseMerge(models.Model):
    """One requested merge of a batch's branch into its base branch. The row is written before git runs and completed afterwards."""

    class Method(models.TextChoices):
        FAST_FORWARD = "ff", "fast-forward"
        MERGE_COMMIT = "no_ff", "merge commit"

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="base_merges")
    base_branch = models.CharField(max_length=200)
    method = models.CharField(max_length=5, choices=Method)
    from_commit = models.CharField(max_length=64, help_text="Commit of the base branch before the merge.")
    batch_commit = models.CharField(max_length=64, help_text="Commit of the batch's branch.")
    to_commit = models.CharField(max_length=64, help_text="Commit of the base branch after the merge.")
    folder = models.CharField(
        max_length=1000, blank=True, help_text="The folder in which the base branch was checked out. Empty if there was none."
    )
    cause = models.CharField(max_length=200, help_text="person:NAME or command:NAME.")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    asked_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    merged = models.BooleanField(null=True, help_text="Unknown until the merge has ended.")
    problem = models.TextField(blank=True, help_text="Why the merge failed.")

    objects = ConfinedManager["BaseMerge"]()

    class Meta:
        db_table = "batches_landing"  # the name of its first release
        verbose_name = "merge"
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
