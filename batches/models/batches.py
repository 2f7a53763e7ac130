"""Batches with their stages, phases, gates, predicted conflicts and issues."""

import uuid
from typing import Self

from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.models import F, OuterRef, Q, Subquery

from batches.models.choices import CONFLICT_KINDS, OnConflict
from batches.models.plans import Plan
from batches.models.projects import Project


class BatchQuerySet(models.QuerySet["Batch"]):
    """A batch's state is that of its latest run; nobody stores it."""

    def with_state(self) -> Self:
        """Annotate of the latest run `operation` and, named `run_…`, id, state, paused, stop_reason, started_at, ended_at,
        waited, waiting_for, waiting_since."""
        runs = apps.get_model("batches", "Run")  # it stands above this module
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
        """Raise the version, in the caller's transaction, so that pages that watch the batch ask for more."""
        self.filter(pk=batch_id).update(version=F("version") + 1)


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

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="conflicts")
    file = models.CharField(max_length=1000)
    kind = models.CharField(max_length=12, choices=CONFLICT_KINDS)
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
