"""Version 1: from an idea to a plan."""

from collections.abc import Iterable
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Path

from batches.models import Idea
from batches.pages.api import ideas as shared
from batches.pages.api_v1.application import actor_of, api
from batches.pages.api_v1.pages import Cursor, Limit, part_of
from batches.pages.api_v1.shapes import Again, AnswerIdea, Ideas, IdeaWhole, NewIdea, Revise
from batches.pages.common import LARGEST_ID

TAGS = ["ideas"]
Pk = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The id of an idea.", examples=[7])]


@api.get("ideas/", response=Ideas, url_name="ideas", tags=TAGS, summary="List ideas")
def ideas(request: HttpRequest, cursor: Cursor = "", limit: Limit = 50) -> dict[str, Any]:
    """The ideas, the newest first, in short."""

    def shown(rows: list[Idea]) -> Iterable[dict[str, Any]]:
        return (shared.short(request, row) for row in rows)

    return part_of(Idea.objects.select_related("project"), "pk", cursor, limit, shown)


@api.post("ideas/", response={201: IdeaWhole}, url_name="ideas", tags=TAGS, summary="Keep an idea")
def new_idea(request: HttpRequest, sent: NewIdea) -> HttpResponse:
    """Keep an idea of a project and have the agent begin."""
    return shared.new_idea(request, actor_of(request))


@api.get("ideas/{int:pk}/", response=IdeaWhole, url_name="idea", tags=TAGS, summary="Read an idea")
def idea(request: HttpRequest, pk: Pk) -> HttpResponse:
    """Where an idea is: its questions, what the agent does, what was spent, and the plan that came of it."""
    return shared.idea(request, actor_of(request), pk)


@api.post("ideas/{int:pk}/answer/", response={202: IdeaWhole}, url_name="idea_answer", tags=TAGS, summary="Answer the questions")
def answer_idea(request: HttpRequest, pk: Pk, sent: AnswerIdea) -> HttpResponse:
    """Answer the questions and have the plan drafted; {} takes all suggested answers."""
    return shared.answer(request, actor_of(request), pk)


@api.post("ideas/{int:pk}/revise/", response={202: IdeaWhole}, url_name="idea_revise", tags=TAGS, summary="Revise the plan")
def revise_idea(request: HttpRequest, pk: Pk, sent: Revise) -> HttpResponse:
    """Have the newest version of the plan changed."""
    return shared.revise(request, actor_of(request), pk)


@api.post("ideas/{int:pk}/again/", response={202: IdeaWhole}, url_name="idea_again", tags=TAGS, summary="Try again")
def try_idea_again(request: HttpRequest, pk: Pk, sent: Again) -> HttpResponse:
    """Try once more what came to nothing."""
    return shared.again(request, actor_of(request), pk)


@api.post("ideas/{int:pk}/stop/", response={202: IdeaWhole}, url_name="idea_stop", tags=TAGS, summary="Stop the agent")
def stop_idea(request: HttpRequest, pk: Pk) -> HttpResponse:
    """Stop the agent. What was written stays."""
    return shared.stop(request, actor_of(request), pk)


@api.post("ideas/{int:pk}/undo/", response=IdeaWhole, url_name="idea_undo", tags=TAGS, summary="Take the version before")
def undo_idea(request: HttpRequest, pk: Pk) -> HttpResponse:
    """Save the version before the newest one as the next version."""
    return shared.undo(request, actor_of(request), pk)
