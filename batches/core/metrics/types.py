"""The results of a history of runs: the values that the metrics page, its exports and `batch_trends` show.

Seconds, US dollars, tokens, shares from 0 to 1. Unknown is None, never 0. Days are days in UTC.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from batches.core.engine.states import Operation, RunState, Waiting
from batches.core.errors import WrongChoice
from batches.core.metrics.criteria import Criterion, Saving
from batches.core.metrics.findings import Finding
from batches.core.percentile import MoreThan, percentile

PERIODS = {"7d": 7, "30d": 30, "90d": 90}  # days; beside them "all", and "range" with its own dates
DEFAULT_PERIOD = "30d"
PHASES_SHOWN = 20  # the slowest kinds of phases
BATCHES_SHOWN = 200  # the latest runs that are listed one by one; the buckets cover all of them
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2199, 12, 31)  # of an own range: within them every period before is a date too
DAYS_UP_TO, WEEKS_UP_TO = 92, 731  # longest span in days that is shown by days, by weeks; a longer one is shown by months


@dataclass(frozen=True, slots=True)
class Filters:
    """What of the history is looked at. Empty text: all of it. `project` is a slug.

    `demo`: "" looks at demonstration data only where there is nothing else, "only" at nothing else, "with" at both.
    """

    period: str = DEFAULT_PERIOD
    start: date | None = None  # of an own range, both inclusive
    end: date | None = None
    project: str = ""
    operation: str = Operation.EXECUTE
    role: str = ""
    model: str = ""
    demo: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "Filters":
        """From the parameters of an address: period, from, to, project, operation, role, model, demo; "any" operation is "".

        Raises WrongChoice for a period, date or operation that there is none of; projects, roles and models that nobody
        knows simply have no history.
        """
        start, end = _day(query.get("from", ""), "from"), _day(query.get("to", ""), "to")
        period = query.get("period", "") or ("range" if start or end else DEFAULT_PERIOD)
        if period not in (*PERIODS, "all", "range"):
            raise WrongChoice(f"There is no period {period!r}; there is: {', '.join(PERIODS)}, all, or own dates (from, to).")
        if start and end and start > end:
            raise WrongChoice(f"The range begins on {start} and ends on {end}: exchange the two.")
        operation = query.get("operation", "") or Operation.EXECUTE
        if operation not in (*Operation, "any"):
            raise WrongChoice(f"There is no operation {operation!r}; there is: {', '.join(Operation)}, any.")
        demo = query.get("demo", "")
        if demo not in ("", "only", "with"):
            raise WrongChoice(f"For demonstration data there is: only, with; not {demo!r}.")
        ranged = period == "range"
        return cls(
            period=period,
            start=start if ranged else None,
            end=end if ranged else None,
            project=query.get("project", ""),
            operation="" if operation == "any" else operation,
            role=query.get("role", ""),
            model=query.get("model", ""),
            demo=demo,
        )

    def query(self, **changes: str) -> dict[str, str]:
        """The parameters of an address that `read` understands, with `changes`; defaults are left out."""
        values = {
            "period": "" if self.period == DEFAULT_PERIOD else self.period,
            "from": self.start.isoformat() if self.start else "",
            "to": self.end.isoformat() if self.end else "",
            "project": self.project,
            "operation": "" if self.operation == Operation.EXECUTE else self.operation or "any",
            "role": self.role,
            "model": self.model,
            "demo": self.demo,
        }
        return {name: value for name, value in (values | changes).items() if value}

    def span(self, now: datetime) -> "Span":
        """The time looked at: days back from `now`, or whole days of the own range."""
        if self.period in PERIODS:
            return Span(now - timedelta(days=PERIODS[self.period]), None)
        start = None if self.start is None else datetime(self.start.year, self.start.month, self.start.day, tzinfo=UTC)
        end = None if self.end is None else datetime(self.end.year, self.end.month, self.end.day, tzinfo=UTC) + timedelta(days=1)
        return Span(start, end)


def _day(text: str, name: str) -> date | None:
    try:
        day = date.fromisoformat(text) if text else None
    except ValueError:
        raise WrongChoice(f"{name} is a date such as 2025-11-30, not {text!r}.") from None
    if day is not None and not FIRST_DAY <= day <= LAST_DAY:
        raise WrongChoice(f"{name} is a date from {FIRST_DAY} to {LAST_DAY}, not {day}.")
    return day


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` on and before `end`; None: without a limit on that side."""

    start: datetime | None
    end: datetime | None

    def before(self, now: datetime) -> "Span | None":
        """As long a time, just before; None where there is no beginning."""
        if self.start is None:
            return None
        return Span(self.start - ((self.end or now) - self.start), self.start)


@dataclass(frozen=True, slots=True)
class Headline:
    """One figure of the period, and of the period before. `unit`: count, share, seconds, usd, tokens, times, percent.

    `samples` is how many runs or attempts it rests on; `better` says which way is good: "less", "more" or "".
    """

    code: str
    name: str
    unit: str
    value: float | None
    before: float | None = None
    samples: int = 0
    better: str = ""

    @property
    def change(self) -> float | None:
        """(value − before) ÷ before, such as -0.25; None where either is unknown or there was nothing before."""
        if self.value is None or not self.before:
            return None
        return (self.value - self.before) / self.before

    @property
    def improved(self) -> bool | None:
        """Whether it improved; None when it did not change, is unknown, or no direction is better."""
        if self.value is None or self.before is None or self.value == self.before or not self.better:
            return None
        return (self.value < self.before) == (self.better == "less")


@dataclass(frozen=True, slots=True)
class Tokens:
    """As the provider counts them: `input` was read by the model and not from a cache. `total` may be known alone."""

    total: int | None = None
    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds that ready work did not start, by what it waited for (states.Waiting).

    `total` is without `person`: the time until a person acted is shown beside it and is part of no other figure.
    """

    queue: float = 0.0
    slot: float = 0.0
    rate_limit: float = 0.0
    budget: float = 0.0
    person: float = 0.0
    machine: float = 0.0

    @property
    def total(self) -> float:
        return self.queue + self.slot + self.rate_limit + self.budget + self.machine

    def items(self) -> list[tuple[Waiting, float]]:
        """(what for, seconds), the longest first, those of no time left out."""
        found = [(kind, float(getattr(self, kind))) for kind in Waiting]
        return sorted(((kind, seconds) for kind, seconds in found if seconds), key=lambda pair: -pair[1])


@dataclass(frozen=True, slots=True)
class RunPoint:
    """One ended run: what a bar of the page is. Its source is the page of batch `batch`.

    `seconds` from start to end, `work_seconds` over all its attempts, so their quotient is the speed-up against running
    one after the other. `forecast` is (median, p90) seconds as forecast at Execute, with the number of runs behind it.
    """

    run: int
    batch: int
    number: int
    title: str
    project: str
    operation: str
    state: str
    critical: bool  # it failed for a reason that is no stop by a person, a budget or a missing agent
    demo: bool
    ended_at: datetime
    seconds: float | None
    work_seconds: float | None
    waits: Waits
    tokens: Tokens
    cost_usd: Decimal | None
    attempts: int
    failed: int
    retries: int
    phases: int  # that succeeded in it
    by_hand: int  # of these, with a merge conflict that a person resolved
    conflicts_predicted: int
    conflicts_real: int
    gates_passed: int
    gates_failed: int
    gates_flaky: int
    estimated_hours: float | None  # of the phases that succeeded and have an estimate
    estimated_seconds: float | None  # what these really took
    drift: float | None  # per cent, mean over its phases
    forecast: tuple[float, float] | None
    forecast_runs: int

    @property
    def speed_up(self) -> float | None:
        """Work done ÷ time taken."""
        return self.work_seconds / self.seconds if self.seconds and self.work_seconds is not None else None

    @property
    def tokens_per_phase(self) -> float | None:
        return self.tokens.total / self.phases if self.tokens.total is not None and self.phases else None

    @property
    def succeeded(self) -> bool:
        """Whether it can be compared with others: what failed or was cancelled took less, for doing less."""
        return self.state == RunState.SUCCEEDED

    @property
    def within_forecast(self) -> bool | None:
        """Whether it took no longer than the forecast's p90; None where there is none, or it did not succeed."""
        known = self.succeeded and self.forecast is not None and self.seconds is not None
        return self.seconds <= self.forecast[1] if known else None  # type: ignore[index,operator]  # both are known


@dataclass(frozen=True, slots=True)
class Bucket:
    """One day, week (from Monday) or month of the period; `end` is the first day after it.

    Runs and attempts count where they ended, so an attempt may stand before its run.
    """

    start: date
    end: date
    runs: int = 0
    succeeded: int = 0
    seconds_median: float | None = None
    seconds_p90: float | None = None
    waits: Waits = Waits()
    attempts: int = 0
    failed: int = 0
    retries: int = 0
    tokens: Tokens = Tokens()
    cost_usd: Decimal | None = None
    reasons: tuple[tuple[str, int], ...] = ()  # (failure reason, attempts), most common first

    @property
    def error_share(self) -> float | None:
        return self.failed / self.attempts if self.attempts else None


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and p90 over `count` values; None over none. A MoreThan where one that was stopped at a limit decides."""

    median: float | None
    p90: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float], stopped: Sequence[float] = ()) -> "Spread":
        """`stopped` are limits at which more was stopped: each counts as a value that is more than the limit."""
        both = [*values, *stopped]
        known = max((value for value in values if value < min(stopped)), default=-math.inf) if stopped else math.inf

        def at(share: float) -> float | None:
            value = percentile(both, share)
            return value if value is None or value <= known else MoreThan(value)

        return cls(at(0.5), at(0.9), len(both))


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Seconds from the first launch to the last end within stage `stage`, over the runs that had it."""

    stage: int
    seconds: Spread


@dataclass(frozen=True, slots=True)
class PhaseTimes:
    """Phases of one kind (their titles, without figures and case): seconds of attempts that succeeded, or were stopped at the time
    limit (these count as more than it), and all that failed.

    `batch` and `key` name the slowest one, as the source of the bar.
    """

    kind: str
    seconds: Spread
    stopped: int  # at the time limit, in `seconds`
    attempts: int
    failed: int
    cost_usd: Decimal | None  # over all attempts, as far as known
    cost_median: float | None  # US dollars, of attempts whose cost is known
    tokens: int | None
    batch: int
    key: str


@dataclass(frozen=True, slots=True)
class RoleUse:
    """What attempts of one subagent role with one model used; "" is no model. Costs are the sums of priced requests.

    `input_usd` is what was paid for input, `input_full_usd` what it would have cost without the provider's cache.
    """

    role: str
    model: str
    attempts: int
    failed: int
    tokens: Tokens
    cost_usd: Decimal | None
    cost_unknown: int  # attempts whose cost nobody knows
    input_usd: Decimal | None
    input_full_usd: Decimal | None

    @property
    def cache_saved(self) -> float | None:
        """The share of the input's cost that the cache saved."""
        if self.input_usd is None or not self.input_full_usd:
            return None
        return float(1 - self.input_usd / self.input_full_usd)


@dataclass(frozen=True, slots=True)
class ErrorType:
    reason: str
    count: int
    share: float  # of all failed attempts
    before: int | None  # in the period before; None: there is none


@dataclass(frozen=True, slots=True)
class Calibration:
    """Attempts of one complexity that succeeded and had an estimate: `ratio` is actual ÷ estimated hours."""

    complexity: str
    ratio: Spread
    estimated_hours: float
    actual_hours: float


@dataclass(frozen=True, slots=True)
class Conflicts:
    """Files at which phases were foreseen to collide, and did. `decided` leaves out what no merge has tried."""

    predicted: int
    came_true: int
    false_alarms: int
    undecided: int
    real: int  # attempts that failed with merge_conflict
    by_hand: int  # phases whose conflict a person resolved
    phases: int  # phases that succeeded

    @property
    def by_hand_share(self) -> float | None:
        return self.by_hand / self.phases if self.phases else None


@dataclass(frozen=True, slots=True)
class ForecastCheck:
    """How forecasts made at Execute turned out: `ratio` is actual ÷ forecast median."""

    runs: int
    below_median: int
    within: int  # not longer than the forecast's p90
    ratio: Spread


@dataclass(frozen=True, slots=True)
class History:
    """All figures of the metrics page for `filters` at `now`."""

    filters: Filters
    now: datetime
    span: Span
    demo: bool  # demonstration data is among what is shown
    demo_exists: bool
    runs: int
    attempts: int
    successes: tuple[tuple[str, int], ...]  # (what is behind it, phases) of the executions of phases that succeeded; "": not known
    recent_runs: int  # the latest of them, which stages, forecasts and findings rest on
    recent_attempts: int  # the latest of them, which kinds of phases, calibration and findings rest on
    headlines: tuple[Headline, ...]
    batches: tuple[RunPoint, ...]  # the latest BATCHES_SHOWN runs, oldest first
    batches_left: int  # older runs of the period that are in the other figures only
    buckets: tuple[Bucket, ...]
    seconds: Spread  # of runs
    cost: Spread  # of runs whose cost is known, US dollars
    speed_up: Spread
    stages: tuple[StageTimes, ...]
    phases: tuple[PhaseTimes, ...]  # slowest p90 first
    kinds: int  # how many kinds of phases there are in all
    roles: tuple[RoleUse, ...]
    errors: tuple[ErrorType, ...]
    waits: Waits
    waits_before: Waits | None
    conflicts: Conflicts
    calibration: tuple[Calibration, ...]
    saving: Saving
    forecasts: ForecastCheck
    criteria: tuple[Criterion, ...] = ()
    findings: tuple[Finding, ...] = ()
    choices: "Choices" = field(default_factory=lambda: Choices())

    def headline(self, code: str) -> Headline:
        """The headline figure of that code. Raises KeyError."""
        return {one.code: one for one in self.headlines}[code]


@dataclass(frozen=True, slots=True)
class Choices:
    """What there is to filter by: (value, name) pairs."""

    projects: tuple[tuple[str, str], ...] = ()
    roles: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run stands among the others: `rank` 1 is the least of `count`, itself included. None of it of a run without a value."""

    value: float | None
    rank: int | None
    count: int
    median: float | None
    p90: float | None
    more: int = 0  # of the others that took more

    @property
    def others(self) -> int:
        return self.count if self.value is None else self.count - 1

    @property
    def above(self) -> float | None:
        """The share of the others that took more: faster, cheaper than so many."""
        return None if self.rank is None or self.count < 2 else self.more / (self.count - 1)

    @property
    def below(self) -> float | None:
        """The share of the others that took less."""
        return None if self.rank is None or self.count < 2 else (self.rank - 1) / (self.count - 1)


def place(value: float | None, others: Sequence[float]) -> Place:
    """`others` are the values of the other batches; the median and p90 are of all, `value` among them."""
    values = [*others] if value is None else [*others, value]
    rank = None if value is None else 1 + sum(other < value for other in others)
    more = 0 if value is None else sum(other > value for other in others)
    return Place(value, rank, len(values), percentile(values, 0.5), percentile(values, 0.9), more)


@dataclass(frozen=True, slots=True)
class PhasePoint:
    """One phase of a batch with all its attempts in the runs looked at."""

    key: str
    title: str
    stage: int
    complexity: str
    outcome: str
    success: str  # what is behind it; "" where it did not succeed
    attempts: int
    seconds: float | None  # of the attempt that counts
    waited_seconds: float | None
    estimated_hours: float | None
    tokens: int | None
    cost_usd: Decimal | None
    drift: float | None


@dataclass(frozen=True, slots=True)
class BatchView:
    """One batch's latest ended execution: for a comparison side by side, and its place among all of them."""

    run: RunPoint
    phases: tuple[PhasePoint, ...]
    stages: tuple[tuple[int, float], ...]  # (stage, seconds)
    seconds: Place
    cost: Place
    tokens: Place


def bucket_days(first: date, last: date) -> list[tuple[date, date]]:
    """[(start, end)] of the days, weeks or months that cover `first` to `last`; `end` is the day after."""
    length = (last - first).days + 1
    if length > WEEKS_UP_TO:
        months = (last.year - first.year) * 12 + last.month - first.month
        starts = [date(first.year + (first.month - 1 + step) // 12, (first.month - 1 + step) % 12 + 1, 1) for step in range(months + 2)]
        return list(pairwise(starts))
    if length > DAYS_UP_TO:
        monday, step = first - timedelta(days=first.weekday()), 7
    else:
        monday, step = first, 1
    count = (last - monday).days // step + 1
    starts = [monday + timedelta(days=step * number) for number in range(count + 1)]
    return list(pairwise(starts))


def kind_of(title: str) -> str:
    """What phases of other batches that do the same are called too: the title without figures, signs and case."""
    words = re.findall(r"[^\W\d_]+", title.casefold())
    return " ".join(words)[:300] or title.casefold().strip()[:300]
