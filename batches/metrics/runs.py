"""Figures over ended runs: how long they took and waited, what they cost, how forecasts and criteria turned out."""

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from datetime import date
from typing import Any

from django.db.models import Avg, QuerySet, Sum

from batches.core.engine.states import Operation, RunState, Waiting
from batches.core.metrics.criteria import RunOutcome, Saving
from batches.core.metrics.types import (
    Conflicts,
    ForecastCheck,
    RunPoint,
    Span,
    Spread,
    StageTimes,
    Tokens,
    Waits,
)
from batches.metrics.scope import TOKENS, Row, Scope, day_text, dollars, share
from batches.models import RunFact, StageFact

BASELINE_RUNS = 10  # the first so many executions that used tokens
RECENT_RUNS = 2_000  # the latest so many of the period make the figures of stages and forecasts, and the findings
WAITS = tuple(f"{kind}_seconds" for kind in Waiting)
_VALUES = ("run_id", "day_", "operation", "outcome", "critical", "seconds", "work_seconds", "phases", "by_hand", "tokens", "cost_micros")
_SUMS = {
    "drift": Avg("drift"),
    **{
        name: Sum(name)
        for name in (
            *("estimated_hours", "estimated_seconds", "gates_flaky"),
            *("conflicts_predicted", "conflicts_true", "conflicts_false", "conflicts_real"),
        )
    },
}


class Runs:
    """Some columns of many runs, oldest first, with sums over others. Two queries."""

    def __init__(self, runs: QuerySet[RunFact]) -> None:
        rows = runs.annotate(day_=day_text).order_by("ended_at", "pk").values_list(*_VALUES)
        columns = list(zip(*rows, strict=True)) or [()] * len(_VALUES)
        self.columns: dict[str, tuple[Any, ...]] = dict(zip(_VALUES, columns, strict=True))
        self.days = list(runs.values(day_=day_text).annotate(**{name: Sum(name) for name in WAITS}))
        self.sums: Row = runs.aggregate(**_SUMS)

    def __getitem__(self, name: str) -> tuple[Any, ...]:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.columns["run_id"])

    @property
    def success_share(self) -> float | None:
        return share(self["outcome"].count(RunState.SUCCEEDED), len(self))

    @property
    def waits(self) -> Waits:
        return waits_of(self.days)

    @property
    def wait_share(self) -> float | None:
        return share(self.waits.total, sum(self["seconds"]))

    @property
    def speed_ups(self) -> list[float]:
        pairs = zip(self["work_seconds"], self["seconds"], strict=True)
        return [work / seconds for work, seconds in pairs if work is not None and seconds]

    @property
    def costs(self) -> list[float]:
        """US dollars, of the runs whose cost is known."""
        return [value / 1e6 for value in self["cost_micros"] if value is not None]

    @property
    def tokens_per_phase(self) -> float | None:
        """Over the runs whose tokens are known and that finished a phase."""
        used = [(tokens, phases) for tokens, phases in zip(self["tokens"], self["phases"], strict=True) if tokens is not None and phases]
        return share(sum(tokens for tokens, _ in used), sum(phases for _, phases in used)) if used else None

    @property
    def estimate_ratio(self) -> float | None:
        """Actual ÷ estimated hours, over all phases that had an estimate."""
        seconds = self.sums["estimated_seconds"]
        return None if seconds is None else share(seconds / 3600, self.sums["estimated_hours"])

    @property
    def conflicts(self) -> Conflicts:
        predicted, true, false = (self.sums[f"conflicts_{name}"] or 0 for name in ("predicted", "true", "false"))
        return Conflicts(
            predicted=predicted,
            came_true=true,
            false_alarms=false,
            undecided=predicted - true - false,
            real=self.sums["conflicts_real"] or 0,
            by_hand=sum(self["by_hand"]),
            phases=sum(self["phases"]),
        )

    def outcomes(self, operation: str, baseline: Container[int]) -> list[RunOutcome]:
        """Its runs of the operation, as the criteria look at them; `baseline` are the ids of those that later ones are compared with."""
        days = {text: date.fromisoformat(text) for text in set(self["day_"])}
        names = ("run_id", "operation", "day_", "critical", "seconds", "tokens", "phases", "by_hand")
        rows = zip(*(self[name] for name in names), strict=True)
        return [RunOutcome(days[day], run in baseline, *values) for run, done, day, *values in rows if done == operation]


def waits_of(rows: Iterable[Row]) -> Waits:
    """The sums of rows that have the seconds of each kind of waiting."""
    sums = dict.fromkeys(WAITS, 0.0)
    for row in rows:
        for name in WAITS:
            sums[name] += row[name]
    return Waits(*sums.values())


_RECENT = (
    *("project_id", "batch_id", "ended_at", "outcome", "seconds", "slot_seconds", "rate_limit_seconds", "tokens", "phases"),
    *("forecast_seconds", "forecast_p90_seconds"),
)


def recent_runs(scope: Scope) -> list[Row]:
    """The latest RECENT_RUNS runs of the period, newest first. One query."""
    return list(scope.runs(scope.span).order_by("-ended_at", "-pk").values(*_RECENT)[:RECENT_RUNS])


def forecasts(recent: Iterable[Row]) -> ForecastCheck:
    """Over the runs that succeeded and had a forecast."""
    forecast = [row for row in recent if row["outcome"] == RunState.SUCCEEDED and row["forecast_seconds"] and row["forecast_p90_seconds"]]
    return ForecastCheck(
        runs=len(forecast),
        below_median=sum(row["seconds"] <= row["forecast_seconds"] for row in forecast),
        within=sum(row["seconds"] <= row["forecast_p90_seconds"] for row in forecast),
        ratio=Spread.of([row["seconds"] / row["forecast_seconds"] for row in forecast]),
    )


def stages(scope: Scope, recent: Sequence[Row]) -> tuple[StageTimes, ...]:
    """Over the recent runs. One query."""
    span = Span(recent[-1]["ended_at"], scope.span.end) if recent else scope.span
    times: dict[int, list[float]] = defaultdict(list)
    for stage, seconds in StageFact.objects.filter(run__in=scope.runs(span).values("pk")).order_by().values_list("stage", "seconds"):
        times[stage].append(seconds)
    return tuple(StageTimes(stage, Spread.of(times[stage])) for stage in sorted(times))


def outcomes(scope: Scope, runs: Runs, cache_saved: float | None) -> tuple[list[RunOutcome], Saving]:
    """What the criteria look at: `runs` of one operation (executions, where any is looked at), and the tokens of those after the baseline.

    The baseline is of the same operation, at any time. One query.
    """
    operation = scope.filters.operation or Operation.EXECUTE
    first = list(
        scope.runs(None)
        .filter(operation=operation, tokens__isnull=False, phases__gt=0)
        .order_by("ended_at", "pk")
        .values_list("pk", "tokens", "phases")[:BASELINE_RUNS]
    )
    used, phases = sum(tokens or 0 for _, tokens, _ in first), sum(phases for *_, phases in first)
    baseline = share(used, phases) if len(first) == BASELINE_RUNS else None
    found = runs.outcomes(operation, {pk for pk, *_ in first})
    later = [(one.tokens, one.phases) for one in found if not one.baseline and one.tokens is not None and one.phases]
    return found, Saving(
        baseline=baseline,
        baseline_runs=len(first),
        now=share(sum(tokens for tokens, _ in later), sum(phases for _, phases in later)) if later else None,
        now_runs=len(later),
        cache_saved=cache_saved,
    )


_HEAVY = ("report", "result", "gate_rules", "stop_message", "waited")


def points(facts: QuerySet[RunFact]) -> tuple[RunPoint, ...]:
    """Of facts that come newest first; oldest first. One query."""
    rows = facts.select_related("run", "batch", "project").defer(*(f"run__{name}" for name in _HEAVY))
    return tuple(run_point(fact) for fact in reversed(rows))


def run_point(fact: RunFact) -> RunPoint:
    """The facts of a run with their names; its run, batch and project should be loaded."""
    has_forecast = fact.forecast_seconds is not None and fact.forecast_p90_seconds is not None
    same = ("critical", "demo", "ended_at", "seconds", "work_seconds", "attempts", "failed", "retries", "phases", "by_hand", "drift")
    more = ("conflicts_predicted", "conflicts_real", "gates_passed", "gates_failed", "gates_flaky", "estimated_hours", "estimated_seconds")
    return RunPoint(
        run=fact.run_id,
        batch=fact.batch.number,
        number=fact.run.number,
        title=fact.batch.title,
        project=fact.project.name,
        operation=fact.operation,
        state=fact.outcome,
        waits=Waits(*(getattr(fact, name) for name in WAITS)),
        tokens=Tokens(*(getattr(fact, name) for name in TOKENS)),
        cost_usd=dollars(fact.cost_micros),
        forecast=(fact.forecast_seconds, fact.forecast_p90_seconds) if has_forecast else None,  # type: ignore[arg-type]  # both are known
        forecast_runs=fact.forecast_runs,
        **{name: getattr(fact, name) for name in (*same, *more)},
    )
