"""What the facts say, read for a page, an export or a command: a fixed number of queries, whatever the history's size.

The rows come from `facts.py`; the arithmetic is in core/trends.py, core/findings.py and core/criteria.py.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from django.db.models import F, QuerySet
from django.db.models.expressions import OrderBy

from batches.core.engine.states import Operation, RunState
from batches.core.metrics.criteria import success_criteria
from batches.core.metrics.types import (
    BATCHES_SHOWN,
    BatchView,
    Bucket,
    Choices,
    Filters,
    Headline,
    History,
    PhasePoint,
    Place,
    Span,
    Spread,
    bucket_days,
    place,
)
from batches.core.percentile import known_sum, percentile
from batches.metrics import attempts as tried
from batches.metrics import runs as ended
from batches.metrics.attempts import Use
from batches.metrics.ideas import ideas_cost
from batches.metrics.runs import Runs
from batches.metrics.scope import Row, Scope, dollars, share
from batches.models import AttemptFact, Project, RunFact, StageFact


def read_history(filters: Filters, now: datetime) -> History:
    """Everything that the metrics page shows. A fixed number of queries."""
    scope = Scope(filters, now)
    earlier = scope.span.before(now)
    runs = Runs(scope.runs(scope.span))
    runs_before = None if earlier is None else Runs(scope.runs(earlier))
    spans = _spans(runs, scope)
    days = tried.attempts_by_day(scope.attempts(scope.span), weeks=any((end - start).days == 7 for start, end in spans))
    use = Use(days)
    use_before = None if earlier is None else Use(tried.attempts_by_reason(scope.attempts(earlier)))
    recent = ended.recent_runs(scope)
    phases = tried.read_phases(scope)
    outcomes, saving = ended.outcomes(scope, runs, use.cache_saved)
    findings = tried.read_findings(scope, phases, recent, saving.baseline)
    numbers = tried.numbers_of(phases, findings)
    points = ended.points(scope.runs(scope.span).order_by("-ended_at", "-pk")[:BATCHES_SHOWN])
    return History(
        filters=filters,
        now=now,
        span=scope.span,
        demo=scope.demo,
        demo_exists=scope.demo_exists,
        runs=len(runs),
        attempts=use.attempts,
        successes=tried.successes(scope),
        recent_runs=len(recent),
        recent_attempts=phases.attempts,
        headlines=(*_headlines(runs, use, runs_before, use_before), _ideas(scope, earlier)),
        batches=points,
        batches_left=len(runs) - len(points),
        buckets=_buckets(spans, runs, days),
        seconds=Spread.of(runs["seconds"]),
        cost=Spread.of(runs.costs),
        speed_up=Spread.of(runs.speed_ups),
        stages=ended.stages(scope, recent),
        phases=tried.slowest(phases, numbers),
        kinds=len(phases.kinds),
        roles=tried.roles(days),
        errors=tried.errors(use, use_before),
        waits=runs.waits,
        waits_before=None if runs_before is None else runs_before.waits,
        conflicts=runs.conflicts,
        calibration=tried.calibration(phases),
        saving=saving,
        forecasts=ended.forecasts(recent),
        criteria=success_criteria(outcomes, saving),
        findings=tuple(tried.with_numbers(one, numbers) for one in findings),
        choices=_choices(scope),
    )


# Over time


def _spans(runs: Runs, scope: Scope) -> list[tuple[date, date]]:
    """Without gaps from the first day of the period that has anything to the last. Two queries."""
    days = scope.attempts(scope.span).values_list("day", flat=True)
    seen = [found for order in ("ended_at", "-ended_at") if (found := days.order_by(order).first())]
    seen += [date.fromisoformat(text) for text in (runs["day_"][0], runs["day_"][-1])] if len(runs) else []
    return bucket_days(min(seen), max(seen)) if seen else []


def _buckets(spans: Sequence[tuple[date, date]], runs: Runs, days: Sequence[Row]) -> tuple[Bucket, ...]:
    starts = {date.fromordinal(day).isoformat(): start for start, end in spans for day in range(start.toordinal(), end.toordinal())}
    members: dict[date, list[int]] = defaultdict(list)
    for index, day in enumerate(runs["day_"]):
        members[starts[day]].append(index)
    attempts, waits = _by(starts, days), _by(starts, runs.days)
    return tuple(_bucket(start, end, runs, members[start], Use(attempts[start]), waits[start]) for start, end in spans)


def _by(starts: Mapping[str, date], rows: Sequence[Row]) -> dict[date, list[Row]]:
    found: dict[date, list[Row]] = defaultdict(list)
    for row in rows:
        found[starts[row["day_"]]].append(row)
    return found


def _bucket(start: date, end: date, runs: Runs, members: Sequence[int], use: Use, waits: Sequence[Row]) -> Bucket:
    seconds = [runs["seconds"][index] for index in members]
    return Bucket(
        start=start,
        end=end,
        runs=len(members),
        succeeded=sum(runs["outcome"][index] == RunState.SUCCEEDED for index in members),
        seconds_median=percentile(seconds, 0.5),
        seconds_p90=percentile(seconds, 0.9),
        waits=ended.waits_of(waits),
        attempts=use.attempts,
        failed=use.failed,
        retries=use.retries,
        tokens=use.tokens,
        cost_usd=use.cost,
        reasons=use.by_reason(),
    )


_Read = Callable[[Runs, Use], float | None]
# (code, name, unit, which way is good, how it is read)
_HEADLINES: tuple[tuple[str, str, str, str, _Read], ...] = (
    ("runs", "Runs", "count", "", lambda runs, use: len(runs)),
    ("success_share", "Runs that succeeded", "share", "more", lambda runs, use: runs.success_share),
    ("seconds_median", "Duration, median", "seconds", "less", lambda runs, use: percentile(runs["seconds"], 0.5)),
    ("seconds_p90", "Duration, p90", "seconds", "less", lambda runs, use: percentile(runs["seconds"], 0.9)),
    ("cost_usd", "Cost", "usd", "", lambda runs, use: None if use.cost is None else float(use.cost)),
    ("cost_per_batch", "Cost of a batch, median", "usd", "less", lambda runs, use: percentile(runs.costs, 0.5)),
    ("tokens", "Tokens", "tokens", "", lambda runs, use: use.tokens.total),
    ("tokens_per_phase", "Tokens of a finished phase", "tokens", "less", lambda runs, use: runs.tokens_per_phase),
    ("error_share", "Attempts that failed", "share", "less", lambda runs, use: share(use.failed, use.attempts)),
    ("retries", "Retries", "count", "less", lambda runs, use: use.retries),
    ("speed_up", "Speed-up against one after the other", "times", "more", lambda runs, use: percentile(runs.speed_ups, 0.5)),
    ("estimate_ratio", "Actual ÷ estimated hours", "times", "", lambda runs, use: runs.estimate_ratio),
    ("wait_share", "Time that ready work waited", "share", "less", lambda runs, use: runs.wait_share),
    ("person_seconds", "Waited for a person", "seconds", "", lambda runs, use: runs.waits.person if len(runs) else None),
    ("cache_saved", "Input saved by the cache", "share", "more", lambda runs, use: use.cache_saved),
    ("drift", "Drift, mean", "percent", "less", lambda runs, use: runs.sums["drift"]),
    ("flaky_gates", "Flaky gates", "count", "less", lambda runs, use: runs.sums["gates_flaky"] or 0),
)
_OVER_ATTEMPTS = {"cost_usd", "tokens", "error_share", "retries", "cache_saved"}  # the others are over runs


def _headlines(runs: Runs, use: Use, runs_before: Runs | None, use_before: Use | None) -> tuple[Headline, ...]:
    return tuple(
        Headline(
            code=code,
            name=name,
            unit=unit,
            value=read(runs, use),
            before=None if runs_before is None or use_before is None else read(runs_before, use_before),
            samples=use.attempts if code in _OVER_ATTEMPTS else len(runs),
            better=better,
        )
        for code, name, unit, better, read in _HEADLINES
    )


def _ideas(scope: Scope, earlier: Span | None) -> Headline:
    """The cost of drafting plans from ideas, beside that of runs. One query."""
    cost = ideas_cost(scope, earlier)
    return Headline(
        code="ideas_usd",
        name="Cost of ideas",
        unit="usd",
        value=None if cost.usd is None else float(cost.usd),
        before=None if cost.before is None else float(cost.before),
        samples=cost.attempts,
    )


def _choices(scope: Scope) -> Choices:
    projects = Project.objects.filter(demo__in=scope.demos).order_by("name").values_list("slug", "name")
    used = AttemptFact.objects.filter(demo__in=scope.demos).order_by().values_list("role", "model").distinct()
    pairs = list(used)
    return Choices(
        projects=tuple(projects),
        roles=tuple(sorted({role for role, _ in pairs})),
        models=tuple(sorted({model for _, model in pairs if model})),
    )


ATTEMPT_SORTS = {"seconds": "seconds", "tokens": "tokens", "cost": "attempt__cost_usd"}


def attempts_of(
    filters: Filters, now: datetime, *, reason: str = "", kind: str = "", complexity: str = "", sort: str = ""
) -> QuerySet[AttemptFact]:
    """The attempts behind a figure: those that failed for `reason`, at phases of one kind, of one complexity.

    The latest come first, or in the order of `sort`, a name of ATTEMPT_SORTS with a minus before it for the largest first.
    """
    scope = Scope(filters, now)
    wanted = {name: value for name, value in (("reason", reason), ("kind", kind), ("complexity", complexity)) if value}
    found, column = scope.attempts(scope.span).filter(**wanted), ATTEMPT_SORTS.get(sort.removeprefix("-"))
    if column is None:
        return found.order_by("-ended_at", "-pk")
    return found.order_by(OrderBy(F(column), descending=sort.startswith("-"), nulls_last=True), "-pk")


# Single batches


def read_batches(numbers: Sequence[int]) -> tuple[BatchView, ...]:
    """Each batch's latest ended execution, in the order of `numbers`; batches without one are left out. Five queries.

    Its place is that among the other batches of its project, each with its latest execution that succeeded. One that did
    not succeed has no place.
    """
    facts = RunFact.objects.filter(batch__number__in=numbers, operation=Operation.EXECUTE).order_by("ended_at")
    latest = {fact.batch.number: fact for fact in facts.select_related("run", "batch", "project")}
    chosen = [latest[number] for number in dict.fromkeys(numbers) if number in latest]
    runs = [fact.run_id for fact in chosen]
    phases = _phase_points(runs)
    stages: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for run, stage, seconds in StageFact.objects.filter(run__in=runs).order_by("stage").values_list("run_id", "stage", "seconds"):
        stages[run].append((stage, seconds))
    others = RunFact.objects.filter(
        project__in={fact.project_id for fact in chosen}, operation=Operation.EXECUTE, outcome=RunState.SUCCEEDED
    ).order_by("ended_at", "pk")
    by_project: dict[int, dict[int, tuple[Any, ...]]] = defaultdict(dict)
    for project, batch, *row in others.values_list("project_id", "batch_id", "seconds", "cost_micros", "tokens"):
        by_project[project][batch] = tuple(row)
    return tuple(_batch_view(fact, phases[fact.run_id], stages[fact.run_id], by_project[fact.project_id]) for fact in chosen)


def _batch_view(
    fact: RunFact, phases: Sequence[PhasePoint], stages: Sequence[tuple[int, float]], latest: Mapping[int, tuple[Any, ...]]
) -> BatchView:
    others = [row for batch, row in latest.items() if batch != fact.batch_id]

    def among(value: float | None, column: int, scale: float = 1.0) -> Place:
        known = [row[column] / scale for row in others if row[column] is not None]
        return place(value if fact.outcome == RunState.SUCCEEDED else None, known)

    return BatchView(
        run=ended.run_point(fact),
        phases=tuple(phases),
        stages=tuple(stages),
        seconds=among(fact.seconds, 0),
        cost=among(None if fact.cost_micros is None else fact.cost_micros / 1e6, 1, 1e6),
        tokens=among(fact.tokens, 2),
    )


def _phase_points(runs: Sequence[int]) -> dict[int, list[PhasePoint]]:
    facts: dict[tuple[int, int], list[AttemptFact]] = defaultdict(list)
    rows = AttemptFact.objects.filter(run__in=runs).select_related("phase").defer("phase__steps", "phase__files")
    for fact in rows.order_by("stage", "phase__position", "number"):
        facts[fact.run_id, fact.phase_id].append(fact)
    found: dict[int, list[PhasePoint]] = defaultdict(list)
    for (run, _), tries in facts.items():
        last = tries[-1]
        found[run].append(
            PhasePoint(
                key=last.key,
                title=last.phase.title,
                stage=last.stage,
                complexity=last.complexity,
                outcome=last.outcome,
                success=last.success,
                attempts=len(tries),
                seconds=last.seconds,
                waited_seconds=last.waited_seconds,
                estimated_hours=last.hours,
                tokens=known_sum(one.tokens for one in tries),
                cost_usd=dollars(known_sum(one.cost_micros for one in tries)),
                drift=last.drift,
            )
        )
    return found


# Exports


def to_json(value: Any) -> Any:
    """Frozen values for `json.dumps`: names as they are, money as text of exact dollars, times as ISO 8601."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    return str(value) if isinstance(value, StrEnum) else value
