"""The gate ledger of a batch as a page and as CSV, and what a person says about a gate that no rule can check."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from batches.accounts.access import may
from batches.accounts.roles import SIGN_OFF_GATE
from batches.core.gates.ledger import FILTERS, Entry, count_states, ledger_csv
from batches.gates.ledger import outputs_of, read_ledger
from batches.gates.sign_offs import REASON_CHARACTERS, accept_phase, sign_off, withdraw_sign_off
from batches.models import Gate, GateCheck, Phase, SignOff
from batches.pages.batches.batch import find_batch, tab_head
from batches.pages.common import act, actor_of

PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class Line:
    """One entry with what its checks printed."""

    entry: Entry
    own: GateCheck | None
    merged: GateCheck | None


@require_safe
def gate_ledger(request: HttpRequest, number: int) -> HttpResponse:
    """All gates of the batch, a hundred a page; ?state= shows those that stand so, ?phase= those of one phase."""
    batch = find_batch(number)
    entries = read_ledger(batch)
    state, chosen = _filtered(request, entries)
    page = Paginator(chosen, PAGE_SIZE).get_page(request.GET.get("page"))
    outputs = outputs_of(list(page))
    context = {
        "batch": batch,
        **tab_head(request, batch),
        "counts": count_states(entries),
        "filters": FILTERS,
        "state": state,
        "page": page,
        "lines": [_line(entry, outputs) for entry in page.object_list],
        "total": len(entries),
        "may_sign_off": may(request.user, SIGN_OFF_GATE, batch.project),
        "history": _history().filter(attempt__task__run__batch=batch).order_by("-pk")[:100],
        "rules": batch.project.gate_rules,
    }
    return render(request, "batches/gates.html", context)


def _history() -> QuerySet[SignOff]:
    return SignOff.objects.select_related("gate__phase__batch", "attempt__task__phase__batch")


def _filtered(request: HttpRequest, entries: Sequence[Entry]) -> tuple[str, list[Entry]]:
    state = request.GET.get("state", "")
    state = state if state in FILTERS else ""
    return state, [entry for entry in entries if not state or entry.state == state]


def _line(entry: Entry, outputs: dict[int, GateCheck]) -> Line:
    own, merged = (outputs.get(check.row) if check else None for check in (entry.in_phase, entry.at_stage_end))
    return Line(entry, own, merged)


@require_safe
def gate_csv(request: HttpRequest, number: int) -> HttpResponse:
    """The ledger, or what ?state= leaves of it, as a file for a spreadsheet."""
    batch = find_batch(number)
    state, chosen = _filtered(request, read_ledger(batch))
    name = f"batch-{batch.number}-gates{f'-{state}' if state else ''}.csv"
    return HttpResponse(
        ledger_csv(chosen), content_type="text/csv; charset=utf-8", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


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
    one = get_object_or_404(_history(), pk=pk, attempt__task__run__batch=find_batch(number))

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
