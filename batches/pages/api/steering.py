"""The JSON API: steer a phase while it runs (docs/agents.md, docs/api.md)."""

from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.errors import ServiceError
from batches.engine import agent_questions, messages_to_agents
from batches.engine.stop_phase import stop_phase
from batches.engine.task_by_name import task_of
from batches.models import Batch, Phase, Run, Task
from batches.pages.api.endpoint import BadRequest, accepted, body_of
from batches.pages.batches.batch import find_batch
from batches.pages.batches.batch_states import latest_run


def stop(request: HttpRequest, actor: Actor, number: int, key: str) -> JsonResponse:
    """Stop one running phase; the others go on."""
    body_of(request)
    found, run, task = _phase_of(actor, number, key)
    stop_phase(task=task, actor=actor)
    return accepted(request, found, run, phase=task.name)


def say(request: HttpRequest, actor: Actor, number: int, key: str) -> JsonResponse:
    """Say something to a phase's agent: {"text": …}; "told" is true for the running one, false for the next attempt."""
    data = body_of(request, "text")
    found, run, task = _phase_of(actor, number, key)
    text = data.get("text", "")
    if not isinstance(text, str):
        raise BadRequest("text must be text: what the agent is told.")
    told = messages_to_agents.say(task=task, text=text, actor=actor)
    return accepted(request, found, run, phase=task.name, told=told)


def answer(request: HttpRequest, actor: Actor, number: int, key: str) -> JsonResponse:
    """Answer what a phase's agent asks: {"text": …}."""
    data = body_of(request, "text")
    found, run, task = _phase_of(actor, number, key)
    text = data.get("text", "")
    if not isinstance(text, str):
        raise BadRequest("text must be text: the answer.")
    agent_questions.answer(task=task, text=text, actor=actor)
    return accepted(request, found, run, phase=task.name)


def _phase_of(actor: Actor, number: int, key: str) -> tuple[Batch, Run, Task]:
    """The batch, its newest run, and the phase's task there. Raises Http404, PermissionDenied, ServiceError, WrongChoice."""
    found = find_batch(number)
    get_object_or_404(Phase, batch=found, key=key)
    actor.require(EXECUTE_BATCH, found.project)
    run = latest_run(found)
    if run is None:
        raise ServiceError(f"Batch {found.number} has no run.")
    return found, run, task_of(run, key)
