"""The gate ledger of a batch, as a page and as CSV."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from batches.accounts.access import may
from batches.accounts.roles import SIGN_OFF_GATE
from batches.core.gates.ledger import FILTERS, Entry, count_states, ledger_csv
from batches.gates.ledger import outputs_of, read_ledger
from batches.models import GateCheck, SignOff
from batches.pages.batches.batch import find_batch, tab_head

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
        "history": history_of_sign_offs().filter(attempt__task__run__batch=batch).order_by("-pk")[:100],
        "rules": batch.project.gate_rules,
    }
    return render(request, "batches/gates.html", context)


def history_of_sign_offs() -> QuerySet[SignOff]:
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
