"""Refuse what cannot be done to a batch that is at work, archived or a demonstration."""

from django.db.models import Q

from batches.core.engine.states import LIVE_RUN_STATES
from batches.core.errors import ServiceError
from batches.models import Batch


def refuse_archived(batch: Batch) -> None:
    """Raises ServiceError when the batch or its project is archived."""
    if batch.archived_at or batch.project.archived_at:
        name = f"Batch {batch.number}" if batch.archived_at else batch.project.name
        raise ServiceError(f"{name} is archived, so nothing starts there. Bring it back first, on its page.")


def refuse_busy(batch: Batch) -> None:
    """Raises ServiceError when a run of the batch is live, or its work is still on its way from a worker host."""
    busy = batch.runs.filter(Q(state__in=sorted(LIVE_RUN_STATES)) | ~Q(travel="")).first()
    if busy is None:
        return
    if not busy.is_live:
        raise ServiceError(f"The work of batch {batch.number} is on its way here from the worker host {busy.host}. Try again shortly.")
    raise ServiceError(
        f"Batch {batch.number} is busy with run {busy.number} ({busy.get_operation_display()}). Wait for its end, or cancel it."
    )
