"""What a project, or the whole installation, has spent in this month, and whether that is near its monthly budget."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, F, QuerySet, Sum
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from batches.core.engine.budget import Month
from batches.models import Attempt, IdeaAttempt, Project
from batches.models.processes import UNPRICED, SupervisedProcess

WARN_SHARE = Decimal("0.8")


@dataclass(frozen=True, slots=True)
class MonthToDate:
    """US dollars of the attempts that were launched in this month. The cost of `unpriced` ended ones is not known."""

    spent_usd: Decimal
    unpriced: int
    limit_usd: Decimal | None = None

    @property
    def is_near(self) -> bool:
        """Whether most of the monthly budget is spent."""
        return self.limit_usd is not None and self.spent_usd >= WARN_SHARE * self.limit_usd

    @property
    def is_over(self) -> bool:
        return self.limit_usd is not None and self.spent_usd >= self.limit_usd


def month_start(now: datetime) -> datetime:
    """The beginning of the month of `now`, in the time zone of the installation."""
    return timezone.localtime(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def month_to_date(project: Project | None, now: datetime) -> MonthToDate:
    """What the project has spent in this month, its ideas included; None: all that the visitor may see. Two queries."""
    attempts, ideas = Attempt.objects.all(), IdeaAttempt.objects.all()
    if project is not None:
        attempts, ideas = attempts.filter(task__run__batch__project=project), ideas.filter(idea__project=project)
    found = [_spent(rows, month_start(now)) for rows in (attempts, ideas)]
    limit = None if project is None else project.monthly_budget_usd
    return MonthToDate(sum((usd for usd, _ in found), Decimal(0)), sum(unpriced for _, unpriced in found), limit)


def month_of(project: Project, now: datetime, *, run: int | None = None, idea: int | None = None) -> Month | None:
    """The project's month as the engine needs it for a run or an idea: what is spent, and what is set aside for all other live attempts.

    None when the project has no monthly budget.
    """
    if project.monthly_budget_usd is None:
        return None
    begin = month_start(now)
    attempts = Attempt.objects.filter(task__run__batch__project=project, launched_at__gte=begin)
    ideas = IdeaAttempt.objects.filter(idea__project=project, launched_at__gte=begin)
    asked = ideas.filter(ended_at__isnull=False, started_at__isnull=False).aggregate(total=Sum(Coalesce(F("cost_usd"), F("reserved_usd"))))
    ended = attempts.filter(ended_at__isnull=False).spent() + (asked["total"] or Decimal(0))
    wanted = Greatest(Coalesce(F("cost_usd"), Decimal(0)), Coalesce(F("reserved_usd"), Decimal(0)))
    others = (attempts.live().exclude(task__run=run), ideas.filter(ended_at__isnull=True).exclude(idea=idea))
    live = [rows.aggregate(total=Sum(wanted))["total"] or Decimal(0) for rows in others]
    return Month(project.monthly_budget_usd, ended + sum(live))


def _spent(rows: QuerySet[SupervisedProcess], begin: datetime) -> tuple[Decimal, int]:
    found = rows.filter(launched_at__gte=begin).aggregate(usd=Sum("cost_usd"), unpriced=Count("pk", filter=UNPRICED))
    return found["usd"] or Decimal(0), found["unpriced"]
