"""A batch's budget: what is spent, and what the live attempts have reserved."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from batches.models import (
    Attempt,
    Batch,
    Run,
)
from batches.models.processes import UNPRICED


@dataclass(frozen=True, slots=True)
class Spending:
    """The batch's budget in US dollars; `reserved` is the unspent part of the live attempts' reservations."""

    limit: Decimal
    spent: Decimal
    reserved: Decimal

    @property
    def left(self) -> Decimal:
        return max(Decimal(0), self.limit - self.spent - self.reserved)

    @property
    def spent_width(self) -> str:
        return self._width(self.spent)

    @property
    def reserved_width(self) -> str:
        return self._width(min(self.reserved, max(Decimal(0), self.limit - self.spent)))

    def _width(self, amount: Decimal) -> str:
        return f"{min(100.0, 100 * float(amount / self.limit)) if self.limit else 100.0:.2f}%"


def spending_of(run: Run | None, attempts: Sequence[Attempt]) -> Spending | None:
    """The budget after all `attempts` of the batch; None if there is no budget.

    If the cost of an ended attempt is unknown, its reservation counts, as in the engine.
    """
    if run is None or run.budget_usd is None:
        return None
    spent = reserved = Decimal(0)
    for attempt in attempts:
        known, kept = attempt.cost_usd or Decimal(0), attempt.reserved_usd or Decimal(0)
        if attempt.ended_at is None:
            spent, reserved = spent + known, reserved + max(Decimal(0), kept - known)
        elif attempt.cost_usd is not None or attempt.started_at is not None:
            spent += kept if attempt.cost_usd is None else known
    return Spending(run.budget_usd, spent, reserved)


def unpriced_of(batch: Batch, attempts: Sequence[Attempt]) -> int:
    """How many ended attempts have cost what nobody knows; asked of the database only when one may have."""
    if not any(attempt.cost_usd is None and attempt.ended_at and attempt.model for attempt in attempts):
        return 0
    return Attempt.objects.filter(UNPRICED, task__run__batch=batch).count()
