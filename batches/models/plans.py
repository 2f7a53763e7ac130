"""Plans in versions, and what people decided about their conflicts."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce

from batches.models.choices import CONFLICT_KINDS, OnConflict
from batches.models.projects import Project


class PlanQuerySet(models.QuerySet["Plan"]):
    """Plans come in series of versions; the first version stands for its series."""

    def series_of(self, plan: "Plan") -> Self:
        """All versions of the plan's series."""
        return self.filter(Q(pk=plan.series_id) | Q(first_version=plan.series_id))

    def latest_versions(self) -> Self:
        """Of each series the newest version."""
        series = Coalesce(OuterRef("first_version"), OuterRef("pk"))
        newer = self.model.objects.filter(first_version=series, version__gt=OuterRef("version"))
        return self.filter(~Exists(newer))


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


class PlanDecision(models.Model):
    """What a person decided about a conflict of a plan before there is a batch. Rows are only added; the latest counts."""

    plan = models.ForeignKey(Plan, models.CASCADE, related_name="decisions")
    file = models.CharField(max_length=1000)
    kind = models.CharField(max_length=12, choices=CONFLICT_KINDS)
    phases = models.JSONField(help_text="Keys of the phases that meet there; with others it is another conflict.")
    decision = models.CharField(max_length=10, choices=OnConflict)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.file} ({', '.join(self.phases)}): {self.get_decision_display()}"
