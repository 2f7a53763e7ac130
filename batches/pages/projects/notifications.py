"""Buttons about a project's notifications: send a test, send one again."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.integrations.notifications import send_again, try_channels
from batches.models import Notification, Project
from batches.pages.common import act, actor_of


@require_POST
def try_messages(request: HttpRequest, slug: str) -> HttpResponse:
    """Send a test notification over the project's channels."""
    project = get_object_or_404(Project, slug=slug)
    return act(
        request,
        lambda: try_channels(project=project, actor=actor_of(request)),
        reverse("batches:project_detail", args=[project.slug]),
    )


@require_POST
def message_again(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Send one notification of the project once more."""
    project = get_object_or_404(Project, slug=slug)
    notice = get_object_or_404(Notification.objects.select_related("run__batch__project"), pk=pk, run__batch__project=project, user=None)

    def verb() -> str:
        send_again(notice=notice, actor=actor_of(request))
        return f"It is sent again by {notice.get_channel_display()}."

    return act(request, verb, reverse("batches:project_detail", args=[project.slug]))
