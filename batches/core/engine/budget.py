"""What a batch may spend: reservations before each launch, so that the sum of what may come stays within the limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from batches.core.percentile import percentile

LEAST_USD = Decimal("0.01")  # a phase that cost nothing to speak of still reserves a cent
HISTORY_SHARE = 0.9  # an estimate is what nine of ten earlier phases stayed below


@dataclass(frozen=True, slots=True)
class Budget:
    """`spent_usd` is over the ended attempts of the batch; one whose cost is unknown counts as what it had reserved."""

    limit_usd: Decimal
    spent_usd: Decimal


def reservation(
    *, cap_usd: Decimal | None, history_usd: Sequence[Decimal], limit_usd: Decimal | None, max_parallel: int
) -> Decimal | None:
    """What a phase reserves before it is started; None when there is neither a budget nor a cap to keep.

    Its cap where there is one; else what nine of ten earlier phases with its model stayed below; without any such phase
    an equal share of the budget for each that may run at once.
    """
    if cap_usd is not None:
        return cap_usd
    if limit_usd is None:
        return None
    estimate = percentile([float(cost) for cost in history_usd], HISTORY_SHARE)
    if estimate is not None:
        return max(LEAST_USD, Decimal(str(round(estimate, 6))))
    return max(LEAST_USD, limit_usd / max_parallel)
