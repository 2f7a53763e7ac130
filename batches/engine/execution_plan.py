"""Plan an execute run: what it would do with the given options. --dry-run and the confirmation page show the same."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from typing import Protocol

from batches.core.engine.execute_options import MOST_REPAIRS, ExecuteOptions, dollars
from batches.core.engine.pricing import MODELS, ModelChoice, check_model, choose_model
from batches.core.engine.states import Operation, TaskState
from batches.core.errors import NothingToDo, ServiceError, WrongChoice
from batches.core.plans.conflicts import ConflictKind
from batches.core.plans.forecast import (
    DataflowSaving,
    Ratios,
    RunForecast,
    Schedule,
    expected_cost,
    expected_saving,
    forecast_run,
    ratios_of,
)
from batches.core.review.types import ReviewTiming
from batches.core.text.words import counted, duration, usd
from batches.engine.preflight import lost_in_git
from batches.engine.sandboxing import refuse_allowed_hosts_without_sandbox, refuse_unsandboxed_agent
from batches.integrations.api_keys import lacking
from batches.models import Batch, Conflict, OnConflict, Phase, Plan, Project, Review, Scheduling, Task
from batches.plans.finished_phases import finished_phases
from batches.repositories.repository import checked_repository
from subagents.backends import BACKENDS
from subagents.contract import USAGE_FIGURES, SubagentError
from subagents.spending import request_cost
from subagents.workspace import branch_ref


@dataclass(frozen=True, slots=True)
class ExecutionPlan:
    """What an execute run would do: its phases by stage, what is already done, and notes for the person who decides."""

    stages: tuple[tuple[int, tuple[Phase, ...]], ...]
    done: tuple[str, ...]
    options: ExecuteOptions
    conflicts: tuple[Conflict, ...]
    after: Mapping[str, tuple[str, ...]]
    needs_agent: tuple[str, ...]
    notes: tuple[str, ...]
    models: Mapping[str, ModelChoice]  # by phase key

    @property
    def phases(self) -> tuple[Phase, ...]:
        return tuple(phase for _, members in self.stages for phase in members)


def plan_execution(*, batch: Batch, options: ExecuteOptions, again: Collection[str] = ()) -> ExecutionPlan:
    """What `execute` would do with these options; changes nothing. With `again`, the keys of done phases: those, once more.

    Raises ServiceError, NothingToDo.
    """
    _check_options(options)
    refuse_unsandboxed_agent(options.backend or batch.project.backend)
    refuse_allowed_hosts_without_sandbox(batch.project)
    all_phases = list(batch.phases.select_related("stage", "batch"))
    done = set(
        Task.objects.filter(run__batch=batch, run__operation=Operation.EXECUTE, state=TaskState.SUCCEEDED, phase__isnull=False).values_list(
            "phase__key", flat=True
        )
    )
    chosen = _choose(batch, all_phases, options)
    open_phases = [phase for phase in chosen if (phase.key in again if again else phase.key not in done)]
    dropped = () if options.phase is not None else _dropped(batch, open_phases)
    open_phases = [phase for phase in open_phases if phase.key not in dropped]
    if dropped and not open_phases:
        what = f"the other phases ({_names(dropped)}) were dropped or wait for a dropped one"
        raise NothingToDo(f"Nothing to do: {what}. Execute a dropped phase by its name.")
    if not open_phases:
        what = "Every phase" if options.stage is None and options.phase is None else "What was chosen"
        raise NothingToDo(f"Nothing to do: {what.lower()} of batch {batch.number} is already done.")
    selected = {phase.key for phase in open_phases}
    missing = {key for phase in open_phases for key in phase.dependencies if key not in done and key not in selected}
    if missing:
        raise ServiceError(f"{_names(sorted(missing))} must be done first: the chosen phases depend on it.")
    serialize = _serialized(batch, options, selected)
    conflicts = tuple(
        conflict
        for conflict in batch.conflicts.exclude(kind=ConflictKind.ORDERED)
        if sum(key in selected for key in conflict.phases) > 1
        and (conflict.kind == ConflictKind.SAME_STAGE or (options.scheduling or batch.project.scheduling) == Scheduling.DATAFLOW)
    )
    unresolved = [conflict for conflict in conflicts if not conflict.decision]
    if options.on_conflict == OnConflict.ABORT and unresolved:
        shown = "; ".join(f"{conflict.file} (phases {', '.join(conflict.phases)})" for conflict in unresolved)
        raise ServiceError(f"Not started, because you chose to abort on conflicts: {shown}")
    by_stage: dict[int, list[Phase]] = {}
    for phase in open_phases:
        by_stage.setdefault(phase.stage.number, []).append(phase)
    backend = options.backend or batch.project.backend
    needs_agent = tuple(phase.key for phase in open_phases if backend == "steps" and any(not step["commands"] for step in phase.steps))
    options = replace(options, models=chosen_models(all_phases, options))
    models = models_of(batch.project, open_phases, options)
    return ExecutionPlan(
        stages=tuple((number, tuple(members)) for number, members in sorted(by_stage.items())),
        done=tuple(phase.key for phase in all_phases if phase.key in done),
        options=options,
        conflicts=conflicts,
        after=serialize,
        needs_agent=needs_agent,
        notes=(*_notes(batch, backend, needs_agent, open_phases), *_price_note(backend, models), *_dropped_note(dropped)),
        models=models,
    )


def chosen_models(phases: Sequence[Phase], options: ExecuteOptions) -> dict[str, str]:
    """{phase key: model} of the phases with a model of their own. Raises WrongChoice."""
    return {find_phase(phases, key).key: check_model(name) for key, name in options.models.items()}


class Planned(Protocol):
    """A phase, from its row or from the plan."""

    @property
    def key(self) -> str: ...
    @property
    def complexity(self) -> str: ...


def models_of(project: Project, phases: Iterable[Planned], options: ExecuteOptions) -> dict[str, ModelChoice]:
    """{phase key: its model} under these options and the project's settings."""
    model = project.model if options.model is None else options.model
    retry = project.retry_model if options.retry_model is None else options.retry_model
    backend = options.backend or project.backend
    return {
        phase.key: choose_model(backend, phase.complexity, of_phase=options.models.get(phase.key, ""), of_run=model, of_retries=retry)
        for phase in phases
    }


def _dropped(batch: Batch, phases: Sequence[Phase]) -> tuple[str, ...]:
    """Those of the phases that a person dropped, and those that depend on them."""
    newest = Task.objects.filter(run__batch=batch, run__operation=Operation.EXECUTE, phase__isnull=False).order_by("run__number")
    last = dict(newest.values_list("phase__key", "dropped_ref"))
    lost = {key for key, ref in last.items() if ref}
    grew = bool(lost)
    while grew:
        more = {phase.key for phase in phases if phase.key not in lost and lost.intersection(phase.dependencies)}
        lost |= more
        grew = bool(more)
    return tuple(phase.key for phase in phases if phase.key in lost)


def _dropped_note(keys: Sequence[str]) -> tuple[str, ...]:
    return (f"{_names(keys)}: dropped, or waiting for a dropped phase. Execute a dropped phase by its name.",) if keys else ()


def saving_of(batch: Batch, plan: ExecutionPlan) -> DataflowSaving | None:
    """What dataflow scheduling would save over stages for this plan; None when hours are unknown."""
    ratios = ratios_of(finished_phases(), batch.project_id)
    stage_of = {phase.key: phase.stage.number for phase in plan.phases}
    in_order = sorted(plan.phases, key=lambda phase: phase.position)
    return expected_saving(in_order, stage_of, ratios, plan.options.max_parallel or batch.project.max_parallel, plan.after)


def cost_of(batch: Batch, plan: ExecutionPlan) -> tuple[float, float] | None:
    """The likely cost of the plan in dollars, (median, 90th percentile); None without enough history."""
    ratios = Ratios(finished_phases(), batch.project_id)
    known = {phase.key: ratios.of(phase.complexity, plan.models[phase.key].model) for phase in plan.phases}
    return expected_cost(plan.phases, {key: ratio for key, ratio in known.items() if ratio is not None}) if plan.phases else None


def forecast_of(batch: Batch, plan: ExecutionPlan) -> RunForecast | None:
    """How long the plan will take and what it will cost, from own history; None without history or hours."""
    project, options = batch.project, plan.options
    schedule = Schedule(
        slots=options.max_parallel or project.max_parallel,
        by_stage=(options.scheduling or project.scheduling) == Scheduling.STAGES,
    )
    in_order = sorted(plan.phases, key=lambda phase: phase.position)
    return forecast_run(
        in_order,
        {phase.key: phase.stage.number for phase in plan.phases},
        Ratios(finished_phases(), batch.project_id),
        schedule,
        plan.after,
        {key: choice.model for key, choice in plan.models.items()},
    )


def forecast_columns(forecast: RunForecast | None) -> dict[str, object]:
    """The columns of a run that keep the forecast made at its start."""
    if forecast is None:
        return {}
    low, high = forecast.cost_usd or (None, None)
    return {
        "forecast_seconds": forecast.seconds[0],
        "forecast_p90_seconds": forecast.seconds[1],
        "forecast_usd": None if low is None else round(Decimal(low), 6),
        "forecast_p90_usd": None if high is None else round(Decimal(high), 6),
        "forecast_runs": forecast.runs,
        "forecast_hours": forecast.planned_hours,
    }


def review_refusal(batch: Batch) -> str:
    """Why the batch may not be executed yet, if its project requires a review first; "" when it may."""
    if not batch.project.require_review:
        return ""
    way = f"Review it on its page, or: ce review {batch.number} --before"
    last = latest_review(batch, ReviewTiming.BEFORE)
    if last is None:
        return f"{batch.project.name} requires a review before Execute, and batch {batch.number} has none yet. {way}."
    if not last.passes:
        verdict = f"The review of batch {batch.number} says: {last.get_verdict_display()}."
        return f"{verdict} Fix what it names, decide and review again, or overrule it on its page."
    return ""


def latest_review(batch: Batch, moment: ReviewTiming) -> Review | None:
    """The latest review of the PRPs as they are now (before) or of the code (after) that has a verdict."""
    generated = batch.runs.filter(operation=Operation.GENERATE).order_by("-number").values_list("number", flat=True).first() or 0
    known = Review.objects.filter(run__batch=batch, moment=moment, run__number__gt=generated).exclude(verdict="")
    return known.select_related("run").order_by("-run__number").first()


def refuse_unreviewed(batch: Batch) -> None:
    """Raises ServiceError when the project requires a review that the batch lacks."""
    if refusal := review_refusal(batch):
        raise ServiceError(refusal)


def changes_of_run(options: ExecuteOptions) -> dict[str, object]:
    """The columns of an existing run that `options` change. Raises WrongChoice for options that are fixed at its start."""
    _check_options(options)
    fixed = [name for name in ("stage", "phase", "on_conflict", "scheduling", "host") if getattr(options, name) is not None]
    if fixed:
        raise WrongChoice(f"These options are fixed when a run starts and cannot change now: {', '.join(fixed).replace('_', '-')}.")
    limit = None if options.timeout_minutes is None else options.timeout_minutes * 60
    wanted = {
        "max_parallel": options.max_parallel,
        "backend": options.backend,
        "model": options.model,
        "retry_model": options.retry_model,
        "budget_usd": None if options.budget_usd is None else dollars(options.budget_usd, "The budget"),
        "phase_cap_usd": None if options.phase_cap_usd is None else dollars(options.phase_cap_usd, "The cap of a phase"),
        "fail_fast": options.fail_fast,
        "repairs": options.repairs,
        "phase_limit_seconds": limit,
    }
    changes = {name: value for name, value in wanted.items() if value is not None}
    return changes | ({"parallel_limit": None} if "max_parallel" in changes else {})


def _check_options(options: ExecuteOptions) -> None:
    if options.backend is not None and options.backend not in BACKENDS:
        raise WrongChoice(f"Unknown backend {options.backend!r}. Choose one of: {', '.join(BACKENDS)}.")
    for name in (options.model, options.retry_model, *options.models.values()):
        if name:
            check_model(name)
    if options.budget_usd is not None:
        dollars(options.budget_usd, "The budget")
    if options.phase_cap_usd is not None:
        dollars(options.phase_cap_usd, "The cap of a phase")
    if options.repairs is not None and not 0 <= options.repairs <= MOST_REPAIRS:
        raise WrongChoice(f"The number of repairs is from 0 to {MOST_REPAIRS}.")
    if options.max_parallel is not None and not 1 <= options.max_parallel <= 256:
        raise WrongChoice("The number of phases in parallel is from 1 to 256.")
    if options.timeout_minutes is not None and not 0 < options.timeout_minutes <= 7 * 24 * 60:
        raise WrongChoice("The time limit of a phase is more than 0 minutes and at most a week.")
    if options.scheduling is not None and options.scheduling not in Scheduling.values:
        raise WrongChoice(f"Unknown scheduling {options.scheduling!r}. Choose one of: {', '.join(Scheduling.values)}.")
    if options.on_conflict is not None and options.on_conflict not in OnConflict.values:
        raise WrongChoice(f"Unknown choice for conflicts. Choose one of: {', '.join(OnConflict.values)}.")


def _choose(batch: Batch, phases: list[Phase], options: ExecuteOptions) -> list[Phase]:
    if options.phase is not None:
        found = find_phase(phases, options.phase)
        if options.stage is not None and found.stage.number != options.stage:
            raise WrongChoice(f"Phase {found.key} is in stage {found.stage.number}, not in stage {options.stage}.")
        return [found]
    if options.stage is None:
        return phases
    chosen = [phase for phase in phases if phase.stage.number == options.stage]
    if not chosen:
        last = max(phase.stage.number for phase in phases)
        raise WrongChoice(f"Batch {batch.number} has no stage {options.stage}; it has stages 1 to {last}.")
    return chosen


def find_phase(phases: Sequence[Phase], key: str) -> Phase:
    """The phase with this key, whatever its case. Raises WrongChoice with the existing keys."""
    wanted = key.strip().lower().removeprefix("phase").strip()
    for phase in phases:
        if phase.key.lower() == wanted or phase.prp_id.lower() == key.strip().lower():
            return phase
    raise WrongChoice(f"There is no phase {key!r}; there are: {', '.join(phase.key for phase in phases)}.")


def _serialized(batch: Batch, options: ExecuteOptions, selected: set[str]) -> dict[str, tuple[str, ...]]:
    """{phase: phases that must end first}, from the conflicts that a person chose to serialize.

    The phase in the earlier stage goes first; within one stage, the plan's order counts.
    """
    place = {phase.key: (phase.stage.number, phase.position) for phase in batch.phases.select_related("stage")}
    after: dict[str, list[str]] = {}
    for conflict in batch.conflicts.exclude(kind=ConflictKind.ORDERED):
        choice = conflict.decision or options.on_conflict or OnConflict.WARN
        if choice != OnConflict.SERIALIZE:
            continue
        members = sorted((key for key in conflict.phases if key in selected), key=lambda key: place[key])
        for earlier, later in pairwise(members):
            after.setdefault(later, []).append(earlier)
    return {key: tuple(dict.fromkeys(names)) for key, names in after.items()}


def _price_note(backend: str, models: Mapping[str, ModelChoice]) -> tuple[str, ...]:
    """A note about the models whose price is not known; () when there are none."""
    if backend != "claude":
        return ()
    names = sorted({name for choice in models.values() for name in (choice.model, choice.retry_model) if name and name not in MODELS})
    unknown = [name for name in names if request_cost(name, dict.fromkeys(USAGE_FIGURES, 0)) is None]
    return (f"The price of {', '.join(unknown)} is not known: its cost will be unknown, and no limit can be kept.",) if unknown else ()


def _notes(batch: Batch, backend: str, needs_agent: Sequence[str], phases: Sequence[Phase]) -> tuple[str, ...]:
    notes = []
    if refusal := review_refusal(batch):
        notes.append(refusal)
    newest = Plan.objects.series_of(batch.plan).order_by("-version").values_list("version", flat=True)[0]
    if newest > batch.plan.version:
        what = f"The plan has a version {newest}; the batch, with its phases and gates, is of version {batch.plan.version}."
        notes.append(f"{what} Regenerate it, or generate a new batch, to carry out the newer one.")
    if lacks := lacking(backend):
        notes.append(f"The backend {backend} cannot work yet. {lacks[0].upper()}{lacks[1:]}")
    if needs_agent:
        notes.append(f"{_names(needs_agent)} has steps in prose: they need an agent, and the steps backend has none.")
    try:
        repository = checked_repository(batch)
        commit = repository.find_commit(branch_ref(batch.branch)) or batch.base_commit
        notes += lost_in_git(repository, commit, sorted({path for phase in phases for path in phase.files}))
        dirty = repository.dirty_summary()
    except (SubagentError, OSError) as problem:
        raise ServiceError(str(problem)) from problem
    if dirty:
        have = counted(dirty, "file has", "files have")
        notes.append(f"{have} uncommitted changes in {batch.project.repository}; the batch does not see them and leaves them alone.")
    return tuple(notes)


def _names(keys: Sequence[str]) -> str:
    return f"Phase {keys[0]}" if len(keys) == 1 else f"Phases {', '.join(keys)}"


def preview_lines(batch: Batch, plan: ExecutionPlan) -> list[str]:
    """What the execution would do, for people: stages, models, conflicts, the project's gates, what to expect."""
    stages = [
        f"Stage {number}: {', '.join(f'{phase.prp_id} Phase {phase.key}' for phase in phases)}{' (parallel)' if len(phases) > 1 else ''}"
        for number, phases in plan.stages
    ]
    done = [f"Done already: {', '.join(plan.done)}"] if plan.done else []
    after = [f"Phase {key} starts after {', '.join(earlier)} (one after the other)" for key, earlier in plan.after.items()]
    gates = [f"Gate of the project: {gate.command} ({gate.text}, {gate.often})" for gate in batch.project.gate_rules.project]
    saving = saving_of(batch, plan)
    expected = [f"Expected: {_saving_words(saving)}"] if saving is not None else []
    told = [f"Forecast: {_forecast_words(forecast_of(batch, plan))}", *(f"Note: {note}" for note in plan.notes)]
    return [*stages, *model_lines(plan), *done, *conflict_lines(plan), *after, *gates, *expected, *told]


def _forecast_words(told: RunForecast | None) -> str:
    if told is None:
        return "no data yet"
    cost = f", {usd(told.cost_usd[0])} to {usd(told.cost_usd[1])}" if told.cost_usd else ""
    low, high = (duration(seconds) for seconds in told.seconds)
    return f"{low} to {high}{cost} (median to 90th percentile, from {told.runs} finished phases)"


def model_lines(plan: ExecutionPlan) -> list[str]:
    """The model of each phase, one line per model; none if no model is used."""
    of: dict[str, list[str]] = {}
    for key, choice in plan.models.items():
        if choice.model:
            of.setdefault(str(choice), []).append(key)
    return [f"Model {choice}: {', '.join(keys)}" for choice, keys in of.items()]


def conflict_lines(plan: ExecutionPlan) -> list[str]:
    return [f"Conflict: phases {', '.join(conflict.phases)} change {conflict.file}" for conflict in plan.conflicts]


def _saving_words(saving: DataflowSaving) -> str:
    source = "own history" if saving.from_history else "the plan's estimates"
    gain = f"saves {duration(saving.seconds)}" if saving.seconds >= 1 else "saves nothing here"
    return (
        f"{duration(saving.stages_seconds)} stage by stage, {duration(saving.dataflow_seconds)} with --scheduling dataflow: "
        f"{gain} ({saving.slots} at once, by {source})"
    )
