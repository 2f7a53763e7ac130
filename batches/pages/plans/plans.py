"""Saved plans: the list, a version with its decisions, differences between versions, and the confirmation before execution."""

from collections.abc import Iterable, Mapping

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, F, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from batches.accounts.access import may, may_anywhere
from batches.accounts.rights import refusal
from batches.accounts.roles import CHANGE_PROJECT, EXECUTE_BATCH, WRITE_PLANS
from batches.core.engine.states import LIVE_RUN_STATES
from batches.core.errors import BatchError
from batches.core.plans.text_diff import diff_texts, lines_of
from batches.engine import generation
from batches.engine.preflight import preflight_checks
from batches.models import Batch, Plan, Project
from batches.pages.common import act, actor_of, htmx, read_number
from batches.pages.forms import KEPT_CHOICES, Execute
from batches.pages.plans.preview import Preview, models_chosen, schedule_of
from batches.plans.services import decide_plan_conflicts, decisions_of, finished_phases, report_of
from batches.review.plans import review_of_text

PAGE_SIZE = 50
SOURCE_LINES = 5_000  # shown of a plan; the page says if there are more
VERSIONS_SHOWN = 100


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


def _versions(plan: Plan) -> QuerySet[Plan]:
    """All versions of the series, latest first, without their texts."""
    return Plan.objects.series_of(plan).defer("text").select_related("created_by").order_by("-version")


def _preview(plan: Plan, *, reviewed: bool = False) -> Preview:
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


def may_execute_plan(request: HttpRequest, plan: Plan) -> bool:
    """Whether the person may execute it in its project; without one, in some project."""
    return may(request.user, EXECUTE_BATCH, plan.project) if plan.project else may_anywhere(request.user, EXECUTE_BATCH)


@require_safe
def plan_detail(request: HttpRequest, pk: int) -> HttpResponse:
    plan = get_object_or_404(Plan.objects.select_related("project", "created_by"), pk=pk)
    preview = _preview(plan, reviewed=True)
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
    return render(request, "plans/detail.html", context)


@require_safe
def plan_graph(request: HttpRequest, pk: int) -> HttpResponse:
    """The graph of a large plan: a fragment for htmx, otherwise a page."""
    plan = get_object_or_404(Plan, pk=pk)
    template = "plans/_graph.html" if htmx(request) else "plans/graph.html"
    return render(request, template, {"plan": plan, "preview": _preview(plan)})


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
        return render(request, "plans/checks.html", context)
    return render(request, "plans/_checks_brief.html" if "brief" in request.GET else "plans/_checks.html", context)


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
    return render(request, "plans/diff.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def plan_execute(request: HttpRequest, pk: int) -> HttpResponse:
    """The confirmation; POST makes the batch, and executes it when its work orders are written."""
    plan = get_object_or_404(Plan.objects.select_related("project"), pk=pk)
    if not may_execute_plan(request, plan):
        raise PermissionDenied(refusal("Executing a plan", EXECUTE_BATCH))
    preview = _preview(plan, reviewed=True)
    if preview.errors:
        messages.error(request, "This plan has errors; fix them first.")
        return redirect("batches:plan_detail", plan.pk)
    asked = request.POST or request.GET
    project = _project_asked(asked.get("project"), plan)
    form = Execute(
        request.POST or None,
        initial={"project": project, "on_conflict": "warn", **{name: asked[name] for name in KEPT_CHOICES if asked.get(name)}},
        of=project,
        stages=range(1, len(preview.stages) + 1),
        phases=[phase.key for phase in preview.phases],
        open_phases=[phase.key for phase in preview.phases],
    )
    status, slots = 200, project.max_parallel if project else 4
    made = list(Batch.objects.filter(plan=plan).with_state().select_related("created_by").order_by("-number")[:20])
    unseen = _made_since(request, made)
    if request.method == "POST" and form.is_valid():
        slots = form.cleaned_data["max_parallel"] or form.cleaned_data["project"].max_parallel
    if request.method == "POST" and not ("dry_run" in request.POST and form.is_valid()):
        if form.is_valid() and not unseen:
            sent = form.cleaned_data["sent"]
            if sent and Batch.objects.filter(asked_by=sent).exists():
                messages.info(request, "This form was already sent; this is the batch that it created. Open the plan to create another.")
            try:
                batch = generation.generate(
                    plan=plan,
                    project=form.cleaned_data["project"],
                    actor=actor_of(request),
                    then=form.options(),
                    full_autopilot="autopilot" in request.POST,
                    asked_by=sent,
                )
            except BatchError as error:
                form.add_error(None, str(error))
            else:
                return redirect("batches:detail", batch.number)
        status = 409 if unseen else 400
    context: dict[str, object] = {"plan": plan, "preview": preview, "form": form, "saving": preview.saving(slots)}
    context |= {"newest": made[0].number if made else 0, "unseen": unseen}
    context |= {"beside": unseen or [batch for batch in made if batch.run_state in LIVE_RUN_STATES]}
    context |= {"project": project, "title": plan.title}
    models = form.models(project, preview.phases)
    context |= {"models": models, "uses_model": any(choice != "no model" for _, choice, _ in models)}
    context |= {"count": len(preview.phases), "stage_count": len(preview.stages), "slots": slots}
    forecast = preview.forecast
    context |= {"expected_usd": forecast.cost_usd if forecast else None, "expected_seconds": forecast.chain_seconds if forecast else None}
    context |= {"budget": form.budget or (project.budget_usd if project else None)}
    return render(request, "plans/execute.html", context, status=status)


def _made_since(request: HttpRequest, made: Iterable[Batch]) -> list[Batch]:
    """Those of `made` that began after the form was shown: another tab or person executed the same plan.

    The form says with `seen` which was the newest then. Sent again, it knows them all, and that is the person's yes.
    """
    seen, sent = read_number(request.POST.get("seen"), least=0), request.POST.get("sent", "")
    return [batch for batch in made if seen is not None and batch.number > seen and str(batch.asked_by) != sent]


def _project_asked(wanted: str | None, plan: Plan) -> Project | None:
    """The project that a form names, or else the plan's own, or the only one there is; None: a person must choose."""
    if (pk := read_number(wanted)) is not None:
        return Project.objects.filter(pk=pk).first()
    if plan.project is not None:
        return plan.project
    known = Project.objects.all()[:2]
    return known[0] if len(known) == 1 else None
