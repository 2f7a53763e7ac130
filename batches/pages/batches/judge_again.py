"""The button that has the gates judged again, on the current branch."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.engine import execution
from batches.pages.batches.batch import find_batch
from batches.pages.common import act, actor_of


@require_POST
def judge_again(request: HttpRequest, number: int) -> HttpResponse:
    """Judge the gates on the current branch; the batch's page shows the progress."""
    batch = find_batch(number)

    def verb() -> str:
        execution.judge_again(batch=batch, actor=actor_of(request))
        return "The gates are being judged again, on the current branch."

    return act(request, verb, reverse("batches:detail", args=[number]))
