"""Judges recorded gates once more: each on a fresh checkout of its commit, with the environment that was recorded. Commits nothing."""

from __future__ import annotations

import json
import os

from subagents.clean_checkout import CleanCheckout
from subagents.contract import ContractError, GateOutcome, GateSpec, ResultStatus, TaskResult
from subagents.files import read_bytes, sha256_hex, write_atomic
from subagents.gates import Judge
from subagents.looks import Looker
from subagents.open_repository import attached_repository
from subagents.project_environment import built_before
from subagents.record import replace
from subagents.roles.judged_again import judged_again

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from subagents.contract import TaskSpec
    from subagents.reporting import Reporter
    from subagents.workspace import Repository

REQUEST, VERDICTS = "judgements.json", "verdicts.json"  # in the attempt's directory; too large for a spec and a result
MOST_BYTES = 256 * 1024 * 1024
OUTPUT_CHARACTERS = 20_000  # more than a gate keeps


def write_request(attempt_dir: str, judgements: list[dict[str, Any]]) -> None:
    """Write what `verify` reads. Raises OSError."""
    write_atomic(os.path.join(attempt_dir, REQUEST), json.dumps(judgements).encode(), durable=False, mode=0o600)


def read_verdicts(attempt_dir: str, digest: str) -> list[dict[str, Any]]:
    """What `verify` has found. Raises ContractError when it is not what the result vouches for, OSError."""
    data = read_bytes(os.path.join(attempt_dir, VERDICTS), MOST_BYTES)
    if data is None or sha256_hex(data) != digest:
        raise ContractError(VERDICTS, "is not what was written when the verification ended")
    found: list[dict[str, Any]] = json.loads(data)
    return found


def verify(spec: TaskSpec, reporter: Reporter) -> TaskResult:
    """Judge each of the judgements in REQUEST and write VERDICTS; what cannot be repeated says why in "gone".

    A judgement is {"id", "base", "commit", "environment", "room", "seconds", "rerun", "phase", "declared": [path], "changed"
    (null: what lies between the two commits, as after a phase), "gates": [GateSpec JSON]}. Its verdict is {"id", "gone",
    "words", "gates": [GateOutcome JSON]}.
    Raises ContractError, GitError, OSError.
    """
    data = read_bytes(os.path.join(spec.attempt_dir, REQUEST), MOST_BYTES)
    if data is None:
        raise ContractError(REQUEST, "is missing")
    judgements = json.loads(data)
    repository = attached_repository(spec.repository)
    verdicts = []
    for number, judgement in enumerate(judgements, start=1):
        reporter.progress(0, f"{number} of {len(judgements)}: {judgement['name']}", "verify")
        verdicts.append(_verdict(spec, repository, judgement, reporter))
    found = json.dumps(verdicts).encode()
    write_atomic(os.path.join(spec.attempt_dir, VERDICTS), found, durable=False, mode=0o600)
    return TaskResult(
        task_id=spec.task_id,
        prp_id=spec.prp_id,
        status=ResultStatus.SUCCESS,
        attempt=spec.attempt,
        token=spec.token,
        base_commit=spec.base_commit,
        report={"sha256": sha256_hex(found)},
    )


def _verdict(spec: TaskSpec, repository: Repository, judgement: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    gone, words, outcomes = "", "", tuple[GateOutcome, ...]()
    commit, wanted = str(judgement["commit"]), str(judgement["environment"])
    built = built_before(str(spec.environment.get("folder", "")), wanted, spec.sandbox) if wanted else None
    if repository.find_commit(commit) is None:
        gone, words = "commit_missing", f"commit {commit} is not in the repository any more"
    elif wanted and built is None:
        gone, words = "environment_gone", f"the environment {wanted[:12]} that it was judged with is not there any more as it was built"
    else:
        told = replace(
            spec,
            policy=judgement["room"],
            timeout_seconds=float(judgement["seconds"]),
            rerun_gates=bool(judgement["rerun"]),
            environment={},
            base_commit=str(judgement["base"]),
            files_modified=tuple(str(path) for path in judgement["declared"]),
        )
        told = built.given_to(told) if built is not None else told
        place = CleanCheckout(told, repository, commit)
        try:
            outcomes = _judged(told, repository, place, judgement, reporter)
        finally:
            place.release()
    gates = [replace(outcome, output=outcome.output[-OUTPUT_CHARACTERS:], first_output="").to_json() for outcome in outcomes]
    return {"id": judgement["id"], "gone": gone, "words": words, "gates": gates}


def _judged(
    spec: TaskSpec, repository: Repository, place: CleanCheckout, judgement: dict[str, Any], reporter: Reporter
) -> tuple[GateOutcome, ...]:
    gates = tuple(GateSpec.from_json(gate, "judgement: gate") for gate in judgement["gates"])
    phase, files = str(judgement["phase"]), judgement["changed"]
    if files is not None:
        return Judge(spec, place, files, reporter, phase).judge(gates)
    commit = place.commit
    changed = repository.changes(spec.base_commit, commit)
    outcomes = Judge(spec, place, changed.present, reporter, phase, changed.deleted).judge(gates)
    return judged_again(Looker(spec, repository, commit), gates, outcomes, place, changed, reporter)[0]
