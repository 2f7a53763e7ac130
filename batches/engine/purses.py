"""What the agents of a batch may spend together, said in the batch's purse on this host (subagents/purse.py)."""

import logging
from collections.abc import Iterable
from decimal import Decimal

from batches.core.engine.pricing import BACKENDS_WITHOUT_MODEL
from batches.engine.snapshots import budget_of
from batches.models import Attempt, Run
from subagents.contract import ContractError
from subagents.purse import Purse

logger = logging.getLogger(__name__)


def keep_purse(run: Run, host: str, launched: Iterable[Attempt]) -> None:
    """Write what the batch may spend in all and what it has spent elsewhere, before attempts of it are launched.

    Live attempts of other hosts count as what is reserved for them. An attempt that has ended counts by its row from then on.
    """
    first = next(iter(launched), None)
    if first is None or run.backend in BACKENDS_WITHOUT_MODEL:
        return
    budget = budget_of(run)
    live = list(Attempt.objects.live().filter(task__run__batch=run.batch_id).values_list("host", "directory", "reserved_usd", "cost_usd"))
    elsewhere = sum((max(reserved or Decimal(0), cost or Decimal(0)) for place, _, reserved, cost in live if place != host), Decimal(0))
    try:
        Purse(first.spec["purse"]).keep(
            limit_usd=None if budget is None else float(budget.limit_usd),
            ended_usd=float((budget.spent_usd if budget else Decimal(0)) + elsewhere),
            live=[directory for place, directory, _, _ in live if place == host],
        )
    except (ContractError, OSError) as problem:
        logger.error("batch=%s the purse cannot be kept: %s", run.batch_id, problem)
