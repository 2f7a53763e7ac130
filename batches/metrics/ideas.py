"""What ideas cost: the one place that adds up the attempts at drafting plans (docs/ideas.md)."""

from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Count, Sum

from batches.core.metrics.types import Span
from batches.metrics.scope import Scope, within
from batches.models import IdeaAttempt


@dataclass(frozen=True, slots=True)
class IdeasCost:
    """US dollars of the attempts at ideas that ended in a period and in the one before; None where none reported a cost.

    `attempts` is how many ended in the period.
    """

    usd: Decimal | None
    before: Decimal | None
    attempts: int


def ideas_cost(scope: Scope, earlier: Span | None) -> IdeasCost:
    """By the filters' project, model and demo; ideas belong to no operation and no role. One query."""
    found = IdeaAttempt.objects.filter(ended_at__isnull=False, idea__project__demo__in=scope.demos).order_by()
    if scope.filters.project:
        found = found.filter(idea__project__slug=scope.filters.project)
    if scope.filters.model:
        found = found.filter(model=scope.filters.model)
    now, before = within(scope.span), within(earlier)
    sums = found.aggregate(usd=Sum("cost_usd", filter=now), before=Sum("cost_usd", filter=before), attempts=Count("pk", filter=now))
    return IdeasCost(sums["usd"], None if earlier is None else sums["before"], sums["attempts"])
