"""Database queries of the list of batches: filters, order, counts, phases and cost."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db.models import Count, F, OuterRef, Q, Subquery, Sum
from django.db.models.expressions import OrderBy

from batches.core.engine.states import LIVE_RUN_STATES, Operation, RunState
from batches.models import Attempt, Batch, Phase, Task
from batches.models.batches import BatchQuerySet
from batches.models.processes import UNPRICED
from batches.pages.common import LARGEST_NUMBER, read_number

# The filters of the list, by the latest run of each batch.
_SHOWN = Q(archived_at=None, project__archived_at=None)
VIEWS = {
    "all": _SHOWN,
    "running": _SHOWN & Q(run_state__in=sorted(LIVE_RUN_STATES)),
    "failed": _SHOWN & Q(run_state=RunState.FAILED),
    "done": _SHOWN & Q(run_state=RunState.SUCCEEDED) & ~Q(operation=Operation.GENERATE),
    "ready": _SHOWN & (Q(run_state__isnull=True) | Q(run_state=RunState.SUCCEEDED, operation=Operation.GENERATE)),
    "cancelled": _SHOWN & Q(run_state=RunState.CANCELLED),
    "archived": Q(archived_at__isnull=False) | Q(project__archived_at__isnull=False),
}


def in_view(batches: BatchQuerySet, view: str) -> BatchQuerySet:
    """The batches of one filter (see VIEWS); requires `with_state`."""
    return batches.filter(VIEWS[view])


def view_counts(batches: BatchQuerySet) -> dict[str, int]:
    """How many batches match each filter; requires `with_state`."""
    return batches.aggregate(**{name: Count("pk", filter=condition) for name, condition in VIEWS.items()})


def _sum_of(column: str) -> Subquery:
    attempts = Attempt.objects.filter(task__run__batch=OuterRef("pk")).order_by().values("task__run__batch")
    return Subquery(attempts.annotate(sum=Sum(column)).values("sum"))


# What the list can be sorted by. A minus before the name: the largest or latest first.
SORTS: dict[str, F | Subquery] = {"started": F("run_started_at"), "tokens": _sum_of("tokens_used"), "cost": _sum_of("cost_usd")}


def read_sort(query: Mapping[str, str]) -> str:
    """?sort=, such as `-cost`; empty, the newest batch first, for anything else."""
    wanted = query.get("sort", "")
    return wanted if wanted.removeprefix("-") in SORTS else ""


def in_order(batches: BatchQuerySet, sort: str) -> BatchQuerySet:
    """The batches in the order of `read_sort`; what is unknown comes last. Requires `with_state`."""
    if not sort:
        return batches
    by = SORTS[sort.removeprefix("-")]
    return batches.order_by(OrderBy(by, descending=sort.startswith("-"), nulls_last=True), "-number")


def search(batches: BatchQuerySet, text: str) -> BatchQuerySet:
    """Batches whose number is `text`, or whose title or project contains it."""
    words = text.strip()
    if not words:
        return batches
    found = Q(title__icontains=words) | Q(project__name__icontains=words)
    if (number := read_number(words.removeprefix("#"), most=LARGEST_NUMBER)) is not None:
        found |= Q(number=number)
    return batches.filter(found)


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What the list is narrowed to beside state and search: a project's slug, who made the batch, what its latest run does,
    made on or after a day."""

    project: str = ""
    by: str = ""
    operation: str = ""
    since: date | None = None

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "Narrowed":
        """From ?project=, ?by=, ?operation= and ?since=; what cannot be read narrows nothing."""
        try:
            since = date.fromisoformat(query.get("since", ""))
        except ValueError:
            since = None
        operation = query.get("operation", "")
        operation = operation if operation in list(Operation) else ""
        return cls(query.get("project", "")[:80], query.get("by", "")[:150], operation, since)

    def of(self, batches: BatchQuerySet) -> BatchQuerySet:
        """Requires `with_state`."""
        wanted = Q()
        if self.project:
            wanted &= Q(project__slug=self.project)
        if self.by:
            wanted &= Q(created_by__username=self.by)
        if self.operation:
            wanted &= Q(operation=self.operation)
        if self.since is not None:
            wanted &= Q(created_at__date__gte=self.since)
        return batches.filter(wanted)


def people() -> list[str]:
    """Names of accounts that made a batch, at most a hundred."""
    made = Batch.objects.exclude(created_by=None).order_by("created_by__username")
    return list(made.values_list("created_by__username", flat=True).distinct()[:100])


def phase_counts(batches: Iterable[Batch]) -> dict[int, dict[str, int]]:
    """{batch id: {task state, or "planned": phases}} by the newest execute task of each phase. One query."""
    newest = Task.objects.filter(phase=OuterRef("pk"), run__operation=Operation.EXECUTE).order_by("-run__number")
    rows = (
        Phase.objects.filter(batch__in=[batch.pk for batch in batches])
        .order_by()
        .annotate(now=Subquery(newest.values("state")[:1]))
        .values_list("batch_id", "now")
        .annotate(phases=Count("pk"))
    )
    counts: dict[int, dict[str, int]] = {}
    for batch_id, state, phases in rows:
        counts.setdefault(batch_id, {})[state or "planned"] = phases
    return counts


def spent(batches: Iterable[Batch]) -> dict[int, tuple[int | None, Decimal | None, int]]:
    """{batch id: (tokens, US dollars, how many attempts of unknown cost)} of all attempts; None if unknown. One query."""
    rows = (
        Attempt.objects.filter(task__run__batch__in=[batch.pk for batch in batches])
        .order_by()
        .values("task__run__batch_id")
        .annotate(tokens=Sum("tokens_used"), cost=Sum("cost_usd"), unpriced=Count("pk", filter=UNPRICED))
    )
    found = rows.values_list("task__run__batch_id", "tokens", "cost", "unpriced")
    return {batch: (tokens, cost, unpriced) for batch, tokens, cost, unpriced in found}
