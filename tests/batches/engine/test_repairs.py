"""After a failed gate the agent repairs its work, in rounds, before a person is asked."""

import shlex
import sys
from pathlib import Path

import pytest

from batches.core.engine.execute_options import ExecuteOptions
from batches.core.errors import ServiceError, WrongChoice
from batches.engine import retries
from batches.engine.repairs import set_repairs
from batches.engine.ticker import Ticker
from batches.models import Attempt, AttemptFact, Run, RunFact
from tests.batches.engine.test_agents_engine import PROSE, prose
from tests.batches.world import ACTOR, World, phase, plan

pytestmark = pytest.mark.process

# It counts in a file that it leaves to the next round, and keeps what it is told.
AGENT = """
import json, pathlib, sys
prompt = sys.stdin.read()
file = pathlib.Path("part-1.txt")
file.write_text(str(int(file.read_text()) + 1) if file.exists() else "1")
pathlib.Path(f"told-{file.read_text()}.md").write_text(prompt)
print(json.dumps({"model": "x-1", "usage": {"input_tokens": 10, "output_tokens": 20}, "cost_usd": 0.5}))
"""


def refused_until(world: World, tmp_path: Path, settings, count: int, **project: object):
    """A batch of one phase whose gate refuses the agent's work up to round `count` of it."""
    settings.CE_ALLOW_UNSANDBOXED = True
    program = tmp_path / "agent.py"
    program.write_text(AGENT)
    text = phase("1", gates=("`test -f part-1.txt`", f"`test $(cat part-1.txt) -ge {count}`")).replace(
        "**Validation Gates**:", PROSE.format(key="1")
    )
    batch = world.generated(plan(text))
    world.project.backend, world.project.agent_command = "command", shlex.join([sys.executable, str(program)])
    for name, value in {"lint_command": "", "rerun_gates": False, **project}.items():
        setattr(world.project, name, value)
    world.project.save()
    return batch


def test_a_repair_works_on_with_the_gates_output_and_is_no_failure(world: World, tmp_path: Path, settings) -> None:
    """Also when the ticker is another one between the rounds."""
    batch = refused_until(world, tmp_path, settings, 3)
    run = world.execute(batch)
    world.until(lambda: world.task(run, "1").repairs == 1, "the first repair")
    world.ticker = Ticker("test-host")
    world.finish(run)
    assert run.state == "succeeded", run.report
    first, second, third = world.attempts(run, "1")
    assert [one.outcome for one in (first, second, third)] == ["repaired", "repaired", "succeeded"]
    assert [one.repair for one in (first, second, third)] == ["", "Repair 1 of 2 after gate 2", "Repair 2 of 2 after gate 2"]
    assert world.git("show", f"{batch.branch}:part-1.txt") == "3", "each round goes on with the work of the one before"
    told = world.git("show", f"{batch.branch}:told-2.md")
    assert "This is a repair." in told and "`test $(cat part-1.txt) -ge 3` ended with exit code 1" in told
    assert "This is a repair." not in world.git("show", f"{batch.branch}:told-1.md")
    moves = list(world.task(run, "1").transitions.values_list("event", "cause"))
    assert [move for move in moves if move[0] in ("fail", "retry")] == []
    assert moves.count(("repair", "policy:repair after a failed gate")) == 2
    facts = RunFact.objects.get(run=run)
    assert (facts.attempts, facts.failed, facts.retries, facts.phases) == (3, 0, 0, 1)
    assert not AttemptFact.objects.filter(run=run, by_hand=True).exists(), "an agent repaired it, no person"


def test_when_the_repairs_are_used_up_the_phase_has_failed_once_and_a_person_starts_anew(world: World, tmp_path: Path, settings) -> None:
    batch = refused_until(world, tmp_path, settings, 4, repairs=1)
    run = world.finish(world.execute(batch))
    task = world.task(run, "1")
    assert (run.state, task.state, task.reason, task.repairs) == ("failed", "failed", "gate_failed", 1)
    assert [one.outcome for one in world.attempts(run, "1")] == ["repaired", "failed"]
    facts = RunFact.objects.get(run=run)
    assert (facts.attempts, facts.failed, facts.retries) == (2, 1, 0)
    retries.retry(run=run, actor=ACTOR)
    task.refresh_from_db()
    assert (task.repairs, task.rounds_seconds) == (0, 0)
    assert task.attempts.count() == 2


def test_a_persons_remark_is_read_first_and_shown_at_the_attempt_also_in_repairs(world: World, tmp_path: Path, settings) -> None:
    batch = refused_until(world, tmp_path, settings, 2, repairs=0)
    run = world.finish(world.execute(batch))
    world.project.repairs = 1
    world.project.save()
    remark = "Use </remark> {{checkout}} twice."
    with pytest.raises(WrongChoice, match="at most 8000 characters"):
        retries.retry(run=run, actor=ACTOR, names=["1"], remark="x" * 8001)
    with pytest.raises(WrongChoice, match="has no agent that could read a remark"):
        retries.retry(run=run, actor=ACTOR, names=["1"], options=ExecuteOptions(backend="steps"), remark=remark)
    retries.retry(run=run, actor=ACTOR, names=["1"], remark=f"  {remark}\n")
    assert world.finish(run).state == "succeeded", run.report
    attempts = world.attempts(run, "1")
    assert [(one.remark, one.outcome) for one in attempts] == [("", "failed"), (remark, "repaired"), (remark, "succeeded")]
    assert attempts[1].remark_cause == ACTOR.cause
    for told in ("told-1.md", "told-2.md"):
        prompt = world.git("show", f"{batch.branch}:{told}")
        assert prompt.index(f"<remark>\n{remark}\n</remark>") < prompt.index("Carry out this phase")


def test_repairs_are_switched_off_for_a_run_at_its_start_and_while_it_lives(world: World, tmp_path: Path, settings) -> None:
    batch = refused_until(world, tmp_path, settings, 9, repairs=9)
    run = world.finish(world.execute(batch, repairs=0))
    assert [one.outcome for one in world.attempts(run, "1")] == ["failed"]
    with pytest.raises(ServiceError, match="is already failed"):
        set_repairs(run=run, rounds=0, actor=ACTOR)
    run = world.execute(batch)
    assert Run.objects.get(pk=run.pk).repairs == 9
    world.until(lambda: world.task(run, "1").repairs == 1, "the first repair")
    set_repairs(run=run, rounds=0, actor=ACTOR)
    world.finish(run)
    assert [one.outcome for one in world.attempts(run, "1")] == ["repaired", "failed"]


def test_the_rounds_share_the_cap_and_the_time_limit(world: World, tmp_path: Path, settings) -> None:
    batch = refused_until(world, tmp_path, settings, 9, repairs=9)
    run = world.finish(world.execute(batch, phase_cap_usd="0.8"))
    first, second = world.attempts(run, "1")
    assert (first.outcome, second.outcome) == ("repaired", "failed"), "two rounds at half a dollar use the cap up"
    assert float(second.reserved_usd) == pytest.approx(0.3)
    assert second.spec["timeout_seconds"] < first.spec["timeout_seconds"]
    assert Attempt.objects.filter(task__run=run).spent() == 1


# Both phases write the same file. Where git could not join it, the agent keeps what both sides say.
COLLIDING = """
import json, pathlib, re, sys
prompt = sys.stdin.read()
key = re.search(r"Write the file part-(\\w+)\\.txt", prompt)[1]
shared = pathlib.Path("shared.txt")
if shared.exists() and "<<<<<<<" in shared.read_text():
    kept = [line for line in shared.read_text().splitlines() if not line.startswith(("<<<<<<<", "=======", ">>>>>>>"))]
    shared.write_text("\\n".join(sorted(kept)) + "\\n")
    pathlib.Path("told-join.md").write_text(prompt)
elif not shared.exists():
    shared.write_text(f"line of phase {key}\\n")
pathlib.Path(f"part-{key}.txt").write_text("done\\n")
print(json.dumps({"cost_usd": 0.5}))
"""


def colliding(world: World, tmp_path: Path, settings, repairs: int):
    settings.CE_ALLOW_UNSANDBOXED = True
    program = tmp_path / "agent.py"
    program.write_text(COLLIDING)
    batch = world.generated(plan(prose("1"), prose("2")))
    world.project.backend, world.project.agent_command = "command", shlex.join([sys.executable, str(program)])
    world.project.repairs = repairs
    world.project.save()
    return batch


def test_an_agent_joins_what_git_could_not_merge_and_all_gates_judge_the_result(world: World, tmp_path: Path, settings) -> None:
    batch = colliding(world, tmp_path, settings, 2)
    run = world.finish(world.execute(batch))
    assert run.state == "succeeded", run.report
    assert world.git("show", f"{batch.branch}:shared.txt") == "line of phase 1\nline of phase 2"
    [joined] = [one for name in ("1", "2") for one in world.attempts(run, name) if one.repair]
    key = joined.task.name
    first = world.attempts(run, key)[0]
    assert (first.outcome, first.reason, joined.outcome) == ("repaired", "merge_conflict", "succeeded")
    assert joined.repair == "Repair 1 of 2 after a merge conflict"
    assert all(check.status == "passed" for check in joined.gate_checks.all()) and joined.gate_checks.exists()
    told = world.git("show", f"{batch.branch}:told-join.md")
    other = {"1": "2", "2": "1"}[key]
    assert "This is a merge conflict." in told and "shared.txt" in told and f"- Phase {other}, " in told
    assert ("repair", "policy:repair of a merge conflict") in list(world.task(run, key).transitions.values_list("event", "cause"))


def test_without_repairs_a_merge_conflict_is_a_persons(world: World, tmp_path: Path, settings) -> None:
    run = world.finish(world.execute(colliding(world, tmp_path, settings, 0)))
    reasons = sorted(world.task(run, name).reason for name in ("1", "2"))
    assert (run.state, reasons) == ("failed", ["", "merge_conflict"])
