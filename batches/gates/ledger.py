"""The gate ledger of a batch, read from rows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from django.db.models import Q, QuerySet

from batches.core.engine.states import Operation
from batches.core.gates.ledger import Check, Entry, Opinion, Said, SignedOff
from batches.models import Attempt, Batch, Gate, GateCheck, GateOpinion, SignOff
from subagents.contract import GateOrigin

LIGHT = (
    *("pk", "attempt_id", "status", "flaky", "command", "exit_code", "seconds", "commit", "note", "at", "first_exit_code", "environment"),
    *("gate_id", "origin", "position", "text", "kind", "attempt__task__stage__number"),
    *("attempt__task__phase__key", "attempt__task__phase__position"),
)
OF_GATE = ("pk", "position", "text", "kind", "command", "phase__stage__number", "phase__key", "phase__position")


def read_ledger(batch: Batch, key: str | None = None) -> tuple[Entry, ...]:
    """Every gate of the batch, or of the phase `key`, as it stands after the newest attempts.

    Stage by stage: the plan's gates of each phase, then the project's and the server's; last what was judged of the
    stage as a whole. What checks printed is left to `outputs_of`. Five queries, whatever the size.
    """
    gates = Gate.objects.filter(phase__batch=batch)
    checks = GateCheck.objects.filter(attempt__task__run__batch=batch)
    if key is not None:
        gates = gates.filter(phase__key=key)
        checks = checks.filter(Q(attempt__task__phase__key=key) | Q(gate__phase__key=key))
    newest = _newest_attempts(batch)
    place: dict[str, int] = {}
    own, merged, others = _grouped(checks, newest, place)
    standing = SignOff.objects.filter(gate__phase__batch=batch, withdrawn_at=None)
    signed_off = {one.gate_id: one for one in standing if one.attempt_id in newest}
    said = {one.gate_id: one for one in GateOpinion.objects.filter(gate__phase__batch=batch).order_by("pk") if one.attempt_id in newest}
    entries = []
    for pk, position, text, kind, command, stage, phase, phase_position in gates.order_by().values_list(*OF_GATE):
        place[phase] = phase_position
        gate = Entry(GateOrigin.PLAN, stage, phase, position, text, kind, command, gate=pk)
        entries.append(_with_checks(gate, own.get(pk), merged.get(pk), signed_off.get(pk), said.get(pk)))
    return tuple(sorted([*entries, *others], key=lambda entry: _place(entry, place)))


def _place(entry: Entry, place: Mapping[str, int]) -> tuple[int, bool, int, int, int]:
    return (entry.stage, not entry.phase, place.get(entry.phase, 0), list(GateOrigin).index(entry.origin), entry.position)


def _newest_attempts(batch: Batch) -> frozenset[int]:
    """The newest attempt of each phase, and of each stage check."""
    newest: dict[tuple[int | None, str], int] = {}
    tried = Attempt.objects.filter(task__run__batch=batch, task__run__operation=Operation.EXECUTE).order_by("task__run__number", "number")
    for pk, phase_id, name in tried.values_list("pk", "task__phase_id", "task__name"):
        newest[phase_id, "" if phase_id else name] = pk
    return frozenset(newest.values())


def _grouped(
    checks: QuerySet[GateCheck], newest: frozenset[int], place: dict[str, int]
) -> tuple[dict[int, Check], dict[int, Check], list[Entry]]:
    """({gate: its phase's own judgement}, {gate: that on the merged tree}, the gates that are not the plan's).

    Fills `place` with the positions of the phases that it meets.
    """
    own: dict[int, Check] = {}
    merged: dict[int, Check] = {}
    others: dict[tuple[int, str, str, int], Entry] = {}
    for row in checks.order_by("pk").values_list(*LIGHT):
        check, (gate, origin, position, text, kind, stage, key, phase_position) = Check(*row[:12]), row[12:]
        if check.attempt not in newest:
            continue
        place[key or ""] = phase_position or 0
        if gate is not None:
            (merged if key is None else own)[gate] = check
        elif key is None:  # a later check of the same stage stands for the earlier ones
            others[stage, "", origin, position] = Entry(GateOrigin(origin), stage, "", position, text, kind, "", at_stage_end=check)
        else:
            others[stage, key, origin, position] = Entry(GateOrigin(origin), stage, key, position, text, kind, "", in_phase=check)
    return own, merged, list(others.values())


def _with_checks(gate: Entry, own: Check | None, merged: Check | None, sign_off: SignOff | None, said: GateOpinion | None) -> Entry:
    if own and merged and merged.attempt < own.attempt:
        merged = None  # the phase was carried out anew since
    return replace(
        gate,
        in_phase=own,
        at_stage_end=merged,
        sign_off=None if sign_off is None else _signed_off(sign_off),
        said=None if said is None else Said(Opinion(said.opinion), said.evidence, said.model),
    )


def _signed_off(row: SignOff) -> SignedOff:
    return SignedOff(row.pk, row.name, row.at, row.reason, row.commit)


def outputs_of(entries: Sequence[Entry]) -> dict[int, GateCheck]:
    """{row: what was printed} of the judgements of these entries."""
    rows = [check.row for entry in entries for check in (entry.in_phase, entry.at_stage_end) if check]
    return GateCheck.objects.only("output", "first_output").in_bulk(rows)
