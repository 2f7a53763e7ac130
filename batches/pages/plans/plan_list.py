"""The list of plans: the latest version of each."""

from collections.abc import Iterable

from django.core.paginator import Paginator
from django.db.models import Count, F, IntegerField, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from batches.accounts.access import may_anywhere
from batches.accounts.roles import EXECUTE_BATCH
from batches.models import Batch, Plan, Project

PAGE_SIZE = 50


@require_safe
def plan_list(request: HttpRequest) -> HttpResponse:
    """The latest version of each series, with the number of batches of all its versions."""
    series = Coalesce(OuterRef("first_version"), OuterRef("pk"))
    used = (
        Batch.objects.annotate(series=Coalesce(F("plan__first_version"), F("plan")))
        .filter(series=series)
        .order_by()
        .values("series")
        .annotate(count=Count("pk"))
        .values("count")
    )
    plans = Plan.objects.latest_versions().select_related("project", "created_by").defer("text")
    plans = plans.annotate(used=Coalesce(Subquery(used, output_field=IntegerField()), 0)).order_by("-pk")
    search = request.GET.get("q", "")[:200].strip()
    if search:
        plans = plans.filter(title__icontains=search)
    if project := request.GET.get("project", "")[:80]:
        plans = plans.filter(project__slug=project)
    page = Paginator(plans, PAGE_SIZE).get_page(request.GET.get("page"))
    context: dict[str, object] = {"page": page, "search": search, "project": project}
    context["projects"] = Project.objects.values_list("slug", "name")
    context |= {"last": _last_results(page.object_list), "executes": may_anywhere(request.user, EXECUTE_BATCH)}
    return render(request, "plans/list.html", context)


def _last_results(plans: Iterable[Plan]) -> dict[int, Batch]:
    """{series of a plan: its newest batch, with state}. One query."""
    series = {plan.series_id for plan in plans}
    rows = Batch.objects.with_state().annotate(series=Coalesce(F("plan__first_version"), F("plan"))).filter(series__in=series)
    return {getattr(row, "series"): row for row in rows.order_by("number")}  # noqa: B009 -- annotated above
