"""The JSON API (docs/api.md): the pages' data and actions, for programs with a person's token.

Every response is a JSON object. An error is {"error": SENTENCE} with a matching status. The services check permissions, as
they do for pages. Cookies are ignored, so that other sites cannot act for a signed-in person.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import Resolver404, resolve, reverse
from django.utils import timezone

from batches.accounts import api_tokens
from batches.accounts.access import sight_of
from batches.accounts.actor import Actor
from batches.accounts.client_address import address_of
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.engine.states import RunState
from batches.core.errors import BatchError, ServiceError, WrongChoice
from batches.core.metrics.text import trends_text
from batches.core.metrics.types import Filters
from batches.core.plans.analysis import DocumentReport, analyse_document
from batches.engine import generation, reporting, retries, run_control, verifications
from batches.gates.sign_offs import REASON_CHARACTERS, accept_phase
from batches.metrics import history
from batches.models import ApiToken, Batch, Phase, Plan, Project, Run
from batches.models.visibility import seeing, sees_nothing
from batches.pages.batches.actions import execute_form, execute_or_resume
from batches.pages.batches.batch_list import BatchRow, rows_of, wanted_page
from batches.pages.batches.batch_states import latest_run
from batches.pages.batches.detail import find_batch
from batches.plans.services import import_plan, report_of
from batches.review.plans import review_of_text

Answer = Callable[..., JsonResponse]
DEPRECATED_SINCE = "@1795824000"  # 2026-11-28, as RFC 9745 writes it: since then /api/v1/ answers the same
BODY_BYTES = 64 * 1024  # for a JSON object; plans have their own limit


class BadRequest(Exception):
    """The request is not valid; the message is for the author of the program."""


class Endpoint:
    """A view for these methods (GET=, POST=) that requires a valid token. The functions get (request, actor, …)."""

    csrf_exempt = True
    login_required = False  # a token is required instead

    def __init__(self, methods: Mapping[str, Answer]) -> None:
        self.methods = methods

    def __call__(self, request: HttpRequest, **where: Any) -> HttpResponse:
        said = for_token(request, lambda token: self.answer(request, Actor.program(token), where), _error)
        if (successor := _successor(request.path)) is not None:
            said.headers["Deprecation"] = DEPRECATED_SINCE
            said.headers["Link"] = f'<{quote(successor)}>; rel="successor-version"'
        return said

    def answer(self, request: HttpRequest, actor: Actor, where: Mapping[str, Any]) -> JsonResponse:
        """The answer for `actor`, who is known by now."""
        function = self.methods.get("GET" if request.method == "HEAD" else request.method or "")
        if function is None:
            error = f"Method not allowed; use {' or '.join(self.methods)}."
            return JsonResponse({"error": error}, status=405, headers={"Allow": ", ".join(self.methods)})
        return _guarded(function, request, actor, where)


def for_token(
    request: HttpRequest, answer: Callable[[ApiToken], HttpResponse], error: Callable[[int, str, Mapping[str, str]], HttpResponse]
) -> HttpResponse:
    """What `answer` says to the request's token, within what its person may see; else an `error`: status, sentence, headers."""
    try:
        token = _token(request)
    except api_tokens.TooManyBadTokens as wait:
        return error(429, str(wait), {"Retry-After": str(wait.retry_seconds)})
    if token is None:
        said = "Send a valid token: Authorization: Bearer TOKEN. Create one on the page Your account."
        return error(401, said, {"WWW-Authenticate": 'Bearer realm="CE Web"'})
    request.user = token.user
    with seeing(sight_of(token.user, token)):
        if sees_nothing():
            return error(403, "This token's person has no role, or may not see its project.", {})
        return answer(token)


def _successor(path: str) -> str | None:
    """The address of version 1 that answers the same; None without one: then this address is not deprecated."""
    successor = path.replace("/api/", "/api/v1/", 1)
    try:
        resolve(successor)
    except Resolver404:
        return None
    return successor


def _error(status: int, sentence: str, headers: Mapping[str, str]) -> HttpResponse:
    return JsonResponse({"error": sentence}, status=status, headers=dict(headers))


def endpoint(**methods: Answer) -> Endpoint:
    return Endpoint(methods)


def _guarded(function: Answer, request: HttpRequest, actor: Actor, where: Mapping[str, Any]) -> JsonResponse:
    try:
        return function(request, actor, **where)
    except (BadRequest, WrongChoice) as error:
        return JsonResponse({"error": str(error)}, status=400)
    except PermissionDenied as error:
        return JsonResponse({"error": str(error) or "You may not do this."}, status=403)
    except Http404 as error:  # Django's text says of which table
        return JsonResponse({"error": f"Not found. {error}".strip()}, status=404)
    except RequestDataTooBig:
        return JsonResponse({"error": "The request is too large."}, status=413)
    except BatchError as error:
        return JsonResponse({"error": str(error)}, status=409)


def _token(request: HttpRequest) -> ApiToken | None:
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer":
        return None
    return api_tokens.token_of(text.strip(), address=address_of(request), now=timezone.now())


def body_of(request: HttpRequest, *names: str, most: int = BODY_BYTES) -> dict[str, Any]:
    """The body, of at most `most` bytes, as a JSON object with no members but `names`; an empty body is {}. Raises BadRequest."""
    if len(request.body) > most:
        raise RequestDataTooBig
    try:
        data = json.loads(request.body or b"{}", parse_constant=_no_constant)
        text = json.dumps(data, ensure_ascii=False)
        text.encode()  # half a surrogate pair is not valid text
        if "\\u0000" in text.replace("\\\\", ""):
            raise ValueError("it contains a NUL character")
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body is not valid JSON: {error}.") from None
    if not isinstance(data, dict):
        raise BadRequest("The body must be a JSON object.")
    if unknown := sorted(set(data) - set(names)):
        raise BadRequest(f"Unknown members: {', '.join(unknown)}. Known: {', '.join(names) or 'none'}.")
    return data


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not valid JSON")


# Batches


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


EXECUTE_NAMES = (
    *("what", "backend", "max_parallel", "timeout_minutes", "scheduling", "on_conflict", "fail_fast"),
    *("model", "retry_model", "repairs", "models", "budget_usd", "phase_cap_usd"),
)


def execute(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """Execute, with the fields of the confirmation page: "what" is "", "resume", "retry:2a", "stage:2" or "phase:2a"."""
    found, data = find_batch(number), body_of(request, *EXECUTE_NAMES)
    actor.require(EXECUTE_BATCH, found.project)
    models = data.pop("models", {})
    if not isinstance(models, dict):
        raise BadRequest("models must be an object: {phase key: model}.")
    fields = {name: "" if value is None else str(value).lower() if isinstance(value, bool) else str(value) for name, value in data.items()}
    fields |= {f"model-{key}": str(value) for key, value in models.items()} | {"project": str(found.project_id)}
    form, last, _left = execute_form(found, fields, {})
    if unknown := sorted(name for name in fields if name not in form.fields):
        raise BadRequest(f"These phases cannot be given a model: {', '.join(name.removeprefix('model-') for name in unknown)}.")
    if not form.is_valid():
        raise BadRequest(" ".join(f"{name}: {' '.join(map(str, errors))}" for name, errors in form.errors.items()))
    execute_or_resume(found, form, last, actor)
    return accepted(request, found, _last_run(found))


def retry(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """Retry phases of the last run by key, or all failed ones, with those that they blocked."""
    found, data = find_batch(number), body_of(request, "phases", "remark", "keep_session")
    names = data.get("phases", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadRequest("phases must be a list of phase keys.")
    run = _last_run(found)
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
    run = _last_run(found)
    run_control.cancel(run=run, actor=actor)
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


def _last_run(found: Batch) -> Run:
    run = latest_run(found)
    if run is None:
        raise ServiceError(f"Batch {found.number} has no run.")
    return run


def accepted(request: HttpRequest, found: Batch, run: Run, *, status: int = 202, **more: object) -> JsonResponse:
    url = request.build_absolute_uri(reverse("batches:detail", args=[found.number]))
    about = {"batch_id": found.number, "run": run.number, "operation": run.operation, "state": run.state, "url": url}
    return JsonResponse(about | more, status=status)


# Plans


def plan(request: HttpRequest, actor: Actor, pk: int) -> JsonResponse:
    """A saved version of a plan: its text, its faults, and what a review says of it."""
    found = get_object_or_404(Plan.objects.select_related("project"), pk=pk)
    return JsonResponse(plan_json(request, found) | {"text": found.text})


def plan_json(request: HttpRequest, found: Plan) -> dict[str, object]:
    """What the API says of a saved plan: title, version, address, faults and review."""
    report = report_of(found)
    return {
        "plan": found.pk,
        "title": found.title,
        "version": found.version,
        "project": found.project.slug if found.project else None,
        "url": request.build_absolute_uri(reverse("batches:plan_detail", args=[found.pk])),
        **_faults(report),
        "review": review_of_text(found.project, report, found.text).to_json(),
    }


def plans(request: HttpRequest, actor: Actor) -> JsonResponse:
    """Import the plan in the body, even with errors, for ?project= (a slug) and named ?file_name=."""
    project = project_named(request.GET.get("project"))
    name = request.GET.get("file_name", "")[:255]
    return JsonResponse(
        plan_json(request, import_plan(text=_plan_bytes(request), file_name=name, project=project, actor=actor)), status=201
    )


def validate(request: HttpRequest, actor: Actor) -> JsonResponse:
    """Errors and warnings of the plan in the body, and with ?project= its review. Nothing is saved."""
    found = analyse_document(_plan_bytes(request), settings.CE_UPLOAD_BYTES)
    return JsonResponse(_faults(found) | _reviewed(request, found))


def analyze(request: HttpRequest, actor: Actor) -> JsonResponse:
    """What `analyze --json` prints for the plan in the body, with ?project= as with --project. Nothing is saved."""
    found = analyse_document(_plan_bytes(request), settings.CE_UPLOAD_BYTES)
    return JsonResponse(found.to_json() | _reviewed(request, found))


def _reviewed(request: HttpRequest, found: DocumentReport) -> dict[str, object]:
    project = project_named(request.GET.get("project"))
    if project is None:
        return {}
    text = request.body.decode("utf-8", "replace").removeprefix("\ufeff")
    return {"review": review_of_text(project, found, text).to_json()}


def _faults(found: DocumentReport) -> dict[str, object]:
    whole = found.to_json()
    return {"valid": found.is_valid} | {name: whole[name] for name in ("errors", "warnings", "conflicts")}


def _plan_bytes(request: HttpRequest) -> bytes:
    if len(request.body) > settings.CE_UPLOAD_BYTES:
        raise RequestDataTooBig
    if not request.body:
        raise BadRequest("The body must be the plan: curl --data-binary @PLAN.md")
    return request.body


# Projects and metrics


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


def project_named(slug: object) -> Project | None:
    """The project with this slug; None if it is empty. Raises BadRequest, Http404."""
    if slug is None or slug == "":
        return None
    if not isinstance(slug, str):
        raise BadRequest("project must be the slug of a project.")
    return get_object_or_404(Project, slug=slug)


def yes_or_no(data: Mapping[str, Any], name: str) -> bool:
    value = data.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false.")
    return value
