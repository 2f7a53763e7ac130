"""What is behind each phase that succeeded: the one place that cards, lists, reports and the API ask."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.db.models import QuerySet

from batches.core.engine.states import Operation, TaskKind, TaskState
from batches.core.gates.success import PhaseSuccess, Success, success_of
from batches.models import Attempt, GateCheck, SignOff, Task
from batches.models.prepared import Prepared

_CHANGED = ("result__files_created", "result__files_modified", "result__files_deleted")
COLUMNS = ("pk", "task__phase__files", "result__undeclared", "result__looks", *_CHANGED)


def read_successes(batches: Collection[int]) -> dict[int, PhaseSuccess]:
    """{task: its success} of executions that succeeded in the batches with these ids. Up to three queries."""
    return {task: found for _, _, task, found in _read(batches)}


def successes_of_phases(batches: Collection[int]) -> dict[int, dict[int, PhaseSuccess]]:
    """{batch: {phase: its success}} of each phase whose newest execution succeeded. Up to four queries."""
    found = _read(batches)
    if not found:
        return {}
    newest = Task.objects.filter(phase__batch__in=batches, run__operation=Operation.EXECUTE).order_by("run__number")
    of_phase = dict(newest.values_list("phase", "pk"))
    kinds: dict[int, dict[int, PhaseSuccess]] = defaultdict(dict)
    for batch, phase, task, success in found:
        if of_phase[phase] == task:
            kinds[batch][phase] = success
    return kinds


def successes_of_batches(batches: Collection[int]) -> dict[int, list[Success]]:
    """{batch: the kind of success of each phase whose newest execution succeeded}. Up to four queries."""
    return {batch: [success.kind for success in phases.values()] for batch, phases in successes_of_phases(batches).items()}


def _read(batches: Collection[int]) -> list[tuple[int, int, int, PhaseSuccess]]:
    """(batch, phase, task, success) of each execution that succeeded."""
    rows = Attempt.objects.filter(
        task__run__batch__in=batches,
        task__run__operation=Operation.EXECUTE,
        task__kind=TaskKind.PHASE,
        task__state=TaskState.SUCCEEDED,
        outcome=Attempt.Outcome.SUCCEEDED,
    ).order_by("number")
    last = {row["task_id"]: row for row in rows.values(*COLUMNS, "task_id", "task__phase", "task__run__batch")}
    if not last:
        return []
    found = successes_of(last.values())
    return [(row["task__run__batch"], row["task__phase"], task, found[row["pk"]]) for task, row in last.items()]


def successes_of(rows: Iterable[Mapping[str, Any]]) -> dict[int, PhaseSuccess]:
    """{attempt: its success} of attempts at executions that succeeded, each a row with what COLUMNS name. Two queries."""
    mine = {row["pk"]: row for row in rows}
    if not mine:
        return {}
    checks: dict[int, list[tuple[str, str]]] = defaultdict(list)
    one = next(iter(mine)) if len(mine) == 1 else 0
    for attempt, origin, status in JUDGED.rows(attempt=one) if one else _judged(GateCheck.objects.filter(attempt__in=mine)):
        checks[attempt].append((origin, status))
    standing = STANDING.rows(attempt=one) if one else list(_standing(SignOff.objects.filter(attempt__in=mine)))
    signed = {attempt for attempt, gate, _ in standing if gate is not None}
    accepted = {attempt: name for attempt, gate, name in standing if gate is None}
    return {pk: _success(row, checks, signed, accepted) for pk, row in mine.items()}


def _judged(checks: QuerySet[GateCheck]) -> QuerySet[GateCheck, tuple[int, str, str]]:
    return checks.order_by().values_list("attempt", "origin", "status").distinct()


def _standing(signed: QuerySet[SignOff]) -> QuerySet[SignOff, tuple[int, int | None, str]]:
    return signed.filter(withdrawn_at=None).order_by().values_list("attempt", "gate", "name")


JUDGED: Prepared[tuple[int, str, str]] = Prepared(lambda attempt: _judged(GateCheck.objects.filter(attempt=attempt)))
STANDING: Prepared[tuple[int, int | None, str]] = Prepared(lambda attempt: _standing(SignOff.objects.filter(attempt=attempt)))


def _success(
    row: Mapping[str, Any], checks: dict[int, list[tuple[str, str]]], signed: Collection[int], accepted: dict[int, str]
) -> PhaseSuccess:
    attempt = row["pk"]
    looks = tuple(look["text"] for look in row["result__looks"] or () if not look["declared"])
    kind, without = (
        success_of(
            checks.get(attempt, ()),
            signed_off=attempt in signed,
            declares=bool(row["task__phase__files"]),
            changed=_changed(row),
            looks=bool(looks),
            accepted=person and attempt in accepted,
        )
        for person in (True, False)
    )
    return PhaseSuccess(kind, without, accepted[attempt] if kind is Success.ACCEPTED else "", looks)


def _changed(row: Mapping[str, Any]) -> int | None:
    """How many of the files that the plan names an attempt changed; None where no result tells."""
    if row[_CHANGED[0]] is None:
        return None
    undeclared = set(row["result__undeclared"] or ())
    return len({path for name in _CHANGED for path in row[name] or ()} - undeclared)
