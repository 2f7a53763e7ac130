"""Batches carried out by real processes over a real repository, the ticker driven by hand."""

import json
import os
import shutil
import signal
import subprocess

import pytest
from django.utils import timezone

from batches.core.engine.execute_options import ExecuteOptions
from batches.core.errors import NothingToDo, ServiceError
from batches.engine import pause_and_cancel, retries
from batches.engine.execution_plan import plan_execution
from batches.metrics import facts
from batches.models import Attempt, AttemptFact, GateCheck, Result, Run, RunFact, Transition
from tests.batches.world import ACTOR, SEED_FLOW, World, phase, plan, writes

pytestmark = pytest.mark.process


def figures_of(run: Run) -> list[tuple[object, ...]]:
    """What the facts of an ended run say, as they were written when it ended."""
    return list(RunFact.objects.filter(run=run).values_list("outcome", "critical", "attempts", "failed", "retries", "phases"))


def test_the_seeds_flow_runs_in_three_stages_to_a_merged_branch(world: World):
    before = world.git("rev-parse", "main")
    batch = world.generated(SEED_FLOW)
    run = world.finish(world.execute(batch))
    assert run.state == "succeeded", run.report
    assert world.files_on(batch.branch) >= {"part-1.txt", "part-2a.txt", "part-2b.txt", "part-3.txt", "README.md"}
    assert {name for name in world.files_on(batch.branch) if name.startswith("PRPs/")} == {
        f"PRPs/feature-requests/{name}.md" for name in ("PRP-1.1.1-part-1", "PRP-1.2.1-part-2a", "PRP-1.2.2-part-2b", "PRP-1.3.1-part-3")
    }
    assert world.git("rev-parse", "main") == before
    assert world.git("status", "--porcelain") == ""
    ends = {attempt.task.name: attempt.exited_at for attempt in Attempt.objects.filter(task__run=run)}
    starts = {attempt.task.name: attempt.started_at for attempt in Attempt.objects.filter(task__run=run)}
    assert ends["1"] < min(starts["2a"], starts["2b"])
    assert max(ends["2a"], ends["2b"]) < starts["3"]
    assert world.git("fsck", "--no-dangling") == ""


def test_gates_are_judged_again_on_every_merged_tree(world: World):
    batch = world.generated(SEED_FLOW)
    run = world.finish(world.execute(batch))
    assert world.states(run) == dict.fromkeys(("1", "2a", "2b", "3", "stage-1", "stage-2", "stage-3"), "succeeded")
    check = Attempt.objects.get(task__run=run, task__name="stage-2")
    judged = GateCheck.objects.filter(attempt=check, gate__isnull=False).order_by("gate__phase__position", "gate__position")
    assert [(c.gate.phase.key, c.status) for c in judged] == [("2a", "passed"), ("2a", "passed"), ("2b", "passed")]
    assert {c.commit for c in judged} == {check.base_commit}


def test_phases_that_merge_cleanly_but_break_together_fail_the_stage_check_and_block_the_next(world: World):
    text = plan(
        phase("1a", steps=("echo x > one.txt",), files="one.txt", gates=("`test ! -f two.txt`",)),
        phase("1b", steps=("echo x > two.txt",), files="two.txt", gates=("`test -f two.txt`",)),
        phase("2", needs="1a, 1b", steps=writes("2")),
    )
    run = world.finish(world.execute(world.generated(text)))
    assert run.state == "failed"
    assert world.states(run) == {"1a": "succeeded", "1b": "succeeded", "stage-1": "failed", "2": "blocked"}
    assert world.task(run, "stage-1").reason == "gate_failed"
    assert world.task(run, "2").blocked_by == "stage-1"
    # A person fixes it on main; the check judges the new merged tree, and the blocked phase follows.
    world.commit("fix.txt", "fixed\n")
    retries.retry(run=run, names=["stage-1"], actor=ACTOR)
    run = world.finish(run)
    assert world.states(run)["stage-1"] == "failed"  # fix.txt alone fixes nothing: the gate is judged, not trusted
    assert len(world.attempts(run, "stage-1")) == 2


def test_a_failed_gate_names_itself_and_after_the_fix_retry_runs_only_that_phase_and_what_it_blocked(world: World):
    text = plan(
        phase("1", steps=writes("1")),
        phase("2", needs="1", steps=writes("2"), gates=("Approved (checked: test -f APPROVED)",)),
        phase("3", needs="2", steps=writes("3")),
        phase("4", needs="1", steps=writes("4")),
    )
    batch = world.generated(text)
    run = world.finish(world.execute(batch))
    assert run.state == "failed"
    assert world.states(run) == {"1": "succeeded", "2": "failed", "3": "blocked", "4": "succeeded"}
    failed = world.task(run, "2")
    assert failed.reason == "gate_failed"
    assert "Approved" in failed.message
    check = GateCheck.objects.get(attempt__task=failed, gate__isnull=False)
    assert (check.status, check.command, check.exit_code) == ("failed", "test -f APPROVED", 1)
    assert figures_of(run) == [("failed", True, 3, 1, 0, 2)]
    world.commit("APPROVED", "yes\n")
    reopened = retries.retry(run=run, names=["2"], actor=ACTOR)
    assert {task.name for task in reopened} == {"2", "3"}
    assert figures_of(run) == []  # it has not ended after all
    run = world.finish(run)
    assert run.state == "succeeded", run.report
    assert figures_of(run) == [("succeeded", False, 5, 1, 1, 4)]
    assert not Attempt.objects.filter(task__run=run, ready_at=None).exists()
    written = list(AttemptFact.objects.order_by("pk").values())
    facts.rebuild(anew=True)
    assert list(AttemptFact.objects.order_by("pk").values()) == written
    assert [len(world.attempts(run, name)) for name in ("1", "2", "3", "4")] == [1, 2, 1, 1]
    first = world.attempts(run, "2")[0]
    assert (first.outcome, first.reason) == ("failed", "gate_failed")
    assert first.result.data["validation_gates"]["failed"] == 1
    assert world.git("rev-parse", first.ref)  # its commits are kept
    archive = world.repository / ".ce/orchestration/completed-batches/batch-1/run-2/task-2/attempt-1"
    assert json.loads((archive / "task-2.result.json").read_text())["failure_reason"] == "gate_failed"


def test_a_killed_wrapper_is_restarted_by_itself_and_nothing_of_it_is_left(world: World):
    text = plan(phase("1", steps=("test -e ../again || { touch ../again; sleep 60; }; echo x > part-1.txt",)))
    batch = world.generated(text)
    run = world.execute(batch)
    attempt = world.running(run, "1")
    os.kill(attempt.pid, signal.SIGKILL)
    run = world.finish(run)
    first, second = world.attempts(run, "1")
    assert (first.outcome, first.reason, second.outcome) == ("failed", "crashed", "succeeded")
    assert _carrying(first.directory) == []


def test_a_heartbeat_that_stops_is_a_timeout_and_the_process_is_gone_before_anything_else_happens(world: World):
    world.project.silence_seconds = 1
    world.project.save()
    batch = world.generated(plan(phase("1", steps=("sleep 60",)), phase("2", needs="1", steps=writes("2"))))
    run = world.execute(batch)
    attempt = world.running(run, "1")
    os.kill(attempt.pid, signal.SIGSTOP)
    run = world.finish(run)
    assert world.states(run) == {"1": "failed", "2": "blocked"}
    assert world.task(run, "1").reason == "timeout"
    assert _carrying(attempt.directory) == []
    result = json.loads((world.repository / ".ce/orchestration/tasks/batch-1/task-1.result.json").read_text())
    assert result["failure_reason"] == "timeout"


def test_a_phase_that_runs_too_long_is_ended_by_the_time_limit(world: World):
    batch = world.generated(plan(phase("1", steps=("sleep 60",))))
    run = world.finish(world.execute(batch, timeout_minutes=0.02))
    assert world.task(run, "1").reason == "phase_time_limit"


def test_an_agent_that_is_stuck_is_told_apart_from_one_that_is_silent(world: World):
    run = world.execute(world.generated(plan(phase("1", steps=("sleep 300",)))))
    attempt = world.running(run, "1")
    look = lambda: Attempt.objects.late_and_stuck(run.batch, run, timezone.now(), 0.75, 1.5)  # noqa: E731
    world.until(lambda: look() == ([], [attempt.pk]), "no progress")
    attempt.refresh_from_db()
    assert attempt.last_beat_at > attempt.last_progress_at
    pause_and_cancel.cancel(run=run, actor=ACTOR)
    assert world.task(world.finish(run), "1").reason == "cancelled"
    assert _carrying(attempt.directory) == []


def test_a_budget_that_is_used_up_stops_the_run_and_a_larger_one_goes_on_without_repeating_anything(world: World, settings):
    settings.CE_ALLOW_UNSANDBOXED = True  # the machine of the tests may have no sandbox
    world.project.agent_command = """sh -c 'echo {model} > "$(mktemp -p . XXXXXX.txt)"; echo "{\\"cost_usd\\": 0.4}"'"""
    world.project.save()
    batch = world.generated(plan(*(phase(key, steps=("true",)) for key in ("1", "2", "3"))))
    run = world.finish(world.execute(batch, backend="command", max_parallel=1, budget_usd="1.00", phase_cap_usd="0.50"))
    assert (run.state, run.stop_reason) == ("cancelled", "budget"), run.report
    assert world.states(run) == {"1": "succeeded", "2": "succeeded", "3": "cancelled"}
    assert world.task(run, "3").message.startswith("Stopped for the budget: $0.80 of $1.00 is spent.")
    retries.resume(batch=batch, actor=ACTOR, options=ExecuteOptions(budget_usd="2"))
    run = world.finish(run)
    assert run.state == "succeeded", run.report
    assert [len(world.attempts(run, name)) for name in ("1", "2", "3")] == [1, 1, 1]
    attempts = Attempt.objects.filter(task__run=run, task__kind="phase")
    assert {(attempt.model, float(attempt.cost_usd)) for attempt in attempts} == {("haiku", 0.4)}


def test_cancel_ends_every_process_of_the_run_and_starts_nothing_more(world: World):
    text = plan(phase("1", steps=("setsid sleep 300 & sleep 300",)), phase("2", needs="1", steps=writes("2")))
    run = world.execute(world.generated(text))
    attempt = world.running(run, "1")
    pause_and_cancel.cancel(run=run, actor=ACTOR)
    run = world.finish(run)
    assert run.state == "cancelled"
    assert world.states(run) == {"1": "cancelled", "2": "cancelled"}
    assert _carrying(attempt.directory) == []


def test_pause_lets_what_runs_finish_and_starts_nothing(world: World):
    text = plan(phase("1", steps=("test -e ../go || sleep 0.5; echo x > part-1.txt",)), phase("2", needs="1", steps=writes("2")))
    run = world.execute(world.generated(text))
    world.running(run, "1")
    pause_and_cancel.pause(run=run, actor=ACTOR)
    world.until(lambda: world.states(run)["1"] == "succeeded")
    world.ticker.round()
    assert world.states(run)["2"] == "pending"
    pause_and_cancel.unpause(run=run, actor=ACTOR)
    assert world.finish(run).state == "succeeded"


def test_a_merge_conflict_is_a_failure_of_its_own_that_names_the_files_and_retry_starts_on_the_merged_state(world: World):
    text = plan(
        phase("1a", steps=("echo a >> shared.txt",), files="shared.txt, quiet.txt, *.txt"),
        phase("1b", steps=("echo b >> shared.txt",), files="shared.txt, quiet.txt"),
    )
    batch = world.generated(text)
    run = world.finish(world.execute(batch))
    lost = next(task for task in run.tasks.all() if task.state == "failed")
    assert lost.reason == "merge_conflict" and lost.message.startswith("Could not be merged: shared.txt. ")
    announced = {one.file: one.collided for one in batch.conflicts.all()}
    assert announced == {"shared.txt": True, "*.txt": True, "quiet.txt": None}, "unknown until both are merged"
    retries.retry(run=run, actor=ACTOR)
    run = world.finish(run)
    assert run.state == "succeeded", run.report
    assert {one.file: one.collided for one in batch.conflicts.all()} == {"shared.txt": True, "*.txt": True, "quiet.txt": False}
    assert sorted(world.git("show", f"{batch.branch}:shared.txt").split()) == ["a", "b"]


def test_one_after_the_other_avoids_the_merge_conflict(world: World):
    text = plan(
        phase("1a", steps=("echo a >> shared.txt",), files="shared.txt"),
        phase("1b", steps=("echo b >> shared.txt",), files="shared.txt"),
    )
    batch = world.generated(text)
    run = world.finish(world.execute(batch, on_conflict="serialize"))
    assert run.state == "succeeded", run.report
    assert world.git("show", f"{batch.branch}:shared.txt").split() == ["a", "b"]


def test_on_conflict_abort_starts_nothing_and_names_the_file(world: World):
    text = plan(phase("1a", files="shared.txt"), phase("1b", files="shared.txt"))
    batch = world.generated(text)
    with pytest.raises(ServiceError, match=r"shared\.txt \(phases 1a, 1b\)"):
        world.execute(batch, on_conflict="abort")
    assert not batch.runs.executions().exists()


def test_fail_fast_blocks_what_has_not_started_and_retry_opens_it_again(world: World):
    text = plan(phase("1a", steps=("false",)), phase("1b", steps=writes("1b")))
    batch = world.generated(text)
    run = world.finish(world.execute(batch, fail_fast=True, max_parallel=1))
    assert world.states(run) == {"1a": "failed", "1b": "blocked"}
    assert {task.name for task in retries.retry(run=run, names=["1a"], actor=ACTOR)} == {"1a", "1b"}
    world.finish(run)


def test_a_prose_step_needs_an_agent_and_is_never_pretended(world: World):
    text = plan(phase("1", steps=writes("1"))).replace("**Validation Gates**:", "2. Think about it\n\n**Validation Gates**:")
    run = world.finish(world.execute(world.generated(text)))
    assert world.task(run, "1").reason == "needs_agent"


def test_stages_and_phases_can_be_executed_alone_and_what_is_done_is_not_repeated(world: World):
    batch = world.generated(SEED_FLOW)
    with pytest.raises(ServiceError, match="Phase 1 must be done first"):
        world.execute(batch, stage=2)
    assert world.states(world.finish(world.execute(batch, stage=1))) == {"1": "succeeded", "stage-1": "succeeded"}
    assert world.states(world.finish(world.execute(batch, phase="2b"))) == {"2b": "succeeded", "stage-2": "succeeded"}
    assert batch.runs.get(operation="execute", selection="stage 1").forecast_seconds is None  # no data yet
    rest = world.finish(world.execute(batch))
    assert (rest.forecast_runs, rest.forecast_hours) == (2, 2.0) and 0 < rest.forecast_seconds <= rest.forecast_p90_seconds
    assert set(world.states(rest)) >= {"2a", "3"} and "1" not in world.states(rest) and "2b" not in world.states(rest)
    assert rest.state == "succeeded"
    with pytest.raises(NothingToDo):
        world.execute(batch)


def test_every_move_is_logged_with_its_cause(world: World):
    batch = world.generated(plan(phase("1", steps=writes("1"))))
    run = world.finish(world.execute(batch))
    moves = list(Transition.objects.filter(run=run).values_list("event", "from_state", "to_state", "cause"))
    events = [move[0] for move in moves]
    assert events[:2] == ["start", "launch"] and events[-2:] == ["succeed", "succeed"]
    assert {move[3] for move in moves} == {"host:test-host"}


def test_a_half_written_result_is_a_bad_result_and_not_a_crash_of_ours(world: World):
    run = world.execute(world.generated(plan(phase("1", steps=("sleep 60",)))))
    attempt = world.running(run, "1")
    target = world.repository / ".ce/orchestration/tasks/batch-1/task-1.result.json"
    target.write_text('{"task_id": "phase-1", "status": "succ')
    os.killpg(attempt.pid, signal.SIGKILL)
    run = world.finish(run)
    first = world.attempts(run, "1")[0]
    assert first.reason == "bad_result"
    assert "task-1.result.json" in first.message


def test_a_checkout_that_vanishes_fails_the_attempt_with_a_sentence_and_retry_makes_a_new_one(world: World):
    marker = world.repository.parent / "again"
    run = world.execute(
        world.generated(plan(phase("1", steps=(f'test -e {marker} || {{ touch {marker}; rm -rf "$PWD"; }}', "echo x > part-1.txt"))))
    )
    run = world.finish(run)
    first = world.attempts(run, "1")[0]
    assert first.outcome == "failed"
    assert "checkout" in first.message.lower(), first.message
    if run.state == "failed":
        retries.retry(run=run, actor=ACTOR)
        run = world.finish(run)
    assert run.state == "succeeded", run.report


def test_a_repository_that_is_gone_is_named_before_anything_is_started(world: World):
    batch = world.generated(plan(phase("1")))
    world.repository.rename(world.repository.with_name("elsewhere"))
    with pytest.raises(ServiceError, match="does not exist"):
        world.execute(batch)
    assert not batch.runs.executions().exists()
    world.repository.with_name("elsewhere").rename(world.repository)
    assert world.finish(world.execute(batch)).state == "succeeded"


def test_uncommitted_work_of_the_user_is_named_and_left_alone(world: World):
    (world.repository / "README.md").write_text("half done\n")
    (world.repository / "draft.txt").write_text("not added\n")
    batch = world.generated(plan(phase("1", steps=writes("1"))))
    note = plan_execution(batch=batch, options=ExecuteOptions()).notes[0]
    assert note.startswith("2 files have uncommitted changes")
    world.finish(world.execute(batch))
    assert (world.repository / "README.md").read_text() == "half done\n"
    assert world.git("status", "--porcelain") == "M README.md\n?? draft.txt"


def test_a_success_without_a_row_is_found_again_after_a_restart_and_merged_once(world: World):
    batch = world.generated(plan(phase("1", steps=writes("1"))))
    run = world.execute(batch)
    attempt = world.running(run, "1") if not run.tasks.filter(state="succeeded").exists() else None
    world.ticker.watched.clear()  # as if the ticker's process had been replaced
    run = world.finish(run)
    assert run.state == "succeeded"
    merges = world.git("log", "--merges", "--format=%s", batch.branch).split("\n")
    assert sum("Merge phase 1" in subject for subject in merges) == 1
    assert attempt is None or Result.objects.filter(attempt=attempt).count() == 1


def test_result_file_and_report_say_what_happened(world: World):
    batch = world.generated(SEED_FLOW)
    run = world.finish(world.execute(batch))
    path = world.repository / ".ce/orchestration/batches/batch-1.result.json"
    shown = subprocess.run(["jq", "-c", ".results[] | {phase, status}", path], capture_output=True, text=True, check=True).stdout
    assert shown.split("\n")[0] == '{"phase":"1","status":"success"}'
    assert json.loads(path.read_text()) == Run.objects.get(pk=run.pk).result
    assert "Execute: succeeded, 4 of 4 phases done" in run.report


def _carrying(directory: str) -> list[str]:
    """Processes that carry the attempt's marker."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if f"CE_ATTEMPT={directory}".encode() in file.read().split(b"\0"):
                    found.append(pid)
        except OSError:
            continue
    return found


def test_a_repository_that_vanishes_meanwhile_fails_the_phase_with_its_name_and_the_rest_is_kept(world: World):
    batch = world.generated(plan(phase("1", steps=writes("1")), phase("2", needs="1", steps=writes("2"))))
    run = world.execute(batch)
    world.until(lambda: world.states(run)["1"] == "succeeded")
    pause_and_cancel.pause(run=run, actor=ACTOR)
    world.repository.rename(world.repository.with_name("elsewhere"))
    world.until(lambda: not Attempt.objects.live().filter(task__run=run).exists())
    pause_and_cancel.unpause(run=run, actor=ACTOR)
    run = world.finish(run)
    assert run.state == "failed"
    last = world.task(run, "2")
    assert last.reason in ("agent_error", "crashed", "merge_conflict") and str(world.repository) in last.message, last.message
    # A git that was about to write a reference makes its folder anew; whoever brings a repository back removes such a stub first.
    shutil.rmtree(world.repository, ignore_errors=True)
    world.repository.with_name("elsewhere").rename(world.repository)
    retries.retry(run=run, actor=ACTOR)
    assert world.finish(run).state == "succeeded"
