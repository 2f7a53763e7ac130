"""The button that archives a batch, or brings it back."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.pages.batches.batch import find_batch
from batches.pages.common import act, actor_of
from batches.projects.archive import archive_batch


@require_POST
def archive(request: HttpRequest, number: int) -> HttpResponse:
    """Archive the batch; with `back` bring it back."""
    batch, back = find_batch(number), "back" in request.POST

    def verb() -> str:
        archive_batch(batch=batch, actor=actor_of(request), back=back)
        return "Lists show it again." if back else "Archived: lists hide it, and nothing of it was deleted."

    return act(request, verb, reverse("batches:kept", args=[number]))
