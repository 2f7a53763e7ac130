"""The button that puts a batch's branch back where it was before it was lost."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.pages.batches.batch import find_batch
from batches.pages.common import act, actor_of
from batches.repositories.batch_branch import restore_branch


@require_POST
def restore(request: HttpRequest, number: int) -> HttpResponse:
    """Put the batch's branch back where it was before somebody deleted or moved it."""
    batch = find_batch(number)

    def verb() -> str:
        commit = restore_branch(batch=batch, actor=actor_of(request))
        return f"{batch.branch} is at {commit[:12]} again. Retry what failed meanwhile."

    return act(request, verb, reverse("batches:detail", args=[number]))
