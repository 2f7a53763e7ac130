"""Version 1: the gates of a batch with their evidence, and the findings of its reviews."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Path, Query

from batches.core.gates.ledger import Check, Entry
from batches.gates.ledger import outputs_of, read_ledger
from batches.gates.sign_offs_and_acceptances import REASON_CHARACTERS, sign_off
from batches.models import Gate, GateCheck, Phase, Review
from batches.pages.api_v1.application import actor_of, api
from batches.pages.api_v1.pages import Cursor, Limit, part_of
from batches.pages.api_v1.shapes import Accept, Gates, Number, Reviews, SignedOffGate
from batches.pages.batches.batch import find_batch
from batches.pages.common import LARGEST_ID

TAGS = ["gates and findings"]
State = Literal["", "planned", "passed", "flaky", "ticked", "unverified", "failed"]
OfState = Annotated[State, Query(description="Only gates that stand there; ticked: signed off by a person.", examples=["failed"])]
OfPhase = Annotated[str, Query(max_length=40, description="The key of a phase; empty: all.", examples=["2a"])]
GateId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The `gate` of a gate.", examples=[12])]
OF_CHECK = ("status", "flaky", "command", "exit_code", "seconds", "commit", "note", "at")


@api.get("batches/{int:number}/gates/", response=Gates, url_name="gates", tags=TAGS, summary="List gates")
def gates(request: HttpRequest, number: Number, state: OfState = "", phase: OfPhase = "") -> dict[str, Any]:
    """Every gate of the batch as it stands after the newest attempts, with what was run, what came of it, and who signed it off."""
    batch = find_batch(number)
    if phase:
        get_object_or_404(Phase, batch=batch, key=phase)
    entries = [entry for entry in read_ledger(batch, phase or None) if not state or entry.state == state]
    outputs = outputs_of(entries)
    return {"batch_id": number, "gates": [entry_json(entry, outputs) for entry in entries]}


def entry_json(entry: Entry, outputs: dict[int, GateCheck]) -> dict[str, Any]:
    signed = entry.sign_off
    return {
        "gate": entry.gate,
        "state": entry.state,
        "origin": entry.origin,
        "stage": entry.stage,
        "phase": entry.phase or None,
        "text": entry.text,
        "kind": entry.kind,
        "in_phase": _check_json(entry.in_phase, outputs),
        "at_stage_end": _check_json(entry.at_stage_end, outputs),
        "signed_off": None if signed is None else {"by": signed.name, "at": signed.at, "reason": signed.reason},
    }


def _check_json(check: Check | None, outputs: dict[int, GateCheck]) -> dict[str, Any] | None:
    if check is None:
        return None
    printed = outputs.get(check.row)
    return {name: getattr(check, name) for name in OF_CHECK} | {"attempt": check.attempt, "output": printed.output if printed else ""}


@api.post(
    "batches/{int:number}/gates/{int:gate}/sign-off/", response={201: SignedOffGate}, url_name="sign_off", tags=TAGS, summary="Sign off"
)
def sign_off_gate(request: HttpRequest, number: Number, gate: GateId, sent: Accept) -> tuple[int, dict[str, Any]]:
    """Say in your name that a gate holds which no rule can check, and what you looked at."""
    found = get_object_or_404(Gate.objects.select_related("phase__batch__project"), pk=gate, phase__batch=find_batch(number))
    made = sign_off(gate=found, reason=sent.reason[:REASON_CHARACTERS], actor=actor_of(request))
    return 201, {"batch_id": number, "gate": gate, "by": made.name, "at": made.at, "reason": made.reason}


@api.get("batches/{int:number}/reviews/", response=Reviews, url_name="reviews", tags=TAGS, summary="List reviews")
def reviews(request: HttpRequest, number: Number, cursor: Cursor = "", limit: Limit = 50) -> dict[str, Any]:
    """The reviews of a batch, the newest first, with their findings."""
    rows = Review.objects.filter(run__batch=find_batch(number)).select_related("run").prefetch_related("findings__phase")
    return part_of(rows, "pk", cursor, limit, _reviewed)


def _reviewed(rows: list[Review]) -> Iterable[dict[str, Any]]:
    for row in rows:
        findings = [
            {
                "phase": one.phase.key if one.phase else None,
                **{name: getattr(one, name) for name in ("severity", "category", "place", "message", "suggestion")},
            }
            for one in row.findings.all()
        ]
        about = {"run": row.run.number, "moment": row.moment, "verdict": row.verdict or None, "passes": row.passes}
        overruled = {"overruled_by": row.overruled_name or None, "overrule_reason": row.overrule_reason or None}
        yield about | overruled | {"semantic": row.semantic, "findings": findings}
