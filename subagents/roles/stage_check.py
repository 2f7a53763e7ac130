"""Judges the gates of a stage's phases once more, on the merged commit in a fresh checkout; commits nothing."""

from __future__ import annotations

from subagents.clean_checkout import CleanCheckout
from subagents.contract import Failure, GateOutcome, GateSpec, GateStatus, Look, LookKind, ResultStatus, TaskResult
from subagents.gates import Judge
from subagents.looks import gate_named
from subagents.open_repository import attached_repository
from subagents.project_environment import environment_for
from subagents.roles.executor import gate_errors
from subagents.told_phases import told_phases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subagents.contract import TaskSpec
    from subagents.reporting import Reporter


def check_stage(spec: TaskSpec, reporter: Reporter) -> TaskResult:
    """Judge `payload["phases"]` ([{"key", "gates", "files_modified"}]) at the base commit, which is the merged one.

    Then the `payload["gates"]` that are the stage's as a whole, over the files `payload["changed"]`, and the gates of phases that were
    merged in stages before, `payload["earlier"]`: one that fails is no failure of this stage, since the plan may mean it so, but a look.
    Raises ContractError for a payload of another shape, GitError, OSError.
    """
    phases = [(phase.key, phase.gates, phase.files_modified) for phase in told_phases(spec, "phases")]
    if whole := tuple(GateSpec.from_json(gate, "payload: gate") for gate in spec.payload.get("gates", ())):
        phases.append(("", whole, tuple(str(path) for path in spec.payload.get("changed", ()))))
    repository = attached_repository(spec.repository)
    outcomes: list[GateOutcome] = []
    looks: list[Look] = []
    earlier = told_phases(spec, "earlier")
    if any(gates for _, gates, _ in phases) or earlier:
        reporter.progress(0, "Making the checkout of the merged commit", "checkout")
        spec = environment_for(spec, repository, spec.base_commit, reporter).given_to(spec)
        place = CleanCheckout(spec, repository, spec.base_commit)
        for key, gates, files in phases:
            outcomes += Judge(spec, place, files, reporter, key).judge(gates)
        for phase in earlier:
            for outcome in Judge(spec, place, phase.files_modified, reporter, phase.key).judge(phase.gates):
                if outcome.status == GateStatus.FAILED:
                    gate = gate_named(outcome, f"phase {phase.key}")
                    text = f"{gate} fails on the merged tree of stage {spec.stage}: a later phase broke it"
                    looks.append(Look(LookKind.BROKEN_LATER, "", text, phase=phase.key))
    failed = any(outcome.status == GateStatus.FAILED for outcome in outcomes)
    return TaskResult(
        task_id=spec.task_id,
        prp_id=spec.prp_id,
        status=ResultStatus.FAILED if failed else ResultStatus.SUCCESS,
        attempt=spec.attempt,
        token=spec.token,
        failure_reason=Failure.GATE_FAILED if failed else "",
        errors=gate_errors(tuple(outcomes)),
        gates=tuple(outcomes),
        base_commit=spec.base_commit,
        head_commit=spec.base_commit,
        looks=tuple(looks),
    )
