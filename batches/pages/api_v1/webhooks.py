"""Version 1: the webhook of a project, and what was sent to it."""

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest

from batches.integrations.notifications import try_channels
from batches.models import Notification, Project
from batches.pages.api_v1.application import actor_of, api
from batches.pages.api_v1.pages import Cursor, Limit, part_of
from batches.pages.api_v1.projects import Slug, administered
from batches.pages.api_v1.shapes import Notifications, Tried, WebhookBody, WebhookShape
from batches.projects.change_settings import update_project

TAGS = ["webhooks"]


@api.get("projects/{slug}/webhook/", response=WebhookShape, url_name="webhook", tags=TAGS, summary="Read the webhook")
def webhook(request: HttpRequest, slug: Slug) -> dict[str, Any]:
    """Whether there is one. Its address is never told: it is often a secret."""
    return _shown(administered(request, slug))


@api.put("projects/{slug}/webhook/", response=WebhookShape, url_name="webhook", tags=TAGS, summary="Set the webhook")
def set_webhook(request: HttpRequest, slug: Slug, sent: WebhookBody) -> dict[str, Any]:
    """Where the end of a batch, and that it needs a person, is posted to."""
    found = administered(request, slug)
    update_project(project=found, changes={"notify_webhook": sent.url, "notify_format": sent.format}, actor=actor_of(request))
    return _shown(found)


@api.delete("projects/{slug}/webhook/", response=WebhookShape, url_name="webhook", tags=TAGS, summary="Delete the webhook")
def delete_webhook(request: HttpRequest, slug: Slug) -> dict[str, Any]:
    """Nothing is posted any more."""
    found = administered(request, slug)
    update_project(project=found, changes={"notify_forget": True}, actor=actor_of(request))
    return _shown(found)


@api.post("projects/{slug}/webhook/test/", response=Tried, url_name="webhook_test", tags=TAGS, summary="Try the webhook")
def test_webhook(request: HttpRequest, slug: Slug) -> dict[str, Any]:
    """Send a test message over each channel of the project: webhook and mail."""
    return {"message": try_channels(project=administered(request, slug), actor=actor_of(request))}


@api.get("projects/{slug}/notifications/", response=Notifications, url_name="notifications", tags=TAGS, summary="List notifications")
def notifications(request: HttpRequest, slug: Slug, cursor: Cursor = "", limit: Limit = 50) -> dict[str, Any]:
    """What was sent, or is to be sent, the newest first."""
    rows = Notification.objects.filter(run__batch__project=administered(request, slug), user=None).select_related("run__batch")
    return part_of(rows, "pk", cursor, limit, _sent)


def _sent(rows: list[Notification]) -> Iterable[dict[str, Any]]:
    for row in rows:
        about = {"batch_id": row.run.batch.number, "run": row.run.number, "event": row.event, "channel": row.channel, "text": row.text}
        yield about | {"created_at": row.created_at, "sent_at": row.sent_at, "tries": row.tries, "error": row.error or None}


def _shown(found: Project) -> dict[str, Any]:
    return {"project": found.slug, "set": bool(found.notify_webhook_sealed), "format": found.notify_format}
