"""Try at once the machine or the provider that a run waits for."""

from django.db import transaction
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.errors import ServiceError
from batches.models import Batch, Run


def try_now(*, run: Run, actor: Actor) -> None:
    """Try at once what the run waits for: a machine that was at fault, or a provider in trouble. Raises ServiceError, PermissionDenied."""
    actor.require(EXECUTE_BATCH, run.batch.project)
    now = timezone.now()
    with transaction.atomic():
        live = Run.objects.live().filter(pk=run.pk)
        machine = live.exclude(machine_fault="").update(machine_fault_until=now)
        provider = live.exclude(trouble="").update(trouble_until=now)
        if not machine and not provider:
            raise ServiceError(f"Run {run.number} of batch {run.batch.number} does not wait for the machine or the provider.")
        Batch.objects.bump(run.batch_id)
