"""The button that stops one phase."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from batches.engine.stop_phase import stop_phase
from batches.pages.batches.say_to_agent import task_on_page
from batches.pages.common import act, actor_of


@require_POST
def stop_task(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    task, page = task_on_page(request, number, pk)

    def verb() -> str:
        stop_phase(task=task, actor=actor_of(request))
        return f"Phase {task.name} is being stopped; its work so far is kept. The others go on."

    return act(request, verb, page)
