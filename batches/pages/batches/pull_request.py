"""The pull request of a batch: open one, bring it up to date, and see what became of it."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from batches.accounts.access import may
from batches.accounts.rights import refusal
from batches.accounts.roles import MERGE_BATCH
from batches.core.gates.success import success_words
from batches.core.text.words import counted
from batches.engine.pull_request_remarks import give_remarks, open_remarks, set_aside
from batches.engine.pull_requests import ask_for_pull_request, forget_pull_request, is_asked_soon, pull_request_refusal
from batches.metrics.successes import successes_of_batches
from batches.pages.batches.batch import find_batch, may_execute
from batches.pages.common import act, actor_of, read_number

REFUSAL = refusal("Opening a pull request", MERGE_BATCH)


@require_POST
def remarks(request: HttpRequest, number: int) -> HttpResponse:
    """Give the chosen remarks to agents, or set them aside."""
    batch = find_batch(number)
    pks = [pk for text in request.POST.getlist("remark") if (pk := read_number(text)) is not None]

    def verb() -> str:
        if request.POST.get("do") == "aside":
            return f"{counted(set_aside(batch=batch, actor=actor_of(request), pks=pks), 'remark')} set aside."
        run = give_remarks(batch=batch, actor=actor_of(request), pks=pks)
        return f"Run {run.number} works on {counted(len(pks), 'remark')}. Then the branch is pushed again."

    return act(request, verb, reverse("batches:pull_request", args=[number]))


@require_http_methods(["GET", "HEAD", "POST"])
def pull_request(request: HttpRequest, number: int) -> HttpResponse:
    """A POST asks for it; the cluster pushes and opens it. "forget" gives it up, "replace" lets the push replace."""
    batch = find_batch(number)
    may_merge = may(request.user, MERGE_BATCH, batch.project)
    if request.method == "POST":
        if not may_merge:
            raise PermissionDenied(REFUSAL)

        def verb() -> str:
            if request.POST.get("do") == "forget":
                forget_pull_request(batch=batch, actor=actor_of(request))
                return "The pull request is given up here; what is at the code host stays."
            made = ask_for_pull_request(batch=batch, actor=actor_of(request), replace=request.POST.get("do") == "replace")
            return f"{made.head} is being pushed, and the pull request brought up to date." if made.number else "It is being opened."

        return act(request, verb, reverse("batches:pull_request", args=[number]))
    requests = list(batch.pull_requests.all()[:20])
    going = requests[0] if requests and requests[0].ended_at is None else None
    context = {
        "batch": batch,
        "may_merge": may_merge,
        "going": going,
        "busy": going is not None and is_asked_soon(going),
        "remarks": list(open_remarks(going)) if going else [],
        "taken": list(going.remarks.filter(taken_at__isnull=False)) if going else [],
        "executes": may_execute(request, batch.project),
        "over": [one for one in requests if one.ended_at is not None],
        "refusal": pull_request_refusal(batch) if may_merge else "",
        "behind": success_words(successes_of_batches([batch.pk]).get(batch.pk, ())),
    }
    return render(request, "batches/pull_request.html", context)
