"""The list of batches: filters with counts, search, order, views that a person saved, 50 per page."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.core.cache import cache
from django.core.paginator import Page, Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from batches.accounts.access import may
from batches.accounts.roles import CHANGE_PROJECT
from batches.core.engine.remaining import RemainingPhase
from batches.core.engine.states import Operation, RunState, TaskKind, TaskState, Waiting
from batches.core.gates.success import Success, accepted_words, success_words
from batches.core.metrics.durations import attempt_seconds, person_seconds, run_seconds, running_since
from batches.core.text.state_styles import style_name
from batches.metrics.successes import successes_of_batches
from batches.models import Attempt, Batch, Plan, Project, Run, Task
from batches.models.visibility import sight_key
from batches.pages.batches import list_queries
from batches.pages.batches.batch_states import batch_state
from batches.pages.batches.saved_views import own_views, query_of
from batches.pages.batches.time_left import TO_COME, TimeLeft, pace_of, time_left, usual_pace
from batches.pages.batches.tour import is_offered
from batches.pages.common import OPERATIONS, htmx
from batches.plans.versions import SAMPLE

PAGE_SIZE = 50
ALWAYS = ("all", "running", "failed", "done")  # filters that are shown even without matches
LIVE = (RunState.QUEUED, RunState.RUNNING)


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One batch of the list. Tokens and cost are None if unknown."""

    batch: Batch
    state: str
    word: str
    counts: dict[str, int]
    done: int
    total: int
    tokens: int | None
    cost: Decimal | None
    unpriced: int  # ended attempts whose cost nobody knows
    started_at: datetime | None
    seconds: float | None  # its duration, up to now while it goes on
    waited_for_person: float | None  # beside it
    clock_from: datetime | None  # from when a clock counts its duration; None: it stands still
    left: TimeLeft | None
    not_verified: str  # of an execution that succeeded: what is not green in it
    live: bool


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return redirect("batches:list")


@require_safe
def batch_list(request: HttpRequest) -> HttpResponse:
    """The page. For htmx, only what changed since version `v`, or 204. Polling never stops, because new batches may start."""
    polled, asked = bool(htmx(request)), request.GET.copy()
    seen = "".join(asked.pop("v", [])[-1:])
    request.GET = asked  # type: ignore[assignment]  # links and the next poll use the remaining parameters
    view, search, page = wanted_page(request)
    narrowed = list_queries.Narrowed.read(request.GET)
    batches = list(page.object_list)
    counts = _counts(search, narrowed, fresh=not polled)
    version = "-".join([*(f"{batch.pk}.{batch.version}" for batch in batches), *map(str, counts.values())])
    if polled and seen == version:
        return HttpResponse(status=204)
    rows = rows_of(batches)
    context = {
        "rows": rows,
        "page": page,
        "view": view,
        "search": search,
        "narrowed": narrowed,
        "operations": OPERATIONS,
        "sort": list_queries.read_sort(request.GET),
        "counts": counts,
        "views": [(name, counts[name]) for name in list_queries.VIEWS if counts[name] or name == view or name in ALWAYS],
        "version": version,
        "any_live": any(row.live for row in rows),
        "address": f"{request.path}?{asked.urlencode()}",
        "archivable": {batch.project_id for batch in batches if may(request.user, CHANGE_PROJECT, batch.project)},
        **({} if counts["all"] or asked else _first_steps()),
    }
    if not polled:
        context |= {"projects": Project.objects.values_list("slug", "name"), "people": list_queries.people(), "asked": bool(asked)}
        views, here = list(own_views(request)), query_of(asked)
        context["tour"] = is_offered(request, counts["all"])
        context |= {"saved_views": views, "here": here, "this_view": next((view for view in views if view.query == here), None)}
        return render(request, "batches/list.html", context)
    before = dict(part.split(".", 1) for part in seen.split("-") if "." in part)
    same_rows = list(before) == [str(batch.pk) for batch in batches]
    news = [row for row in rows if before.get(str(row.batch.pk)) != str(row.batch.version)] if same_rows else None
    return render(request, "batches/_list_of_batches_since.html", context | {"news": news})


def _counts(search: str, narrowed: list_queries.Narrowed, *, fresh: bool) -> dict[str, int]:
    """How many batches match each filter. Polls of the same search share the counts for one polling interval."""
    key = f"list-counts.{hashlib.sha256(f'{sight_key()} {search} {narrowed}'.encode(errors='replace')).hexdigest()}"
    known = None if fresh else cache.get(key)
    if known is None:
        known = list_queries.view_counts(narrowed.of(list_queries.search(Batch.objects.with_state(), search)))
        cache.set(key, known, settings.CE_POLL_SECONDS)
    return known


def wanted_page(request: HttpRequest) -> tuple[str, str, Page[Batch]]:
    """The filter, the search text and the page of batches that the request asks for."""
    view = request.GET.get("view", "all")
    view = view if view in list_queries.VIEWS else "all"
    search = request.GET.get("q", "")[:200]
    matching = list_queries.search(Batch.objects.with_state(), search)
    matching = list_queries.Narrowed.read(request.GET).of(matching)
    found = list_queries.in_order(list_queries.in_view(matching, view), list_queries.read_sort(request.GET)).select_related("project")
    return view, search, Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))


def rows_of(batches: Iterable[Batch]) -> list[BatchRow]:
    """The rows of these batches, which `with_state` has annotated."""
    batches, now = list(batches), timezone.now()
    phases, spent, left = list_queries.phase_counts(batches), list_queries.spent(batches), _times_left(batches, now)
    successes = successes_of_batches([batch.pk for batch in batches])
    rows = []
    for batch in batches:
        state, word = batch_state(batch.operation, batch.run_state, batch.run_paused, batch.run_stop_reason)
        kinds = successes.get(batch.pk, [])
        executed = batch.operation == Operation.EXECUTE and batch.run_state == RunState.SUCCEEDED
        not_verified = success_words(kinds) if executed else ""
        behind = not_verified or (accepted_words(kinds) if executed else "")
        counts: Counter[str] = Counter()
        done = phases.get(batch.pk, {}).get(TaskState.SUCCEEDED, 0)
        for task_state, number in phases.get(batch.pk, {}).items():
            counts[style_name(task_state)] += number
        for kind in kinds:
            counts[style_name(TaskState.SUCCEEDED)] -= 1
            counts[style_name(TaskState.SUCCEEDED if kind == Success.VERIFIED else kind)] += 1
        counts = +counts
        started, ended = batch.run_started_at, batch.run_ended_at
        person = person_seconds(batch.run_waited or {}, ended or now, batch.run_waiting_for or "", batch.run_waiting_since)
        clock_from = None
        if started is not None and ended is None and batch.run_waiting_for != Waiting.PERSON:
            clock_from = running_since(started, person)
        tokens, cost, unpriced = spent.get(batch.pk, (None, None, 0))
        rows.append(
            BatchRow(
                batch=batch,
                state=Success.NOT_VERIFIED if not_verified else state,
                word=f"succeeded, {behind}" if behind else word,
                counts=counts,
                done=done,
                total=sum(counts.values()),
                tokens=tokens,
                cost=cost,
                unpriced=unpriced,
                started_at=started,
                seconds=run_seconds(started, ended or now, person),
                waited_for_person=person if person >= 1 else None,
                clock_from=clock_from,
                left=left.get(batch.pk),
                live=batch.run_state in LIVE,
                not_verified=not_verified,
            )
        )
    return rows


def _times_left(batches: Iterable[Batch], now: datetime) -> dict[int, TimeLeft]:
    """{batch: approximate time left} for running executions, as on their pages. At most three queries."""
    running = (batch for batch in batches if batch.run_state == RunState.RUNNING and not batch.run_paused)
    executing = {batch.run_id: batch.pk for batch in running if batch.run_id is not None and batch.operation == Operation.EXECUTE}
    if not executing:
        return {}
    mattering = Q(outcome=Attempt.Outcome.SUCCEEDED) | Q(ended_at=None)
    attempts = Attempt.objects.filter(mattering, task__run__batch__in=executing.values(), task__kind=TaskKind.PHASE)
    attempts = attempts.filter(task__run__operation=Operation.EXECUTE)
    done: dict[int, list[tuple[float | None, float | None]]] = {}
    steps: dict[int, tuple[int | None, int | None, float]] = {}
    columns = ("task_id", "task__run__batch_id", "task__phase__hours", "launched_at", "ended_at", "step", "total_steps")
    for task, batch, hours, launched, ended, step, total in attempts.values_list(*columns):
        if ended is None:
            steps[task] = (step, total, max(0.0, (now - launched).total_seconds()))
        else:
            done.setdefault(batch, []).append((attempt_seconds(launched, ended), hours))
    left: dict[int, list[RemainingPhase]] = {}
    of_task = ("pk", "run_id", "phase__key", "stage__number", "phase__dependencies", "phase__hours")
    to_come = Task.objects.filter(run__in=executing, kind=TaskKind.PHASE, state__in=TO_COME).order_by("stage__number", "position")
    for task, run, key, stage, needs, hours in to_come.values_list(*of_task):
        left.setdefault(run, []).append(RemainingPhase.begun(key, stage, needs, hours, *steps.get(task, (None, None, None))))
    found = {}
    columns_of_run = ("max_parallel", "parallel_limit", "scheduling", "batch_id", "forecast_seconds", "forecast_hours")
    for run in Run.objects.filter(pk__in=executing).only(*columns_of_run):
        pace = pace_of(done.get(run.batch_id, []), usual_pace(run))
        if (one := time_left(left.get(run.pk, []), pace, slots=run.parallel, by_stage=run.scheduling == "stages")) is not None:
            found[run.batch_id] = one
    return found


def _first_steps() -> dict[str, object]:
    """What the empty list suggests: an existing plan, or adding a project."""
    sound = Plan.objects.filter(error_count=0).defer("text").order_by("pk")
    return {"sample": sound.filter(file_name=SAMPLE).first() or sound.first(), "has_project": Project.objects.exists()}
