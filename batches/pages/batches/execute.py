"""The Execute page of a batch: what remains to be done, and how."""

from collections.abc import Mapping

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from batches.accounts.actor import Actor
from batches.accounts.rights import refusal
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.engine.states import RETRYABLE_TASK_STATES
from batches.core.errors import BatchError
from batches.core.gates.binding import GateKind, how_checked
from batches.engine import execution, retries
from batches.engine.execution_forecast import cost_of, forecast_of, saving_of
from batches.engine.execution_plan import plan_execution
from batches.models import Batch, Phase, Run
from batches.pages.batches.batch import find_batch, may_execute
from batches.pages.common import actor_of
from batches.pages.plans.execute_form import KEPT_CHOICES, Execute
from batches.plans.read_plan import report_of
from batches.review.plan_review import review_of_text

GATES_SHOWN = 300


def _chosen_before(run: Run | None) -> dict[str, str]:
    """Models and limits of the last run, as initial values."""
    if run is None:
        return {}
    amounts = {"budget_usd": run.budget_usd, "phase_cap_usd": run.phase_cap_usd}
    own = run.tasks.filter(phase__isnull=False).exclude(model="").values_list("name", "model")
    return {
        "model": run.model,
        "retry_model": run.retry_model,
        **{name: f"{amount:.2f}" for name, amount in amounts.items() if amount is not None},
        **{f"model-{name}": model for name, model in own},
    }


@require_http_methods(["GET", "HEAD", "POST"])
def execute(request: HttpRequest, number: int) -> HttpResponse:
    """The confirmation page of a batch: what remains to be done, and how."""
    batch = find_batch(number)
    if not may_execute(request, batch.project):
        raise PermissionDenied(refusal("Executing a batch", EXECUTE_BATCH))
    data = request.POST.copy() if request.method == "POST" else None
    if data is not None:
        data["project"] = str(batch.project_id)
    form, last, left = execute_form(batch, data, {name: request.GET[name] for name in KEPT_CHOICES if request.GET.get(name)})
    context: dict[str, object] = {"batch": batch, "project": batch.project, "form": form, "title": batch.title, "count": left.count()}
    options, status = ExecuteOptions(), 200
    if data is not None:
        if form.is_valid():
            options = form.options()
        try:
            if form.is_valid() and "dry_run" not in data:
                execute_or_resume(batch, form, last, actor_of(request))
                return redirect("batches:detail", number)
            if form.is_valid():
                context["preview_note"] = "A preview of what Execute would do. Nothing was changed."
                if form.goes_on and last is not None:
                    names = retries.retry_preview(last, form.names, options)
                    context["preview_note"] = f"Execute would retry: {', '.join(names)}. Nothing was changed."
        except BatchError as error:
            form.add_error(None, str(error))
        status = 400 if form.errors else 200
    try:
        plan = plan_execution(batch=batch, options=options)
        context |= {"plan_of_run": plan, "saving": saving_of(batch, plan), "expected_usd": cost_of(batch, plan)}
        context["told"] = told = forecast_of(batch, plan)
        context["expected_seconds"] = told.seconds if told else None
        context |= {"count": len(plan.phases), "stage_count": len(plan.stages)}
    except BatchError as error:
        if data is not None and "dry_run" in data and not form.errors:
            form.add_error(None, str(error))
            context.pop("preview_note", None)
            status = 400
        elif not form.errors:
            context["refusal"] = str(error)
    if last is None:  # later the base branch is no longer what the phases start from
        context["plan_review"] = review_of_text(batch.project, report_of(batch.plan), batch.plan.text)
    models = form.models(batch.project, list(left))
    context |= {"models": models, "uses_model": any(choice != "no model" for _, choice, _ in models)}
    context |= {"slots": options.max_parallel or batch.project.max_parallel, "budget": form.budget or batch.project.budget_usd}
    gates = [(phase.key, gate) for phase in batch.phases.prefetch_related("gates") for gate in phase.gates.all()]
    unchecked = sum(gate.kind == GateKind.UNVERIFIED for _, gate in gates)
    shown = [(key, gate, how_checked(gate.spec)) for key, gate in gates[:GATES_SHOWN]]
    context |= {"gates": shown, "gate_count": len(gates), "unchecked_gates": unchecked, "checked_gates": len(gates) - unchecked}
    return render(request, "plans/execute.html", context, status=status)


def execute_form(batch: Batch, data: Mapping[str, str] | None, initial: Mapping[str, str]) -> tuple[Execute, Run | None, QuerySet[Phase]]:
    """The form, the last execution, and the phases that remain."""
    last = batch.runs.executions().order_by("-number").first()
    again = list(last.tasks.filter(state__in=RETRYABLE_TASK_STATES)) if last is not None and not last.is_live else []
    left = batch.phases.exclude(tasks__run__operation="execute", tasks__state="succeeded")
    form = Execute(
        data,
        initial={"project": batch.project_id, "on_conflict": "warn", **_chosen_before(last), **initial},
        of=batch.project,
        stages=batch.stages.values_list("number", flat=True),
        phases=batch.phases.values_list("key", flat=True),
        again=[task.name for task in again],
        open_phases=[phase.key for phase in left],
    )
    return form, last, left


def execute_or_resume(batch: Batch, form: Execute, last: Run | None, actor: Actor) -> None:
    """Start a new run or resume the last one, as the valid form says. Raises ServiceError, PermissionDenied."""
    if not form.goes_on:
        execution.execute(batch=batch, actor=actor, options=form.options())
    elif form.names and last is not None:
        retries.retry(run=last, actor=actor, names=form.names, options=form.options())
    else:
        retries.resume(batch=batch, actor=actor, options=form.options())
