"""The table of all attempts."""

from django.core.exceptions import BadRequest
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from batches.core.errors import WrongChoice
from batches.core.metrics.types import Filters
from batches.metrics import history
from batches.pages.metrics.metrics import PAGE_SIZE, PERIODS, _address


@require_safe
def metrics_attempts(request: HttpRequest) -> HttpResponse:
    """The attempts behind a figure, fifty a page: ?reason=, ?kind=, ?complexity=, ?sort= beside the page's filters."""
    try:
        filters = Filters.read(request.GET)
    except WrongChoice as error:
        raise BadRequest(str(error)) from error
    narrowed = {name: request.GET.get(name, "")[:300] for name in ("reason", "kind", "complexity")}
    sort = request.GET.get("sort", "")[:20]
    found = history.attempts_of(filters, timezone.now(), **narrowed, sort=sort).select_related("attempt__task__phase", "batch", "project")
    found = found.defer(
        "attempt__spec", "attempt__log_tail", "attempt__heartbeat", "attempt__task__phase__steps", "attempt__task__phase__goal"
    )
    context = {
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "filters": filters,
        "sort": sort,
        "narrowed": [(name, value) for name, value in narrowed.items() if value],
        "period": PERIODS.get(filters.period, ""),
        "back": _address("batches:metrics", filters.query()),
        "wide": _address("batches:metrics_attempts", filters.query()),
    }
    return render(request, "metrics/attempts_behind_a_figure.html", context)
