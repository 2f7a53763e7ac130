"""Read and analyse a plan document, for the preview page, `manage.py analyze` and the import of a plan."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from batches.core.gates.binding import Understood, understand
from batches.core.plans.graph import Analysis, analyse
from batches.core.plans.reader import PhaseSpec, PlanIssue, PlanReading, read_plan
from batches.core.plans.source import MAX_PLAN_BYTES


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause garbage collection. Reading creates many objects that all stay alive; collecting would cost a tenth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@dataclass(frozen=True, slots=True)
class DocumentReport:
    """A reading and, if its dependencies have no cycle, the analysis of its phases."""

    reading: PlanReading
    analysis: Analysis | None
    cycles: tuple[tuple[str, ...], ...] = ()

    @property
    def is_valid(self) -> bool:
        """Whether the plan has no error."""
        return not self.reading.errors

    @_collector_paused()
    def to_json(self) -> dict[str, Any]:
        """The object that `analyze --json` prints."""
        analysis, read_format = self.analysis, self.reading.format
        return {
            "title": self.reading.plan.title,
            "format": {"name": read_format.name, "sentence": read_format.sentence} if read_format else None,
            "phases": [
                {
                    "key": phase.key,
                    "title": phase.title,
                    "goal": phase.goal or None,
                    "hours": phase.hours,
                    "hours_text": phase.hours_text,
                    "complexity": phase.complexity or None,
                    "files": list(phase.files),
                    "dependencies": list(phase.dependencies),
                    "steps": [step.text for step in phase.steps],
                    "gates": [gate.text for gate in phase.gates],
                    "line": phase.line,
                    "assumed": list(phase.assumed),
                }
                for phase in self.reading.plan.phases
            ],
            "stages": [list(stage) for stage in analysis.stages] if analysis else [],
            "conflicts": [
                {"file": conflict.file, "phases": list(conflict.phases), "kind": conflict.kind.value}
                for conflict in (analysis.conflicts if analysis else ())
            ],
            "cycles": [list(cycle) for cycle in self.cycles],
            "critical_path": list(analysis.critical_path) if analysis else [],
            "total_hours": analysis.total_hours if analysis else None,
            "longest_chain_hours": analysis.longest_chain_hours if analysis else None,
            "errors": [_issue_json(issue) for issue in self.reading.errors],
            "warnings": [_issue_json(issue) for issue in self.reading.warnings],
            "unread": [
                {"line": piece.line, "end_line": piece.end_line, "kind": piece.kind.value, "text": piece.text, "why": piece.why}
                for piece in self.reading.accounting.unread
            ],
            "checks": [{"phase": phase.key, **read.to_json()} for phase in self.reading.plan.phases for read in checks_of(phase)],
        }


def checks_of(phase: PhaseSpec) -> tuple[Understood, ...]:
    """How each gate of a phase is understood: what will be run, and where a command is not, why not."""
    return tuple(understand(position, gate.text, phase.files) for position, gate in enumerate(phase.gates, start=1))


def _issue_json(issue: PlanIssue) -> dict[str, Any]:
    return {"line": issue.line, "code": issue.code.value, "field": issue.field, "phase": issue.phase, "message": issue.message}


def analyse_document(source: str | bytes, max_bytes: int = MAX_PLAN_BYTES) -> DocumentReport:
    """Read and analyse a plan. No content makes it raise: the report has all readable phases, and stages if there is no cycle."""
    with _collector_paused():
        reading = read_plan(source, max_bytes)
        analysis = analyse(reading.plan.phases)
    if analysis.cycles:
        return DocumentReport(reading, None, analysis.cycles)
    return DocumentReport(reading, analysis)
