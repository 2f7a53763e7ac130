"""Say something to the agent of a phase, and answer what it asks."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.engine import agent_questions, messages_to_agents
from batches.models import Task
from batches.pages.batches.batch import find_batch
from batches.pages.common import act, actor_of


def task_on_page(request: HttpRequest, number: int, pk: int) -> tuple[Task, str]:
    """A task of the batch, and the page to go back to: the phase's if the button was there, else the batch's."""
    batch = find_batch(number)
    task = get_object_or_404(Task.objects.select_related("run__batch__project", "phase"), pk=pk, run__batch=batch)
    if task.phase is not None and "/phases/" in request.headers.get("Referer", ""):
        return task, reverse("batches:phase", args=[number, task.phase.key])
    return task, reverse("batches:detail", args=[number])


@require_POST
def say(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    """Say something to the agent of a phase."""
    task, page = task_on_page(request, number, pk)

    def verb() -> str:
        if messages_to_agents.say(task=task, text=request.POST.get("message", ""), actor=actor_of(request)):
            return f"The agent of phase {task.name} is told at its next turn."
        return f"Kept: the next attempt of phase {task.name} is told first."

    return act(request, verb, page)


@require_POST
def answer(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    """Answer what a phase's agent asks: by a suggested answer's button, else with a text."""
    task, page = task_on_page(request, number, pk)

    def verb() -> str:
        text = request.POST.get("suggested") or request.POST.get("answer", "")
        agent_questions.answer(task=task, text=text, actor=actor_of(request))
        return f"The agent of phase {task.name} is told, and goes on."

    return act(request, verb, page)
