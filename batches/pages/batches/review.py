"""The reviews of a batch: verdict, scores and findings; starting and overruling a review."""

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from batches.accounts.access import may
from batches.accounts.rights import refusal
from batches.accounts.roles import EXECUTE_BATCH, MERGE_BATCH
from batches.core.errors import WrongChoice
from batches.core.review.types import ReviewTiming
from batches.models import Batch, Review
from batches.pages.batches.batch import find_batch, may_execute, tab_head
from batches.pages.common import act, actor_of
from batches.review import begin_review
from batches.review.begin_review import usual_moment
from batches.review.overrule_verdict import overrule_review

SCORES_PAGE_SIZE = 100


@require_http_methods(["GET", "HEAD", "POST"])
def review(request: HttpRequest, number: int) -> HttpResponse:
    """The latest review, or the one of ?run=. A POST starts one."""
    batch = find_batch(number)
    if request.method == "POST":
        return _start(request, batch)
    reviews = list(Review.objects.filter(run__batch=batch).select_related("run")[:50])
    wanted = request.GET.get("run", "")
    chosen = next((one for one in reviews if str(one.run.number) == wanted), reviews[0] if reviews else None)
    context = {
        "batch": batch,
        **tab_head(request, batch),
        "reviews": reviews,
        "review": chosen,
        "live": batch.runs.live().first() or (chosen.run if chosen and chosen.run.reported_at is None else None),
        "usual": usual_moment(batch),
        "executes": may_execute(request, batch.project),
        "merges": may(request.user, MERGE_BATCH, batch.project),
        "scores": Paginator(chosen.scores if chosen else [], SCORES_PAGE_SIZE).get_page(request.GET.get("page")),
        "findings": list(chosen.findings.all()) if chosen else [],
    }
    return render(request, "batches/review.html", context)


def _start(request: HttpRequest, batch: Batch) -> HttpResponse:
    if not may_execute(request, batch.project):
        raise PermissionDenied(refusal("Reviewing a batch", EXECUTE_BATCH))

    def verb() -> str:
        moment = request.POST.get("moment", "")
        if moment not in set(ReviewTiming):
            raise WrongChoice(f"Unknown review {moment!r}. Reviews: {', '.join(ReviewTiming)}.")
        run = begin_review.review(batch=batch, actor=actor_of(request), moment=ReviewTiming(moment))
        return f"Run {run.number} reviews batch {batch.number}."

    return act(request, verb, reverse("batches:review", args=[batch.number]))


@require_POST
def overrule(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    one = get_object_or_404(Review.objects.select_related("run__batch"), pk=pk, run__batch__number=number)

    def verb() -> str:
        overrule_review(review=one, reason=request.POST.get("reason", "")[:2000], actor=actor_of(request))
        return "Overruled. Your name and the reason are shown with the verdict."

    return act(request, verb, f"{reverse('batches:review', args=[number])}?run={one.run.number}")
