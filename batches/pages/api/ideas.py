"""The JSON API: from an idea to a plan. What the page of an idea shows and does (docs/ideas.md, docs/api.md)."""

from decimal import Decimal, InvalidOperation
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from batches.accounts.actor import Actor
from batches.accounts.roles import WRITE_PLANS
from batches.core.plans.drafted import IdeaRequest
from batches.engine import ideas as service
from batches.models import Idea
from batches.pages.api.endpoint import BadRequest, body_of, project_named, yes_or_no
from batches.pages.api.plans import plan_json

BODY_BYTES = 1024 * 1024  # an idea and its document have 100,000 characters each
LISTED = 100
_AT_WORK = {
    IdeaRequest.QUESTIONS: "reading",
    IdeaRequest.PLAN: "drafting",
    IdeaRequest.REVISION: "revising",
    IdeaRequest.TRANSLATION: "translating",
}


def ideas(request: HttpRequest, actor: Actor) -> JsonResponse:
    """The newest ideas, in short."""
    found = Idea.objects.select_related("project")[:LISTED]
    return JsonResponse({"ideas": [short(request, one) for one in found]})


def new_idea(request: HttpRequest, actor: Actor) -> JsonResponse:
    """Keep an idea of a project and have the agent begin, as the form does."""
    data = body_of(request, "project", "text", "document", "source", "issue", "files", "translate", "cap_usd", most=BODY_BYTES)
    project = project_named(data.get("project"))
    if project is None:
        raise BadRequest("project must be the slug of a project.")
    idea = service.new_idea(
        project=project,
        actor=actor,
        text=_text(data, "text"),
        document=_text(data, "document"),
        source=_text(data, "source"),
        issue=_text(data, "issue"),
        files=_texts(data, "files"),
        translate=yes_or_no(data, "translate"),
        cap_usd=_dollars(data),
    )
    return JsonResponse(_whole(request, idea), status=201)


def idea(request: HttpRequest, actor: Actor, pk: int) -> JsonResponse:
    """Where an idea is: its questions, what the agent does, what was spent, and the plan that came of it."""
    return JsonResponse(_whole(request, _find(pk)))


def answer(request: HttpRequest, actor: Actor, pk: int) -> JsonResponse:
    """Answer the questions, {"answers": [...]} with "" for a suggested one, and have the plan drafted; {} takes all suggestions."""
    found = _writable(pk, actor)
    service.answer_questions(idea=found, answers=_texts(body_of(request, "answers"), "answers"), actor=actor)
    return _accepted(request, found)


def revise(request: HttpRequest, actor: Actor, pk: int) -> JsonResponse:
    """Have the newest version of the plan changed: {"remark": what is to be changed}."""
    found = _writable(pk, actor)
    service.revise(idea=found, remark=_text(body_of(request, "remark", most=BODY_BYTES), "remark"), actor=actor)
    return _accepted(request, found)


def again(request: HttpRequest, actor: Actor, pk: int) -> JsonResponse:
    """Try once more what came to nothing, with a new cap where "cap_usd" is given."""
    found = _writable(pk, actor)
    service.try_again(idea=found, actor=actor, cap_usd=_dollars(body_of(request, "cap_usd")))
    return _accepted(request, found)


def stop(request: HttpRequest, actor: Actor, pk: int) -> JsonResponse:
    """Stop the agent. What was written stays."""
    found, _ = _writable(pk, actor), body_of(request)
    service.stop(idea=found, actor=actor)
    return _accepted(request, found)


def undo(request: HttpRequest, actor: Actor, pk: int) -> JsonResponse:
    """Save the version before the newest one as the next version."""
    found, _ = _writable(pk, actor), body_of(request)
    service.undo(idea=found, actor=actor)
    return JsonResponse(_whole(request, _find(pk)))


def _find(pk: int) -> Idea:
    return get_object_or_404(Idea.objects.select_related("project", "plan", "plan__project"), pk=pk)


def _writable(pk: int, actor: Actor) -> Idea:
    """The idea, for those who may write plans in its project. Raises Http404, PermissionDenied."""
    found = _find(pk)
    actor.require(WRITE_PLANS, found.project)
    return found


def _accepted(request: HttpRequest, found: Idea) -> JsonResponse:
    return JsonResponse(_whole(request, _find(found.pk)), status=202)


def state_of(found: Idea) -> str:
    """reading, waiting_for_answers, drafting, revising, translating, drafted, or failed with a problem."""
    if found.wanted:
        return _AT_WORK[IdeaRequest(found.wanted)]
    if found.problem:
        return "failed"
    return "waiting_for_answers" if found.waits_for_answers else "drafted"


def short(request: HttpRequest, found: Idea) -> dict[str, Any]:
    """An idea of a list."""
    return {
        "idea": found.pk,
        "title": found.title,
        "project": found.project.slug,
        "state": state_of(found),
        "problem": found.problem or None,
        "created_at": found.created_at,
        "url": request.build_absolute_uri(reverse("batches:idea", args=[found.pk])),
    }


def _whole(request: HttpRequest, found: Idea) -> dict[str, Any]:
    """Money is a string, as in the figures; unknown is null."""
    attempt = found.attempts.order_by("-number").first()
    newest = next(iter(service.versions_of(found)), None)
    spent = found.known_usd
    return short(request, found) | {
        "questions": found.questions,
        "answers": found.answers,
        "doing": attempt.doing if attempt is not None and found.wanted else None,
        "paused_until": found.paused_until,
        "paused_for": found.paused_for or None,
        "cap_usd": None if found.cap_usd is None else str(found.cap_usd),
        "spent_usd": None if spent is None else str(spent),
        "notes": found.notes,
        "account": found.account,
        "plan": None if newest is None else plan_json(request, newest),
    }


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name, "")
    if not isinstance(value, str):
        raise BadRequest(f"{name} must be text.")
    return value


def _texts(data: dict[str, Any], name: str) -> list[str]:
    value = data.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise BadRequest(f"{name} must be a list of texts.")
    return value


def _dollars(data: dict[str, Any]) -> Decimal | None:
    value = data.get("cap_usd")
    if value is None:
        return None
    try:
        cap = Decimal(str(value))
    except InvalidOperation:
        cap = Decimal(0)
    if isinstance(value, bool) or not cap.is_finite() or cap <= 0:
        raise BadRequest("cap_usd must be an amount in US dollars above 0.")
    return cap
