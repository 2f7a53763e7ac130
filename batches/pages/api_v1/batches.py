"""Version 1: batches."""

from collections.abc import Iterable
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Query

from batches.models import Batch
from batches.pages import api as shared
from batches.pages.api_v1.application import actor_of, api
from batches.pages.api_v1.pages import Cursor, Limit, part_of
from batches.pages.api_v1.projects import named
from batches.pages.api_v1.shapes import Batches, BatchStatus, Number, View
from batches.pages.batches import list_queries
from batches.pages.batches.batch_list import rows_of

TAGS = ["batches"]
Words = Annotated[str, Query(max_length=200, description="A number, or words of the title or project.", examples=["export"])]
OfProject = Annotated[str, Query(max_length=50, description="The slug of a project; empty: all.", examples=["shop"])]
AsText = Annotated[bool, Query(description="Add what the command prints.", examples=[False])]


@api.get("batches/", response=Batches, url_name="batches", tags=TAGS, summary="List batches")
def batches(
    request: HttpRequest, view: View = "all", project: OfProject = "", q: Words = "", cursor: Cursor = "", limit: Limit = 50
) -> dict[str, Any]:
    """Batches, the newest first, filtered as on the page."""
    found = list_queries.in_view(list_queries.search(Batch.objects.with_state(), q), view).select_related("project")
    if (of_project := named(project)) is not None:
        found = found.filter(project=of_project)

    def shown(rows: list[Batch]) -> Iterable[dict[str, Any]]:
        return (shared.row_json(request, row) for row in rows_of(rows))

    return part_of(found, "number", cursor, limit, shown)


@api.get("batches/{int:number}/", response=BatchStatus, url_name="batch", tags=TAGS, summary="Read a batch")
def batch(request: HttpRequest, number: Number, text: AsText = False) -> HttpResponse:
    """How far a batch is: its stages, phases, gates and cost."""
    return shared.batch(request, actor_of(request), number)
