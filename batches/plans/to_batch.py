"""Turn an analysed plan into the rows of a batch: stages, phases, gates, conflicts."""

from collections.abc import Iterable, Mapping, Sequence

from django.db.models import F, Max, OuterRef, Subquery

from batches.core.engine.prp import prp_id, slug
from batches.core.gates.binding import bind_gate
from batches.core.plans.analysis import DocumentReport
from batches.core.plans.conflicts import FileConflict, conflict_id
from batches.core.plans.types import PhaseSpec
from batches.models import Batch, Conflict, Finding, Gate, Installation, Phase, PlanDecision, Stage, Task
from subagents.contract import GateSpec


def next_number(branches: Iterable[str]) -> int:
    """The next batch number: above every batch that is there or was deleted, demonstrations aside, and above every batch branch."""
    highest = Batch._base_manager.filter(project__demo=False).aggregate(highest=Max("number"))["highest"] or 0
    highest = max(highest, Installation.objects.filter(pk=1).values_list("deleted_batch", flat=True).first() or 0)
    for name in branches:
        tail = name.removeprefix("ce/batch-")
        if tail.isascii() and tail.isdigit() and len(tail) < 9:
            highest = max(highest, int(tail))
    return highest + 1


SECTION_CHARACTERS = 40_000  # of a section or an overview for an agent: some 10,000 tokens
_COLUMNS = [field.name for field in Phase._meta.concrete_fields if field.name not in ("id", "batch", "key")]
_ASIDE = 1_000_000  # beyond the positions that phases have


def replace_phases(batch: Batch, report: DocumentReport) -> None:
    """Replace stages, phases, gates and conflicts of the batch by those of the plan in `report`. In the caller's transaction.

    A phase whose key stays keeps its row, with its tasks and its issue. A removed phase loses its tasks, which wrote or
    reviewed its PRP; the reports, results, findings and archives of those runs stay.
    """
    assert report.analysis is not None  # no errors, so the graph is sound
    gone = batch.phases.exclude(key__in=[spec.key for spec in report.reading.plan.phases])
    Finding.objects.filter(phase__in=gone).update(phase=None)
    Task.objects.filter(phase__in=gone).delete()
    gone.delete()
    Gate.objects.filter(phase__batch=batch).delete()
    batch.conflicts.all().delete()
    batch.phases.update(position=F("position") + _ASIDE, order=F("order") + _ASIDE)  # positions are unique, so make room first
    create_phases(batch, report)
    stage = Phase.objects.filter(pk=OuterRef("phase")).values("stage")[:1]
    Task.objects.filter(run__batch=batch, phase__isnull=False).update(stage=Subquery(stage))
    batch.stages.filter(number__gt=len(report.analysis.stages)).delete()


def create_phases(batch: Batch, report: DocumentReport) -> list[Phase]:
    """Create or update stages, phases and gates of the batch as the plan in `report` says; returns the phases."""
    analysis = report.analysis
    assert analysis is not None  # no errors, so the graph is sound
    stages = {stage.number: stage for stage in batch.stages.all()}
    wanted = range(1, len(analysis.stages) + 1)
    Stage.objects.bulk_create(stages.setdefault(number, Stage(batch=batch, number=number)) for number in wanted if number not in stages)
    known = dict(batch.phases.values_list("key", "pk"))
    order = {key: place for members in analysis.stages for place, key in enumerate(members, start=1)}
    remaining = _remaining_hours(report.reading.plan.phases)
    phases = [
        Phase(
            pk=known.get(spec.key),
            batch=batch,
            stage=stages[analysis.stage_of[spec.key]],
            key=spec.key,
            position=position,
            order=order[spec.key],
            prp_id=prp_id(batch.number, analysis.stage_of[spec.key], order[spec.key]),
            slug=slug(spec.title),
            title=spec.title[:300],
            goal=spec.goal,
            hours=spec.hours,
            hours_text=spec.hours_text[:200],
            complexity=spec.complexity,
            files=list(spec.files),
            dependencies=list(spec.dependencies),
            steps=[{"number": step.number, "text": step.text, "commands": list(step.commands)} for step in spec.steps],
            line=spec.line,
            section=_cut(spec.section),
            remaining_hours=remaining[spec.key],
        )
        for position, spec in enumerate(report.reading.plan.phases, start=1)
    ]
    Batch.objects.filter(pk=batch.pk).update(overview=_cut(report.reading.plan.overview))
    Phase.objects.bulk_update([phase for phase in phases if phase.pk], _COLUMNS)
    Phase.objects.bulk_create(phase for phase in phases if not phase.pk)
    Gate.objects.bulk_create(
        _gate(phase, bind_gate(position, gate.text, spec.files))
        for phase, spec in zip(phases, report.reading.plan.phases, strict=True)
        for position, gate in enumerate(spec.gates, start=1)
    )
    return phases


def _cut(text: str) -> str:
    """The text for an agent, at most SECTION_CHARACTERS; a longer one says how much is left out."""
    left_out = len(text) - SECTION_CHARACTERS
    return text if left_out <= 0 else f"{text[:SECTION_CHARACTERS]}\n(… {left_out:,} more characters of the plan are left out.)"


def _gate(phase: Phase, bound: GateSpec) -> Gate:
    return Gate(phase=phase, position=bound.position, text=bound.text, kind=bound.kind, command=bound.command, spec=bound.to_json())


def _remaining_hours(phases: Sequence[PhaseSpec]) -> dict[str, float]:
    """{phase key: hours of the longest path from it to an end, its own included}; unknown hours count as one."""
    dependents: dict[str, list[str]] = {phase.key: [] for phase in phases}
    waiting = {phase.key: 0 for phase in phases}
    hours = {phase.key: 1.0 if phase.hours is None else phase.hours for phase in phases}
    depends_on = {phase.key: phase.dependencies for phase in phases}
    for phase in phases:
        for key in phase.dependencies:
            dependents[key].append(phase.key)
            waiting[key] += 1
    remaining = dict(hours)
    free = [key for key, count in waiting.items() if not count]
    while free:
        key = free.pop()
        for dependency in depends_on[key]:
            remaining[dependency] = max(remaining[dependency], hours[dependency] + remaining[key])
            waiting[dependency] -= 1
            if not waiting[dependency]:
                free.append(dependency)
    return remaining


def create_conflicts(batch: Batch, report: DocumentReport, decisions: Mapping[str, PlanDecision]) -> None:
    """Create the batch's conflicts with the plan's `decisions` about them, by `conflict_id`."""
    assert report.analysis is not None
    Conflict.objects.bulk_create(_conflict(batch, found, decisions.get(conflict_id(found))) for found in report.analysis.conflicts)


def _conflict(batch: Batch, found: FileConflict, decided: PlanDecision | None) -> Conflict:
    conflict = Conflict(batch=batch, file=found.file, kind=found.kind, phases=list(found.phases))
    if decided is not None:
        conflict.decision, conflict.decided_by_id, conflict.decided_at = decided.decision, decided.decided_by_id, decided.decided_at
    return conflict
