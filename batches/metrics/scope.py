"""Which facts the filters of a page let through, and sums that several figures share."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import CharField, Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Cast

from batches.core.metrics.types import Filters, Span
from batches.models import AttemptFact, Project, RunFact

TOKENS = ("tokens", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
Row = Mapping[str, Any]


class DayText(Cast):
    """The day as ISO text: SQLite has it anyway; PostgreSQL groups by its date, which is quicker than by a text."""

    def __init__(self) -> None:
        super().__init__("day", CharField())

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return compiler.compile(self.source_expressions[0])

    def get_db_converters(self, connection: Any) -> list[Any]:
        return [] if connection.vendor == "sqlite" else [lambda day, *_: day.isoformat()]


class WeekText(DayText):
    """The Monday of the day's week as ISO text."""

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        day, params = compiler.compile(self.source_expressions[0])
        return f"({day} - (EXTRACT(ISODOW FROM {day})::integer - 1))", [*params, *params]

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        day, params = compiler.compile(self.source_expressions[0])
        return f"DATE({day}, '-6 days', 'weekday 1')", params


day_text, week_text = DayText(), WeekText()


class Scope:
    """The facts that the filters let through."""

    def __init__(self, filters: Filters, now: datetime) -> None:
        self.filters, self.now = filters, now
        self.span = filters.span(now)
        self.demo_exists = AttemptFact.objects.filter(demo__in=[True]).exists()
        alone = filters.demo == "" and self.demo_exists and not AttemptFact.objects.filter(demo__in=[False]).exists()
        self.demos = {"only": (True,), "with": (False, True)}.get(filters.demo, (alone,))

    @property
    def demo(self) -> bool:
        return self.demo_exists and True in self.demos

    def _about(self) -> Q:
        """Demo, project and operation; the same columns in both tables."""
        about = Q(demo__in=self.demos)  # SQLite looks a bare boolean up in no index
        if self.filters.operation:
            about &= Q(operation=self.filters.operation)
        if self.filters.project:
            about &= Q(project__in=Project.objects.filter(slug=self.filters.project).values("pk"))
        return about

    def attempts(self, span: Span | None) -> QuerySet[AttemptFact]:
        """Those that ended within `span`; None: at any time."""
        found = AttemptFact.objects.filter(self._about(), within(span)).order_by()
        if self.filters.role:
            found = found.filter(role=self.filters.role)
        return found.filter(model=self.filters.model) if self.filters.model else found

    def runs(self, span: Span | None) -> QuerySet[RunFact]:
        """Those that ended within `span`; with a role or a model, those with at least one such attempt."""
        found = RunFact.objects.filter(self._about(), within(span)).order_by()
        wanted = {name: value for name in ("role", "model") if (value := getattr(self.filters, name))}
        return found.filter(Exists(AttemptFact.objects.filter(run=OuterRef("pk"), **wanted))) if wanted else found


def within(span: Span | None) -> Q:
    """What ended within `span`; None: at any time."""
    limits = Q()
    if span is not None and span.start is not None:
        limits &= Q(ended_at__gte=span.start)
    if span is not None and span.end is not None:
        limits &= Q(ended_at__lt=span.end)
    return limits


def dollars(micros: int | None) -> Decimal | None:
    """Millionths of a dollar as dollars."""
    return None if micros is None else Decimal(micros) / 1_000_000


def share(part: float | None, whole: float | None) -> float | None:
    """part ÷ whole; None where either is unknown or there is no whole."""
    return None if part is None or not whole else part / whole
