"""The reviews of one batch: verdict, scores, findings; starting one, and a person's word against one."""

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from batches import services
from batches.core.review import Moment
from batches.models import Batch, Review
from batches.views.batch_detail import find_batch, may_execute
from batches.views.common import act, actor_of

SCORES_PAGE_SIZE = 100


@require_http_methods(["GET", "HEAD", "POST"])
def review(request: HttpRequest, number: int) -> HttpResponse:
    """The latest review, or that of ?run=; a POST starts one."""
    batch = find_batch(number)
    if request.method == "POST":
        return _start(request, batch)
    reviews = list(Review.objects.filter(run__batch=batch).select_related("run")[:50])
    wanted = request.GET.get("run", "")
    chosen = next((one for one in reviews if str(one.run.number) == wanted), reviews[0] if reviews else None)
    context = {
        "batch": batch,
        "reviews": reviews,
        "review": chosen,
        "live": batch.runs.live().first() or (chosen.run if chosen and chosen.run.reported_at is None else None),
        "usual": services.usual_moment(batch),
        "executes": may_execute(request),
        "scores": Paginator(chosen.scores if chosen else [], SCORES_PAGE_SIZE).get_page(request.GET.get("page")),
        "findings": list(chosen.findings.all()) if chosen else [],
    }
    return render(request, "batches/review.html", context)


def _start(request: HttpRequest, batch: Batch) -> HttpResponse:
    if not may_execute(request):
        raise PermissionDenied("Reviewing takes the group executor or admin.")

    def verb() -> str:
        moment = request.POST.get("moment", "")
        if moment not in set(Moment):
            raise services.WrongChoice(f"There is no review {moment!r}; there is: {', '.join(Moment)}.")
        run = services.review(batch=batch, actor=actor_of(request), moment=Moment(moment))
        return f"Run {run.number} reviews batch {batch.number}."

    return act(request, verb, reverse("batches:review", args=[batch.number]))


@require_POST
def overrule(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    one = get_object_or_404(Review.objects.select_related("run__batch"), pk=pk, run__batch__number=number)

    def verb() -> str:
        services.overrule_review(review=one, reason=request.POST.get("reason", "")[:2000], actor=actor_of(request))
        return "Overruled: your name and the reason stay beside the verdict."

    return act(request, verb, f"{reverse('batches:review', args=[number])}?run={one.run.number}")
