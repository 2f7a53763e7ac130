"""Version 1: figures."""

from typing import Annotated, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Query

from batches.pages.api import projects as shared
from batches.pages.api_v1.application import actor_of, api
from batches.pages.api_v1.projects import named
from batches.pages.api_v1.shapes import Figures

Period = Annotated[str, Query(max_length=20, description="7d, 30d, 90d, all, or own dates with from and to.", examples=["30d"])]
Day = Annotated[str, Query(max_length=10, description="A day, both ends included.", examples=["2026-11-01"])]
Text = Annotated[str, Query(max_length=100, examples=[""])]
OfOperation = Literal["", "generate", "execute", "review", "update_context", "any"]


@api.get("metrics/", response=Figures, url_name="metrics", tags=["figures"], summary="Read figures")
def metrics(
    request: HttpRequest,
    period: Period = "",
    start: Annotated[str, Query(alias="from", max_length=10, examples=["2026-11-01"])] = "",
    to: Day = "",
    project: Text = "",
    operation: OfOperation = "",
    role: Text = "",
    model: Text = "",
    demo: Literal["", "only", "with"] = "",
    text: Annotated[Literal["", "1"], Query(description="1: add what the command prints.", examples=["1"])] = "",
) -> HttpResponse:
    """The data of the page Metrics, with the same filters. Unknown is null; money is text."""
    named(project)
    return shared.metrics(request, actor_of(request))
