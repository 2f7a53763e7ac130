"""Merging a batch into its base branch: a preview, the reason if it is refused, and the buttons."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from batches.accounts.access import may
from batches.accounts.rights import refusal
from batches.accounts.roles import MERGE_BATCH
from batches.core.errors import BatchError
from batches.core.gates.success import success_words
from batches.metrics.successes import successes_of_batches
from batches.pages.batches.batch import find_batch, may_execute
from batches.pages.batches.changes import read_changes
from batches.pages.common import act, actor_of
from batches.repositories.batch_branch import find_loss
from batches.repositories.merges import bring_in_base, merge_batch, preview_merge


@require_http_methods(["GET", "HEAD", "POST"])
def merge(request: HttpRequest, number: int) -> HttpResponse:
    """The confirmation. A POST merges exactly what the page showed."""
    batch = find_batch(number)
    if not may(request.user, MERGE_BATCH, batch.project):
        raise PermissionDenied(refusal("Merging a batch", MERGE_BATCH))
    if request.method == "POST":
        expected = (request.POST.get("base", ""), request.POST.get("tip", ""))
        fast_forward = request.POST.get("method") != "no_ff"

        def verb() -> str:
            done = merge_batch(batch=batch, actor=actor_of(request), fast_forward=fast_forward, expected=expected)
            return f"{done.base_branch} is at {done.to_commit[:12]} now."

        return act(request, verb, reverse("batches:merge", args=[number]))
    executes = may_execute(request, batch.project)
    context: dict[str, object] = {"batch": batch, "executes": executes, "base_merges": batch.base_merges.all()[:20]}
    try:
        context["loss"] = find_loss(batch)
        preview = preview_merge(batch)
    except BatchError as error:
        context["problem"] = str(error)
    else:
        files = preview.changes
        of_phases = {row.path: row.declared for one in read_changes(batch) for row in one.rows if row.what != "untouched"}
        rows = [
            (path, what, of_phases.get(path))
            for what, paths in (("deleted", files.deleted), ("modified", files.modified), ("created", files.created))
            for path in paths
        ]
        behind = success_words(successes_of_batches([batch.pk]).get(batch.pk, ()))
        context |= {"preview": preview, "rows": rows, "behind": behind}
    return render(request, "batches/merge.html", context)


@require_POST
def bring_in(request: HttpRequest, number: int) -> HttpResponse:
    batch = find_batch(number)

    def verb() -> str:
        bring_in_base(batch=batch, actor=actor_of(request))
        return f"{batch.branch} now contains {batch.base_branch}."

    return act(request, verb, reverse("batches:merge", args=[number]))
