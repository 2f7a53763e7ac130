"""Archive batches, one on its page or several that are chosen in the list, and bring them back."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.core.errors import ServiceError
from batches.core.text.words import counted
from batches.models import Batch
from batches.pages.batches.batch import find_batch
from batches.pages.batches.batch_list import PAGE_SIZE
from batches.pages.batches.saved_views import query_of
from batches.pages.common import LARGEST_NUMBER, act, actor_of, read_number
from batches.projects.archive import archive_batch


@require_POST
def archive(request: HttpRequest, number: int) -> HttpResponse:
    """Archive the batch; with `back` bring it back."""
    batch, back = find_batch(number), "back" in request.POST

    def verb() -> str:
        archive_batch(batch=batch, actor=actor_of(request), back=back)
        return "Lists show it again." if back else "Archived: lists hide it, and nothing of it was deleted."

    return act(request, verb, reverse("batches:kept", args=[number]))


@require_POST
def archive_chosen(request: HttpRequest) -> HttpResponse:
    """Archive the batches whose numbers are in `batch`, or bring them `back`. Each is asked for itself: what is refused says why."""
    chosen = [read_number(text, most=LARGEST_NUMBER) for text in request.POST.getlist("batch")[:PAGE_SIZE]]
    back, actor, done = "back" in request.POST, actor_of(request), 0
    for batch in Batch.objects.filter(number__in=[number for number in chosen if number]).select_related("project"):
        try:
            archive_batch(batch=batch, actor=actor, back=back)
            done += 1
        except ServiceError as error:
            messages.error(request, str(error))
        except PermissionDenied:
            messages.error(request, f"Batch {batch.number} is archived by an administrator of its project.")
    if done:
        them = "it" if done == 1 else "them"
        said = f"Lists show {them} again." if back else f"Lists hide {them}, and nothing of {them} was deleted."
        messages.success(request, f"{counted(done, 'batch', 'batches')} {'brought back' if back else 'archived'}. {said}")
    elif not chosen:
        messages.error(request, "Choose at least one batch.")
    query = query_of(QueryDict(request.POST.get("query", "")[:600]))
    return HttpResponseRedirect(reverse("batches:list") + (f"?{query}" if query else ""))
