"""The merge conflict of one phase: both sides, and three ways to continue."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from batches.accounts.rights import refusal
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.errors import BatchError, WrongChoice
from batches.engine import conflict_resolutions, retries
from batches.engine.conflict_resolutions import conflict_of, drop_phase
from batches.models import Conflict, Phase, Task
from batches.pages.batches.batch import find_batch, may_execute, page_of
from batches.pages.batches.batch_states import latest_run
from batches.pages.common import act, actor_of


@require_http_methods(["GET", "HEAD", "POST"])
def conflict(request: HttpRequest, number: int, key: str) -> HttpResponse:
    """The page. A POST with `choice` retry, take or drop performs it."""
    batch = find_batch(number)
    phase = get_object_or_404(Phase, batch=batch, key=key)
    newest = Task.objects.newest_of(batch, latest_run(batch)).filter(phase=phase).select_related("run__batch__project").last()
    task = get_object_or_404(Task.objects.select_related("run__batch__project"), pk=newest.pk if newest else 0)
    if request.method == "POST":
        if not may_execute(request, batch.project):
            raise PermissionDenied(refusal("Resolving a conflict", EXECUTE_BATCH))
        done = request.POST.get("choice") != "take"
        page = reverse("batches:phase", args=[number, key])
        return act(request, lambda: _choose(request, task), page if done else f"{page}conflict/")
    context: dict[str, object] = {"batch": batch, "phase": phase, "task": task, "executes": may_execute(request, batch.project)}
    try:
        context["view"] = conflict_of(task)
    except BatchError as error:
        context["problem"] = str(error)
    return render(request, "batches/conflict.html", context)


def _choose(request: HttpRequest, task: Task) -> str:
    choice = request.POST.get("choice", "")
    if choice == "retry":
        names = ", ".join(one.name for one in retries.retry_task(task=task, actor=actor_of(request)))
        return f"Will be retried on top of what is merged: {names}."
    if choice == "take":
        retries.take_resolution(task=task, commit=request.POST.get("commit", "")[:200], actor=actor_of(request))
        return "Taken. Its gates are being judged; if they pass, it is merged."
    if choice == "drop":
        ref = drop_phase(task=task, actor=actor_of(request))
        return f"Dropped. Its work is kept as {ref}."
    raise WrongChoice("A phase with a conflict can be retried, resolved by hand, or dropped.")


@require_POST
def decide(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    conflict = get_object_or_404(Conflict, pk=pk, batch__number=number)

    def verb() -> str:
        conflict_resolutions.decide_conflict(conflict=conflict, decision=request.POST.get("decision", ""), actor=actor_of(request))
        return f"Decided for {conflict.file}."

    return act(request, verb, page_of(number))
