"""The figures of the metrics page, made of a `History`: what each shows, its table, and where a bar leads to.

Up to BARS ended runs are drawn one by one; more than that as the days, weeks or months they ended in. docs/metrics.md says
what each figure means; a name here is a name there and in the addresses of the exports.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from batches.core.metrics.criteria import MEAN_SECONDS, TOKENS_BELOW
from batches.core.metrics.figures import Column, Figure, Row
from batches.core.metrics.plots import COLOURS, Bars, Point, Series, bars, dated, horizontal_bars, points
from batches.core.metrics.types import Bucket, History, RunPoint, Waits
from batches.core.metrics.values import Value, shown
from batches.core.text import words

BARS = 40  # runs drawn one by one
CHAPTERS = {"time": "Time", "tokens": "Tokens and cost", "errors": "Errors and retries", "plans": "Plans against what happened"}
GOOD, BAD, MUTED = "var(--running-bar)", "var(--failed-bar)", "var(--queued-bar)"
NO_TOKENS = "No attempt has reported tokens; the steps backend uses none."
NO_COST = "No attempt has a known cost: prices are known for models only."
WAITS = (
    ("queue", "for the run to begin"),
    ("slot", "for a free slot"),
    ("rate_limit", "for a rate limit"),
    ("budget", "for the budget"),
    ("machine", "for the machine"),
    ("person", "for a person, beside the durations"),
)

BATCH = Column("batch", "Batch")
TITLE = Column("title", "Title", "text")
ENDED = Column("ended", "Ended", "date")
MEDIAN = Column("seconds_median", "Median", "seconds")
P90 = Column("seconds_p90", "90th percentile", "seconds")
ATTEMPTS = Column("attempts", "Attempts")
TOKENS = Column("tokens", "Tokens", "tokens")
COST = Column("cost_usd", "Cost", "usd")
PHASE = Column("phase", "Phase", "text")
SECONDS = Column("seconds", "Duration", "seconds")
WORK = Column("work_seconds", "Work in it", "seconds")
FROM = Column("from", "From", "date")


class Links(Protocol):
    """Addresses, made by the pages."""

    def batch(self, number: int) -> str: ...
    def phase(self, batch: int, key: str) -> str: ...
    def days(self, start: date, end: date) -> str: ...  # the same page for the days from `start` and before `end`
    def attempts(self, **narrowed: str) -> str: ...  # the attempts behind a figure


@dataclass(frozen=True, slots=True)
class Places:
    """What the bars of a figure over time stand for: single runs, or spans of days."""

    runs: tuple[RunPoint, ...]
    buckets: tuple[Bucket, ...]
    bars: Bars
    columns: tuple[Column, ...]  # that name a place in a table

    @property
    def word(self) -> str:
        return "batch" if self.runs or not self.buckets else {1: "day", 7: "week"}.get(min(self.bars.days), "month")

    def table(self, *values: Sequence[Value]) -> tuple[Row, ...]:
        if self.runs:
            names: list[tuple[Value, ...]] = [(one.batch, one.number, one.title, one.state) for one in self.runs]
        else:
            names = [(one.start, one.runs) for one in self.buckets]
        return tuple(Row((*name, *(each[at] for each in values)), self.bars.hrefs[at]) for at, name in enumerate(names))


def places_of(history: History, links: Links) -> Places:
    runs = history.batches
    if len(runs) <= BARS and not history.batches_left:
        seen = [one.batch for one in runs]
        labels = [str(one.batch) if seen.count(one.batch) == 1 else f"{one.batch} run {one.number}" for one in runs]
        titles = [f"Batch {one.batch}: {one.title}" for one in runs]
        columns = (BATCH, Column("run", "Run"), TITLE, Column("state", "State", "text"))
        return Places(runs, (), Bars(labels, [links.batch(one.batch) for one in runs], titles), columns)
    over = over_days(history, links)
    start = {1: "Day", 7: "Week from"}.get(min(over.days, default=1), "Month from")
    return Places((), history.buckets, over, (Column("from", start, "date"), Column("runs", "Runs ended")))


def over_days(history: History, links: Links) -> Bars:
    """The spans of the period as places of bars."""
    days = [(one.end - one.start).days for one in history.buckets]
    hrefs = [links.days(one.start, one.end) if one.runs or one.attempts else "" for one in history.buckets]
    titles = [_span(one, min(days)) for one in history.buckets]
    return Bars([one.start for one in history.buckets], hrefs, titles, days)


def _span(one: Bucket, days: int) -> str:
    name = {1: f"{one.start:%a} {one.start}", 7: f"Week from {one.start}"}.get(days, f"{one.start:%B %Y}")
    return f"{name}, {words.counted(one.runs, 'run')} and {words.counted(one.attempts, 'attempt')} ended"


@dataclass(frozen=True, slots=True)
class Chapter:
    name: str
    title: str
    figures: tuple[Figure, ...]


def chapters(history: History, links: Links, only: str = "") -> tuple[Chapter, ...]:
    """All figures, in the order of the page; with `only` those of one chapter."""
    places = places_of(history, links)

    def time() -> tuple[Figure, ...]:
        return (
            *(duration(history, places), stages(history, places), slowest_phases(history, links)),
            *(speed_up(history, links), waiting(history, places)),
        )

    def used() -> tuple[Figure, ...]:
        return (
            *(tokens(history, places), subagents(history, links), saving(history, links)),
            *(cost(history, places), phase_cost(history, links)),
        )

    def failures() -> tuple[Figure, ...]:
        return (error_rate(history, links), error_types(history, links), errors(history, links), retries(history, places))

    def plans() -> tuple[Figure, ...]:
        return (estimates(history, links), calibration(history, links), forecasts(history, links), conflicts(history, places))

    made = {"time": time, "tokens": used, "errors": failures, "plans": plans}
    return tuple(Chapter(name, CHAPTERS[name], make()) for name, make in made.items() if only in ("", name))


def figures(history: History, links: Links) -> Iterator[Figure]:
    for chapter in chapters(history, links):
        yield from chapter.figures


def duration(history: History, places: Places) -> Figure:
    columns = [*places.columns]
    if places.runs:
        seconds = [one.seconds for one in places.runs]
        ok = [one.seconds if one.state == "succeeded" else None for one in places.runs]
        bad = [one.seconds if one.state != "succeeded" else None for one in places.runs]
        series = [Series("succeeded", ok, GOOD), Series("did not succeed", bad, BAD, "/")]
        series = [one for one in series if any(value is not None for value in one.values)]
        columns += [
            SECONDS,
            WORK,
            Column("wait_seconds", "Waiting", "seconds"),
            Column("person_seconds", "Waited for a person", "seconds"),
        ]
        waits = [one.waits for one in places.runs]
        work = [one.work_seconds for one in places.runs]
        rows = places.table(seconds, work, [one.total for one in waits], [one.person or None for one in waits])
        plot = bars(places.bars, series, "seconds", lines=[(MEAN_SECONDS, "target 3 h")])
    else:
        median = [one.seconds_median for one in places.buckets]
        p90 = [one.seconds_p90 for one in places.buckets]
        columns += [MEDIAN, P90]
        rows = places.table(median, p90)
        rest = [None if low is None or high is None else high - low for low, high in zip(median, p90, strict=True)]
        plot = bars(
            places.bars,
            [Series("median", median, GOOD), Series("up to the 90th percentile", rest, MUTED, said=p90)],
            "seconds",
            lines=[(MEAN_SECONDS, "target 3 h")],
        )
    known = history.seconds
    return Figure(
        "duration",
        "Duration per batch" if places.runs else f"Duration of batches by {places.word}",
        f"median {words.duration(known.median)}, p90 {words.duration(known.p90)}, {words.counted(known.count, 'run')}; target under 3 h",
        tuple(columns),
        rows,
        "No run has ended.",
        plot if known.count else None,
        f"Durations of {known.count} runs: median {words.duration(known.median)}, p90 {words.duration(known.p90)}, target 3 h.",
        wide=True,
    )


def stages(history: History, places: Places) -> Figure:
    found = history.stages
    plot = horizontal_bars(
        [f"Stage {one.stage}" for one in found],
        [
            Series("median", [one.seconds.median for one in found], GOOD),
            Series("90th percentile", [one.seconds.p90 for one in found], MUTED),
        ],
        "seconds",
    )
    return Figure(
        "stages",
        "Duration by stage",
        "first launch to last end" + _recent(history.recent_runs, history.runs, "runs"),
        (
            Column("stage", "Stage"),
            MEDIAN,
            P90,
            Column("runs", "Runs"),
        ),
        tuple(Row((one.stage, one.seconds.median, one.seconds.p90, one.seconds.count)) for one in found),
        "No stage has run.",
        plot if found else None,
        f"Median and 90th percentile of {len(found)} stages.",
    )


def slowest_phases(history: History, links: Links) -> Figure:
    found = [one for one in history.phases if one.seconds.count][:10]
    plot = horizontal_bars(
        [_capital(one.kind) for one in found],
        [
            Series("median", [one.seconds.median for one in found], GOOD),
            Series("90th percentile", [one.seconds.p90 for one in found], MUTED),
        ],
        "seconds",
        hrefs=[links.phase(one.batch, one.key) for one in found],
    )
    return Figure(
        "slowest_phases",
        "Slowest phases",
        f"{len(found)} of {history.kinds} kinds, by the 90th percentile" + _recent(history.recent_attempts, history.attempts, "attempts"),
        (
            PHASE,
            MEDIAN,
            P90,
            Column("runs", "Succeeded"),
            Column("failed", "Failed"),
            Column("stopped", "Of these, stopped at the limit"),
            Column("slowest_batch", "Slowest in batch"),
        ),
        tuple(
            Row(
                (
                    *(_capital(one.kind), one.seconds.median, one.seconds.p90, one.seconds.count - one.stopped),
                    *(one.failed, one.stopped, one.batch),
                ),
                links.phase(one.batch, one.key),
            )
            for one in found
        ),
        "No phase has succeeded or run into its limit.",
        plot if found else None,
        f"The {len(found)} slowest kinds of phases, median and 90th percentile.",
    )


def speed_up(history: History, links: Links) -> Figure:
    found = [one for one in history.batches if one.speed_up is not None]
    plot = dated(
        [
            (
                "speed-up",
                GOOD,
                [Point(one.ended_at, one.speed_up, f"Batch {one.batch}: {one.title}", links.batch(one.batch)) for one in found],
            )
        ],
        "ratio",
        lines=[(1.0, "one after the other")],
    )
    return Figure(
        "speed_up",
        "Speed-up against one after the other",
        f"median {_ratio(history.speed_up.median)} over {words.counted(history.speed_up.count, 'run')}{_latest(history)}",
        (BATCH, TITLE, ENDED, Column("speed_up_ratio", "Speed-up", "ratio"), SECONDS, WORK),
        tuple(
            Row((one.batch, one.title, one.ended_at.date(), one.speed_up, one.seconds, one.work_seconds), links.batch(one.batch))
            for one in found
        ),
        "No run has ended with work in it.",
        plot if found else None,
        f"Work done divided by time taken: median {_ratio(history.speed_up.median)}.",
    )


def waiting(history: History, places: Places) -> Figure:
    def of(waits: Waits, kind: str) -> float:
        return float(getattr(waits, kind))

    by_kind = {kind: [of(one.waits, kind) for one in (places.runs or places.buckets)] for kind, _ in WAITS}
    series = [
        Series(name, by_kind[kind], COLOURS[at], pattern)
        for at, ((kind, name), pattern) in enumerate(zip(WAITS, ("", "", "/", "", "x", "."), strict=True))
        if any(by_kind[kind])
    ]
    total, before, person = history.waits.total, history.waits_before, history.waits.person
    return Figure(
        "waiting",
        f"Waiting per {places.word}",
        f"{words.duration(total)} in all"
        + (f", and {words.duration(person)} for a person" if person else "")
        + (f", {words.duration(before.total) if before.total else 'none'} in the period before" if before is not None else ""),
        (*places.columns, *(Column(f"{kind}_seconds", name.capitalize(), "seconds") for kind, name in WAITS)),
        places.table(*(by_kind[kind] for kind, _ in WAITS)) if total or person else (),
        "Nothing that was ready had to wait.",
        bars(places.bars, series, "seconds") if series else None,
        f"Time that ready work waited, by what for; {words.duration(total)} in all.",
    )


def tokens(history: History, places: Places) -> Figure:
    kinds = (("input", "input"), ("cache_read", "read from cache"), ("cache_write", "written to cache"), ("output", "output"))
    found = {kind: [getattr(one.tokens, kind) for one in (places.runs or places.buckets)] for kind, _ in kinds}
    total = [one.tokens.total for one in (places.runs or places.buckets)]
    split = any(value for values in found.values() for value in values)
    series = [Series(name, found[kind], COLOURS[at], ("", "", "/", "")[at]) for at, (kind, name) in enumerate(kinds)]
    if not split:
        series = [Series("tokens", total, GOOD)]
    known = any(total)
    return Figure(
        "tokens",
        f"Tokens per {places.word}",
        "input, cache and output, as the provider counts them",
        (
            *places.columns,
            TOKENS,
            *(Column(f"{kind}_tokens", name.capitalize(), "tokens") for kind, name in kinds),
        ),
        places.table(total, *(found[kind] for kind, _ in kinds)) if known else (),
        NO_TOKENS,
        bars(places.bars, series, "tokens") if known else None,
        f"Tokens per {places.word}, split into input, read from cache, written to cache and output.",
        wide=True,
    )


def subagents(history: History, links: Links) -> Figure:
    found = [one for one in history.roles if one.tokens.total]
    names = [f"{one.role.replace('_', ' ')}, {one.model or 'no model'}" for one in found]
    parts = (
        ("input", [one.tokens.input for one in found]),
        ("read from cache", [one.tokens.cache_read for one in found]),
        ("written to cache", [one.tokens.cache_write for one in found]),
        ("output", [one.tokens.output for one in found]),
    )
    hrefs = [links.attempts(role=one.role, model=one.model) for one in found]
    series = [Series(name, values, COLOURS[at], ("", "", "/", "")[at]) for at, (name, values) in enumerate(parts)]
    columns = (
        *(
            Column("role", "Subagent", "text"),
            Column("model", "Model", "text"),
            ATTEMPTS,
            TOKENS,
        ),
        Column("input_tokens", "Input", "tokens"),
        Column("cache_read_tokens", "Read from cache", "tokens"),
        Column("cache_write_tokens", "Written to cache", "tokens"),
        Column("output_tokens", "Output", "tokens"),
        COST,
        Column("cache_saved_share", "Input saved by the cache", "share"),
    )
    rows = tuple(
        Row(
            (
                *(one.role.replace("_", " "), one.model or None, one.attempts, one.tokens.total, one.tokens.input, one.tokens.cache_read),
                *(one.tokens.cache_write, one.tokens.output, one.cost_usd, one.cache_saved),
            ),
            href,
        )
        for one, href in zip(found, hrefs, strict=True)
    )
    return Figure(
        "subagents",
        "Tokens per subagent",
        "role and model",
        columns,
        rows,
        NO_TOKENS,
        horizontal_bars(names, series, "tokens", hrefs=hrefs, stacked=True) if found else None,
        f"Tokens of {len(found)} roles and models, split into input, cache and output.",
    )


def saving(history: History, links: Links) -> Figure:
    found = [one for one in history.batches if one.tokens_per_phase is not None]
    base = history.saving.baseline
    lines = [] if base is None else [(base, "baseline"), (base * (1 - TOKENS_BELOW), f"goal: {shown(TOKENS_BELOW, 'share')} below")]
    plot = dated(
        [
            (
                "tokens for a phase",
                GOOD,
                [Point(one.ended_at, one.tokens_per_phase, f"Batch {one.batch}: {one.title}", links.batch(one.batch)) for one in found],
            )
        ],
        "tokens",
        lines=lines,
    )
    saved = history.saving.saved
    if saved is None:
        note = "no baseline yet" if base is None else f"baseline {words.tokens(round(base))} over {history.saving.baseline_runs} runs"
    else:
        way = "below" if saved >= 0 else "above"
        first, later = f"the first {history.saving.baseline_runs} runs", f"{words.counted(history.saving.now_runs, 'later run')}"
        note = f"{later}: {shown(abs(saved), 'share')} {way} the baseline of {first}; goal {shown(TOKENS_BELOW, 'share')} below"
    return Figure(
        "saving",
        "Tokens for a phase against the baseline",
        note + _latest(history),
        (
            *(
                BATCH,
                TITLE,
                ENDED,
                Column("phases", "Phases that succeeded"),
            ),
            Column("tokens_per_phase", "Tokens for a phase", "tokens"),
            Column("saved_share", "Below the baseline", "share"),
        ),
        tuple(
            Row(
                (
                    one.batch,
                    one.title,
                    one.ended_at.date(),
                    one.phases,
                    one.tokens_per_phase,
                    1 - (one.tokens_per_phase or 0) / base if base else None,
                ),
                links.batch(one.batch),
            )
            for one in found
        ),
        NO_TOKENS,
        plot if found else None,
        f"Tokens for each phase that succeeded, run by run: {note}.",
    )


def cost(history: History, places: Places) -> Figure:
    found = [one.cost_usd for one in (places.runs or places.buckets)]
    known = any(value is not None for value in found)
    spread = history.cost
    return Figure(
        "cost",
        f"Cost per {places.word}",
        f"median {words.usd(spread.median)} a batch, p90 {words.usd(spread.p90)}; sums of priced requests",
        (*places.columns, COST),
        places.table(found) if known else (),
        NO_COST,
        bars(places.bars, [Series("cost", found, GOOD)], "usd") if known else None,
        f"Cost per {places.word}; median {words.usd(spread.median)} a batch.",
    )


def phase_cost(history: History, links: Links) -> Figure:
    found = sorted((one for one in history.phases if one.cost_usd), key=lambda one: -(one.cost_usd or 0))[:10]
    hrefs = [links.attempts(kind=one.kind) for one in found]
    return Figure(
        "phase_cost",
        "Cost per kind of phase",
        "all attempts, of the slowest kinds" + _recent(history.recent_attempts, history.attempts, "attempts"),
        (
            *(
                PHASE,
                COST,
                Column("cost_median_usd", "Median of an attempt", "usd"),
            ),
            ATTEMPTS,
            TOKENS,
        ),
        tuple(
            Row((_capital(one.kind), one.cost_usd, one.cost_median, one.attempts, one.tokens), href)
            for one, href in zip(found, hrefs, strict=True)
        ),
        NO_COST,
        horizontal_bars([_capital(one.kind) for one in found], [Series("cost", [one.cost_usd for one in found], GOOD)], "usd", hrefs=hrefs)
        if found
        else None,
        f"The {len(found)} most expensive kinds of phases.",
    )


def error_rate(history: History, links: Links) -> Figure:
    buckets = history.buckets
    over = over_days(history, links)
    plot = dated(
        [
            (
                "failed attempts",
                BAD,
                [Point(one.start, one.error_share, title, href) for one, title, href in zip(buckets, over.titles, over.hrefs, strict=True)],
            )
        ],
        "share",
        joined=True,
    )
    return Figure(
        "error_rate",
        "Error rate",
        "failed attempts ÷ attempts",
        (
            FROM,
            ATTEMPTS,
            Column("failed", "Failed"),
            Column("error_share", "Error rate", "share"),
        ),
        tuple(Row((one.start, one.attempts, one.failed, one.error_share), href) for one, href in zip(buckets, over.hrefs, strict=True)),
        "No attempt has ended.",
        plot,
        "The share of attempts that failed, over time.",
    )


def error_types(history: History, links: Links) -> Figure:
    names = [one.reason for one in history.errors]
    counts = {name: [dict(one.reasons).get(name, 0) for one in history.buckets] for name in names}
    over = over_days(history, links)
    most = names[:6]
    series = [Series(name.replace("_", " "), counts[name], COLOURS[at], ("", "", "/", "", ".", "x")[at]) for at, name in enumerate(most)]
    if rest := names[6:]:
        series.append(Series("other", [sum(counts[name][at] for name in rest) for at in range(len(history.buckets))], COLOURS[6], "-"))
    return Figure(
        "error_types",
        "Errors by type over time",
        "failed attempts",
        (FROM, *(Column(name, name.replace("_", " ").capitalize()) for name in names)),
        tuple(Row((one.start, *(counts[name][at] for name in names)), over.hrefs[at]) for at, one in enumerate(history.buckets))
        if names
        else (),
        "No attempt failed.",
        bars(over, series, "count", unit="attempts") if names else None,
        f"Failed attempts over time, by {len(names)} reasons.",
    )


def errors(history: History, links: Links) -> Figure:
    found = history.errors
    hrefs = [links.attempts(reason=one.reason) for one in found]
    names = [one.reason.replace("_", " ") for one in found]
    series = [Series("this period", [one.count for one in found], BAD)]
    if history.waits_before is not None:
        series.append(Series("the period before", [one.before for one in found], MUTED, "/"))
    return Figure(
        "errors",
        "Errors by type",
        f"{sum(one.count for one in found):,} failed attempts",
        (
            Column("reason", "Reason", "text"),
            Column("failed", "Attempts"),
            Column("share", "Of all errors", "share"),
            Column("failed_before", "In the period before"),
        ),
        tuple(
            Row((name, one.count, one.share, one.before if history.waits_before is not None else None), href)
            for one, name, href in zip(found, names, hrefs, strict=True)
        ),
        "No attempt failed.",
        horizontal_bars(names, series, "count", hrefs=hrefs) if found else None,
        "Failed attempts by reason: " + ", ".join(f"{name} {one.count}" for name, one in list(zip(names, found, strict=True))[:6]) + ".",
    )


def retries(history: History, places: Places) -> Figure:
    found = [one.retries for one in (places.runs or places.buckets)]
    attempts = [one.attempts for one in (places.runs or places.buckets)]
    return Figure(
        "retries",
        f"Retries per {places.word}",
        f"{sum(found):,} of {sum(attempts):,} attempts; being put off by a rate limit is none",
        (*places.columns, Column("retries", "Retries"), ATTEMPTS),
        places.table(found, attempts) if any(found) else (),
        "No phase had to be tried again.",
        bars(places.bars, [Series("retries", found, "var(--stale-bar)")], "count", unit="retries") if any(found) else None,
        f"{sum(found)} retries in {sum(attempts)} attempts.",
    )


def estimates(history: History, links: Links) -> Figure:
    found = [one for one in history.batches if one.estimated_hours and one.estimated_seconds is not None]
    dots = [
        Point(one.estimated_hours or 0, (one.estimated_seconds or 0) / 3600, f"Batch {one.batch}: {one.title}", links.batch(one.batch))
        for one in found
    ]
    return Figure(
        "estimates",
        "Estimate against actual",
        "hours of the phases that succeeded, batch by batch" + _latest(history),
        (
            BATCH,
            TITLE,
            Column("estimated_hours", "Estimated", "hours"),
            Column("actual_seconds", "Actual", "seconds"),
            Column("ratio", "Actual ÷ estimate", "ratio"),
        ),
        tuple(
            Row(
                (
                    one.batch,
                    one.title,
                    one.estimated_hours,
                    one.estimated_seconds,
                    (one.estimated_seconds or 0) / 3600 / (one.estimated_hours or 1),
                ),
                links.batch(one.batch),
            )
            for one in found
        ),
        "No phase with an estimate has succeeded.",
        points([("batches", GOOD, dots)], "hours", x_title="estimated", y_title="actual") if found else None,
        f"Estimated against actual hours of {len(found)} batches; on the dashed line both are equal.",
    )


def calibration(history: History, links: Links) -> Figure:
    found = history.calibration
    names = [one.complexity or "no complexity" for one in found]
    hrefs = [links.attempts(complexity=one.complexity) if one.complexity else "" for one in found]
    series = [
        Series("median", [one.ratio.median for one in found], GOOD),
        Series("90th percentile", [one.ratio.p90 for one in found], MUTED),
    ]
    return Figure(
        "calibration",
        "Actual ÷ estimate by complexity",
        "1 × is a perfect estimate" + _recent(history.recent_attempts, history.attempts, "attempts"),
        (
            *(
                Column("complexity", "Complexity", "text"),
                Column("ratio_median", "Median", "ratio"),
                Column("ratio_p90", "90th percentile", "ratio"),
            ),
            Column("phases", "Phases"),
            Column("estimated_hours", "Estimated", "hours"),
            Column("actual_hours", "Actual", "hours"),
        ),
        tuple(
            Row((name, one.ratio.median, one.ratio.p90, one.ratio.count, one.estimated_hours, one.actual_hours), href)
            for one, name, href in zip(found, names, hrefs, strict=True)
        ),
        "No phase with an estimate has succeeded.",
        horizontal_bars(names, series, "ratio", hrefs=hrefs, target=1.0) if found else None,
        "Actual hours divided by estimated hours, by complexity.",
    )


def forecasts(history: History, links: Links) -> Figure:
    found = [one for one in history.batches if one.within_forecast is not None]
    inside = [one for one in found if one.within_forecast]
    outside = [one for one in found if not one.within_forecast]

    def dots(runs: list[RunPoint]) -> list[Point]:
        return [
            Point(one.forecast[0] if one.forecast else 0, one.seconds or 0, f"Batch {one.batch}: {one.title}", links.batch(one.batch))
            for one in runs
        ]

    check = history.forecasts
    groups = [("within the 90th percentile", GOOD, dots(inside)), ("took longer", BAD, dots(outside))]
    return Figure(
        "forecasts",
        "Forecast against actual",
        f"{check.within} of {check.runs} within the forecast’s 90th percentile" if check.runs else "made at Execute",
        (
            BATCH,
            TITLE,
            Column("forecast_median_seconds", "Forecast, median", "seconds"),
            *(
                Column("forecast_p90_seconds", "Forecast, p90", "seconds"),
                Column("seconds", "Actual", "seconds"),
                Column("within", "Within", "text"),
            ),
            Column("rests_on", "Rests on runs"),
        ),
        tuple(
            Row(
                (
                    one.batch,
                    one.title,
                    one.forecast[0],
                    one.forecast[1],
                    one.seconds,
                    "yes" if one.within_forecast else "no",
                    one.forecast_runs,
                ),
                links.batch(one.batch),
            )
            for one in found
            if one.forecast
        ),
        "No run that succeeded had a forecast: there was no history at its start.",
        points(groups, "seconds", x_title="forecast (median)", y_title="actual") if found else None,
        f"Forecast against actual duration of {len(found)} runs; {len(inside)} took no longer than the forecast's 90th percentile.",
    )


def conflicts(history: History, places: Places) -> Figure:
    found = history.conflicts
    parts = (
        ("Foreseen, came true", found.came_true),
        ("Foreseen, false alarm", found.false_alarms),
        ("Foreseen, never tried", found.undecided),
        ("Real collisions", found.real),
        ("Resolved by hand", found.by_hand),
    )
    any_found = any(count for _, count in parts)
    share = found.by_hand_share
    return Figure(
        "conflicts",
        "Conflicts foreseen and real",
        "by hand: " + (f"{shown(share, 'share')} of phases; goal under 1 %" if share is not None else words.UNKNOWN),
        (Column("what", "What", "text"), Column("count", "Count")),
        tuple(Row(part) for part in parts) if any_found else (),
        "Nothing collided, and nothing was foreseen to.",
        horizontal_bars([name for name, _ in parts], [Series("files and attempts", [count for _, count in parts], GOOD)], "count")
        if any_found
        else None,
        "; ".join(f"{name} {count}" for name, count in parts) + ".",
    )


def _latest(history: History) -> str:
    return f"; the latest {len(history.batches)}" if history.batches_left else ""


def _recent(looked_at: int, whole: int, what: str) -> str:
    return f"; the latest {looked_at:,} {what}" if looked_at < whole else ""


def _ratio(value: float | None) -> str:
    return words.UNKNOWN if value is None else f"{value:.2f} ×"


def _capital(kind: str) -> str:
    return kind[:1].upper() + kind[1:]
