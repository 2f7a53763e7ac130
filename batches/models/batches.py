"""Batches with their stages, phases, gates, predicted conflicts and issues."""

import uuid
from datetime import datetime
from typing import Self

from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.models import F, OuterRef, Q, Subquery

from batches.models.choices import CONFLICT_KINDS, OnConflict
from batches.models.plans import Plan
from batches.models.projects import Project
from batches.models.visibility import ConfinedManager


class BatchQuerySet(models.QuerySet["Batch"]):
    """Queries of batches. A batch's state is that of its latest run and is not stored."""

    def with_state(self) -> Self:
        """Annotate the latest run: `operation`, and `run_` plus id, state, paused, stop_reason, started_at, ended_at, waited,
        waiting_for and waiting_since."""
        runs = apps.get_model("batches", "Run")  # the module of Run imports this one
        latest = runs.objects.shown().filter(batch=OuterRef("pk")).order_by("-number")
        return self.annotate(
            run_id=Subquery(latest.values("pk")[:1]),
            operation=Subquery(latest.values("operation")[:1]),
            run_state=Subquery(latest.values("state")[:1]),
            run_paused=Subquery(latest.values("paused")[:1]),
            run_stop_reason=Subquery(latest.values("stop_reason")[:1]),
            run_started_at=Subquery(latest.values("started_at")[:1]),
            run_ended_at=Subquery(latest.values("ended_at")[:1]),
            run_waited=Subquery(latest.values("waited")[:1]),
            run_waiting_for=Subquery(latest.values("waiting_for")[:1]),
            run_waiting_since=Subquery(latest.values("waiting_since")[:1]),
        )

    def bump(self, batch_id: int) -> None:
        """Increase the version in the caller's transaction, so that open pages reload what changed."""
        self.filter(pk=batch_id).update(version=F("version") + 1)


BatchManager = ConfinedManager.from_queryset(BatchQuerySet)


class Batch(models.Model):
    """One plan prepared for execution on one project. For its state see BatchQuerySet.with_state."""

    # Annotated by BatchQuerySet.with_state.
    run_id: int | None
    operation: str | None
    run_state: str | None
    run_paused: bool | None
    run_stop_reason: str | None
    run_started_at: datetime | None
    run_waited: dict[str, float] | None
    run_waiting_for: str | None
    run_waiting_since: datetime | None
    run_ended_at: datetime | None

    number = models.PositiveIntegerField(unique=True)
    project = models.ForeignKey(Project, models.PROTECT, related_name="batches")
    plan = models.ForeignKey(Plan, models.PROTECT, related_name="batches")
    title = models.CharField(max_length=300)
    base_branch = models.CharField(max_length=200)
    base_commit = models.CharField(max_length=64)
    overview = models.TextField(blank=True, default="", help_text="The plan's text outside its phases; the agent gets it.")
    edition = models.PositiveIntegerField(default=1, help_text="How many times the phases were created from a plan.")
    remote_note = models.TextField(blank=True, default="", help_text="What was found about the base branch at the code host, as it began.")
    version = models.PositiveBigIntegerField(default=1, help_text="Increased with every change that a page shows.")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    archived_at = models.DateTimeField(null=True, blank=True, help_text="Since when lists hide it. Empty: they show it.")
    asked_by = models.UUIDField(
        null=True,
        editable=False,
        unique=True,
        help_text="Identifies the form that created the batch, so that sending it twice creates one batch.",
    )

    objects = BatchManager()

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
        """The branch with the latest proposed context update."""
        return f"ce/context-{self.number}"


class Stage(models.Model):
    """Phases of a batch that may run in parallel. The state is derived from the tasks and not stored."""

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="stages")
    number = models.PositiveIntegerField()

    objects = ConfinedManager["Stage"]()

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["batch", "number"], name="stage_once_per_batch"),
            models.CheckConstraint(condition=Q(number__gte=1), name="stage_number_from_one"),
        ]

    def __str__(self) -> str:
        return f"Stage {self.number}"


class Phase(models.Model):
    """One phase of the plan, as it was when the batch was generated."""

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="phases")
    stage = models.ForeignKey(Stage, models.CASCADE, related_name="phases")
    key = models.CharField(max_length=40)
    position = models.PositiveIntegerField(help_text="Position in the document, from 1.")
    order = models.PositiveIntegerField(help_text="Position in the stage, from 1.")
    prp_id = models.CharField(max_length=60)
    slug = models.SlugField(max_length=80)
    title = models.CharField(max_length=300)
    goal = models.TextField(blank=True)
    hours = models.FloatField(null=True, blank=True)
    hours_text = models.CharField(max_length=200, blank=True)
    complexity = models.CharField(max_length=10)
    files = models.JSONField(default=list, blank=True)
    dependencies = models.JSONField(default=list, blank=True, help_text="Keys of the phases of this batch that it depends on.")
    steps = models.JSONField(default=list, blank=True, help_text="[{number, text, commands}]")
    line = models.PositiveIntegerField(default=0)
    section = models.TextField(blank=True, help_text="Its part of the plan, as the author wrote it; the agent gets it whole.")
    remaining_hours = models.FloatField(default=0, help_text="Hours of the longest path from this phase to the end, this phase included.")

    objects = ConfinedManager["Phase"]()

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
    """The Linear issue of one PRP. The row requests it; once it has been created, `url` is set.

    `uid` is the issue's id. We choose it before the first request, so that Linear never creates the issue twice.
    """

    phase = models.OneToOneField(Phase, models.CASCADE, related_name="linear_issue")
    uid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    identifier = models.CharField(max_length=50, blank=True, help_text="The issue's key in Linear, such as ENG-12.")
    url = models.CharField(max_length=500, blank=True)
    linked = models.BooleanField(default=False, help_text="The PRP document has the issue's address.")
    tries = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True, help_text="Why the last try failed.")
    next_try_at = models.DateTimeField(help_text="The earliest time of the next try.")
    claimed_until = models.DateTimeField(null=True, blank=True, help_text="Until when a process holds this row.")
    created_at = models.DateTimeField(null=True, blank=True, help_text="When the issue was created in Linear.")

    objects = ConfinedManager["LinearIssue"]()

    class Meta:
        ordering = ["phase__position"]
        constraints = [models.CheckConstraint(condition=Q(linked=False) | ~Q(url=""), name="linked_issue_has_address")]

    def __str__(self) -> str:
        return self.identifier or f"Issue of {self.phase}"


class Gate(models.Model):
    """One check box under Validation Gates, with the check that the server runs. Unverified if there is none."""

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="gates")
    position = models.PositiveIntegerField(help_text="Position in the list, from 1.")
    text = models.TextField()
    kind = models.CharField(max_length=30)
    command = models.TextField(blank=True)
    spec = models.JSONField(help_text="The gate's check, in the format of subagents.contract.GateSpec.")

    objects = ConfinedManager["Gate"]()

    class Meta:
        ordering = ["position"]
        permissions = [("tick_gate", "May sign off a gate that cannot be checked automatically")]
        constraints = [models.UniqueConstraint(fields=["phase", "position"], name="gate_once_per_phase")]

    def __str__(self) -> str:
        return self.text


class Conflict(models.Model):
    """A file, directory or glob that several phases change, and the decision about it."""

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="conflicts")
    file = models.CharField(max_length=1000)
    kind = models.CharField(max_length=12, choices=CONFLICT_KINDS)
    phases = models.JSONField(help_text="Keys of the phases that change the file, in document order.")
    decision = models.CharField(max_length=10, choices=OnConflict, blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    collided = models.BooleanField(null=True, help_text="Whether a merge conflict really happened. Unknown until the phases are merged.")

    objects = ConfinedManager["Conflict"]()

    class Meta:
        ordering = ["kind", "file"]
        constraints = [models.UniqueConstraint(fields=["batch", "file", "kind"], name="conflict_once_per_file_and_kind")]

    def __str__(self) -> str:
        return f"{self.file} ({', '.join(self.phases)})"
