"""Build the PRP document of a phase from its rows."""

from datetime import datetime

from batches.core.engine.prp import Prp, PrpStep
from batches.models import Batch, LinearIssue, Phase


def prp_of(batch: Batch, phase: Phase, created: datetime) -> Prp:
    """The phase's PRP document as values."""
    ids = dict(batch.phases.values_list("key", "prp_id")) if phase.dependencies else {}
    return Prp(
        prp_id=phase.prp_id,
        title=phase.title,
        batch=batch.number,
        stage=phase.stage.number,
        order=phase.order,
        phase=phase.key,
        plan=batch.title,
        goal=phase.goal,
        complexity=phase.complexity,
        hours=phase.hours,
        files=tuple(phase.files),
        dependencies=tuple(ids[key] for key in phase.dependencies),
        steps=tuple(PrpStep(step["number"], step["text"], tuple(step["commands"])) for step in phase.steps),
        gates=tuple(gate.text for gate in phase.gates.all()),
        created=created.date().isoformat(),
        extra=issue_front_matter(phase),
    )


def issue_front_matter(phase: Phase) -> tuple[tuple[str, str], ...]:
    """The address of the phase's Linear issue as a front matter field; empty when there is none yet."""
    address = LinearIssue.objects.filter(phase=phase).exclude(url="").values_list("url", flat=True).first()
    return (("issue", address),) if address else ()
