"""The Execute page of a plan: the confirmation; POST makes the batch."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from batches.accounts.rights import refusal
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.states import LIVE_RUN_STATES
from batches.core.errors import BatchError, MadeMeanwhile
from batches.engine import generation
from batches.models import Batch, Plan, Project
from batches.pages.common import actor_of, read_number
from batches.pages.plans.execute_form import KEPT_CHOICES, Execute
from batches.pages.plans.plan import may_execute_plan, preview_of


@require_http_methods(["GET", "HEAD", "POST"])
def plan_execute(request: HttpRequest, pk: int) -> HttpResponse:
    """The confirmation; POST makes the batch, and executes it when its work orders are written."""
    plan = get_object_or_404(Plan.objects.select_related("project"), pk=pk)
    if not may_execute_plan(request, plan):
        raise PermissionDenied(refusal("Executing a plan", EXECUTE_BATCH))
    preview = preview_of(plan, reviewed=True)
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
    seen, unseen = read_number(request.POST.get("newest"), least=0), False
    if request.method == "POST" and form.is_valid():
        slots = form.cleaned_data["max_parallel"] or form.cleaned_data["project"].max_parallel
    if request.method == "POST" and not ("dry_run" in request.POST and form.is_valid()):
        if form.is_valid():
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
                    newest=seen,
                )
            except MadeMeanwhile:
                unseen = True  # another tab or person: sent again, the form knows that batch, and that is the person's yes
            except BatchError as error:
                form.add_error(None, str(error))
            else:
                return redirect("batches:detail", batch.number)
        status = 409 if unseen else 400
    context: dict[str, object] = {"plan": plan, "preview": preview, "form": form, "saving": preview.saving(slots)}
    made = list(Batch.objects.filter(plan=plan).with_state().select_related("created_by").order_by("-number")[:20])
    beside = [one for one in made if (one.number > seen if unseen and seen is not None else one.run_state in LIVE_RUN_STATES)]
    context |= {"newest": made[0].number if made else 0, "unseen": unseen, "beside": beside}
    context |= {"project": project, "title": plan.title}
    models = form.models(project, preview.phases)
    context |= {"models": models, "uses_model": any(choice != "no model" for _, choice, _ in models)}
    context |= {"count": len(preview.phases), "stage_count": len(preview.stages), "slots": slots}
    forecast = preview.forecast
    context |= {"expected_usd": forecast.cost_usd if forecast else None, "expected_seconds": forecast.chain_seconds if forecast else None}
    context |= {"budget": form.budget or (project.budget_usd if project else None)}
    return render(request, "plans/execute.html", context, status=status)


def _project_asked(wanted: str | None, plan: Plan) -> Project | None:
    """The project that a form names, or else the plan's own, or the only one there is; None: a person must choose."""
    if (pk := read_number(wanted)) is not None:
        return Project.objects.filter(pk=pk).first()
    if plan.project is not None:
        return plan.project
    known = Project.objects.all()[:2]
    return known[0] if len(known) == 1 else None
