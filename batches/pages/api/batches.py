"""The JSON API: batches, what is done with them, and their verification (docs/api.md)."""

from typing import Any

from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.engine.states import RunState
from batches.core.errors import NothingToDo
from batches.engine import generation, pause_and_cancel, reporting, retries, verifications
from batches.engine.execution_plan import plan_execution
from batches.engine.execution_preview import preview_lines
from batches.engine.try_now import try_now as try_run_now
from batches.gates.sign_offs_and_acceptances import REASON_CHARACTERS, accept_phase
from batches.models import Batch, Phase, Plan, Run
from batches.pages.api.endpoint import BadRequest, accepted, body_of, last_run, project_named, yes_or_no
from batches.pages.batches.batch import find_batch
from batches.pages.batches.batch_list import BatchRow, rows_of, wanted_page
from batches.pages.batches.execute import execute_form, execute_or_resume
from batches.pages.plans.execute_form import Execute

EXECUTE_NAMES = (
    *("what", "backend", "max_parallel", "timeout_minutes", "scheduling", "on_conflict", "fail_fast"),
    *("model", "retry_model", "repairs", "models", "budget_usd", "phase_cap_usd", "host"),
)


def batches(request: HttpRequest, actor: Actor) -> JsonResponse:
    _view, _search, page = wanted_page(request)
    return JsonResponse(
        {
            "count": page.paginator.count,
            "page": page.number,
            "pages": page.paginator.num_pages,
            "batches": [row_json(request, row) for row in rows_of(page.object_list)],
        }
    )


def row_json(request: HttpRequest, row: BatchRow) -> dict[str, Any]:
    """One batch of a list."""
    return {
        "batch_id": row.batch.number,
        "title": row.batch.title,
        "project": row.batch.project.slug,
        "state": RunState.SUCCEEDED if row.not_verified else row.state,
        "not_verified": row.not_verified,
        "detail": row.word,
        "phases_done": row.done,
        "phases": row.total,
        "tokens_used": row.tokens,
        "cost_usd": None if row.cost is None else float(row.cost),
        "unpriced": row.unpriced,
        "started_at": row.started_at,
        "elapsed_seconds": row.seconds,
        "waited_for_person_seconds": row.waited_for_person,
        "seconds_left": None if row.left is None else row.left.seconds,
        "url": request.build_absolute_uri(reverse("batches:detail", args=[row.batch.number])),
    }


def new_batch(request: HttpRequest, actor: Actor) -> JsonResponse:
    """Generate a batch from an imported plan. "execute" also executes it; "autopilot" runs all operations."""
    data = body_of(request, "plan", "project", "execute", "autopilot")
    plan = Plan.objects.filter(pk=data["plan"]).first() if type(data.get("plan")) is int else None  # True is no id
    if plan is None:
        raise BadRequest("plan must be the id of an imported plan.")
    project = project_named(data.get("project")) or plan.project
    if project is None:
        raise BadRequest("The plan has no project: give one as project.")
    whole = yes_or_no(data, "autopilot")
    then = ExecuteOptions() if whole or yes_or_no(data, "execute") else None
    batch = generation.generate(plan=plan, project=project, actor=actor, then=then, full_autopilot=whole)
    return accepted(request, batch, batch.runs.latest("number"), status=201)


def batch(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """What `batch_status --json` prints; with ?text=1 also its `text`."""
    found, result = reporting.status_of(find_batch(number))
    more = {"text": reporting.status_text(found, result, timezone.now())} if request.GET.get("text") else {}
    return JsonResponse(result | more)


def report(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """The report of the latest run that has one, or null."""
    runs = find_batch(number).runs.filter(reported_at__isnull=False).defer("result")
    run = runs.executions().order_by("-number").first() or runs.order_by("-number").first()
    text = {} if run is None else {"run": run.number, "operation": run.operation, "reported_at": run.reported_at}
    return JsonResponse({"batch_id": number, **text, "report": run.report if run else None})


def execute(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """Execute, with the fields of the confirmation page: "what" is "", "resume", "retry:2a", "stage:2" or "phase:2a"."""
    found = find_batch(number)
    form, last = _execute_form_of(request, actor, found)
    execute_or_resume(found, form, last, actor)
    return accepted(request, found, last_run(found))


def preview(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """What `execute` would do with the same body, as lines and by stage; changes nothing."""
    found = find_batch(number)
    form, last = _execute_form_of(request, actor, found)
    if form.goes_on and last is not None:
        names = retries.retry_preview(last, form.names, form.options())
        if not names:
            raise NothingToDo(f"Nothing to do: batch {number} has nothing that failed, was blocked or cancelled.")
        return JsonResponse({"batch_id": number, "lines": [f"Would try again: {', '.join(names)}"], "phases": list(names)})
    plan = plan_execution(batch=found, options=form.options())
    return JsonResponse({"batch_id": number, "lines": preview_lines(found, plan), "phases": [phase.key for phase in plan.phases]})


def try_now(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """Try at once the machine or the provider that the last run waits for."""
    found = find_batch(number)
    run = last_run(found)
    try_run_now(run=run, actor=actor)
    return accepted(request, found, run)


def _execute_form_of(request: HttpRequest, actor: Actor, found: Batch) -> tuple[Execute, Run | None]:
    """The confirmation page's form, filled from the body, and the last execution. Raises BadRequest, PermissionDenied."""
    data = body_of(request, *EXECUTE_NAMES)
    actor.require(EXECUTE_BATCH, found.project)
    models = data.pop("models", {})
    if not isinstance(models, dict):
        raise BadRequest("models must be an object: {phase key: model}.")
    fields = {name: "" if value is None else str(value).lower() if isinstance(value, bool) else str(value) for name, value in data.items()}
    fields |= {f"model-{key}": str(value) for key, value in models.items()} | {"project": str(found.project_id)}
    form, last, _left = execute_form(found, fields, {})
    if not fields.get("host"):
        fields.pop("host", None)
    elif "host" not in form.fields:
        raise BadRequest("The project names no worker hosts: it runs on the main host.")
    if unknown := sorted(name for name in fields if name not in form.fields):
        raise BadRequest(f"These phases cannot be given a model: {', '.join(name.removeprefix('model-') for name in unknown)}.")
    if not form.is_valid():
        raise BadRequest(" ".join(f"{name}: {' '.join(map(str, errors))}" for name, errors in form.errors.items()))
    return form, last


def retry(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """Retry phases of the last run by key, or all failed ones, with those that they blocked."""
    found, data = find_batch(number), body_of(request, "phases", "remark", "keep_session")
    names = data.get("phases", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadRequest("phases must be a list of phase keys.")
    run = last_run(found)
    remark = data.get("remark", "")
    if not isinstance(remark, str):
        raise BadRequest("remark must be text: what the agents are told first.")
    if remark and not names:
        raise BadRequest("A remark is for phases that are named: give them as phases.")
    opened = retries.retry(run=run, actor=actor, names=names, remark=remark, resume_session=yes_or_no(data, "keep_session"))
    run.refresh_from_db()
    return accepted(request, found, run, phases=[task.name for task in opened])


def cancel(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    found, _ = find_batch(number), body_of(request)
    run = last_run(found)
    pause_and_cancel.cancel(run=run, actor=actor)
    return accepted(request, found, run)


def accept(request: HttpRequest, actor: Actor, number: int, key: str) -> JsonResponse:
    """Accept a phase that succeeded, and is not green, as it is: {"reason": what was looked at}."""
    found, data = find_batch(number), body_of(request, "reason")
    phase = get_object_or_404(Phase, batch=found, key=key)
    reason = data.get("reason", "")
    if not isinstance(reason, str):
        raise BadRequest("reason must be text: what you looked at.")
    made = accept_phase(phase=phase, reason=reason[:REASON_CHARACTERS], actor=actor)
    about = {"batch_id": number, "phase": key, "accepted": made.accepted, "accepted_by": made.name, "accepted_at": made.at}
    return JsonResponse(about, status=201)


def verification(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """How far the latest verification is, and what it found."""
    return JsonResponse(_verification(find_batch(number)))


def verify(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """Judge all recorded gates once more (docs/verify.md)."""
    found, _ = find_batch(number), body_of(request)
    verifications.ask_verification(batch=found, actor=actor)
    return JsonResponse(_verification(found), status=202)


def verify_stop(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    found, _ = find_batch(number), body_of(request)
    verifications.stop_verification(batch=found, actor=actor)
    return JsonResponse(_verification(found), status=202)


def _verification(found: Batch) -> dict[str, object]:
    """`state` is none, running, agrees, differs, or failed with a `problem`; `document` is that of `manage.py verify --json`."""
    one = verifications.latest_verification(found)
    if one is None:
        return {"batch_id": found.number, "state": "none"}
    ended = "failed" if one.agrees is None else "agrees" if one.agrees else "differs"
    return {
        "batch_id": found.number,
        "state": "running" if one.is_open else ended,
        "asked_by": one.cause,
        "asked_at": one.asked_at,
        "ended_at": one.ended_at,
        "stopped_by": one.stopped_by or None,
        "progress": one.progress,
        "problem": one.problem or None,
        "document": one.result,
    }
