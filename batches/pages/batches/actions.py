"""The buttons of a batch's page: each calls one service."""

from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from batches.accounts.actor import Actor
from batches.accounts.rights import refusal
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.engine.states import RETRYABLE_TASK_STATES
from batches.core.errors import BatchError, ServiceError
from batches.core.gates.binding import GateKind, how_checked
from batches.core.text import words
from batches.engine import autopilot, execution, generation, retries, run_control
from batches.engine.diff_comments import told_comments
from batches.engine.execution_plan import cost_of, forecast_of, plan_execution, saving_of
from batches.models import AutopilotRun, Batch, Conflict, Phase, Plan, Run, Task
from batches.pages.batches.batch_states import latest_run
from batches.pages.batches.detail import find_batch, may_execute
from batches.pages.common import act, actor_of
from batches.pages.forms import KEPT_CHOICES, Execute
from batches.plans.services import report_of
from batches.review.plans import review_of_text

GATES_SHOWN = 300


def _page(number: int) -> str:
    return reverse("batches:detail", args=[number])


def _run_of(batch: Batch) -> Run:
    run = latest_run(batch)
    if run is None:
        raise ServiceError(f"Batch {batch.number} has not been started yet.")
    return run


@require_POST
def start_autopilot(request: HttpRequest, number: int) -> HttpResponse:
    batch = find_batch(number)

    def verb() -> str:
        autopilot_run = autopilot.start(batch=batch, actor=actor_of(request), options=ExecuteOptions())
        return f"Autopilot started with run {autopilot_run.run.number} ({autopilot_run.run.get_operation_display()})."

    return act(request, verb, _page(number))


@require_POST
def go_on(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    autopilot_run = get_object_or_404(AutopilotRun.objects.select_related("batch"), pk=pk, batch__number=number)

    def verb() -> str:
        autopilot.resume(autopilot_run=autopilot_run, actor=actor_of(request), reason=request.POST.get("reason", "")[:2000])
        return "Resumed."

    return act(request, verb, _page(number))


@require_POST
def leave(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    autopilot_run = get_object_or_404(AutopilotRun.objects.select_related("batch"), pk=pk, batch__number=number)

    def verb() -> str:
        autopilot.stop(autopilot_run=autopilot_run, actor=actor_of(request))
        return "The autopilot has ended; the current run continues."

    return act(request, verb, _page(number))


def _of_the_run(service: Callable[..., object], said: str) -> Callable[[HttpRequest, int], HttpResponse]:
    """The page that asks `service` of the batch's newest run, and then says `said`."""

    @require_POST
    def page(request: HttpRequest, number: int) -> HttpResponse:
        batch = find_batch(number)

        def verb() -> str:
            service(run=_run_of(batch), actor=actor_of(request))
            return said

        return act(request, verb, _page(number))

    return page


pause = _of_the_run(run_control.pause, "Paused: running phases finish, and no new ones start.")
unpause = _of_the_run(run_control.unpause, "Resumed.")
try_now = _of_the_run(run_control.try_now, "It is being tried; the batch continues if it works.")
cancel = _of_the_run(run_control.cancel, "Cancelling: all running phases are being stopped.")


@require_POST
def retry(request: HttpRequest, number: int) -> HttpResponse:
    batch = find_batch(number)

    def verb() -> str:
        return _opened(retries.retry(run=_run_of(batch), actor=actor_of(request)))

    return act(request, verb, _page(number))


@require_POST
def retry_task(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    batch = find_batch(number)
    task = get_object_or_404(Task.objects.select_related("run__batch", "phase"), pk=pk, run__batch=batch)

    def verb() -> str:
        return _opened(retries.retry_task(task=task, actor=actor_of(request), **_how(request, task.phase, pk)))

    page = _page(number)
    if task.phase is not None and "/phases/" in request.headers.get("Referer", ""):
        page = reverse("batches:phase", args=[number, task.phase.key])
    return act(request, verb, page)


def _how(request: HttpRequest, phase: Phase | None, pk: int) -> dict[str, Any]:
    """How a phase is to be retried: in its session or afresh, and what its agent is told first: a remark, open comments."""
    remark = request.POST.get("remark") or request.POST.get(f"remark-{pk}", "")
    if request.POST.get("comments") and phase is not None:
        remark = f"{remark.strip()}\n\n{told_comments(phase)}"
    return {"resume_session": request.POST.get("session") == "resume", "remark": remark}


def _opened(tasks: list[Task]) -> str:
    return f"Will be retried: {', '.join(task.name for task in tasks)}."


@require_POST
def regenerate(request: HttpRequest, number: int) -> HttpResponse:
    """Regenerate from the latest version of the plan."""
    batch = find_batch(number)

    def verb() -> str:
        plan = Plan.objects.series_of(batch.plan).order_by("-version")[0]
        run = generation.regenerate(batch=batch, plan=plan, actor=actor_of(request))
        return f"Run {run.number} regenerates the PRPs from version {plan.version} of the plan."

    return act(request, verb, _page(number))


@require_POST
def request_issues(request: HttpRequest, number: int) -> HttpResponse:
    batch = find_batch(number)

    def verb() -> str:
        number_of_issues = generation.request_issues(batch=batch, actor=actor_of(request))
        return f"{words.counted(number_of_issues, 'Linear issue')} will be created within seconds."

    return act(request, verb, _page(number))


@require_POST
def decide(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    conflict = get_object_or_404(Conflict, pk=pk, batch__number=number)

    def verb() -> str:
        execution.decide_conflict(conflict=conflict, decision=request.POST.get("decision", ""), actor=actor_of(request))
        return f"Decided for {conflict.file}."

    return act(request, verb, _page(number))


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
