"""A history as text for a terminal: what the metrics page shows, in its order."""

from collections.abc import Sequence

from batches.core.gates.success import SHORT, Success
from batches.core.metrics.criteria import Criterion
from batches.core.metrics.findings import Finding
from batches.core.metrics.summary import summary
from batches.core.metrics.types import Headline, History, RoleUse, Spread
from batches.core.percentile import MoreThan
from batches.core.text.words import UNKNOWN, duration, tokens, usd

WIDTH = 42  # of the names


def figure(value: float | None, unit: str) -> str:
    """A figure with its unit (trends.Headline.unit); unknown is "—"."""
    if value is None:
        return UNKNOWN
    if isinstance(value, MoreThan):
        return f"> {figure(float(value), unit)}"
    match unit:
        case "seconds":
            return duration(value)
        case "usd":
            return usd(value)
        case "tokens":
            return tokens(round(value))
        case "share":
            return f"{value:.1%}"
        case "percent":
            return f"{value:.1f} %"
        case "times":
            return f"{value:.2f} ×"
        case _:
            return f"{value:,.0f}"


def success_name(kind: str) -> str:
    """The name of what is behind a success, for figures."""
    return SHORT.get(Success(kind), "verified") if kind else "not known"


def trends_text(history: History) -> str:
    """Headlines with their change, what happened in short, findings, criteria, slowest phases, errors, roles, estimates and waits."""
    if not history.runs and not history.attempts:
        return "Nothing ended within the period."
    lines = []
    if history.demo:
        lines += ["Demonstration: these figures are (also) made up (manage.py demo_history --remove takes them away).", ""]
    lines += [_headline(one) for one in history.headlines]
    lines += _section("In short", [one.text for one in summary(history)])
    behind = [_row(success_name(kind), f"{count:,}") for kind, count in history.successes]
    lines += _section("Phases that succeeded", behind)
    lines += _section("Findings", [_finding(one) for one in history.findings], "Nothing stands out.")
    lines += _section("Success criteria", [_criterion(one) for one in history.criteria])
    lines += _section("Slowest phases (p50, p90, runs)", [_row(one.kind, _spread(one.seconds)) for one in history.phases[:10]])
    lines += _section("Stages (p50, p90, runs)", [_row(f"Stage {one.stage}", _spread(one.seconds)) for one in history.stages])
    failed = [_row(one.reason.replace("_", " "), f"{one.count} ({one.share:.0%})") for one in history.errors]
    lines += _section("Errors", failed, "None.")
    lines += _section("Subagents (attempts, input, output, read from the cache, cost)", [_role(one) for one in history.roles])
    ratios = [
        _row(one.complexity or "unknown", f"{figure(one.ratio.median, 'times')}, {figure(one.ratio.p90, 'times')}, {one.ratio.count}")
        for one in history.calibration
    ]
    lines += _section("Actual ÷ estimate by complexity (p50, p90, runs)", ratios, "No phase with an estimate was finished.")
    lines += _section("Waiting", [_row(kind.replace("_", " "), duration(seconds)) for kind, seconds in history.waits.items()], "None.")
    met, forecasts = history.conflicts, history.forecasts
    conflicts = [
        f"{met.predicted} foreseen: {met.came_true} came true, {met.false_alarms} did not, {met.undecided} not known",
        f"{met.real} attempts could not be merged; {met.by_hand} of {met.phases} phases were resolved by hand",
    ]
    lines += _section("Conflicts", conflicts)
    if forecasts.runs:
        kept = f"{forecasts.within} of {forecasts.runs} runs took no longer than forecast (p90)"
        lines += _section("Forecasts", [f"{kept}, {forecasts.below_median} less than its median"])
    return "\n".join(lines)


def _section(title: str, rows: Sequence[str], empty: str = "") -> list[str]:
    return ["", title, *(f"  {row}" for row in (rows or ([empty] if empty else ())))] if rows or empty else []


def _row(name: str, text: str) -> str:
    return f"{name[:WIDTH]:<{WIDTH}}  {text}"


def _spread(seconds: Spread) -> str:
    return f"{figure(seconds.median, 'seconds')}, {figure(seconds.p90, 'seconds')}, {seconds.count}"


def _role(one: RoleUse) -> str:
    used = one.tokens
    figures = (str(one.attempts), tokens(used.input), tokens(used.output), tokens(used.cache_read), usd(one.cost_usd))
    return _row(f"{one.role} {one.model}", ", ".join(figures))


def _headline(one: Headline) -> str:
    change = "" if one.change is None else f"  ({one.change:+.0%})"
    return _row(one.name, figure(one.value, one.unit) + change)


def _finding(one: Finding) -> str:
    batches = f" Batches {', '.join(map(str, one.batches))}." if one.batches else ""
    return f"! {one.title}. {one.evidence} {one.confidence}{batches} Remedy: {one.remedy.label}."


def _criterion(one: Criterion) -> str:
    mark = {True: "✓", False: "✕", None: "?"}[one.met]
    since = f", since {one.since.isoformat()}" if one.since else ""
    bound = "at least" if one.at_least else "below"
    return f"{mark} {one.text}: {figure(one.value, one.unit)} ({bound} {figure(one.target, one.unit)}; {one.samples} {one.basis}{since})"
