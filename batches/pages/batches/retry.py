"""The buttons that retry: all failed phases, or one."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.engine import retries
from batches.engine.diff_comments import told_comments
from batches.models import Phase, Task
from batches.pages.batches.batch import find_batch, page_of, run_of
from batches.pages.common import act, actor_of


@require_POST
def retry(request: HttpRequest, number: int) -> HttpResponse:
    batch = find_batch(number)

    def verb() -> str:
        return _opened(retries.retry(run=run_of(batch), actor=actor_of(request)))

    return act(request, verb, page_of(number))


@require_POST
def retry_task(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    batch = find_batch(number)
    task = get_object_or_404(Task.objects.select_related("run__batch", "phase"), pk=pk, run__batch=batch)

    def verb() -> str:
        return _opened(retries.retry_task(task=task, actor=actor_of(request), **_how(request, task.phase, pk)))

    page = page_of(number)
    if task.phase is not None and "/phases/" in request.headers.get("Referer", ""):
        page = reverse("batches:phase", args=[number, task.phase.key])
    return act(request, verb, page)


def _how(request: HttpRequest, phase: Phase | None, pk: int) -> dict[str, Any]:
    """How to retry a phase: in its session or afresh, and what its agent is told first: a remark, open comments."""
    remark = request.POST.get("remark") or request.POST.get(f"remark-{pk}", "")
    if request.POST.get("comments") and phase is not None:
        remark = f"{remark.strip()}\n\n{told_comments(phase)}"
    return {"resume_session": request.POST.get("session") == "resume", "remark": remark}


def _opened(tasks: list[Task]) -> str:
    return f"Will be retried: {', '.join(task.name for task in tasks)}."
