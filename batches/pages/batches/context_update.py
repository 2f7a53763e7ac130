"""Context updates of a batch: the proposal, its diff, and accepting or rejecting it."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from batches.accounts.access import may
from batches.accounts.rights import refusal
from batches.accounts.roles import EXECUTE_BATCH, MERGE_BATCH
from batches.core.errors import WrongChoice
from batches.models import ContextChange
from batches.pages.batches.batch import find_batch, may_execute, tab_head
from batches.pages.batches.diffs import diff_mode, own_query, remember_mode, shown_diff
from batches.pages.common import act, actor_of
from batches.review.begin_context_update import update_context
from batches.review.context_updates import accept_context, reject_context


@require_http_methods(["GET", "HEAD", "POST"])
def context(request: HttpRequest, number: int) -> HttpResponse:
    """The latest update, or the one of ?run=. A POST starts one."""
    batch = find_batch(number)
    if request.method == "POST":
        if not may_execute(request, batch.project):
            raise PermissionDenied(refusal("Updating the context", EXECUTE_BATCH))

        def verb() -> str:
            run = update_context(batch=batch, actor=actor_of(request))
            return f"Run {run.number} updates the context of batch {batch.number}."

        return act(request, verb, reverse("batches:context", args=[number]))
    changes = list(ContextChange.objects.filter(run__batch=batch).defer("diff").select_related("run__batch")[:50])
    wanted = request.GET.get("run", "")
    chosen = next((one for one in changes if str(one.run.number) == wanted), changes[0] if changes else None)
    shown = {
        "batch": batch,
        **tab_head(request, batch),
        "changes": changes,
        "change": chosen,
        "live": batch.runs.live().first() or (chosen.run if chosen and chosen.run.reported_at is None else None),
        "executes": may_execute(request, batch.project),
        "merges": may(request.user, MERGE_BATCH, batch.project),
        "diff": shown_diff(chosen.diff if chosen else "", diff_mode(request), own_query(request)),
    }
    return remember_mode(request, render(request, "batches/context_update.html", shown))


@require_POST
def decide_context(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    change = get_object_or_404(ContextChange.objects.select_related("run__batch__project"), pk=pk, run__batch__number=number)

    def verb() -> str:
        if request.POST.get("decision") == "accept":
            accept_context(change=change, actor=actor_of(request))
            return f"Accepted: it is on {change.run.batch.branch} now."
        if request.POST.get("decision") == "reject":
            reject_context(change=change, reason=request.POST.get("reason", "")[:2000], actor=actor_of(request))
            return "Rejected. Nothing was merged, and the commits are kept."
        raise WrongChoice("An update can be accepted or rejected.")

    return act(request, verb, reverse("batches:context", args=[number]))
