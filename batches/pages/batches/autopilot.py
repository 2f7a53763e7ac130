"""The autopilot's buttons on a batch's page: start it, resume it, end it."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST

from batches.core.engine.execute_options import ExecuteOptions
from batches.engine import autopilot
from batches.models import AutopilotRun
from batches.pages.batches.batch import find_batch, page_of
from batches.pages.common import act, actor_of


@require_POST
def start_autopilot(request: HttpRequest, number: int) -> HttpResponse:
    batch = find_batch(number)

    def verb() -> str:
        autopilot_run = autopilot.start(batch=batch, actor=actor_of(request), options=ExecuteOptions())
        return f"Autopilot started with run {autopilot_run.run.number} ({autopilot_run.run.get_operation_display()})."

    return act(request, verb, page_of(number))


@require_POST
def go_on(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    autopilot_run = get_object_or_404(AutopilotRun.objects.select_related("batch"), pk=pk, batch__number=number)

    def verb() -> str:
        autopilot.resume(autopilot_run=autopilot_run, actor=actor_of(request), reason=request.POST.get("reason", "")[:2000])
        return "Resumed."

    return act(request, verb, page_of(number))


@require_POST
def leave(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    autopilot_run = get_object_or_404(AutopilotRun.objects.select_related("batch"), pk=pk, batch__number=number)

    def verb() -> str:
        autopilot.stop(autopilot_run=autopilot_run, actor=actor_of(request))
        return "The autopilot has ended; the current run continues."

    return act(request, verb, page_of(number))
