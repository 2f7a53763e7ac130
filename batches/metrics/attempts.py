"""Figures over attempts: use by day, role and model, then kinds of phases, estimates and findings over the latest of them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property

from django.conf import settings
from django.db.models import Count, Q, QuerySet, Sum

from batches.core.engine.states import Operation
from batches.core.gates.success import Success
from batches.core.metrics.findings import (
    BANDS,
    AttemptCount,
    Evidence,
    Finding,
    KindSample,
    ProjectSettings,
    RatioSample,
    RunSample,
    find,
)
from batches.core.metrics.types import (
    PHASES_SHOWN,
    Calibration,
    ErrorType,
    PhaseTimes,
    RoleUse,
    Spread,
    Tokens,
)
from batches.core.percentile import known_sum, percentile
from batches.core.review.declared_changes import FilePolicy
from batches.metrics.scope import TOKENS, Row, Scope, day_text, dollars, week_text
from batches.models import Attempt, AttemptFact, Batch, Project

RECENT_ATTEMPTS = 10_000  # the latest so many of the period make the figures of kinds of phases and estimates, and the findings
_COMPLEXITIES = ("low", "medium", "high")


# Use: sums over all attempts of the period

_SUMS = {
    "count": Count("pk"),
    "again": Count("pk", filter=Q(retry=True)),
    "unpriced": Count("pk") - Count("cost_micros"),
    **{f"{name}_": Sum(name) for name in TOKENS},
    "micros": Sum("cost_micros"),
    "paid": Sum("input_micros"),
    "full": Sum("input_full_micros"),
}


def attempts_by_day(attempts: QuerySet[AttemptFact], *, weeks: bool = False) -> list[Row]:
    """Sums by day (with `weeks`: by the Monday of its week), role, model, outcome and reason. One query."""
    return list(attempts.values("role", "model", "outcome", "reason", day_=week_text if weeks else day_text).annotate(**_SUMS))


def attempts_by_reason(attempts: QuerySet[AttemptFact]) -> list[Row]:
    """Sums by outcome and reason. One query."""
    return list(attempts.values("outcome", "reason").annotate(**_SUMS))


class Use:
    """The totals of some rows of attempts_by_day."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.attempts = sum(row["count"] for row in rows)
        self.retries = sum(row["again"] for row in rows)
        self.unpriced = sum(row["unpriced"] for row in rows)
        self.reasons: Counter[str] = Counter()
        for row in rows:
            if row["outcome"] == Attempt.Outcome.FAILED:
                self.reasons[row["reason"]] += row["count"]
        self.failed = sum(self.reasons.values())
        self.tokens = Tokens(*(known_sum(row[f"{name}_"] for row in rows) for name in TOKENS))
        self.cost, self.paid, self.full = (dollars(known_sum(row[name] for row in rows)) for name in ("micros", "paid", "full"))

    @property
    def cache_saved(self) -> float | None:
        """The share of the input's cost that the provider's cache saved, where that is known."""
        return None if self.paid is None or not self.full else float(1 - self.paid / self.full)

    def by_reason(self) -> tuple[tuple[str, int], ...]:
        return tuple(sorted(self.reasons.items(), key=lambda pair: (-pair[1], pair[0])))


def errors(use: Use, before: Use | None) -> tuple[ErrorType, ...]:
    """Failures by reason, most common first."""
    return tuple(
        ErrorType(reason, count, count / use.failed, before.reasons.get(reason, 0) if before else None) for reason, count in use.by_reason()
    )


def roles(days: Sequence[Row]) -> tuple[RoleUse, ...]:
    """The use of each role with each model."""
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in days:
        found[row["role"], row["model"]].append(row)
    return tuple(_role(*names, Use(found[names])) for names in sorted(found))


def _role(role: str, model: str, use: Use) -> RoleUse:
    return RoleUse(role, model, use.attempts, use.failed, use.tokens, use.cost, use.unpriced, use.paid, use.full)


# The latest attempts, one by one


class Kind:
    """The attempts at phases of one kind: of those that succeeded seconds and seconds for an estimated hour, the limits at which
    others were stopped, and the slowest of both."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.stopped: list[float] = []
        self.per_hour: list[float] = []
        self.attempts = self.failed = 0
        self.micros: list[int] = []
        self.tokens: list[int] = []
        self.slowest = (-1.0, 0, "")  # seconds, batch, phase
        self.place = (0, "")  # of any attempt, while none has succeeded or was stopped at a limit

    @cached_property
    def spread(self) -> Spread:
        return Spread.of(self.seconds, self.stopped)

    @property
    def source(self) -> tuple[int, str]:
        """(batch, phase) of the slowest one."""
        return self.slowest[1:] if self.seconds or self.stopped else self.place


@dataclass(slots=True)
class _Counts:
    count: int = 0
    flaky: int = 0
    known_files: int = 0
    undeclared: int = 0
    batch: int = 0


@dataclass(slots=True)
class Phases:
    """The latest RECENT_ATTEMPTS attempts by kind of phase, by project and complexity, and as findings count them."""

    attempts: int = 0
    middle: date | None = None
    kinds: dict[str, Kind] = field(default_factory=dict)
    ratios: dict[tuple[int, str], list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))  # (actual, estimated) hours
    newest: dict[tuple[int, str], int] = field(default_factory=dict)  # batch
    # by project, outcome, reason, whether in the later half, band of hours, time limit and silence limit
    counts: dict[tuple[int, str, str, bool, int, float | None, float | None], _Counts] = field(default_factory=lambda: defaultdict(_Counts))


_COLUMNS = (
    *("pk", "kind", "project_id", "batch_id", "key", "complexity", "outcome", "reason", "seconds", "hours"),
    *("cost_micros", "tokens", "gates_flaky", "files_undeclared", "limit_seconds", "silence_seconds"),
)


def read_phases(scope: Scope) -> Phases:
    """Two queries."""
    rows = list(scope.attempts(scope.span).order_by("-ended_at", "-pk").values_list(*_COLUMNS)[:RECENT_ATTEMPTS])
    rows.reverse()
    half = len(rows) // 2
    middle = AttemptFact.objects.filter(pk=rows[half][0]).values_list("day", flat=True).first() if rows else None
    found = Phases(len(rows), middle)
    for place, row in enumerate(rows):
        _, kind, project, batch, key, complexity, outcome, reason, seconds, hours, micros, tokens, flaky, undeclared, limit, silence = row
        one = found.kinds.get(kind)
        if one is None:
            one = found.kinds[kind] = Kind()
        one.attempts += 1
        one.place = (batch, key)
        if micros is not None:
            one.micros.append(micros)
        if tokens is not None:
            one.tokens.append(tokens)
        if outcome == "succeeded":
            one.seconds.append(seconds)
            if seconds >= one.slowest[0]:
                one.slowest = (seconds, batch, key)
            if hours:
                one.per_hour.append(seconds / hours)
                found.ratios[project, complexity].append((seconds / 3600, hours))
                found.newest[project, complexity] = batch
        elif outcome == "failed":
            one.failed += 1
            if reason == "phase_time_limit":
                taken = seconds if limit is None else limit
                one.stopped.append(taken)
                if taken >= one.slowest[0]:
                    one.slowest = (taken, batch, key)
        band = 0 if hours is None else sum(hours > limit for limit in BANDS)
        counts = found.counts[project, outcome, reason, place >= half, band, limit, silence]
        counts.count += 1
        counts.batch = batch
        counts.flaky += flaky > 0
        if undeclared is not None:
            counts.known_files += 1
            counts.undeclared += undeclared > 0
    return found


def slowest(phases: Phases, numbers: Mapping[int, int]) -> tuple[PhaseTimes, ...]:
    """The kinds whose p90 is highest; `numbers` are those of batches by id."""
    return tuple(
        PhaseTimes(
            kind=name,
            seconds=kind.spread,
            stopped=len(kind.stopped),
            attempts=kind.attempts,
            failed=kind.failed,
            cost_usd=dollars(sum(kind.micros) if kind.micros else None),
            cost_median=percentile([micros / 1e6 for micros in kind.micros], 0.5),
            tokens=sum(kind.tokens) if kind.tokens else None,
            batch=numbers[kind.source[0]],
            key=kind.source[1],
        )
        for name, kind in _slowest(phases)
    )


def _slowest(phases: Phases) -> list[tuple[str, Kind]]:
    done = [(name, kind) for name, kind in phases.kinds.items() if kind.spread.count]
    return sorted(done, key=lambda pair: (-(pair[1].spread.p90 or 0.0), pair[0]))[:PHASES_SHOWN]


def calibration(phases: Phases) -> tuple[Calibration, ...]:
    """By complexity, over all projects."""
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for (_, complexity), found in phases.ratios.items():
        pairs[complexity].extend(found)
    return tuple(
        Calibration(
            complexity=complexity,
            ratio=Spread.of([actual / estimated for actual, estimated in pairs[complexity]]),
            estimated_hours=sum(estimated for _, estimated in pairs[complexity]),
            actual_hours=sum(actual for actual, _ in pairs[complexity]),
        )
        for complexity in sorted(pairs, key=_place)
    )


def _place(complexity: str) -> tuple[int, str]:
    return (_COMPLEXITIES.index(complexity) if complexity in _COMPLEXITIES else len(_COMPLEXITIES), complexity)


# Findings


def read_findings(scope: Scope, phases: Phases, runs: Iterable[Row], baseline: float | None) -> tuple[Finding, ...]:
    """What stands out among the latest attempts and `runs`; batches by id still (see `with_numbers`). One query."""
    projects = {row.pk: _settings(row) for row in Project.objects.filter(demo__in=scope.demos)}
    return find(
        Evidence(
            projects={one.slug: one for one in projects.values()},
            attempts=[
                AttemptCount(
                    project=projects[project].slug,
                    outcome=outcome,
                    reason=reason,
                    late=late,
                    band=band,
                    count=counts.count,
                    flaky=counts.flaky,
                    known_files=counts.known_files,
                    undeclared=counts.undeclared,
                    batch=counts.batch,
                    own_limit=limit in (None, projects[project].phase_limit_seconds),
                    own_silence=silence in (None, projects[project].silence_seconds),
                )
                for (project, outcome, reason, late, band, limit, silence), counts in phases.counts.items()
            ],
            kinds=[
                KindSample(name, kind.seconds, kind.per_hour, kind.attempts, kind.failed, *kind.source)
                for name, kind in phases.kinds.items()
            ],
            ratios=[
                RatioSample(projects[key].slug, complexity, [actual / hours for actual, hours in pairs], phases.newest[key, complexity])
                for (key, complexity), pairs in phases.ratios.items()
            ],
            runs=[_sample(row, projects) for row in runs],
            middle=phases.middle,
            baseline=baseline,
        )
    )


def _sample(row: Row, projects: Mapping[int, ProjectSettings]) -> RunSample:
    return RunSample(
        project=projects[row["project_id"]].slug,
        batch=row["batch_id"],
        seconds=row["seconds"],
        slot_seconds=row["slot_seconds"],
        rate_limit_seconds=row["rate_limit_seconds"],
        tokens_per_phase=row["tokens"] / row["phases"] if row["tokens"] is not None and row["phases"] else None,
    )


def _settings(project: Project) -> ProjectSettings:
    return ProjectSettings(
        slug=project.slug,
        name=project.name,
        phase_limit_seconds=project.phase_limit_seconds,
        silence_seconds=project.silence_seconds or settings.CE_SILENCE_SECONDS,
        max_parallel=project.max_parallel,
        retry_model=project.retry_model,
        shared_context=project.shared_context,
        undeclared_fail=project.undeclared_edits == FilePolicy.FAIL,
    )


def numbers_of(phases: Phases, findings: Iterable[Finding]) -> dict[int, int]:
    """{id: number} of the batches that the slowest kinds and the findings name. One query."""
    ids = {kind.source[0] for _, kind in _slowest(phases)} | {batch for one in findings for batch in one.batches}
    return dict(Batch.objects.filter(pk__in=ids).order_by().values_list("pk", "number"))


def with_numbers(finding: Finding, numbers: Mapping[int, int]) -> Finding:
    """The same with the numbers of its batches, which people know, in place of their ids."""
    params = {name: numbers[int(value)] if name == "batch" else value for name, value in finding.remedy.params.items()}
    return replace(finding, batches=tuple(numbers[batch] for batch in finding.batches), remedy=replace(finding.remedy, params=params))


def successes(scope: Scope) -> tuple[tuple[str, int], ...]:
    """(what is behind it, phases) of the executions of phases that succeeded within the period. One query."""
    done = scope.attempts(scope.span).filter(operation=Operation.EXECUTE, outcome=Attempt.Outcome.SUCCEEDED)
    found = dict(done.values_list("success").annotate(phases=Count("pk")))
    return tuple((kind, found[kind]) for kind in (*Success, "") if found.get(kind))
