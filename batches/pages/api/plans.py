"""The JSON API: plans, and reading documents (docs/api.md)."""

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from batches.accounts.actor import Actor
from batches.core.plans.analysis import DocumentReport, analyse_document
from batches.models import Plan
from batches.pages.api.endpoint import BadRequest, project_named
from batches.plans.read_plan import report_of
from batches.plans.versions import import_plan
from batches.review.plan_review import review_of_text


def plan(request: HttpRequest, actor: Actor, pk: int) -> JsonResponse:
    """A saved version of a plan: its text, its faults, and what a review says of it."""
    found = get_object_or_404(Plan.objects.select_related("project"), pk=pk)
    return JsonResponse(plan_json(request, found) | {"text": found.text})


def plan_json(request: HttpRequest, found: Plan) -> dict[str, object]:
    """What the API says of a saved plan: title, version, address, faults and review."""
    report = report_of(found)
    return {
        "plan": found.pk,
        "title": found.title,
        "version": found.version,
        "project": found.project.slug if found.project else None,
        "url": request.build_absolute_uri(reverse("batches:plan_detail", args=[found.pk])),
        **_faults(report),
        "review": review_of_text(found.project, report, found.text).to_json(),
    }


def plans(request: HttpRequest, actor: Actor) -> JsonResponse:
    """Import the plan in the body, even with errors, for ?project= (a slug) and named ?file_name=."""
    project = project_named(request.GET.get("project"))
    name = request.GET.get("file_name", "")[:255]
    return JsonResponse(
        plan_json(request, import_plan(text=_plan_bytes(request), file_name=name, project=project, actor=actor)), status=201
    )


def validate(request: HttpRequest, actor: Actor) -> JsonResponse:
    """Errors and warnings of the plan in the body, and with ?project= its review. Nothing is saved."""
    found = analyse_document(_plan_bytes(request), settings.CE_UPLOAD_BYTES)
    return JsonResponse(_faults(found) | _reviewed(request, found))


def analyze(request: HttpRequest, actor: Actor) -> JsonResponse:
    """What `analyze --json` prints for the plan in the body, with ?project= as with --project. Nothing is saved."""
    found = analyse_document(_plan_bytes(request), settings.CE_UPLOAD_BYTES)
    return JsonResponse(found.to_json() | _reviewed(request, found))


def _reviewed(request: HttpRequest, found: DocumentReport) -> dict[str, object]:
    project = project_named(request.GET.get("project"))
    if project is None:
        return {}
    text = request.body.decode("utf-8", "replace").removeprefix("\ufeff")
    return {"review": review_of_text(project, found, text).to_json()}


def _faults(found: DocumentReport) -> dict[str, object]:
    whole = found.to_json()
    return {"valid": found.is_valid} | {name: whole[name] for name in ("errors", "warnings", "conflicts")}


def _plan_bytes(request: HttpRequest) -> bytes:
    if len(request.body) > settings.CE_UPLOAD_BYTES:
        raise RequestDataTooBig
    if not request.body:
        raise BadRequest("The body must be the plan: curl --data-binary @PLAN.md")
    return request.body
