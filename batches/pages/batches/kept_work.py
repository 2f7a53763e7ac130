"""Kept work of a batch that was not merged: list it, restore it as a branch, remove its checkouts."""

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from batches.accounts.access import may
from batches.accounts.roles import CHANGE_PROJECT
from batches.core.text.words import bytes_words
from batches.models import Attempt
from batches.pages.batches.batch import find_batch, may_execute, tab_head
from batches.pages.common import act, actor_of, read_number
from batches.repositories.kept_work import clean_up, kept_attempts, restore

PAGE_SIZE = 50


@require_http_methods(["GET", "HEAD", "POST"])
def kept(request: HttpRequest, number: int) -> HttpResponse:
    """The list. A POST with `restore`, an attempt's id, creates a branch; one with `clean` removes the checkouts."""
    batch = find_batch(number)
    if request.method == "POST":
        if not may_execute(request, batch.project):
            raise PermissionDenied("Restoring and cleaning up require the group executor or admin.")

        def verb() -> str:
            if "clean" in request.POST:
                done = clean_up(batch=batch, actor=actor_of(request))
                said = f"{done.removed} folders removed, {bytes_words(done.bytes)} freed."
                return " ".join([said, *(f"Stays: {line}." for line in done.stays[:20])])
            pk = read_number(request.POST.get("restore"))
            attempt = get_object_or_404(Attempt.objects.select_related("task__run__batch__project"), pk=pk, task__run__batch=batch)
            return f"Restored as the branch {restore(attempt=attempt, actor=actor_of(request))}."

        return act(request, verb, reverse("batches:kept", args=[number]))
    found = kept_attempts(batch).defer("spec", "heartbeat", "log_tail")
    folders = found.filter(checkout_bytes__isnull=False, checkout_removed_at=None)
    sizes = list(folders.values_list("checkout_bytes", flat=True))
    context = {
        "batch": batch,
        **tab_head(request, batch),
        "administers": may(request.user, CHANGE_PROJECT, batch.project),
        "executes": may_execute(request, batch.project),
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "folder_count": len(sizes),
        "folder_bytes": sum(size or 0 for size in sizes),
    }
    return render(request, "batches/kept_work.html", context)
