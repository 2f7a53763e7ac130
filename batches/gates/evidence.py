"""The evidence for gates, made from an attempt's result and read from rows."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from batches.core.engine.states import Operation
from batches.core.gates.evidence import Evidence, GateEvidence, output_digest
from batches.models import Attempt, Batch, GateCheck
from subagents.contract import GateOutcome, TaskSpec, TaskType

_SAME = ("command", "exit_code", "first_exit_code", "flaky", "commit", "environment", "seconds", "note")
_OF_SPEC = ("attempt_ref", "batch_id", "run", "stage", "key", "type", "prp_id", "phase_name")


def evidence_of_result(spec: TaskSpec, outcomes: Iterable[GateOutcome], judged_commit: str) -> Evidence:
    """The evidence as an attempt reported it."""
    own = spec.key if spec.type == TaskType.EXECUTE else ""
    gates = tuple(
        _evidence(outcome, phase=outcome.phase or own, position=outcome.position, gate=outcome.text) for outcome in outcomes
    )
    place = (spec.attempt_ref, spec.batch_id, spec.run, spec.stage, own, spec.prp_id, spec.phase_name)
    return Evidence(*place, spec.base_commit, judged_commit, _sorted(gates))


def read_evidence(batch: Batch) -> dict[int, Evidence]:
    """{attempt: the evidence in the rows} of every attempt to execute that was judged or merged. Two queries."""
    checks: dict[int, list[GateEvidence]] = defaultdict(list)
    rows = GateCheck.objects.filter(attempt__task__run__batch=batch).select_related("gate__phase", "attempt__task__phase")
    for row in rows.defer("attempt__spec", "attempt__log_tail", "attempt__heartbeat", "first_output"):
        checks[row.attempt_id].append(_of_row(row))
    attempts = Attempt.objects.filter(task__run__batch=batch, task__run__operation=Operation.EXECUTE).select_related("task__run")
    found = {}
    for attempt in attempts.defer("log_tail", "heartbeat").order_by("task__run__number", "task__position", "number"):
        if attempt.pk in checks or attempt.merge_commit:
            found[attempt.pk] = _of_attempt(attempt, checks[attempt.pk])
    return found


def _of_attempt(attempt: Attempt, gates: Iterable[GateEvidence]) -> Evidence:
    reference, batch, run, stage, key, kind, prp_id, title = (attempt.spec.get(name) for name in _OF_SPEC)
    own = key if kind == TaskType.EXECUTE else ""
    place = (attempt.ref or reference, batch, run, stage, own, prp_id, title)
    return Evidence(*place, attempt.base_commit, attempt.head_commit or attempt.base_commit, _sorted(gates))


def _of_row(row: GateCheck) -> GateEvidence:
    phase = row.gate.phase if row.gate is not None else row.attempt.task.phase
    position = row.gate.position if row.gate is not None else row.position
    return _evidence(row, phase=phase.key if phase is not None else "", position=position, gate=row.title)


def _evidence(judged: GateOutcome | GateCheck, *, phase: str, position: int, gate: str) -> GateEvidence:
    """The evidence for a gate, from an attempt's outcome or from its row: what both have under the same names."""
    same: dict[str, Any] = {name: getattr(judged, name) for name in _SAME}
    words: dict[str, Any] = {name: str(getattr(judged, name)) for name in ("origin", "kind", "status")}
    return GateEvidence(phase=phase, position=position, gate=gate, output_sha256=output_digest(judged.output), **words, **same)


def _sorted(gates: Iterable[GateEvidence]) -> tuple[GateEvidence, ...]:
    return tuple(sorted(gates, key=lambda gate: (gate.phase, gate.origin, gate.position)))
