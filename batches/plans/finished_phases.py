"""The finished phases that a forecast goes by."""

from decimal import Decimal

from batches.core.engine.states import Operation
from batches.core.plans.forecast import FinishedPhase
from batches.models import Attempt, AttemptFact

HISTORY_ATTEMPTS = 5_000  # the forecast uses this many of the latest finished executions


def finished_phases() -> list[FinishedPhase]:
    """The latest finished executions of phases with an estimate, without demonstrations. One query."""
    rows = (
        AttemptFact.objects.filter(demo__in=[False], operation=Operation.EXECUTE, outcome=Attempt.Outcome.SUCCEEDED, hours__gt=0)
        .order_by("-ended_at")
        .values_list("complexity", "project_id", "hours", "seconds", "cost_micros", "model")
    )
    return [
        FinishedPhase(complexity, project, hours, seconds / 3600, None if micros is None else Decimal(micros) / 1_000_000, model)
        for complexity, project, hours, seconds, micros, model in rows[:HISTORY_ATTEMPTS]
        if hours is not None
    ]
