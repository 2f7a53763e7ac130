"""The budget of a batch. Each launch reserves its cost first, so that all possible costs stay within the limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from batches.core.percentile import percentile

LEAST_USD = Decimal("0.01")  # even the cheapest phase reserves a cent
HISTORY_SHARE = 0.9  # the estimate is the 90th percentile of earlier costs


@dataclass(frozen=True, slots=True)
class Month:
    """The monthly budget of a project, and what is spent of it or set aside by other runs."""

    limit_usd: Decimal
    spent_usd: Decimal


@dataclass(frozen=True, slots=True)
class Budget:
    """`spent_usd` is the sum over ended attempts. An attempt of unknown cost counts as its reservation.

    `month` is set when the project's monthly budget leaves less than the batch's own: `limit_usd` follows from it then.
    """

    limit_usd: Decimal
    spent_usd: Decimal
    month: Month | None = None


def tighter(batch_usd: Decimal | None, spent_usd: Decimal, month: Month | None) -> Budget | None:
    """The budget of a batch under its own limit and its project's month; None without either."""
    of_month = None if month is None else spent_usd + max(Decimal(0), month.limit_usd - month.spent_usd)
    if of_month is not None and (batch_usd is None or of_month < batch_usd):
        return Budget(of_month, spent_usd, month)
    return None if batch_usd is None else Budget(batch_usd, spent_usd)


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
