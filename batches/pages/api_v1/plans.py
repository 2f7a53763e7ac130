"""Version 1: plans."""

from collections.abc import Iterable
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Path, Query

from batches.accounts.roles import CHANGE_PROJECT
from batches.models import Plan
from batches.pages.api import plans as shared
from batches.pages.api_v1.application import actor_of, api
from batches.pages.api_v1.pages import Cursor, Limit, part_of
from batches.pages.api_v1.projects import named, told
from batches.pages.api_v1.shapes import Analysis, DeletionShape, DryRun, OfProject, Plans, PlanWhole, SavedPlan, Validation
from batches.pages.common import LARGEST_ID
from batches.projects import deletion

TAGS = ["plans"]
FileName = Annotated[str, Query(max_length=255, description="How the plan is called.", examples=["plan.md"])]
PlanText = {"requestBody": {"required": True, "content": {"text/markdown": {"schema": {"type": "string", "minLength": 1}}}}}
Pk = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The id of a saved plan.", examples=[7])]


@api.get("plans/", response=Plans, url_name="plans", tags=TAGS, summary="List saved plans")
def plans(request: HttpRequest, project: OfProject = "", cursor: Cursor = "", limit: Limit = 50) -> dict[str, Any]:
    """Every saved version, the newest first, without its text."""
    found = Plan.objects.select_related("project").defer("text")
    if (of_project := named(project)) is not None:
        found = found.filter(project=of_project)
    return part_of(found, "pk", cursor, limit, _shown)


def _shown(rows: list[Plan]) -> Iterable[dict[str, Any]]:
    for row in rows:
        slug = row.project.slug if row.project else None
        about = {"plan": row.pk, "title": row.title, "version": row.version, "project": slug, "file_name": row.file_name}
        yield about | {"valid": row.error_count == 0, "phases": row.phase_count, "stages": row.stage_count, "created_at": row.created_at}


@api.post("plans/", response={201: SavedPlan}, url_name="plans", tags=TAGS, summary="Save a plan", openapi_extra=PlanText)
def import_plan(request: HttpRequest, project: OfProject = "", file_name: FileName = "") -> HttpResponse:
    """Save the plan in the body, even one with errors; those must be fixed before it can be executed."""
    named(project)
    return shared.plans(request, actor_of(request))


@api.post("plans/validate/", response=Validation, url_name="validate", tags=TAGS, summary="Validate a plan", openapi_extra=PlanText)
def validate_plan(request: HttpRequest, project: OfProject = "") -> HttpResponse:
    """Errors and warnings of the plan in the body, and with a project its review. Nothing is saved."""
    named(project)
    return shared.validate(request, actor_of(request))


@api.post("plans/analyze/", response=Analysis, url_name="analyze", tags=TAGS, summary="Analyse a plan", openapi_extra=PlanText)
def analyze_plan(request: HttpRequest, project: OfProject = "") -> HttpResponse:
    """Phases, stages, conflicts and critical path of the plan in the body. Nothing is saved."""
    named(project)
    return shared.analyze(request, actor_of(request))


@api.get("plans/{int:pk}/", response=PlanWhole, url_name="plan", tags=TAGS, summary="Read a saved plan")
def plan(request: HttpRequest, pk: Pk) -> HttpResponse:
    """A saved version: its text, its faults, and what a review says of it."""
    return shared.plan(request, actor_of(request), pk)


@api.delete("plans/{int:pk}/", response=DeletionShape, url_name="plan", tags=TAGS, summary="Delete a saved plan")
def delete_plan(request: HttpRequest, pk: Pk, dry_run: DryRun = "") -> dict[str, Any]:
    """All versions of it. Refused while there is a batch of it."""
    found, actor = get_object_or_404(Plan.objects.select_related("project"), pk=pk), actor_of(request)
    actor.require(CHANGE_PROJECT, found.project)
    return told(deletion.plan_deletion(found), lambda: deletion.delete_plan(plan=found, actor=actor), dry_run)
