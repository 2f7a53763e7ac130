"""The comparison of two batches."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from batches.core.engine.states import Operation
from batches.core.metrics.plots import Series, horizontal_bars
from batches.core.metrics.types import BatchView, PhasePoint
from batches.core.metrics.values import in_unit
from batches.metrics import history
from batches.models import RunFact
from batches.pages.common import LARGEST_NUMBER, read_number

CHOICES = 200  # latest batches that are offered; older ones can be given in the URL
Number = float | int | None


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """One figure of both batches; `better` says which is good: "less", "more" or ""."""

    name: str
    unit: str
    first: Number
    second: Number
    better: str = ""

    @property
    def change(self) -> float | None:
        """Relative change from the first to the second."""
        return (self.second - self.first) / self.first if self.first and self.second is not None else None

    @property
    def equal(self) -> bool:
        """Whether both are known and read the same."""
        known = self.first is not None and self.second is not None
        return known and in_unit(self.first, self.unit) == in_unit(self.second, self.unit)

    @property
    def winner(self) -> str:
        """ "first", "second" or "" where neither is better, or it cannot be told."""
        if self.first is None or self.second is None or self.equal or not self.better:
            return ""
        return "first" if (self.first < self.second) == (self.better == "less") else "second"


@dataclass(frozen=True, slots=True)
class ComparedPhase:
    """One phase of both batches, matched by title; None if a batch does not have it."""

    title: str
    first: PhasePoint | None
    second: PhasePoint | None


@require_safe
def compare(request: HttpRequest) -> HttpResponse:
    """?a= and ?b= are batch numbers; without them the page asks for them."""
    wanted = {name: read_number(request.GET.get(name), most=LARGEST_NUMBER) for name in ("a", "b")}
    chosen = [number for number in wanted.values() if number is not None]
    found = {one.run.batch: one for one in history.read_batches(chosen)} if chosen else {}
    first, second = (found.get(wanted[name] or 0) for name in ("a", "b"))
    context: dict[str, object] = {
        "wanted": wanted,
        "choices": _choices(chosen),
        "missing": [number for number in dict.fromkeys(chosen) if number not in found],
        "first": first,
        "second": second,
        "same": first is not None and first is second,
    }
    if first and second:
        context["failed"] = [one.run.batch for one in (first, second) if not one.run.succeeded]
        context |= {"lines": _lines(first, second), "pairs": _pairs(first, second)}
        context |= _stages(first, second)
    return render(request, "batches/compare.html", context)


def _choices(chosen: Sequence[int]) -> list[tuple[int, str, str]]:
    """(number, title, project) of the latest batches with an ended execution, and of the chosen ones."""
    facts = RunFact.objects.filter(operation=Operation.EXECUTE)
    columns = ("batch__number", "batch__title", "project__name")
    latest = list(facts.order_by("-batch__number").values_list(*columns).distinct()[:CHOICES])
    here = {number for number, *_ in latest}
    older = [number for number in chosen if number not in here]
    return latest + (list(facts.filter(batch__number__in=older).order_by().values_list(*columns).distinct()) if older else [])


def _lines(first: BatchView, second: BatchView) -> list[ComparedFigure]:
    a, b = first.run, second.run
    both = a.succeeded and b.succeeded  # else neither is better: what did not succeed did less
    costs = [None if one.cost_usd is None else float(one.cost_usd) for one in (a, b)]
    lines = [
        ComparedFigure("Duration", "seconds", a.seconds, b.seconds, "less"),
        ComparedFigure("Work in it", "seconds", a.work_seconds, b.work_seconds, "less"),
        ComparedFigure("Speed-up", "ratio", a.speed_up, b.speed_up, "more"),
        ComparedFigure("Waiting", "seconds", a.waits.total, b.waits.total, "less"),
        ComparedFigure("Waited for a person", "seconds", a.waits.person or None, b.waits.person or None),
        ComparedFigure("Estimated", "hours", a.estimated_hours, b.estimated_hours),
        ComparedFigure("Phases that succeeded", "count", a.phases, b.phases),
        ComparedFigure("Attempts", "count", a.attempts, b.attempts),
        ComparedFigure("Failed attempts", "count", a.failed, b.failed, "less"),
        ComparedFigure("Retries", "count", a.retries, b.retries, "less"),
        ComparedFigure("Tokens", "tokens", a.tokens.total, b.tokens.total, "less"),
        ComparedFigure("Tokens read from cache", "tokens", a.tokens.cache_read, b.tokens.cache_read),
        ComparedFigure("Tokens for a phase", "tokens", a.tokens_per_phase, b.tokens_per_phase, "less"),
        ComparedFigure("Cost", "usd", costs[0], costs[1], "less"),
        ComparedFigure("Gates passed", "count", a.gates_passed, b.gates_passed),
        ComparedFigure("Gates failed", "count", a.gates_failed, b.gates_failed, "less"),
        ComparedFigure("Conflicts foreseen", "count", a.conflicts_predicted, b.conflicts_predicted),
        ComparedFigure("Conflicts met", "count", a.conflicts_real, b.conflicts_real, "less"),
        ComparedFigure("Drift from the plan", "percent", a.drift, b.drift, "less"),
    ]
    return lines if both else [replace(line, better="") for line in lines]


def _pairs(first: BatchView, second: BatchView) -> list[ComparedPhase]:
    """The first batch's phases in order, then those that only the second has."""
    others = {one.title: one for one in reversed(second.phases)}
    pairs = [ComparedPhase(one.title, one, others.pop(one.title, None)) for one in first.phases]
    left = {id(one) for one in others.values()}
    return pairs + [ComparedPhase(one.title, None, one) for one in second.phases if id(one) in left]


def _stages(first: BatchView, second: BatchView) -> dict[str, object]:
    one, other = dict(first.stages), dict(second.stages)
    rows = [(stage, one.get(stage), other.get(stage)) for stage in sorted(one.keys() | other.keys())]
    series = [
        Series(f"batch {first.run.batch}", [seconds for _, seconds, _ in rows], "var(--running-bar)"),
        Series(f"batch {second.run.batch}", [seconds for *_, seconds in rows], "var(--stale-bar)", "/"),
    ]
    return {"stages": rows, "plot": horizontal_bars([f"Stage {stage}" for stage, *_ in rows], series, "seconds")}
