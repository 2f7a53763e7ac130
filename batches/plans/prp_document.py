"""Build the PRP document of a phase from its rows."""

from collections.abc import Sequence
from datetime import datetime

from batches.core.engine.prp import Prp, PrpStep
from batches.models import Batch, Gate, LinearIssue, Phase


def prp_of(batch: Batch, phase: Phase, created: datetime) -> Prp:
    """The phase's PRP document as values."""
    return prps_of(batch, [phase], created)[0]


def prps_of(batch: Batch, phases: Sequence[Phase], created: datetime) -> list[Prp]:
    """The PRP documents of these phases as values, in their order. At most three queries."""
    ids = dict(batch.phases.values_list("key", "prp_id")) if any(phase.dependencies for phase in phases) else {}
    gates: dict[int, list[str]] = {}
    for of, text in Gate.objects.filter(phase__in=phases).order_by("phase", "position").values_list("phase", "text"):
        gates.setdefault(of, []).append(text)
    issues = dict(LinearIssue.objects.filter(phase__in=phases).exclude(url="").order_by("-pk").values_list("phase", "url"))
    return [
        Prp(
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
            gates=tuple(gates.get(phase.pk, ())),
            created=created.date().isoformat(),
            extra=(("issue", issues[phase.pk]),) if phase.pk in issues else (),
        )
        for phase in phases
    ]


def issue_front_matter(phase: Phase) -> tuple[tuple[str, str], ...]:
    """The address of the phase's Linear issue as a front matter field; empty when there is none yet."""
    address = LinearIssue.objects.filter(phase=phase).exclude(url="").values_list("url", flat=True).first()
    return (("issue", address),) if address else ()
