"""The button that makes the work orders of a batch anew."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from batches.engine import generation
from batches.models import Plan
from batches.pages.batches.batch import find_batch, page_of
from batches.pages.common import act, actor_of


@require_POST
def regenerate(request: HttpRequest, number: int) -> HttpResponse:
    """Regenerate from the latest version of the plan."""
    batch = find_batch(number)

    def verb() -> str:
        plan = Plan.objects.series_of(batch.plan).order_by("-version")[0]
        run = generation.regenerate(batch=batch, plan=plan, actor=actor_of(request))
        return f"Run {run.number} regenerates the PRPs from version {plan.version} of the plan."

    return act(request, verb, page_of(number))
