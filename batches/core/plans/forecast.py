"""Forecast the time and cost of a plan: its estimates, scaled by how finished phases compare with their estimates."""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Protocol

from batches.core.percentile import percentile
from batches.core.plans.graph import Analysis, chain_with, serial_edges
from batches.core.plans.types import PhaseSpec

OWN_RUNS = 3  # a narrow history (of a model, of a project) needs so many runs of a complexity; otherwise a wider one is used


@dataclass(frozen=True, slots=True)
class FinishedPhase:
    """One finished execution of a phase, with estimated and actual hours."""

    complexity: str
    project: int
    estimated_hours: float
    actual_hours: float
    cost_usd: Decimal | None = None
    model: str = ""  # "": no model was used


@dataclass(frozen=True, slots=True)
class Ratio:
    """Actual ÷ estimated hours for one complexity: median and 90th percentile of `runs` executions, of this project or of all,
    with `model` or (None) with any model."""

    complexity: str
    median: float
    p90: float
    runs: int
    own_project: bool
    cost_median: float | None  # dollars per estimated hour
    cost_p90: float | None
    cost_runs: int
    model: str | None = None


class Ratios:
    """How finished phases compare with their estimates. Estimates of zero hours are ignored."""

    def __init__(self, history: Sequence[FinishedPhase], project: int | None) -> None:
        self._groups: dict[tuple[str, bool, str | None], list[FinishedPhase]] = {}
        for finished in history:
            if finished.estimated_hours > 0:
                for own in {False, finished.project == project}:
                    for model in (None, finished.model):
                        self._groups.setdefault((finished.complexity, own, model), []).append(finished)
        self._known: dict[tuple[str, str | None], Ratio | None] = {}

    def of(self, complexity: str, model: str | None = None) -> Ratio | None:
        """The ratio from the narrowest history with OWN_RUNS executions: this project and model, the model in all projects, this
        project, all. `model` None means any model. The result is None if no phase of this complexity ever finished."""
        key = (complexity, model)
        if key not in self._known:
            self._known[key] = self._ratio(complexity, model)
        return self._known[key]

    def by_complexity(self) -> dict[str, Ratio]:
        """{complexity: ratio} for any model."""
        names = dict.fromkeys(complexity for complexity, _, _ in self._groups)
        return {name: ratio for name in names if (ratio := self.of(name)) is not None}

    def _ratio(self, complexity: str, model: str | None) -> Ratio | None:
        models = (None,) if model is None else (model, None)
        for chosen in models:
            for own in (True, False):
                phases = self._groups.get((complexity, own, chosen), [])
                if len(phases) >= OWN_RUNS or (phases and not own and chosen is None):
                    return _ratio(complexity, phases, own, chosen)
        return None


@dataclass(frozen=True, slots=True)
class Forecast:
    """(median, 90th percentile) of the hours of the longest chain and of all work, and of the dollars (None if unknown).

    `left_out` are the phases without a forecast: they have no estimate, or no phase of their complexity ever finished.
    """

    ratios: tuple[Ratio, ...]
    chain_hours: tuple[float, float]
    work_hours: tuple[float, float]
    cost_usd: tuple[float, float] | None
    covered: int
    left_out: tuple[str, ...]

    @property
    def runs(self) -> int:
        return sum(ratio.runs for ratio in self.ratios)

    @property
    def chain_seconds(self) -> tuple[float, float]:
        return self.chain_hours[0] * 3600, self.chain_hours[1] * 3600

    @property
    def work_seconds(self) -> tuple[float, float]:
        return self.work_hours[0] * 3600, self.work_hours[1] * 3600


def ratios_of(history: Sequence[FinishedPhase], project: int | None) -> dict[str, Ratio]:
    """{complexity: ratio} for each complexity with finished phases, for any model."""
    return Ratios(history, project).by_complexity()


def _ratio(complexity: str, finished: Sequence[FinishedPhase], own: bool, model: str | None) -> Ratio:
    ratios = [phase.actual_hours / phase.estimated_hours for phase in finished]
    costs = [float(phase.cost_usd) / phase.estimated_hours for phase in finished if phase.cost_usd is not None]
    return Ratio(
        complexity=complexity,
        median=percentile(ratios, 0.5) or 0.0,
        p90=percentile(ratios, 0.9) or 0.0,
        runs=len(finished),
        own_project=own,
        cost_median=percentile(costs, 0.5),
        cost_p90=percentile(costs, 0.9),
        cost_runs=len(costs),
        model=model,
    )


def forecast(
    phases: Sequence[PhaseSpec],
    analysis: Analysis,
    history: Sequence[FinishedPhase],
    project: int | None = None,
    extra: Mapping[str, Sequence[str]] = MappingProxyType({}),
    models: Mapping[str, str] = MappingProxyType({}),
) -> Forecast | None:
    """The forecast for `phases`, or None if no comparable phase has finished yet.

    `extra` as for `chain_with`: phases that run one after the other although the plan does not say so. `models` gives the
    models of phases by key, if known.
    """
    ratios = Ratios(history, project)
    of_phase = {phase.key: ratio for phase in phases if (ratio := ratios.of(phase.complexity, models.get(phase.key))) is not None}
    covered = [phase for phase in phases if phase.hours is not None and phase.key in of_phase]
    if not covered:
        return None
    used = {phase.key: of_phase[phase.key] for phase in covered}
    chains, works = [], []
    for factor in ("median", "p90"):
        scaled = [
            replace(phase, hours=(phase.hours or 0.0) * getattr(used[phase.key], factor) if phase.key in used else None) for phase in phases
        ]
        chains.append(chain_with(scaled, analysis.stages, extra)[1] or 0.0)
        works.append(sum(phase.hours for phase in scaled if phase.hours is not None))
    return Forecast(
        ratios=tuple(dict.fromkeys(used.values())),
        chain_hours=(chains[0], chains[1]),
        work_hours=(works[0], works[1]),
        cost_usd=expected_cost(covered, used),
        covered=len(covered),
        left_out=tuple(phase.key for phase in phases if phase.key not in used),
    )


def expected_cost(phases: Sequence["Timed"], ratios: Mapping[str, Ratio]) -> tuple[float, float] | None:
    """Dollars (median, 90th percentile); None unless the cost of every phase is known, since a part would look like the whole.

    `ratios` are keyed by phase.
    """
    low = high = 0.0
    for phase in phases:
        ratio = ratios.get(phase.key)
        if ratio is None or ratio.cost_median is None or ratio.cost_p90 is None or phase.hours is None:
            return None
        low += phase.hours * ratio.cost_median
        high += phase.hours * ratio.cost_p90
    return low, high


class Timed(Protocol):
    """A phase of a plan, or a row of the database."""

    @property
    def key(self) -> str: ...
    @property
    def hours(self) -> float | None: ...
    @property
    def complexity(self) -> str: ...
    @property
    def dependencies(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class DataflowSaving:
    """Hours from the first start to the last end with `slots` phases in parallel, by stage and under dataflow scheduling."""

    stages_hours: float
    dataflow_hours: float
    slots: int
    from_history: bool  # history scaled all estimates

    @property
    def hours(self) -> float:
        return self.stages_hours - self.dataflow_hours

    @property
    def stages_seconds(self) -> float:
        return self.stages_hours * 3600

    @property
    def dataflow_seconds(self) -> float:
        return self.dataflow_hours * 3600

    @property
    def seconds(self) -> float:
        return self.hours * 3600


@dataclass(frozen=True, slots=True)
class Schedule:
    """How phases run: `slots` in parallel; stage by stage, or each as soon as its dependencies are merged."""

    slots: int = 4
    by_stage: bool = True


DEFAULT_SCHEDULE = Schedule()


@dataclass(frozen=True, slots=True)
class RunForecast:
    """(median, 90th percentile) of a whole scheduled run. `planned_hours` comes from the estimates alone, so seconds divided by
    `planned_hours` is the pace of an estimated hour."""

    seconds: tuple[float, float]
    cost_usd: tuple[float, float] | None
    runs: int  # finished phases behind the forecast
    planned_hours: float


def forecast_run(
    phases: Sequence[Timed],
    stage_of: Mapping[str, int],
    ratios: Ratios,
    schedule: Schedule,
    extra: Mapping[str, Sequence[str]] = MappingProxyType({}),
    models: Mapping[str, str] = MappingProxyType({}),
) -> RunForecast | None:
    """How long a run of `phases`, in document order, will take; None unless each has an estimate and a comparable finished phase.

    `extra` and `models` as for `forecast`. Phases that are not in `phases` count as done.
    """
    used: dict[str, Ratio] = {}
    hours: dict[str, float] = {}
    for phase in phases:
        ratio = ratios.of(phase.complexity, models.get(phase.key))
        if phase.hours is None or ratio is None:
            return None
        used[phase.key], hours[phase.key] = ratio, phase.hours
    if not hours:
        return None
    after = {
        phase.key: tuple(dict.fromkeys(key for key in (*phase.dependencies, *extra.get(phase.key, ())) if key in hours)) for phase in phases
    }

    def run_hours(factor: Callable[[Ratio], float]) -> float:
        scaled = {key: value * factor(used[key]) for key, value in hours.items()}
        return makespan(scaled, after, stage_of, schedule.slots, by_stage=schedule.by_stage)

    return RunForecast(
        seconds=(run_hours(lambda ratio: ratio.median) * 3600, run_hours(lambda ratio: ratio.p90) * 3600),
        cost_usd=expected_cost(phases, used),
        runs=sum(ratio.runs for ratio in set(used.values())),
        planned_hours=run_hours(lambda ratio: 1.0),
    )


def added_hours(
    phases: Sequence[Timed], stage_of: Mapping[str, int], groups: Sequence[Sequence[str]], group: Sequence[str], schedule: Schedule
) -> float | None:
    """How many more hours the plan takes if `group` also runs one after the other, as `groups` already do.

    It uses the plan's estimates; unknown ones count as 0. None if none is known. Never below 0, even if another order happens
    to pack better.
    """
    now, then = (planned_hours(phases, stage_of, chosen, schedule) for chosen in (groups, [*groups, group]))
    return None if now is None or then is None else max(0.0, then - now)


def planned_hours(
    phases: Sequence[Timed], stage_of: Mapping[str, int], groups: Sequence[Sequence[str]], schedule: Schedule
) -> float | None:
    """The hours of `phases` by their estimates if each of `groups` runs one after the other; None without any estimate."""
    if all(phase.hours is None for phase in phases):
        return None
    extra = serial_edges([phase.key for phase in phases], stage_of, groups)
    hours = {phase.key: phase.hours or 0.0 for phase in phases}
    after = {phase.key: tuple(dict.fromkeys((*phase.dependencies, *extra.get(phase.key, ())))) for phase in phases}
    return makespan(hours, after, stage_of, schedule.slots, by_stage=schedule.by_stage)


def expected_saving(
    phases: Sequence[Timed],
    stage_of: Mapping[str, int],
    ratios: Mapping[str, Ratio],
    slots: int,
    extra: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> DataflowSaving | None:
    """What dataflow scheduling saves compared with stages; None without phases, or if the hours of a phase are unknown.

    Hours are estimates times the median of `ratios`; `extra` as for `chain_with`. Phases that are not in `phases` count as done.
    """
    hours = {}
    for phase in phases:
        if phase.hours is None:
            return None
        ratio = ratios.get(phase.complexity)
        hours[phase.key] = phase.hours * (ratio.median if ratio else 1.0)
    if not hours:
        return None
    after = {
        phase.key: tuple({key: None for key in (*phase.dependencies, *extra.get(phase.key, ())) if key in hours}) for phase in phases
    }
    scaled = all(phase.complexity in ratios for phase in phases)
    return DataflowSaving(
        makespan(hours, after, stage_of, slots, by_stage=True), makespan(hours, after, stage_of, slots, by_stage=False), slots, scaled
    )


def makespan(
    hours: Mapping[str, float], after: Mapping[str, Sequence[str]], stage_of: Mapping[str, int], slots: int, *, by_stage: bool
) -> float:
    """The hours until the last phase ends, if phases start by the engine's own rules (`decide`) and each takes its `hours`.

    By stage, a phase starts when all earlier stages have ended, in document order. Otherwise it starts as soon as the phases
    in `after` have ended, longest remaining path first. `hours` is in document order; `after` leads to earlier stages, or to
    earlier phases of the same stage.
    """
    place = {key: index for index, key in enumerate(hours)}
    followers: dict[str, list[str]] = {key: [] for key in hours}
    for key, earlier in after.items():
        for name in earlier:
            followers[name].append(key)
    remaining: dict[str, float] = {}
    for key in sorted(hours, key=lambda key: (stage_of[key], place[key]), reverse=True):
        remaining[key] = hours[key] + max((remaining[name] for name in followers[key]), default=0.0)
    waiting = {key: len(after[key]) for key in hours}
    unfinished: dict[int, int] = {}
    for key in hours:
        unfinished[stage_of[key]] = unfinished.get(stage_of[key], 0) + 1
    held: dict[int, list[str]] = {}  # ready, but their stage is not open
    ready: list[tuple[float, int, str]] = []
    open_stage = min(unfinished)

    def offer(key: str) -> None:
        if by_stage and stage_of[key] > open_stage:
            held.setdefault(stage_of[key], []).append(key)
        else:
            heapq.heappush(ready, (stage_of[key] if by_stage else -remaining[key], place[key], key))

    for key, count in waiting.items():
        if not count:
            offer(key)
    running: list[tuple[float, int, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < slots:
            key = heapq.heappop(ready)[2]
            heapq.heappush(running, (now + hours[key], place[key], key))
        now = running[0][0]
        while running and running[0][0] == now:
            ended = heapq.heappop(running)[2]
            unfinished[stage_of[ended]] -= 1
            for name in followers[ended]:
                waiting[name] -= 1
                if not waiting[name]:
                    offer(name)
        while unfinished.get(open_stage) == 0:
            del unfinished[open_stage]
            open_stage = min(unfinished, default=open_stage)
            for key in held.pop(open_stage, ()):
                offer(key)
    return now
