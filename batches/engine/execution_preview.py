"""What an execution would do, in lines for people: --dry-run shows them."""

from batches.core.plans.forecast import (
    DataflowSaving,
    RunForecast,
)
from batches.core.text.words import duration, usd
from batches.engine.execution_forecast import forecast_of, saving_of
from batches.engine.execution_plan import ExecutionPlan
from batches.models import Batch


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
