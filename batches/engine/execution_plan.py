"""Plan an execute run: what it would do with the given options. --dry-run and the confirmation page show the same."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

from batches.core.engine.execute_options import ExecuteOptions
from batches.core.engine.pricing import MODELS, ModelChoice, check_model, choose_model
from batches.core.engine.states import Operation, TaskState
from batches.core.errors import NothingToDo, ServiceError, WrongChoice
from batches.core.plans.conflicts import ConflictKind
from batches.core.text.words import counted
from batches.engine.execute_options import _check_options
from batches.engine.preflight import lost_in_git
from batches.engine.required_review import review_refusal
from batches.engine.sandboxing import refuse_allowed_hosts_without_sandbox, refuse_unsandboxed_agent
from batches.integrations.api_keys import lacking
from batches.models import Batch, Conflict, OnConflict, Phase, Plan, Project, Scheduling, Task
from batches.repositories.repository import checked_repository
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
