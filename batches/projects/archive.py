"""Archive batches and projects: lists hide them and nothing new starts there; nothing is deleted, and they can be brought back."""

from django.db import transaction
from django.utils import timezone

from batches.accounts import audit_log
from batches.accounts.actor import Actor
from batches.accounts.roles import CHANGE_PROJECT
from batches.core.errors import ServiceError
from batches.models import Batch, Project, Run
from batches.runs.busy_or_archived import refuse_busy


def archive_batch(*, batch: Batch, actor: Actor, back: bool = False) -> None:
    """Archive a batch, or bring it `back`. Raises ServiceError while it is at work, PermissionDenied."""
    actor.require(CHANGE_PROJECT, batch.project)
    with transaction.atomic():
        if not back:
            refuse_busy(batch)
        at = None if back else timezone.now()
        if Batch.objects.filter(pk=batch.pk, archived_at__isnull=not back).update(archived_at=at):
            Batch.objects.bump(batch.pk)
            _record(actor, f"batch {batch.number}", back)


def archive_project(*, project: Project, actor: Actor, back: bool = False) -> None:
    """Archive a project with its batches, or bring it back. Raises ServiceError if one is at work, PermissionDenied."""
    actor.require(CHANGE_PROJECT, project)
    with transaction.atomic():
        live = Run.objects.live().filter(batch__project=project).select_related("batch").first()
        if live is not None and not back:
            raise ServiceError(f"Batch {live.batch.number} of {project.name} is at work. Wait for its end, or cancel it.")
        at = None if back else timezone.now()
        if Project.objects.filter(pk=project.pk, archived_at__isnull=not back).update(archived_at=at):
            _record(actor, project.name, back)


def _record(actor: Actor, what: str, back: bool) -> None:
    audit_log.record(audit_log.Kind.PROJECT, actor.cause, f"{'Brought back' if back else 'Archived'} {what}")
