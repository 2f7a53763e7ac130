"""The button that switches the repairs of a run off and on."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.execute_options import MOST_REPAIRS
from batches.engine.repairs import set_repairs
from batches.pages.batches.batch import find_batch, run_of
from batches.pages.common import act, actor_of, read_number


@require_POST
def repairs(request: HttpRequest, number: int) -> HttpResponse:
    """How often the phases of the newest run may be repaired from now on."""
    batch = find_batch(number)

    def verb() -> str:
        actor_of(request).require(EXECUTE_BATCH, batch.project)  # before anything is said about the choice
        rounds = read_number(request.POST.get("rounds"), least=0, most=MOST_REPAIRS)
        set_repairs(run=run_of(batch), rounds=rounds, actor=actor_of(request))
        return f"A phase of this run may be repaired {rounds} times." if rounds else "Repairs are off; one that has begun goes on."

    return act(request, verb, reverse("batches:detail", args=[number]))
