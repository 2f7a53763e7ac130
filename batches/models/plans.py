"""Plans in versions, and what people decided about their conflicts."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce

from batches.models.choices import CONFLICT_KINDS, OnConflict
from batches.models.projects import Project
from batches.models.visibility import ConfinedManager


class PlanQuerySet(models.QuerySet["Plan"]):
    """Queries of plans. Plans form series of versions, identified by the first version."""

    def series_of(self, plan: "Plan") -> Self:
        """All versions of the plan's series."""
        return self.filter(Q(pk=plan.series_id) | Q(first_version=plan.series_id))

    def latest_versions(self) -> Self:
        """The newest version of each series."""
        series = Coalesce(OuterRef("first_version"), OuterRef("pk"))
        newer = self.model.objects.filter(first_version=series, version__gt=OuterRef("version"))
        return self.filter(~Exists(newer))


PlanManager = ConfinedManager.from_queryset(PlanQuerySet)


class Plan(models.Model):
    """A plan document, stored unchanged. A plan with errors cannot be executed.

    Editing creates the next version of the series; a stored text never changes.
    """

    first_version = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="later_versions", help_text="Empty for the first version."
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

    objects = PlanManager()

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
    """A decision about a conflict of a plan, made before there is a batch. Append-only; the latest row counts."""

    plan = models.ForeignKey(Plan, models.CASCADE, related_name="decisions")
    file = models.CharField(max_length=1000)
    kind = models.CharField(max_length=12, choices=CONFLICT_KINDS)
    phases = models.JSONField(help_text="Keys of the phases in conflict. Other phases make another conflict.")
    decision = models.CharField(max_length=10, choices=OnConflict)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField()

    objects = ConfinedManager["PlanDecision"]()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.file} ({', '.join(self.phases)}): {self.get_decision_display()}"
