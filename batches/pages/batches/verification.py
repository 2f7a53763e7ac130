"""The verification of a batch: its button, how far it is, and what it found."""

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from batches.accounts.rights import refusal
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.gates.verification import AGREEMENT, WORDS, summary
from batches.engine.verifications import GONE_SECONDS, ask_verification, latest_verification, silence_of, stop_verification
from batches.models import Verification
from batches.pages.batches.batch import find_batch, may_execute, tab_head
from batches.pages.common import act, actor_of, htmx

PAGE_SIZE = 100


@require_http_methods(["GET", "HEAD", "POST"])
def verify(request: HttpRequest, number: int) -> HttpResponse:
    """What the latest verification found, disagreements first. A POST asks for a new one; htmx polls while it runs."""
    batch = find_batch(number)
    if request.method == "POST":
        if not may_execute(request, batch.project):
            raise PermissionDenied(refusal("Verifying a batch runs its commands: it", EXECUTE_BATCH))

        def verb() -> str:
            ask_verification(batch=batch, actor=actor_of(request))
            return "All recorded gates are being judged once more. This page shows how far that is."

        return act(request, verb, reverse("batches:verify", args=[number]))
    one = latest_verification(batch)
    silent = silence_of(one.host, timezone.now()) if one is not None and one.is_open else 0.0
    silence = silent if silent >= GONE_SECONDS else None
    if htmx(request) and one is not None and one.is_open:
        return render(request, "batches/_verification_progress.html", {"batch": batch, "one": one, "silence": silence})
    if htmx(request):
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    document = one.result if one is not None else None
    gates = document["gates"] if document else []
    chosen = sorted(gates, key=lambda gate: gate["verdict"] in AGREEMENT)
    context = {
        "batch": batch,
        **tab_head(request, batch),
        "one": one,
        "silence": silence,
        "executes": may_execute(request, batch.project),
        "document": document,
        "summary": summary(document) if document else "",
        "page": Paginator(chosen, PAGE_SIZE).get_page(request.GET.get("page")),
        "words": WORDS,
        "agreement": AGREEMENT,
    }
    return render(request, "batches/verification.html", context)


@require_POST
def verify_stop(request: HttpRequest, number: int) -> HttpResponse:
    batch = find_batch(number)

    def verb() -> str:
        stop_verification(batch=batch, actor=actor_of(request))
        return "The verification is being stopped."

    return act(request, verb, reverse("batches:verify", args=[number]))


@require_safe
def verify_json(request: HttpRequest, number: int) -> HttpResponse:
    """The document of the latest verification that found something."""
    one = get_object_or_404(Verification.objects.filter(batch__number=number, result__isnull=False).order_by("-pk")[:1])
    name = f"batch-{number}.verify.json"
    return JsonResponse(
        one.result,
        json_dumps_params={"ensure_ascii": False, "indent": 2},
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
