"""The preview of a plan: problems, stages, conflicts, hours, gates, and steps that need an agent."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from batches.core.engine.execute_options import ExecuteOptions
from batches.core.gates.binding import GateKind, GateSpec, Understood
from batches.core.plans.analysis import DocumentReport, checks_of
from batches.core.plans.conflicts import ConflictKind, FileConflict, conflict_id
from batches.core.plans.forecast import (
    DEFAULT_SCHEDULE,
    DataflowSaving,
    FinishedPhase,
    Forecast,
    Schedule,
    added_hours,
    expected_saving,
    forecast,
    ratios_of,
)
from batches.core.plans.graph import Analysis, chain_with, serial_edges
from batches.core.plans.graph_layout import GraphLayout, lay_out
from batches.core.plans.repairs import Proposal, choices
from batches.core.plans.text_diff import lines_of
from batches.core.plans.types import IssueCode, PhaseSpec, PlanIssue
from batches.core.plans.unread import Unread
from batches.core.review.plan_review import PlanReview
from batches.engine.execution_plan import models_of
from batches.models import PlanDecision, Project, Scheduling

GRAPH_AT_ONCE = 150  # phases; a larger graph is drawn on request
GRAPH_UP_TO = 600  # phases; an even larger plan is only listed by stage
ISSUES_SHOWN = 100
CONFLICTS_SHOWN = 50
UNREAD_SHOWN = 100
UNREAD_DIMMED = 2_000  # pieces that the editor dims
REPAIRED_AT_ONCE = 100_000  # characters of the longest plan whose repairs are tried while typing
COSTS_BUDGET = 40_000  # phases times conflicts for which hours are computed while typing


def models_chosen(project: Project | None, report: DocumentReport) -> dict[str, str]:
    """{phase: model} by the project's settings; empty without a project."""
    if project is None:
        return {}
    return {key: one.model for key, one in models_of(project, report.reading.plan.phases, ExecuteOptions()).items()}


def schedule_of(project: Project | None) -> Schedule:
    """How the project would schedule a plan; the defaults without a project."""
    return Schedule(project.max_parallel, project.scheduling == Scheduling.STAGES) if project is not None else DEFAULT_SCHEDULE


@dataclass(frozen=True, slots=True)
class BoundGate:
    """A gate and how it was understood; `issue` is the warning whose repair has its command run, if there is one."""

    phase: PhaseSpec
    read: Understood
    issue: PlanIssue | None = None

    @property
    def gate(self) -> GateSpec:
        return self.read.gate


@dataclass(frozen=True, slots=True)
class ConflictView:
    """Phases that change the same file: the decision, by whom, and the hours that one after the other adds."""

    id: str
    file: str
    phases: tuple[str, ...]
    line: int
    cost_hours: float | None
    decision: str
    decided: PlanDecision | None


@dataclass(frozen=True)
class Preview:
    """A plan's report prepared for a page, with decisions about its conflicts by `conflict_id`."""

    report: DocumentReport
    text: str = ""
    decisions: Mapping[str, str] = field(default_factory=dict)
    decided: Mapping[str, PlanDecision] = field(default_factory=dict)
    history: Sequence[FinishedPhase] = ()
    project: int | None = None
    models: Mapping[str, str] = field(default_factory=dict)  # {phase: model} by the project's settings
    schedule: Schedule = DEFAULT_SCHEDULE  # the project's; decides the hours that a decision adds
    review: PlanReview | None = None

    @property
    def analysis(self) -> Analysis | None:
        return self.report.analysis

    @property
    def phases(self) -> tuple[PhaseSpec, ...]:
        return self.report.reading.plan.phases

    @property
    def title(self) -> str:
        return self.report.reading.plan.title

    @property
    def errors(self) -> Sequence[PlanIssue]:
        return self.report.reading.errors

    @property
    def warnings(self) -> Sequence[PlanIssue]:
        return self.report.reading.warnings

    @property
    def errors_shown(self) -> Sequence[PlanIssue]:
        return self.errors[:ISSUES_SHOWN]

    @property
    def warnings_shown(self) -> Sequence[PlanIssue]:
        return self.warnings[:ISSUES_SHOWN]

    @property
    def read_as(self) -> str:
        """“Read as spec-kit: …” for the document of another tool; "" for our own format."""
        return self.report.reading.format.sentence if self.report.reading.format is not None else ""

    @property
    def unread(self) -> Sequence[Unread]:
        """What was read as nothing."""
        return self.report.reading.accounting.unread

    @property
    def unread_shown(self) -> Sequence[Unread]:
        return self.unread[:UNREAD_SHOWN]

    @property
    def unread_lines(self) -> str:
        """JSON for the editor, which dims these lines: [[first line, last line, why], …]."""
        return json.dumps([[piece.line, piece.end_line, piece.why] for piece in self.unread[:UNREAD_DIMMED]], ensure_ascii=False)

    @cached_property
    def assumed(self) -> list[tuple[str, int]]:
        """(field, number of phases) of what the document does not say and a rule filled."""
        return list(Counter(field for phase in self.phases for field in phase.assumed).items())

    @cached_property
    def repairs(self) -> tuple[Proposal, ...]:
        """The ways of repairing all errors at once; none for a single error (it has a button), or a very long plan."""
        if sum(issue.repair is not None for issue in self.errors) < 2 and not any(issue.others for issue in self.errors):
            return ()
        return choices(self.text) if len(self.text) <= REPAIRED_AT_ONCE else ()

    @cached_property
    def by_key(self) -> dict[str, PhaseSpec]:
        return {phase.key: phase for phase in self.phases}

    @property
    def stages(self) -> list[list[PhaseSpec]]:
        return [[self.by_key[key] for key in stage] for stage in self.analysis.stages] if self.analysis else []

    @property
    def draws_at_once(self) -> bool:
        return 0 < len(self.phases) <= GRAPH_AT_ONCE

    @property
    def draws_when_asked(self) -> bool:
        return GRAPH_AT_ONCE < len(self.phases) <= GRAPH_UP_TO

    @cached_property
    def layout(self) -> GraphLayout | None:
        """The graph of the stages; None without stages or above GRAPH_UP_TO phases."""
        if self.analysis is None or not self.phases or len(self.phases) > GRAPH_UP_TO:
            return None
        dependencies = {phase.key: phase.dependencies for phase in self.phases}
        return lay_out(self.analysis.stages, dependencies, self.critical_path, self._edges)

    @cached_property
    def gates(self) -> list[BoundGate]:
        offers = {issue.line: issue for issue in self.warnings if issue.code == IssueCode.GATE_NOT_RUN and issue.repair}
        return [
            BoundGate(phase, read, offers.get(gate.line) if read.offer else None)
            for phase in self.phases
            for gate, read in zip(phase.gates, checks_of(phase), strict=True)
        ]

    @property
    def gates_that_run(self) -> list[BoundGate]:
        return [bound for bound in self.gates if bound.gate.kind != GateKind.UNVERIFIED]

    @property
    def gates_nobody_can_check(self) -> list[BoundGate]:
        return [bound for bound in self.gates if bound.gate.kind == GateKind.UNVERIFIED]

    @cached_property
    def prose_phases(self) -> list[PhaseSpec]:
        """Phases with a step without a command, which need an agent."""
        return [phase for phase in self.phases if any(not step.commands for step in phase.steps)]

    @property
    def prose_steps(self) -> int:
        return sum(not step.commands for phase in self.phases for step in phase.steps)

    @property
    def step_count(self) -> int:
        return sum(len(phase.steps) for phase in self.phases)

    @cached_property
    def open_conflicts(self) -> list[FileConflict]:
        """Conflicts that can happen, without overlaps of ordered phases."""
        return [one for one in self.analysis.conflicts if one.kind is not ConflictKind.ORDERED] if self.analysis else []

    @property
    def conflict_count(self) -> int:
        return len(self.open_conflicts)

    @property
    def undecided_count(self) -> int:
        return sum(conflict_id(one) not in self.decisions for one in self.open_conflicts)

    @cached_property
    def same_stage(self) -> list[ConflictView]:
        """Conflicts between phases of the same stage."""
        return self._views(ConflictKind.SAME_STAGE)

    @cached_property
    def cross_stage(self) -> list[ConflictView]:
        """Conflicts that are possible with dataflow scheduling only."""
        return self._views(ConflictKind.CROSS_STAGE)

    @property
    def conflicts(self) -> list[ConflictView]:
        return [*self.same_stage, *self.cross_stage]

    @property
    def conflicts_left(self) -> int:
        return self.conflict_count - len(self.conflicts)

    @cached_property
    def ordered(self) -> list[FileConflict]:
        """Files that several phases change, where one phase depends on the other."""
        return [one for one in self.analysis.conflicts if one.kind is ConflictKind.ORDERED] if self.analysis else []

    @property
    def spare_decisions(self) -> dict[str, str]:
        """Decisions about conflicts that are not in the current text. They are kept in case the conflicts return."""
        present = {conflict_id(one) for one in self.open_conflicts}
        return {key: decision for key, decision in self.decisions.items() if key not in present}

    @cached_property
    def serialised(self) -> list[tuple[str, ...]]:
        """The groups of phases that run one after the other by decision."""
        return list(self._serialised_by.values())

    @cached_property
    def _serialised_by(self) -> dict[str, tuple[str, ...]]:
        """{conflict: phases} for conflicts whose phases run one after the other by decision."""
        found = {conflict_id(one): one.phases for one in self.open_conflicts} if "serialize" in self.decisions.values() else {}
        return {key: phases for key, phases in found.items() if self.decisions.get(key) == "serialize"}

    @cached_property
    def _edges(self) -> dict[str, tuple[str, ...]]:
        return serial_edges(self.by_key, self.analysis.stage_of, self.serialised) if self.analysis else {}

    @cached_property
    def _chain(self) -> tuple[tuple[str, ...], float | None]:
        return chain_with(self.phases, self.analysis.stages, self._edges) if self.analysis else ((), None)

    @property
    def critical_path(self) -> tuple[str, ...]:
        """The longest chain, including phases that run one after the other by decision."""
        return self._chain[0]

    @property
    def chain_hours(self) -> float | None:
        return self._chain[1]

    @property
    def speed_up(self) -> float | None:
        total = self.analysis.total_hours if self.analysis else None
        return total / self.chain_hours if total and self.chain_hours else None

    @cached_property
    def forecast(self) -> Forecast | None:
        """From the installation's history; None if there is nothing comparable."""
        if self.analysis is None:
            return None
        return forecast(self.phases, self.analysis, self.history, self.project, self._edges, self.models)

    def saving(self, slots: int) -> DataflowSaving | None:
        """What dataflow scheduling saves over stages with `slots` parallel phases; None if hours are unknown."""
        if self.analysis is None:
            return None
        return expected_saving(self.phases, self.analysis.stage_of, ratios_of(self.history, self.project), slots, self._edges)

    def _views(self, kind: ConflictKind) -> list[ConflictView]:
        found = [one for one in self.open_conflicts if one.kind is kind][:CONFLICTS_SHOWN]
        costed = max(5, COSTS_BUDGET // max(1, len(self.phases)))
        return [self._view(conflict, with_cost=number < costed) for number, conflict in enumerate(found)]

    def _view(self, conflict: FileConflict, *, with_cost: bool) -> ConflictView:
        key = conflict_id(conflict)
        decision = self.decisions.get(key, "")
        row = self.decided.get(key)
        cost = None
        if with_cost and self.analysis is not None:
            others = [phases for other, phases in self._serialised_by.items() if other != key]
            cost = added_hours(self.phases, self.analysis.stage_of, others, conflict.phases, self.schedule)
        return ConflictView(
            id=key,
            file=conflict.file,
            phases=conflict.phases,
            line=self._line_of(conflict),
            cost_hours=cost,
            decision=decision,
            decided=row if row is not None and row.decision == decision else None,
        )

    @cached_property
    def _source(self) -> list[str]:
        return lines_of(self.text)

    def _line_of(self, conflict: FileConflict) -> int:
        """The line where the last of the phases names the file, or else its heading."""
        phase = self.by_key[conflict.phases[-1]]
        following = min((one.line for one in self.phases if one.line > phase.line), default=len(self._source) + 1)
        name = conflict.file.rstrip("/")
        lines = range(phase.line, min(following, len(self._source) + 1))
        return next((line for line in lines if line and name in self._source[line - 1]), phase.line)
