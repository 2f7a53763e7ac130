"""What every backend must pass, as a kit: docs/agents.md says how to try one of your own with it.

A backend takes part as a `Subject`: how an attempt is ordered that works, fails, lies or never ends, and how it is
started. `check_backend` runs one behaviour through the real wrapper and judges the files and commits that are left.
"""

import json
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from subagents import launcher
from subagents.contract import USAGE_FIGURES, Failure, GateKind, GateSpec, GateStatus, ResultStatus, StepPlan, TaskResult, TaskSpec
from tests.subagents.conftest import World, marked, user_git, wait_for

BEHAVIOURS = ("works", "fails", "lies", "hangs", "cancelled")
STEPS = (StepPlan(1, "Write made.txt"), StepPlan(2, "Write proof.txt"))
GATES = (GateSpec(1, "Both are there", GateKind.FILES_EXIST, paths=("made.txt", "proof.txt")),)
LIMIT_SECONDS = 8.0


@dataclass(frozen=True)
class Subject:
    """`order` gives the fields of the spec for one behaviour:

    - works: made.txt and proof.txt are written, and that is claimed;
    - fails: made.txt is written, then the backend finds that it cannot go on;
    - lies: made.txt is written, and that everything is done is claimed;
    - hangs and cancelled: made.txt is written, and then nothing happens for minutes.
    """

    name: str
    order: Callable[[World, str], dict[str, object]]
    start: Callable[[TaskSpec, str], AbstractContextManager[object]]


def check_backend(world: World, subject: Subject, behaviour: str) -> TaskResult:
    """Run one behaviour and judge what came of it; the result is returned for what is the backend's own to judge."""
    before = _users_own(world)
    limits = {"timeout_seconds": LIMIT_SECONDS} if behaviour == "hangs" else {}
    spec = world.spec(**{"steps": STEPS, "gates": GATES, **limits, **subject.order(world, behaviour)})
    with subject.start(spec, behaviour):
        if behaviour == "cancelled":
            wait_for(lambda: _written(spec, "made.txt"), 60)
            launcher.stop(spec.attempt_dir, force=False)
        result = world.ended(spec, 60).result
    assert result is not None, "there is always a result"
    assert _users_own(world) == before, "the person's branches, index and files are not the backend's"
    wait_for(lambda: not marked(spec.attempt_dir))
    JUDGES[behaviour](world, spec, result)
    _figures_are_known_or_unknown(result)
    assert all(json.loads(json.dumps(line)).keys() >= {"at", "level", "kind", "message"} for line in world.log(spec))
    return result


def _works(world: World, spec: TaskSpec, result: TaskResult) -> None:
    assert (result.status, result.errors, result.steps_completed) == (ResultStatus.SUCCESS, (), 2)
    assert [gate.status for gate in result.gates] == [GateStatus.PASSED]
    assert set(result.files_created) >= {"made.txt", "proof.txt"}
    commits = user_git(world.project, "rev-list", "--reverse", f"{spec.base_commit}..{spec.attempt_ref}").split("\n")
    assert tuple(commits) == result.commits, "commits are made by the runner alone"


def _fails(world: World, spec: TaskSpec, result: TaskResult) -> None:
    assert result.status == ResultStatus.FAILED and result.failure_reason == Failure.AGENT_ERROR
    assert result.errors and result.errors[0].strip(), "a failure says why"
    assert result.steps_completed < 2
    assert "made.txt" in user_git(world.project, "ls-tree", "--name-only", spec.attempt_ref), "unfinished work is kept"


def _lies(world: World, spec: TaskSpec, result: TaskResult) -> None:
    assert result.failure_reason == Failure.GATE_FAILED, "a claim counts for nothing"


def _hangs(world: World, spec: TaskSpec, result: TaskResult) -> None:
    assert result.failure_reason == Failure.PHASE_TIME_LIMIT and result.elapsed_seconds < LIMIT_SECONDS + 15


def _cancelled(world: World, spec: TaskSpec, result: TaskResult) -> None:
    assert result.failure_reason == Failure.CANCELLED
    assert "made.txt" in user_git(world.project, "ls-tree", "--name-only", spec.attempt_ref), "unfinished work is kept"
    assert result.head_commit == user_git(world.project, "rev-parse", spec.attempt_ref) and "made.txt" in result.files_created


JUDGES = {"works": _works, "fails": _fails, "lies": _lies, "hangs": _hangs, "cancelled": _cancelled}


def _figures_are_known_or_unknown(result: TaskResult) -> None:
    """No figure is made up: all that is told adds up, and what is not told is None."""
    assert set(result.usage) <= {*USAGE_FIGURES, "requests"}
    told = [result.usage[name] for name in USAGE_FIGURES if result.usage.get(name) is not None]
    assert result.tokens_used == (sum(told) if told else None)
    assert result.cost_usd is None or result.cost_usd >= 0


def _written(spec: TaskSpec, name: str) -> bool:
    return subprocess.run(["test", "-f", f"{spec.checkout}/{name}"], check=False).returncode == 0


def _users_own(world: World) -> tuple[str, str, str]:
    refs = user_git(world.project, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags")
    return refs, user_git(world.project, "symbolic-ref", "HEAD"), user_git(world.project, "status", "--porcelain", "--untracked-files=no")
