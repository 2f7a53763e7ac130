"""The live page of a batch: the page, its updates for polls, a whole stage, the graph, the timeline."""

import time
from dataclasses import replace
from datetime import datetime

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from batches.accounts.access import may
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.remaining import longest_chain
from batches.core.engine.states import Operation
from batches.core.errors import ServiceError
from batches.core.metrics.types import BatchView
from batches.core.plans.graph_layout import lay_out
from batches.metrics import history
from batches.models import Batch, Project, Run, Task
from batches.pages.batches.batch_states import batch_state, latest_run, version_of
from batches.pages.batches.board import Board, read_board
from batches.pages.batches.live import STOP_POLLING, cached_fragments, fetch_page, remember, updates_since
from batches.pages.batches.timeline import ZOOMS
from batches.pages.common import htmx, read_number

STAGE_PAGE_SIZE = 100

# The live fragments of a batch's page: the id of each, and its template.
LIVE = {
    "announce": "batches/_announce_phases_done.html",
    "mark": "batches/_browser_tab.html",
    "head": "batches/_title_and_actions.html",
    "autopilot": "batches/_autopilot.html",
    "report": "batches/_run_report.html",
    "banners": "batches/_what_holds_it_up.html",
    "status": "batches/_done_cost_and_time_left.html",
    "gate-counts": "batches/_gates_and_verified.html",
    "attention": "batches/_needs_attention.html",
    "place": "batches/_against_forecast.html",
    "issues": "batches/_linear_issues.html",
    "conflicts": "batches/_file_conflicts.html",
}


def find_batch(number: int) -> Batch:
    return get_object_or_404(Batch.objects.select_related("project", "plan", "created_by"), number=number)


def page_of(number: int) -> str:
    """The address of a batch's page."""
    return reverse("batches:detail", args=[number])


def run_of(batch: Batch) -> Run:
    """The newest run of a batch. Raises ServiceError before the first."""
    run = latest_run(batch)
    if run is None:
        raise ServiceError(f"Batch {batch.number} has not been started yet.")
    return run


def may_execute(request: HttpRequest, project: Project) -> bool:
    return may(request.user, EXECUTE_BATCH, project)


@require_safe
def batch_detail(request: HttpRequest, number: int) -> HttpResponse:
    batch = find_batch(number)
    run = latest_run(batch)
    now = timezone.now()
    version = version_of(batch, run, now)
    executes, began = may_execute(request, batch.project), time.monotonic()
    fragments = fragments_of(batch, run, now, version, executes)
    remember(cache_key(batch.pk, batch.created_at, executes), version, fragments, time.monotonic() - began)
    context = {"batch": batch, "run": run, "version": version, "now": now, "live": not version.endswith("-end"), "fragments": fragments}
    context["over"] = version.endswith("-end")
    context["state"] = batch_state(run.operation, run.state, run.paused, run.stop_reason)[0] if run else "planned"
    return render(request, "batches/batch.html", context)


@require_safe
def progress(request: HttpRequest, number: int) -> HttpResponse:
    """What changed since version `v`: 204 if nothing did, 286 with the last changes after the run has ended."""
    known = Batch.objects.select_related("project").only("number", "created_at", "project__members_only").filter(number=number).first()
    if known is None:
        raise Http404
    executes, seen = may_execute(request, known.project), request.GET.get("v", "")

    def refresh() -> tuple[str, dict[str, str]]:
        batch = find_batch(number)
        run, now = latest_run(batch), timezone.now()
        version = version_of(batch, run, now)
        return version, fragments_of(batch, run, now, version, executes)

    key = cache_key(known.pk, known.created_at, executes)
    page = fetch_page(key, seen, refresh)
    over = page.version.endswith("-end")
    if seen == page.version:
        return HttpResponse(status=STOP_POLLING if over else 204)
    context = {"fragments": updates_since(key, seen, page), "version": page.version, "batch": known}
    context["restarts"] = seen.endswith("-end") and not over
    return HttpResponse(render_to_string("batches/_progress.html", context), status=STOP_POLLING if over else 200)


def tab_head(request: HttpRequest, batch: Batch) -> dict[str, object]:
    """What each tab of a batch begins with: its name, state and verbs, as the first tab shows them."""
    run, now = latest_run(batch), timezone.now()
    version = version_of(batch, run, now)
    return {"fragments": fragments_of(batch, run, now, version, may_execute(request, batch.project))}


def cache_key(pk: int, created_at: datetime, executes: bool) -> str:
    """The cache key of a batch; it is also unique after the database was recreated."""
    return f"batch.{pk}.{created_at.timestamp()}.{int(executes)}"


def fragments_of(batch: Batch, run: Run | None, now: datetime, version: str, executes: bool) -> dict[str, str]:
    """{name: markup} of all live fragments of the page."""
    key = cache_key(batch.pk, batch.created_at, executes)
    return cached_fragments(key, version, lambda: render_fragments(read_board(batch, run, now), executes))


def render_fragments(board: Board, executes: bool) -> dict[str, str]:
    context = {"board": board, "mark": board.mark, "batch": board.batch, "run": board.run, "executes": executes, "place": place_of(board)}
    fragments: dict[str, str] = {name: render_to_string(template, context) for name, template in LIVE.items()}
    for stage in board.stages:
        name = f"stage-{stage.stage.number}"
        fragments[name] = render_to_string("batches/_stage.html", context | {"stage": stage})
        for card in stage.open_cards:
            fragments[f"{name}/{card.element_id}"] = render_to_string("batches/_phase_card.html", context | {"card": card})
    fragments["timeline"] = render_to_string("batches/_timeline.html", context)
    fragments["log"] = render_to_string("batches/_log_of_running_phases.html", context)
    return fragments


def place_of(board: Board) -> BatchView | None:
    """The latest execution compared with others of its project; None while it runs and for other operations."""
    if board.run is None or board.is_live or board.run.operation != Operation.EXECUTE:
        return None
    return next(iter(history.read_batches([board.batch.number])), None)


@require_safe
def stage_detail(request: HttpRequest, number: int, stage_number: int) -> HttpResponse:
    """All phases of one stage, 100 per page, for stages that are too large for the batch's page."""
    batch = find_batch(number)
    stage = get_object_or_404(batch.stages, number=stage_number)
    board = read_board(batch, latest_run(batch), timezone.now(), with_log=False)
    card = next(card for card in board.stages if card.stage.pk == stage.pk)
    page = Paginator(card.cards, STAGE_PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "batches/stage.html", {"batch": batch, "board": board, "stage": card, "page": page})


@require_safe
def graph(request: HttpRequest, number: int) -> HttpResponse:
    """The graph of stages with their states: a fragment for htmx, otherwise a page."""
    batch = find_batch(number)
    board = read_board(batch, latest_run(batch), timezone.now(), with_log=False)
    cards = {card.phase.key: card for card in board.cards}
    stages = [[card.phase.key for card in stage.cards] for stage in board.stages]
    path = board.critical_path or planned_path(board)
    chosen = dict(Task.objects.filter(pk__in=[card.task.pk for card in board.cards if card.task]).values_list("name", "after"))
    layout = lay_out(stages, {key: card.phase.dependencies for key, card in cards.items()}, list(path), chosen)
    context = {"batch": batch, "board": board, "layout": layout, "cards": cards}
    if htmx(request):
        return render(request, "parts/_graph.html", context)
    return render(request, "batches/graph.html", context | tab_head(request, batch))


@require_safe
def timeline(request: HttpRequest, number: int) -> HttpResponse:
    """The timeline, `zoom` times as wide as the page: a fragment for htmx, otherwise a page."""
    batch = find_batch(number)
    board = read_board(batch, latest_run(batch), timezone.now(), with_log=False)
    wanted = read_number(request.GET.get("zoom"))
    drawn = replace(board.timeline, zoom=wanted if wanted in ZOOMS else 1)
    context = {"batch": batch, "timeline": drawn}
    if htmx(request):
        return render(request, "batches/_timeline_whole.html", context)
    return render(request, "batches/timeline.html", context | tab_head(request, batch))


def planned_path(board: Board) -> tuple[str, ...]:
    """The plan's longest chain by hours, for when nothing remains to be done."""
    return longest_chain([card.part for card in board.cards])[0]
