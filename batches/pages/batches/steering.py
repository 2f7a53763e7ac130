"""Buttons that steer one phase while it runs: each calls one service."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.execute_options import MOST_REPAIRS
from batches.core.errors import ServiceError, WrongChoice
from batches.engine import steering
from batches.engine.repairs import set_repairs
from batches.models import Task
from batches.pages.batches.batch import find_batch
from batches.pages.batches.batch_states import latest_run
from batches.pages.common import act, actor_of, read_number


def task_on_page(request: HttpRequest, number: int, pk: int) -> tuple[Task, str]:
    """A task of the batch, and the page to go back to: that of the phase where the button was there, else the batch's."""
    batch = find_batch(number)
    task = get_object_or_404(Task.objects.select_related("run__batch__project", "phase"), pk=pk, run__batch=batch)
    if task.phase is not None and "/phases/" in request.headers.get("Referer", ""):
        return task, reverse("batches:phase", args=[number, task.phase.key])
    return task, reverse("batches:detail", args=[number])


@require_POST
def repairs(request: HttpRequest, number: int) -> HttpResponse:
    """How often the phases of the newest run may be repaired from now on."""
    batch = find_batch(number)

    def verb() -> str:
        actor_of(request).require(EXECUTE_BATCH, batch.project)  # before anything is said about the choice
        rounds = read_number(request.POST.get("rounds"), least=0, most=MOST_REPAIRS)
        if rounds is None:
            raise WrongChoice(f"The number of repairs is from 0 to {MOST_REPAIRS}.")
        run = latest_run(batch)
        if run is None:
            raise ServiceError(f"Batch {batch.number} has not been started yet.")
        set_repairs(run=run, rounds=rounds, actor=actor_of(request))
        return f"A phase of this run may be repaired {rounds} times." if rounds else "Repairs are off; one that has begun goes on."

    return act(request, verb, reverse("batches:detail", args=[number]))


@require_POST
def say(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    """Say something to the agent of a phase."""
    task, page = task_on_page(request, number, pk)

    def verb() -> str:
        if steering.say(task=task, text=request.POST.get("message", ""), actor=actor_of(request)):
            return f"The agent of phase {task.name} is told at its next turn."
        return f"Kept: the next attempt of phase {task.name} is told first."

    return act(request, verb, page)


@require_POST
def answer(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    """Answer what a phase's agent asks: by a suggested answer's button, else with a text."""
    task, page = task_on_page(request, number, pk)

    def verb() -> str:
        text = request.POST.get("suggested") or request.POST.get("answer", "")
        steering.answer(task=task, text=text, actor=actor_of(request))
        return f"The agent of phase {task.name} is told, and goes on."

    return act(request, verb, page)


@require_POST
def stop_task(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    task, page = task_on_page(request, number, pk)

    def verb() -> str:
        steering.stop_phase(task=task, actor=actor_of(request))
        return f"Phase {task.name} is being stopped; its work so far is kept. The others go on."

    return act(request, verb, page)
