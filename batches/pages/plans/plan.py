"""A saved plan: a version with its decisions, its checks, and the differences between versions."""

from collections.abc import Mapping

from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from batches.accounts.access import may, may_anywhere
from batches.accounts.roles import CHANGE_PROJECT, EXECUTE_BATCH, WRITE_PLANS
from batches.core.plans.text_diff import diff_texts, lines_of
from batches.engine.preflight import preflight_checks
from batches.models import Batch, Plan, Project
from batches.pages.common import act, actor_of, htmx, read_number
from batches.pages.plans.preview import Preview, models_chosen, schedule_of
from batches.plans.services import decide_plan_conflicts, decisions_of, finished_phases, report_of
from batches.review.plan_review import review_of_text

SOURCE_LINES = 5_000  # shown of a plan; the page says if there are more
VERSIONS_SHOWN = 100


def _versions(plan: Plan) -> QuerySet[Plan]:
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
    versions = list(_versions(plan).annotate(used=Count("batches"))[:VERSIONS_SHOWN])
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


@require_safe
def plan_checks(request: HttpRequest, pk: int) -> HttpResponse:
    """The environment checks of a project for this plan; ?project= and ?backend= as chosen on the confirmation page."""
    plan = get_object_or_404(Plan.objects.select_related("project"), pk=pk)
    wanted = read_number(request.GET.get("project"))
    project = plan.project if wanted is None else get_object_or_404(Project, pk=wanted)
    decisions = {key: one.decision for key, one in decisions_of(plan).items()}
    preview = Preview(report_of(plan), decisions=decisions)
    prose, files = [phase.key for phase in preview.prose_phases], [path for phase in preview.phases for path in phase.files]
    checks = preflight_checks(project=project, backend=request.GET.get("backend", ""), prose_phases=prose, files=files)
    troubles = [check for check in checks if check.state in ("error", "warning")]
    context: dict[str, object] = {"plan": plan, "project": project, "preview": preview, "checks": checks, "troubles": troubles}
    context |= {"errors": sum(check.state == "error" for check in checks), "verdict": "verdict" in request.GET}
    if not htmx(request):
        return render(request, "plans/preflight.html", context)
    return render(request, "plans/_preflight_ready.html" if "brief" in request.GET else "plans/_preflight.html", context)


@require_POST
def plan_decide(request: HttpRequest, pk: int) -> HttpResponse:
    """Save a decision about a conflict of this version."""
    plan = get_object_or_404(Plan, pk=pk)

    def verb() -> str:
        chosen: Mapping[str, str] = {request.POST.get("conflict", ""): request.POST.get("decision", "")}
        (conflict,) = decide_plan_conflicts(plan=plan, decisions=chosen, actor=actor_of(request))
        return f"Decided for {conflict.file}."

    return act(request, verb, reverse("batches:plan_detail", args=[pk]) + "#conflicts-title")


@require_safe
def plan_diff(request: HttpRequest, pk: int) -> HttpResponse:
    """The changes between two versions: ?from= and ?to= are version numbers; the default is the last two."""
    plan = get_object_or_404(Plan.objects.defer("text"), pk=pk)
    versions = list(_versions(plan))
    by_number = {one.version: one for one in versions}
    new = by_number.get(read_number(request.GET.get("to")) or 0, plan)
    earlier = next((one for one in versions if one.version < new.version), new)
    old = by_number.get(read_number(request.GET.get("from")) or 0, earlier)
    texts = dict(Plan.objects.filter(pk__in=[old.pk, new.pk]).values_list("pk", "text"))
    context = {"plan": plan, "versions": versions, "old": old, "new": new, "diff": diff_texts(texts[old.pk], texts[new.pk])}
    return render(request, "plans/version_changes.html", context)


def may_execute_plan(request: HttpRequest, plan: Plan) -> bool:
    """Whether the person may execute it in its project; without one, in some project."""
    return may(request.user, EXECUTE_BATCH, plan.project) if plan.project else may_anywhere(request.user, EXECUTE_BATCH)
