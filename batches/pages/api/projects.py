"""The JSON API: projects, and the figures of Metrics (docs/api.md)."""

from django.http import HttpRequest, JsonResponse
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.core.errors import WrongChoice
from batches.core.metrics.text import trends_text
from batches.core.metrics.types import Filters
from batches.metrics import history
from batches.models import Project
from batches.pages.api.endpoint import BadRequest


def projects(request: HttpRequest, actor: Actor) -> JsonResponse:
    fields = ("slug", "name", "base_branch", "backend")
    return JsonResponse({"projects": list(Project.objects.order_by("name").values(*fields))})


def metrics(request: HttpRequest, actor: Actor) -> JsonResponse:
    """The data of the page Metrics, with the same filters, with ?text=1 also as `text`. Unknown is null; money is a string."""
    try:
        filters = Filters.read(request.GET)
    except WrongChoice as error:
        raise BadRequest(str(error)) from error
    read = history.read_history(filters, now=timezone.now())
    return JsonResponse(history.to_json(read) | ({"text": trends_text(read)} if request.GET.get("text") else {}))
