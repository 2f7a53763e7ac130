"""How long an execution will take and what it will cost, from own history."""

from decimal import Decimal

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
from batches.engine.execution_plan import ExecutionPlan
from batches.models import Batch, Scheduling
from batches.plans.finished_phases import finished_phases


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
