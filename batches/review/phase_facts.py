"""Collect what the rows know about a batch's phases, as the values that the rules for reviews and drift take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batches.core.engine.states import Operation, TaskState
from batches.core.review.context_update import PhaseRecord
from batches.core.review.drift import Drift, DriftEvidence, measure_drift
from batches.core.review.types import ConflictFacts, GateFact, Outcome, PhaseFacts
from batches.models import Attempt, Batch, Conflict, GateCheck, Phase, Result, Task
from subagents.contract import GateKind


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a review or a context update adds to the run's result file and to the printed report."""

    result: dict[str, object]
    report: str


@dataclass(frozen=True, slots=True)
class Done:
    """The outcome of a phase in execute runs: its newest task and the attempt that counts; None where there is none."""

    task: Task | None
    attempt: Attempt | None
    outcome: Outcome

    @property
    def drift(self) -> Drift | None:
        return self.outcome.drift


def facts_of(phase: Phase) -> PhaseFacts:
    """The phase's PRP as the rules see it."""
    return PhaseFacts(
        key=phase.key,
        prp_id=phase.prp_id,
        title=phase.title,
        goal=phase.goal,
        complexity=phase.complexity,
        hours=phase.hours,
        steps=tuple(step["text"] for step in phase.steps),
        gates=tuple(GateFact(gate.text, gate.kind != GateKind.UNVERIFIED) for gate in phase.gates.all()),
        files=tuple(phase.files),
        dependencies=tuple(phase.dependencies),
        stage=phase.stage.number,
    )


def conflicts_of(batch: Batch) -> tuple[ConflictFacts, ...]:
    """The conflicts of the batch as the rules see them."""
    rows = Conflict.objects.filter(batch=batch)
    return tuple(ConflictFacts(row.file, tuple(row.phases), row.kind, bool(row.decision)) for row in rows)


def longest_chain(phases: Mapping[str, PhaseFacts]) -> tuple[str, ...]:
    """The keys of the longest chain of phases in which each waits for the one before; a phase's stage is its depth."""
    chain: list[str] = []
    key = max(phases, key=lambda name: phases[name].stage, default="")
    while key:
        chain.append(key)
        key = max(phases[key].dependencies, key=lambda name: phases[name].stage, default="")
    return tuple(reversed(chain))


def done_of(phase: Phase) -> Done:
    """Like `done_of_phases`, for one phase."""
    return done_of_phases([phase])[phase.pk]


def done_of_phases(phases: Sequence[Phase]) -> dict[int, Done]:
    """{phase: its outcome}: the newest execute task, and that task's last attempt with its diff and gates.

    The last judgement of a gate counts: the one on the merged tree when a stage check ran after the phase's own attempt.
    Four queries, whatever the number of phases; prefetch their gates.
    """
    ids = [phase.pk for phase in phases]
    tasks: dict[int | None, Task] = {}
    for task in Task.objects.filter(phase__in=ids, run__operation=Operation.EXECUTE).order_by("run__number"):
        tasks[task.phase_id] = task
    attempts: dict[int | None, Attempt] = {}
    tried = Attempt.objects.filter(task__in=[task.pk for task in tasks.values()], result__isnull=False).select_related("result", "task")
    for attempt in tried.defer("log_tail", "spec", "heartbeat", "result__diff", "result__data").order_by("number"):
        attempts[attempt.task.phase_id] = attempt
    diffs = Result.objects.filter(attempt__in=[attempt.pk for attempt in attempts.values()]).values_list("attempt_id", "diff")
    lines = {attempt_id: changed_lines(diff) for attempt_id, diff in diffs.iterator(chunk_size=20)}
    statuses = _last_statuses(ids, attempts)
    return {phase.pk: _done(phase, tasks.get(phase.pk), attempts.get(phase.pk), lines, statuses) for phase in phases}


def _last_statuses(ids: Sequence[int], attempts: Mapping[int | None, Attempt]) -> dict[int, str]:
    """{gate: its last status since its phase's attempt was launched}."""
    found: dict[int, str] = {}
    checks = GateCheck.objects.filter(gate__phase__in=ids).order_by("at", "pk")
    for gate_id, phase_id, status, launched_at in checks.values_list("gate_id", "gate__phase_id", "status", "attempt__launched_at"):
        attempt = attempts.get(phase_id)
        if attempt is not None and launched_at >= attempt.launched_at:
            found[gate_id] = status
    return found


def _done(
    phase: Phase,
    task: Task | None,
    attempt: Attempt | None,
    lines: Mapping[int, tuple[int | None, int | None]],
    statuses: Mapping[int, str],
) -> Done:
    if task is None:
        return Done(None, None, Outcome(""))
    if attempt is None or task.state != TaskState.SUCCEEDED:
        return Done(task, attempt, Outcome(task.state, task.message))
    result = attempt.result
    evidence = DriftEvidence(
        planned=tuple(phase.files),
        changed=(*result.files_created, *result.files_modified, *result.files_deleted),
        deleted=tuple(result.files_deleted),
        steps=result.total_steps or 0,
        steps_completed=result.steps_completed or 0,
        estimated_hours=phase.hours,
        actual_hours=None if attempt.seconds is None else attempt.seconds / 3600,
    )
    gates = tuple(
        GateFact(gate.text, gate.kind != GateKind.UNVERIFIED, statuses.get(gate.pk, "unverified")) for gate in phase.gates.all()
    )
    return Done(task, attempt, Outcome(task.state, task.message, measure_drift(evidence), *lines[attempt.pk], gates))


def record_of(phase: Phase, done: Done) -> PhaseRecord:
    """The phase's outcome, as the PRP and the memory files record it."""
    attempt = done.attempt
    if attempt is None or done.outcome.state != TaskState.SUCCEEDED:
        reason = f"{done.task.reason}: {done.task.message}" if done.task and done.task.reason else ""
        return PhaseRecord(phase.prp_id, phase.title, done.outcome.state, " ".join(reason.split()))
    result = attempt.result
    return PhaseRecord(
        prp_id=phase.prp_id,
        title=phase.title,
        state=done.outcome.state,
        merge_commit=attempt.merge_commit,
        executed_on=attempt.ended_at.date().isoformat() if attempt.ended_at else "",
        files=tuple(sorted((*result.files_created, *result.files_modified))),
        gates=done.outcome.gates,
        drift=done.drift,
    )


def changed_lines(diff: str | None) -> tuple[int | None, int | None]:
    """(lines added, lines removed) in a unified diff; (None, None) when the diff was not read yet."""
    if diff is None:
        return None, None
    added = removed = 0
    in_header = True
    for line in diff.split("\n"):
        if line.startswith("diff --git "):
            in_header = True
        elif line.startswith("@@ "):
            in_header = False
        elif not in_header:
            added += line.startswith("+")
            removed += line.startswith("-")
    return added, removed
