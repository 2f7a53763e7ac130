"""Results of gates: checks, sign-offs and reviewers' opinions."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from batches.core.gates.ledger import Opinion
from batches.core.gates.success import OPEN, SHORT, Success
from batches.models.batches import Batch, Gate, Phase
from batches.models.choices import choices
from batches.models.reviews import Review
from batches.models.runs import Attempt
from batches.models.visibility import ConfinedManager
from subagents.contract import GateOrigin


class GateCheck(models.Model):
    """One judgement of a gate, either on the commit of an attempt or on the merged tree of a stage.

    Gates of the project and of the server have no Gate row: `gate` is null, and this row describes the gate.
    """

    gate = models.ForeignKey(Gate, models.CASCADE, null=True, blank=True, related_name="checks")
    attempt = models.ForeignKey(Attempt, models.CASCADE, related_name="gate_checks")
    origin = models.CharField(max_length=8, choices=choices(GateOrigin), default=GateOrigin.PLAN)
    position = models.PositiveIntegerField(default=0, help_text="Position among the gates of the same origin, from 1.")
    text = models.TextField(blank=True, help_text="What the gate requires. Empty for a gate of the plan.")
    kind = models.CharField(max_length=30, blank=True)
    status = models.CharField(max_length=12)
    command = models.TextField(blank=True)
    exit_code = models.IntegerField(null=True, blank=True)
    commit = models.CharField(max_length=64, blank=True)
    environment = models.CharField(max_length=64, blank=True, help_text="The id of the project's environment. Empty if it needed none.")
    output = models.TextField(blank=True)
    seconds = models.FloatField(null=True, blank=True)
    note = models.TextField(blank=True)
    flaky = models.BooleanField(default=False, help_text="The gate failed first and passed when it ran again on the same files.")
    first_exit_code = models.IntegerField(null=True, blank=True)
    first_output = models.TextField(blank=True, help_text="Output of the first run, which failed.")
    at = models.DateTimeField()

    objects = ConfinedManager["GateCheck"]()

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
        """What the gate requires."""
        return self.gate.text if self.gate else self.text


class SignOff(models.Model):
    """A person confirms a gate that cannot be checked automatically, or (without a gate) accepts a phase as it is.

    Rows are never deleted; withdrawing fills in more columns.
    """

    gate = models.ForeignKey(Gate, models.CASCADE, null=True, blank=True, related_name="sign_offs")
    accepted = models.CharField(
        max_length=20,
        choices=[choice for choice in choices(Success) if choice[0] in OPEN],
        blank=True,
        help_text="What was accepted. Empty when a gate was signed off.",
    )
    attempt = models.ForeignKey(
        Attempt,
        models.CASCADE,
        related_name="sign_offs",
        help_text="The attempt that was signed off. A later attempt needs a new sign-off.",
    )
    commit = models.CharField(max_length=64, blank=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    name = models.CharField(max_length=150, help_text="Who signed off. The name stays when the account is deleted.")
    at = models.DateTimeField()
    reason = models.TextField()
    withdrawn_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    withdrawn_name = models.CharField(max_length=150, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdraw_reason = models.TextField(blank=True)

    objects = ConfinedManager["SignOff"]()

    class Meta:
        db_table = "batches_gatetick"  # the name of its first release
        verbose_name = "sign-off"
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["gate", "attempt"], condition=Q(withdrawn_at__isnull=True), name="one_standing_tick"),
            models.UniqueConstraint(
                fields=["attempt"], condition=Q(withdrawn_at__isnull=True, gate__isnull=True), name="one_standing_acceptance"
            ),
            models.CheckConstraint(
                condition=(Q(gate__isnull=True) & ~Q(accepted="")) | Q(gate__isnull=False, accepted=""), name="sign_off_of_gate_or_phase"
            ),
            models.CheckConstraint(condition=~Q(name="") & ~Q(reason=""), name="tick_by_name_with_reason"),
            models.CheckConstraint(
                condition=Q(withdrawn_at__isnull=True, withdrawn_name="", withdraw_reason="")
                | (Q(withdrawn_at__isnull=False) & ~Q(withdrawn_name="") & ~Q(withdraw_reason="")),
                name="tick_withdrawn_by_name_with_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.gate}: signed off by {self.name}" if self.gate else f"{self.attempt}: accepted by {self.name}"

    @property
    def what(self) -> str:
        """What of the phase was accepted: "needs a look"."""
        return SHORT[Success(self.accepted)] if self.accepted else ""

    @property
    def phase(self) -> Phase:
        """The phase that it is about."""
        found = self.gate.phase if self.gate else self.attempt.task.phase
        assert found is not None  # only executions of phases are accepted
        return found


class GateOpinion(models.Model):
    """A reviewer's opinion about a gate that cannot be checked automatically. It does not decide the gate."""

    gate = models.ForeignKey(Gate, models.CASCADE, related_name="opinions")
    attempt = models.ForeignKey(Attempt, models.CASCADE, related_name="gate_opinions", help_text="The attempt whose work was reviewed.")
    review = models.ForeignKey(Review, models.CASCADE, related_name="gate_opinions")
    opinion = models.CharField(max_length=14, choices=choices(Opinion))
    evidence = models.TextField(blank=True, help_text="The evidence for the opinion, or why there is none.")
    model = models.CharField(max_length=80, blank=True)

    objects = ConfinedManager["GateOpinion"]()

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


class Verification(models.Model):
    """All recorded gates of a batch judged once more (docs/verify.md). The ticker of `host` starts it and writes what it found."""

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="verifications")
    host = models.CharField(max_length=120)
    directory = models.CharField(max_length=1000, blank=True, help_text="Folder of its process. Empty until it was started.")
    spec = models.JSONField(default=dict, blank=True, help_text="What its process was told.")
    cause = models.CharField(max_length=200, help_text="person:NAME or command:NAME.")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    asked_at = models.DateTimeField()
    launched_clock = models.FloatField(null=True, blank=True, help_text="The host's monotonic clock at launch, in seconds.")
    stopped_by = models.CharField(max_length=200, blank=True, help_text="Who asked for it to stop: person:NAME or command:NAME.")
    progress = models.CharField(max_length=500, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    agrees = models.BooleanField(null=True, help_text="Whether everything agreed. Unknown until it has ended, and when it failed.")
    problem = models.TextField(blank=True, help_text="Why it could not be carried out.")
    result = models.JSONField(null=True, blank=True, help_text="The content of batches/batch-N.verify.json.")

    objects = ConfinedManager["Verification"]()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["batch"], condition=Q(ended_at__isnull=True), name="one_open_verification_per_batch"),
            models.CheckConstraint(condition=Q(ended_at__isnull=False) | Q(agrees__isnull=True), name="verification_agrees_once_ended"),
        ]

    def __str__(self) -> str:
        return f"Verification of {self.batch}"

    @property
    def is_open(self) -> bool:
        return self.ended_at is None
