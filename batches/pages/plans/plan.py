"""A saved plan: its analysis, its decisions, its versions and its batches."""

from collections.abc import Mapping

from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from batches.accounts.access import may, may_anywhere
from batches.accounts.roles import CHANGE_PROJECT, EXECUTE_BATCH, WRITE_PLANS
from batches.core.plans.text_diff import lines_of
from batches.models import Batch, Plan
from batches.pages.common import act, actor_of, htmx
from batches.pages.plans.preview import Preview, models_chosen, schedule_of
from batches.plans.conflict_decisions import decide_plan_conflicts, decisions_of
from batches.plans.finished_phases import finished_phases
from batches.plans.read_plan import report_of
from batches.review.plan_review import review_of_text

SOURCE_LINES = 5_000  # shown of a plan; the page says if there are more
VERSIONS_SHOWN = 100


def versions_of(plan: Plan) -> QuerySet[Plan]:
    """All versions of the series, latest first, without their texts."""
    return Plan.objects.series_of(plan).defer("text").select_related("created_by").order_by("-version")


def preview_of(plan: Plan, *, reviewed: bool = False) -> Preview:
    decided = decisions_of(plan)
    report = report_of(plan)
    return Preview(
        report,
        text=plan.text,
        decisions={key: one.decision for key, one in decided.items()},
        decided=decided,
        history=finished_phases(),
        project=plan.project_id,
        schedule=schedule_of(plan.project),
        models=models_chosen(plan.project, report),
        review=review_of_text(plan.project, report, plan.text) if reviewed else None,
    )


@require_safe
def plan_detail(request: HttpRequest, pk: int) -> HttpResponse:
    plan = get_object_or_404(Plan.objects.select_related("project", "created_by"), pk=pk)
    preview = preview_of(plan, reviewed=True)
    lines = lines_of(plan.text)
    versions = list(versions_of(plan).annotate(used=Count("batches"))[:VERSIONS_SHOWN])
    context = {
        "plan": plan,
        "preview": preview,
        "versions": versions,
        "latest": versions[0],
        "lines": lines[:SOURCE_LINES],
        "lines_left": max(0, len(lines) - SOURCE_LINES),
        "bad_lines": {issue.line for issue in preview.errors},
        "batches": Batch.objects.filter(plan__in=Plan.objects.series_of(plan)).with_state().select_related("plan").order_by("-number")[:20],
        "decides": may(request.user, WRITE_PLANS, plan.project),
        "deletes": may(request.user, CHANGE_PROJECT, plan.project),
        "executes": may_execute_plan(request, plan),
    }
    return render(request, "plans/plan.html", context)


@require_safe
def plan_graph(request: HttpRequest, pk: int) -> HttpResponse:
    """The graph of a large plan: a fragment for htmx, otherwise a page."""
    plan = get_object_or_404(Plan, pk=pk)
    template = "plans/_graph.html" if htmx(request) else "plans/graph.html"
    return render(request, template, {"plan": plan, "preview": preview_of(plan)})


@require_POST
def plan_decide(request: HttpRequest, pk: int) -> HttpResponse:
    """Save a decision about a conflict of this version."""
    plan = get_object_or_404(Plan, pk=pk)

    def verb() -> str:
        chosen: Mapping[str, str] = {request.POST.get("conflict", ""): request.POST.get("decision", "")}
        (conflict,) = decide_plan_conflicts(plan=plan, decisions=chosen, actor=actor_of(request))
        return f"Decided for {conflict.file}."

    return act(request, verb, reverse("batches:plan_detail", args=[pk]) + "#conflicts-title")


def may_execute_plan(request: HttpRequest, plan: Plan) -> bool:
    """Whether the person may execute it in its project; without one, in some project."""
    return may(request.user, EXECUTE_BATCH, plan.project) if plan.project else may_anywhere(request.user, EXECUTE_BATCH)
