"""Buttons that sign off a gate, accept a phase as it is, or withdraw either."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.gates.sign_offs_and_acceptances import REASON_CHARACTERS, accept_phase, sign_off, withdraw_sign_off
from batches.models import Gate, Phase, SignOff
from batches.pages.batches.batch import find_batch
from batches.pages.batches.gates import history_of_sign_offs
from batches.pages.common import act, actor_of


@require_POST
def sign_off_gate(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    gate = get_object_or_404(Gate.objects.select_related("phase__batch"), pk=pk, phase__batch__number=number)

    def verb() -> str:
        made = sign_off(gate=gate, reason=request.POST.get(f"sign-off-{pk}", "")[:REASON_CHARACTERS], actor=actor_of(request))
        return f"Signed off by {made.name}: the name, the time and the reason stay beside the gate."

    return act(request, verb, _back(request, gate))


@require_POST
def accept(request: HttpRequest, number: int, key: str) -> HttpResponse:
    """Accept a phase as it is, with a reason, in the person's name."""
    phase = get_object_or_404(Phase.objects.select_related("batch"), key=key, batch=find_batch(number))

    def verb() -> str:
        made = accept_phase(phase=phase, reason=request.POST.get("accept", "")[:REASON_CHARACTERS], actor=actor_of(request))
        return f"Accepted by {made.name}: the name, the time and the reason stay beside the phase."

    return act(request, verb, reverse("batches:phase", args=[number, phase.key]))


@require_POST
def withdraw(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    one = get_object_or_404(history_of_sign_offs(), pk=pk, attempt__task__run__batch=find_batch(number))

    def verb() -> str:
        withdraw_sign_off(sign_off=one, reason=request.POST.get(f"withdraw-{pk}", "")[:REASON_CHARACTERS], actor=actor_of(request))
        what = "the gate is unverified again" if one.gate else "the phase is open again"
        return f"Withdrawn: {what}, and both words stay in the history."

    return act(request, verb, _back(request, one))


def _back(request: HttpRequest, about: Gate | SignOff) -> str:
    """To the page that the form stood on: the phase's own, or the ledger."""
    number, key = about.phase.batch.number, about.phase.key
    if isinstance(about, SignOff) and about.gate is None:
        return reverse("batches:phase", args=[number, key])
    if request.GET.get("from") == "phase":
        return f"{reverse('batches:phase', args=[number, key])}?tab=gates"
    return reverse("batches:gates", args=[number])
