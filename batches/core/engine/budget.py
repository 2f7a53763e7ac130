"""The budget of a batch. Each launch reserves its cost first, so that all possible costs stay within the limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from batches.core.percentile import percentile

LEAST_USD = Decimal("0.01")  # even the cheapest phase reserves a cent
HISTORY_SHARE = 0.9  # the estimate is the 90th percentile of earlier costs


@dataclass(frozen=True, slots=True)
class Budget:
    """`spent_usd` is the sum over ended attempts. An attempt of unknown cost counts as its reservation."""

    limit_usd: Decimal
    spent_usd: Decimal


def reservation(
    *, cap_usd: Decimal | None, history_usd: Sequence[Decimal], limit_usd: Decimal | None, max_parallel: int
) -> Decimal | None:
    """The amount that a phase reserves before its launch; None without a budget and without a cap.

    A phase with a cap reserves the cap. Otherwise it reserves the 90th percentile of earlier phases with its model or, if
    there are none, an equal share of the budget for each phase that may run in parallel.
    """
    if cap_usd is not None:
        return cap_usd
    if limit_usd is None:
        return None
    estimate = percentile([float(cost) for cost in history_usd], HISTORY_SHARE)
    if estimate is not None:
        return max(LEAST_USD, Decimal(str(round(estimate, 6))))
    return max(LEAST_USD, limit_usd / max_parallel)
