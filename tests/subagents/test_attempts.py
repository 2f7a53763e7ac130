"""Whole attempts: real wrapper, runner, commands and git."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from subagents import launcher
from subagents.contract import (
    JSON_BYTES,
    Failure,
    GateKind,
    GateOutcome,
    GateSpec,
    GateStatus,
    ResultStatus,
    Role,
    StepPlan,
    TaskResult,
    TaskSpec,
    TaskType,
    replace,
)
from subagents.processes import RESET_SIGNALS
from subagents.procfs import boot_id
from subagents.supervisor import fit_result
from tests.patience import PATIENCE
from tests.subagents.conftest import World, commit_files, marked, steps, user_git, wait_for

pytestmark = pytest.mark.process


def command_gate(command: str, position: int = 1) -> GateSpec:
    return GateSpec(position, f"`{command}`", GateKind.COMMAND, command=command)


def failure_of(world: World, **changes: object) -> tuple[str, str]:
    """(reason, all errors) of an attempt that is expected to fail."""
    seen = world.run(world.spec(**changes))
    assert seen.result is not None, seen
    assert seen.result.status == ResultStatus.FAILED
    return seen.result.failure_reason, "\n".join(seen.result.errors)


# What an attempt delivers


def test_empty_phase_is_done_at_once(world: World) -> None:
    spec = world.spec()
    seen = world.run(spec)
    assert seen.result is not None and seen.result.status == ResultStatus.SUCCESS
    assert seen.ended is not None and seen.ended.exit_code == 0
    assert user_git(world.project, "log", "-1", "--format=%s%n%an <%ae>", spec.attempt_ref) == (
        "PRP-44.2.1: Complete - Core\nCE Web <ce-web@localhost>"
    )


def test_each_step_is_a_commit_and_the_last_says_complete(world: World) -> None:
    spec = world.spec(steps=(*steps("echo 1 > a.txt", "echo 2 >> README.md; echo hi"), StepPlan(3, "Look around\nmore", ("ls",))))
    seen = world.run(spec)
    assert seen.result is not None and seen.result.status == ResultStatus.SUCCESS
    assert seen.result.files_created == ("a.txt",)
    assert seen.result.files_modified == ("README.md",)
    assert seen.result.steps_completed == seen.result.total_steps == 3
    subjects = user_git(world.project, "log", "--reverse", "--format=%s", f"main..{spec.attempt_ref}").split("\n")
    assert subjects == [
        "PRP-44.2.1: Step 1 - Do thing 1",
        "PRP-44.2.1: Step 2 - Do thing 2",
        "PRP-44.2.1: Step 3 - Look around",
        "PRP-44.2.1: Complete - Core",
    ]
    assert seen.result.commits == tuple(user_git(world.project, "rev-list", "--reverse", f"main..{spec.attempt_ref}").split("\n"))
    assert seen.result.head_commit == seen.result.commits[-1]
    assert seen.result.tree == user_git(world.project, "rev-parse", f"{spec.attempt_ref}^{{tree}}")
    assert user_git(world.project, "status", "--porcelain", "--", ":(exclude).ce") == ""
    assert [line["message"] for line in world.log(spec) if line["kind"] == "output" and line["step"] == 2] == ["hi"]


def test_blocks_of_a_step_run_in_order_and_the_first_failing_command_ends_it(world: World) -> None:
    step = StepPlan(1, "Two blocks", ("echo one > order", "echo two >> order\nfalse\necho three >> order"))
    spec = world.spec(steps=(step, *steps("echo never > never")[0:0], StepPlan(2, "Later", ("echo never > never",))))
    seen = world.run(spec)
    assert seen.result is not None and seen.result.failure_reason == Failure.AGENT_ERROR
    assert 'Step 1 "Two blocks"' in seen.result.errors[0] and "exit code 1" in seen.result.errors[0]
    assert user_git(world.project, "show", f"{spec.attempt_ref}:order") == "one\ntwo"  # unfinished work is kept
    assert seen.result.files_created == ("order",)


def test_error_of_a_step_names_command_and_exit_code_and_quotes_the_last_lines(world: World) -> None:
    reason, errors = failure_of(world, steps=steps("seq 100; echo the cause >&2; exit 7"))
    assert reason == Failure.AGENT_ERROR
    assert "`seq 100; echo the cause >&2; exit 7` ended with exit code 7" in errors
    assert "the cause" in errors and "100" in errors and "\n50\n" not in errors


@pytest.mark.parametrize("script", ["false | true", "echo $UNSET_VARIABLE"])
def test_shell_is_strict_about_pipes_and_unset_variables(world: World, script: str) -> None:
    assert failure_of(world, steps=steps(script))[0] == Failure.AGENT_ERROR


def test_prose_steps_need_an_agent_and_fenced_ones_still_run(world: World) -> None:
    spec = world.spec(steps=(StepPlan(1, "Think about it"), StepPlan(2, "Make a file", ("echo 1 > made",)), StepPlan(3, "Write prose")))
    seen = world.run(spec)
    assert seen.result is not None and seen.result.failure_reason == Failure.NEEDS_AGENT
    assert seen.result.errors == (
        'Step 1 "Think about it" has no commands: it needs an agent',
        'Step 3 "Write prose" has no commands: it needs an agent',
    )
    assert seen.result.steps_completed == 1
    assert user_git(world.project, "show", f"{spec.attempt_ref}:made") == "1"


def test_generator_writes_its_document_and_nothing_else(world: World) -> None:
    path = "PRPs/feature-requests/PRP-44.2.1-core.md"
    changes = {"type": TaskType.GENERATE, "role": Role.GENERATOR, "payload": {"path": path, "text": "# Core ü\n"}}
    spec = world.spec(**changes)
    seen = world.run(spec)
    assert seen.result is not None and seen.result.status == ResultStatus.SUCCESS
    assert seen.result.prps_generated == seen.result.files_created == (path,)
    assert user_git(world.project, "show", f"{spec.attempt_ref}:{path}") == "# Core ü"
    assert user_git(world.project, "log", "-1", "--format=%s", spec.attempt_ref) == "PRP-44.2.1: Generate - Core"


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", ".git/config", ".GIT/x", "a//b", "", "link/x"])
def test_generator_refuses_a_path_that_leaves_the_tree(world: World, tmp_path: Path, path: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    os.symlink(outside, world.project / "link")
    commit_files(world.project, {})
    reason, errors = failure_of(world, type=TaskType.GENERATE, role=Role.GENERATOR, payload={"path": path, "text": "x"})
    by_git = path == "link/x"  # git itself has no place for a file below a link
    assert reason == (Failure.AGENT_ERROR if by_git else Failure.CRASHED) and errors, errors
    assert list(outside.iterdir()) == []


def test_unknown_backend_is_named_with_those_installed(world: World) -> None:
    assert "unknown backend 'oracle'; installed: steps" in failure_of(world, backend="oracle")[1]


# Gates


def test_gates_are_judged_on_the_step_commit_with_evidence(world: World) -> None:
    gates = (command_gate("cat made && echo seen"), GateSpec(2, "It is elegant", GateKind.UNVERIFIED))
    spec = world.spec(steps=steps("echo 1 > made"), gates=gates)
    seen = world.run(spec)
    assert seen.result is not None and seen.result.status == ResultStatus.SUCCESS
    passed, unverified = seen.result.gates
    assert (passed.status, passed.exit_code, passed.output, passed.commit) == (GateStatus.PASSED, 0, "1\nseen\n", seen.result.head_commit)
    assert unverified.status == GateStatus.UNVERIFIED and unverified.exit_code is None


def test_failed_gate_fails_the_phase_and_keeps_the_work(world: World) -> None:
    spec = world.spec(steps=steps("echo 1 > made"), gates=(command_gate("echo why; exit 3"), command_gate("true", 2)))
    seen = world.run(spec)
    assert seen.result is not None and seen.result.failure_reason == Failure.GATE_FAILED
    assert seen.result.errors == ('gate 1 "`echo why; exit 3`" failed: `echo why; exit 3` ended with exit code 3 (failed twice)',)
    assert [gate.status for gate in seen.result.gates] == [GateStatus.FAILED, GateStatus.PASSED]
    assert user_git(world.project, "show", f"{spec.attempt_ref}:made") == "1"
    assert "Complete" not in user_git(world.project, "log", "--format=%s", f"main..{spec.attempt_ref}")


def test_what_a_gate_leaves_behind_is_in_no_commit(world: World) -> None:
    gates = (command_gate("echo changed > README.md; echo new > side-file; echo 2 > made"),)
    spec = world.spec(steps=steps("echo 1 > made"), gates=gates)
    seen = world.run(spec)
    assert seen.result is not None and seen.result.status == ResultStatus.SUCCESS
    assert user_git(world.project, "diff", "--name-only", "main", spec.attempt_ref) == "made"
    assert user_git(world.project, "show", f"{spec.attempt_ref}:made") == "1"


@pytest.mark.parametrize("then", ["true", "false"])
def test_checkout_that_vanishes_before_the_gates_is_a_clear_failure(world: World, then: str) -> None:
    reason, errors = failure_of(world, steps=steps(f'cd / && rm -rf "$OLDPWD"; {then}'), gates=(command_gate("true"),))
    assert reason == Failure.AGENT_ERROR
    assert "the checkout" in errors and "is gone" in errors


def test_a_gate_that_removes_the_checkout_takes_it_from_no_other(world: World) -> None:
    gates = (command_gate('cd / && rm -rf "$OLDPWD"'), GateSpec(2, "exists", GateKind.FILES_EXIST, paths=("README.md",)))
    seen = world.run(world.spec(gates=gates))
    assert seen.result is not None and [gate.status for gate in seen.result.gates] == [GateStatus.PASSED, GateStatus.PASSED]


# What a step can leave that is in no commit, and a gate that it would make pass.
FORGED = {
    "byte code of the source's size and time": (
        "mkdir -p __pycache__ && echo 'x = 2' > m.py && touch -d 2020-01-01 m.py && python -m py_compile m.py "
        "&& echo 'x = 1' > m.py && touch -d 2020-01-01 m.py",
        "touch -d 2020-01-01 m.py; python -c 'import m; assert m.x == 2'",
    ),
    "a program in an ignored folder": (
        "mkdir -p node_modules/.bin && printf '#!/bin/sh\\n' > node_modules/.bin/lint && chmod +x node_modules/.bin/lint "
        "&& echo node_modules/ > .gitignore",
        "node_modules/.bin/lint",
    ),
    "a file at home": ("echo x > ~/forged", "test -e ~/forged"),
    "a temporary file": ('echo x > "$TMPDIR/forged"', 'test -e "$TMPDIR/forged"'),
    "a configuration of its git": ("git config user.forged yes", "git config user.forged"),
    "an empty folder": ("mkdir out", "test -d out"),
}


@pytest.mark.parametrize("what", FORGED)
def test_what_is_not_in_the_commit_makes_no_gate_pass(world: World, what: str) -> None:
    step, gate = FORGED[what]
    seen = world.run(world.spec(steps=steps(step, gate), gates=(command_gate(gate),)))
    assert seen.result is not None and seen.result.steps_completed == 2, "the forgery works where it was made"
    assert seen.result.failure_reason == Failure.GATE_FAILED


KEPT_OUT = {
    "ignored": ("mkdir -p lib && echo x > lib/util.js && echo lib/ > .gitignore", "lib/util.js", ".gitignore:1 `lib/` keeps it out"),
    "left by tools": ("touch .coverage", ".coverage", "CE Web's list of what tools leave behind"),
    "a named pipe": ("mkfifo pipe", "pipe", "is a named pipe, which git does not keep"),
    "an empty folder": ("mkdir out", "out", "is an empty folder, which git does not keep"),
    "a glob": ("mkdir -p lib && touch lib/a.js && echo lib/ > .gitignore", "lib/*.js", ".gitignore:1 `lib/` keeps it out"),
}


@pytest.mark.parametrize("named_by", ["gate", "phase", "command"])
@pytest.mark.parametrize("what", KEPT_OUT)
def test_a_file_that_is_there_and_in_no_commit_fails_with_the_reason(world: World, what: str, named_by: str) -> None:
    step, path, why = KEPT_OUT[what]
    exists, command = GateSpec(1, "exists", GateKind.FILES_EXIST, paths=(path,)), f'test -e README.md && cat "./{path}"'
    gates = {"gate": (exists,), "phase": (), "command": (command_gate(command),)}[named_by]
    seen = world.run(world.spec(steps=steps(step), gates=gates, files_modified=() if gates else (path,)))
    assert seen.result is not None and seen.result.failure_reason == Failure.GATE_FAILED
    assert any(why in error for error in seen.result.errors), seen.result.errors


def test_what_git_cannot_take_over_ends_the_phase_once_in_words_and_keeps_the_folder(world: World) -> None:
    spec = world.spec(steps=steps("rm README.md && mkfifo README.md"))
    seen = world.run(spec)
    assert seen.result is not None and seen.result.failure_reason == Failure.AGENT_ERROR
    assert "README.md is now a named pipe" in "\n".join(seen.result.errors)
    assert os.path.isdir(spec.checkout)


def test_what_is_in_no_commit_is_archived_before_the_folder_goes(world: World) -> None:
    script = "printf 'x.log\\nnode_modules/\\n' > .gitignore; echo 1 > x.log; mkdir -p node_modules/a; touch node_modules/a/b"
    spec = world.spec(steps=steps(script))
    world.run(spec)
    assert launcher.remove_checkout(spec) and not os.path.exists(spec.checkout)
    with tarfile.open(Path(spec.attempt_dir, "left-over.tar.gz")) as archive:
        assert archive.getnames() == ["x.log"]
    [note] = [entry for entry in world.log(spec) if entry.get("kind") == "left_over" or entry.get("event") == "left_over"]
    assert "x.log" in str(note) and "can be made again: node_modules/" in str(note)


def test_what_is_too_much_for_an_archive_keeps_the_folder(world: World) -> None:
    spec = world.spec(steps=steps("echo big > .gitignore; head -c 30000000 /dev/zero > big"))
    world.run(spec)
    assert not launcher.remove_checkout(spec) and os.path.exists(Path(spec.checkout, "big"))


def test_the_judged_commit_is_the_one_that_is_merged_and_its_files_are_all_that_is_there(world: World) -> None:
    gates = (command_gate("git rev-parse HEAD; git status --porcelain --ignored; ls -A"),)
    seen = world.run(world.spec(steps=steps("echo 1 > made; chmod +x made; echo left.log > .gitignore; echo x > left.log"), gates=gates))
    assert seen.result is not None and seen.result.status == ResultStatus.SUCCESS
    assert seen.result.gates[0].commit == seen.result.head_commit
    assert seen.result.gates[0].output.split() == [seen.result.head_commit, ".git", ".gitignore", "README.md", "made", "src"]


def test_stage_check_judges_every_phase_on_the_merged_commit_and_commits_nothing(world: World) -> None:
    phases = [
        {"key": "2a", "gates": [command_gate("cat README.md").to_json()], "files_modified": ["README.md"]},
        {"key": "2b", "gates": [command_gate("cat nowhere").to_json()], "files_modified": []},
    ]
    spec = world.spec(task_id="stage-2", type=TaskType.STAGE_CHECK, payload={"phases": phases})
    seen = world.run(spec)
    assert seen.result is not None and seen.result.failure_reason == Failure.GATE_FAILED
    assert [(gate.phase, gate.status, gate.commit) for gate in seen.result.gates] == [
        ("2a", GateStatus.PASSED, spec.base_commit),
        ("2b", GateStatus.FAILED, spec.base_commit),
    ]
    assert "phase 2b: gate 1" in seen.result.errors[0]
    assert user_git(world.project, "for-each-ref", "refs/ce/") == ""
    assert Path(world.files(spec).result).name == "task-stage-2.result.json"


# What an attempt may know


def test_environment_of_commands_is_an_allow_list(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "SECRET_KEY", "ANTHROPIC_API_KEY", "GIT_DIR", "PYTHONPATH", "CE_CANARY"):
        monkeypatch.setenv(name, "canary-7f3a")
    spec = world.spec(steps=steps("env; cat /proc/$PPID/environ | tr '\\0' '\\n'"), gates=(command_gate("env"),))
    seen = world.run(spec)
    assert seen.result is not None and seen.result.status == ResultStatus.SUCCESS
    everything = Path(world.files(spec).log).read_text() + Path(world.files(spec).result).read_text()
    assert "canary-7f3a" not in everything
    assert f"CE_ATTEMPT={spec.attempt_dir}" in everything


def test_python_of_commands_is_the_one_below_our_environment(world: World) -> None:
    spec = world.spec(steps=steps("python -c 'import sys; print(sys.prefix)'"))
    world.run(spec)
    assert [line["message"] for line in world.log(spec) if line["kind"] == "output"] == [sys.base_prefix]


# Once only


def test_of_eight_wrappers_started_at_once_exactly_one_runs(world: World) -> None:
    spec = world.spec(steps=steps("echo ran >> $CE_ATTEMPT/ran; sleep 0.3"))
    processes = [launcher.start(spec.attempt_dir) for _ in range(8)]
    codes = sorted(process.wait() for process in processes)
    assert codes[0] == 0 and set(codes[1:]) <= {3, 4}
    assert Path(spec.attempt_dir, "ran").read_text() == "ran\n"


def test_ended_attempt_never_starts_again(world: World) -> None:
    spec = world.spec(steps=steps("echo ran >> $CE_ATTEMPT/ran"))
    first = world.run(spec)
    assert launcher.start(spec.attempt_dir).wait() == 4
    assert Path(spec.attempt_dir, "ran").read_text() == "ran\n"
    assert world.seen(spec) == first


def test_void_attempt_never_starts_and_a_started_one_cannot_be_void(world: World) -> None:
    spec = world.spec()
    assert launcher.prevent_start(spec.attempt_dir)
    assert launcher.start(spec.attempt_dir).wait() == 4
    assert world.seen(spec).result is None
    other = world.spec()
    world.run(other)
    assert not launcher.prevent_start(other.attempt_dir)


# Deaths, limits, cancel

HANGING = "setsid sleep 1000 & (setsid sh -c 'sleep 1000 & sleep 1000 &' &); (trap '' TERM; sleep 1000 & wait) & sleep 1000"


def running(world: World, script: str = HANGING, **changes: object) -> TaskSpec:
    """A launched attempt whose step has begun and has some offspring."""
    spec = world.spec(steps=steps(f"touch $CE_ATTEMPT/began; {script}"), **changes)
    launcher.launch(spec.attempt_dir)
    wait_for(lambda: Path(spec.attempt_dir, "began").exists())
    return spec


@pytest.mark.parametrize("victim", ["wrapper", "runner", "agent"])
def test_sigkill_of_any_process_leaves_nothing_alive(world: World, victim: str) -> None:
    spec = running(world)
    started = world.seen(spec).started
    assert started is not None
    pid = started.pid
    if victim != "wrapper":
        pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    if victim == "agent":
        pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    seen = world.ended(spec)
    if victim == "wrapper":
        assert seen.ended is None and seen.result is None
        wait_for(lambda: launcher.sweep(spec.attempt_dir) == [], 2)
    elif victim == "runner":
        assert seen.result is not None and seen.result.failure_reason == Failure.CRASHED
        assert "was killed by signal 9" in seen.result.errors[0]
    else:
        assert seen.result is not None and seen.result.failure_reason == Failure.CRASHED  # so the engine tries again
        assert "was killed by signal 9" in seen.result.errors[0]
    assert marked(spec.attempt_dir) == []


def test_a_process_that_dropped_its_environment_and_session_does_not_outlive_a_killed_wrapper(world: World) -> None:
    stranger = subprocess.Popen(["sleep", "1000"], cwd=world.project, start_new_session=True)
    pid_file = Path(world.project).parent / "pid"
    spec = running(world, f"env -i setsid sh -c 'echo $$ > {pid_file}; exec sleep 1000' & sleep 1000")
    try:
        wait_for(lambda: pid_file.exists() and pid_file.read_text().strip())
        started = world.seen(spec).started
        assert started is not None
        os.kill(started.pid, signal.SIGKILL)
        world.ended(spec)
        wait_for(lambda: launcher.sweep(spec.attempt_dir) == [])
        left = Path(f"/proc/{pid_file.read_text().strip()}/cmdline")
        wait_for(lambda: not left.exists() or not left.read_bytes())  # gone, or nothing but its exit code is left
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_processes_left_in_the_background_end_with_the_attempt(world: World) -> None:
    seen = world.run(spec := world.spec(steps=steps("sleep 1000 & setsid sleep 1000 & setsid setsid sleep 1000 >/dev/null 2>&1 &")))
    assert seen.result is not None and seen.result.status == ResultStatus.SUCCESS
    assert marked(spec.attempt_dir) == []


def test_time_limit_kills_the_tree_and_is_its_own_reason(world: World) -> None:
    seen = world.run(spec := world.spec(steps=steps(HANGING), timeout_seconds=0.5))
    assert seen.result is not None and seen.result.failure_reason == Failure.PHASE_TIME_LIMIT
    assert "not done within 0.5 s: Step 1 of 1: Do thing 1" in seen.result.errors[0]
    assert seen.result.elapsed_seconds < 20
    assert marked(spec.attempt_dir) == []


def test_an_attempt_outlives_its_hosts_lease_only_while_that_is_renewed(world: World, tmp_path: Path) -> None:
    lease = tmp_path / "lease"
    lease.write_text(f"{time.monotonic() + 600}\n")
    kept = world.run(world.spec(steps=steps("echo done > done.txt"), lease=str(lease)))
    assert kept.result is not None and kept.result.status == ResultStatus.SUCCESS
    lease.write_text(f"{time.monotonic() + 0.5}\n")
    seen = world.run(world.spec(steps=steps(HANGING), lease=str(lease)))
    assert seen.result is not None and seen.result.failure_reason == Failure.MACHINE_FAULT
    assert "has lost the database" in seen.result.errors[0] and seen.result.elapsed_seconds < 20


def test_cancel_ends_the_whole_tree_and_gives_it_a_chance_to_clean_up(world: World) -> None:
    spec = running(world, "trap 'echo cleaned > $CE_ATTEMPT/cleaned; exit 0' TERM; touch $CE_ATTEMPT/ready; sleep 1000 & wait")
    wait_for(lambda: Path(spec.attempt_dir, "ready").exists())
    assert launcher.stop(spec.attempt_dir, force=False)
    seen = world.ended(spec)
    assert seen.result is not None and seen.result.failure_reason == Failure.CANCELLED
    assert Path(spec.attempt_dir, "cleaned").exists()
    assert marked(spec.attempt_dir) == []


def test_cancel_kills_what_ignores_it_after_five_seconds(world: World) -> None:
    spec = running(world, "trap '' TERM; touch $CE_ATTEMPT/deaf; sleep 1000 & wait; sleep 1000")
    wait_for(lambda: Path(spec.attempt_dir, "deaf").exists())
    began = time.monotonic()
    launcher.stop(spec.attempt_dir, force=False)
    seen = world.ended(spec)
    assert 4 < time.monotonic() - began < 8 * PATIENCE
    assert seen.result is not None and seen.result.failure_reason == Failure.CANCELLED
    assert marked(spec.attempt_dir) == []


def test_forced_stop_leaves_nothing_alive_within_two_seconds(world: World) -> None:
    spec = running(world)
    assert launcher.stop(spec.attempt_dir, force=True)
    wait_for(lambda: not world.seen(spec).held and launcher.sweep(spec.attempt_dir) == [] and marked(spec.attempt_dir) == [], 2)


def test_stop_never_hits_a_stranger_with_a_reused_pid(world: World) -> None:
    stranger = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        folder = world.data / "stale"
        folder.mkdir(parents=True)
        claim = {"pid": stranger.pid, "process_start": "1", "boot_id": boot_id(), "started_at": 1.0}
        (folder / "started.json").write_text(json.dumps(claim))
        assert not launcher.stop(str(folder), force=True)
        assert launcher.pidfd(launcher.Started(stranger.pid, "1", boot_id(), 1.0)) is None
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_pidfd_becomes_readable_when_the_wrapper_ends(world: World) -> None:
    import select

    spec = running(world, "sleep 1000")
    descriptor = launcher.pidfd(launcher.observe(spec).started)
    assert descriptor is not None
    try:
        assert select.select([descriptor], [], [], 0)[0] == []
        launcher.stop(spec.attempt_dir, force=True)
        assert select.select([descriptor], [], [], 5)[0] == [descriptor]
    finally:
        os.close(descriptor)


# Heartbeats and logs


def test_heartbeat_keeps_coming_while_a_step_says_nothing(world: World) -> None:
    spec = running(world, "sleep 1000", heartbeat_seconds=0.1)
    wait_for(lambda: world.seen(spec).heartbeat is not None and world.seen(spec).heartbeat.step == 1)
    first = world.seen(spec).heartbeat
    assert first is not None
    wait_for(lambda: world.seen(spec).heartbeat.last_update > first.last_update)
    later = world.seen(spec).heartbeat
    assert later.progress == "Step 1 of 1: Do thing 1" and later.tokens_used is None and later.status == "in_progress"
    assert later.last_progress == first.last_progress


def test_stopped_wrapper_falls_silent(world: World) -> None:
    spec = running(world, "sleep 1000", heartbeat_seconds=0.05)
    started = world.seen(spec).started
    assert started is not None
    os.kill(started.pid, signal.SIGSTOP)
    wait_for(lambda: Path(f"/proc/{started.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T")
    silent = world.seen(spec)
    time.sleep(0.3)  # what is shown is that nothing happens
    assert world.seen(spec).heartbeat == silent.heartbeat and silent.held
    assert launcher.stop(spec.attempt_dir, force=True)
    wait_for(lambda: marked(spec.attempt_dir) == [])


def test_flood_of_output_is_cut_with_a_note_and_the_step_goes_on(world: World) -> None:
    spec = world.spec(steps=steps("head -c 3000000 /dev/zero | tr '\\0' x | fold -w 50; echo done > made"), output_limit_bytes=100_000)
    seen = world.run(spec)
    assert seen.result is not None and seen.result.status == ResultStatus.SUCCESS
    kinds = [line["kind"] for line in world.log(spec)]
    assert kinds.count("output_limit") == 1
    assert sum(len(str(line["message"])) + 1 for line in world.log(spec) if line["kind"] == "output") <= 100_100
    assert seen.result.files_created == ("made",)


def test_hostile_output_is_stored_as_clean_text(world: World) -> None:
    spec = world.spec(steps=steps(r"printf 'a\000b\377\355\240\200 \033[31m\n'; head -c 300000 /dev/zero; printf 'no end'"))
    seen = world.run(spec)
    assert seen.result is not None and seen.result.status == ResultStatus.SUCCESS
    text = "".join(str(line["message"]) for line in world.log(spec) if line["kind"] == "output")
    assert "\0" not in text and text.startswith("a\ufffdb\ufffd") and text.endswith("no end")
    text.encode()


def test_result_is_made_to_fit_its_readers() -> None:
    gates = tuple(GateOutcome(number, "x", GateKind.COMMAND, GateStatus.PASSED, output='"' * 16_000) for number in range(1, 30))
    files = tuple(f"a-file-with-a-rather-long-name-to-fill-the-result-{number:0100d}" for number in range(3000))
    whole = TaskResult("phase-2a", "PRP-44.2.1", ResultStatus.SUCCESS, 1, "token", files_created=files, gates=gates)
    data = fit_result(whole)
    assert len(data) <= JSON_BYTES
    read = TaskResult.from_json(json.loads(data))
    assert len(read.gates) == 29 and "left out" in read.gates[0].output
    assert read.files_created[-1].startswith("… and ") and read.files_created[:50] == files[:50]
    small = replace(whole, gates=(), files_created=("a",))
    assert json.loads(fit_result(small)) == json.loads(json.dumps(small.to_json()))


# Files of the contract


def test_earlier_attempt_is_archived_when_the_next_is_prepared(world: World) -> None:
    first = world.spec(steps=steps("exit 1"))
    world.run(first)
    world.spec()
    kept = world.project / ".ce/orchestration/completed-batches/batch-44/run-1/task-2a/attempt-1"
    assert sorted(path.name for path in kept.iterdir()) == ["task-2a.hb", "task-2a.json", "task-2a.log", "task-2a.result.json"]
    assert json.loads((kept / "task-2a.result.json").read_text())["attempt"] == 1
    tasks = world.project / ".ce/orchestration/tasks/batch-44"
    assert [path.name for path in tasks.iterdir()] == ["task-2a.json"]
    assert json.loads((tasks / "task-2a.json").read_text())["attempt"] == 2


def test_attempt_without_a_readable_spec_ends_and_says_so(world: World) -> None:
    spec = world.spec()
    Path(spec.attempt_dir, "spec.json").write_text('{"task_id": ')
    seen = world.run(spec)
    assert seen.ended is not None and seen.ended.exit_code == 5 and seen.result is None
    assert "cannot run" in Path(spec.attempt_dir, "wrapper.err").read_text()


def test_result_that_the_wrapper_did_not_write_counts_for_nothing(world: World) -> None:
    spec = world.spec(steps=steps("exit 1"))
    seen = world.run(spec)
    assert seen.result is not None
    path = Path(world.files(spec).result)
    forged = json.loads(path.read_text())
    path.write_text(json.dumps({**forged, "status": "success", "failure_reason": "", "errors": []}))
    assert world.seen(spec).result is None and "was changed" in str(world.seen(spec).result_error)


def test_result_of_a_wrapper_that_was_killed_before_it_vouched_for_it_is_none_and_no_fault(world: World) -> None:
    spec = world.spec(steps=steps("echo done > made"))
    assert world.run(spec).result is not None
    Path(spec.attempt_dir, "exit.json").unlink()  # what a kill between the two writes leaves
    seen = world.seen(spec)
    assert Path(world.files(spec).result).exists()
    assert (seen.held, seen.ended, seen.result, seen.result_error) == (False, None, None, None)


def test_success_forged_by_the_agent_itself_is_overwritten_by_the_truth(world: World) -> None:
    victim = world.spec()
    path = world.files(victim).result
    script = f"echo '{{\"status\": \"success\"}}' > {path}; mkdir -p x; exit 1"
    spec = world.spec(steps=steps(script))
    seen = world.run(spec)
    assert seen.result is not None and seen.result.failure_reason == Failure.AGENT_ERROR


def test_checkout_is_removed_only_when_all_of_it_is_committed(world: World) -> None:
    failed = world.spec(steps=steps("echo 1 > a; exit 1"))
    world.run(failed)
    assert not launcher.remove_checkout(failed) and Path(failed.checkout, "a").exists()
    alive = running(world, "sleep 1000")
    assert not launcher.remove_checkout(alive) and Path(alive.checkout).exists()
    launcher.stop(alive.attempt_dir, force=True)
    done = world.spec(steps=steps("echo 1 > a"))
    world.run(done)
    assert launcher.remove_checkout(done) and not Path(done.checkout).exists() and not launcher.remove_checkout(done)
    assert user_git(world.project, "show", f"{done.attempt_ref}:a") == "1"
    moved = world.spec(steps=steps("echo 1 > a"))
    world.run(moved)
    user_git(world.project, "update-ref", "-d", moved.attempt_ref)
    assert not launcher.remove_checkout(moved) and Path(moved.checkout).exists()


def test_repository_stays_sound_after_all_of_it(world: World) -> None:
    world.run(world.spec(steps=steps("echo 1 > a", "exit 1")))
    spec = running(world)
    launcher.stop(spec.attempt_dir, force=True)
    world.ended(spec)
    assert subprocess.run(["git", "-C", str(world.project), "fsck", "--full", "--strict"], capture_output=True).returncode == 0
    assert not list(world.project.glob(".git/**/*.lock"))


def test_start_between_two_looks_of_the_host_is_not_taken_for_a_death(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host sees a free lock; then the wrapper takes it and publishes its start; then the host goes on reading."""
    spec = world.spec(steps=steps("sleep 1000"))
    real = launcher.is_held

    def starts_right_after(attempt_dir: str) -> bool:
        found = real(attempt_dir)
        if not found:
            launcher.start(attempt_dir)
            wait_for(lambda: Path(attempt_dir, "started.json").exists())
        return found

    monkeypatch.setattr(launcher, "is_held", starts_right_after)
    seen = launcher.observe(spec)
    assert seen.held or seen.started is None


def test_wrapper_that_meets_a_look_of_the_host_at_the_lock_starts_all_the_same(world: World) -> None:
    spec = world.spec()
    lock = os.open(os.path.join(spec.attempt_dir, "lock"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_SH)
    process = launcher.start(spec.attempt_dir)
    wait_for(lambda: f"{process.pid}" in os.listdir("/proc") and "lock" in str(_open_files(process.pid)))
    os.close(lock)
    assert process.wait(10 * PATIENCE) == 0
    assert world.seen(spec).result is not None


def _open_files(pid: int) -> list[str]:
    found = []
    with contextlib.suppress(OSError):
        for entry in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found.append(os.readlink(f"/proc/{pid}/fd/{entry}"))
    return found


def test_commands_ignore_no_signal_that_a_shell_would_not(world: World) -> None:
    spec = world.spec(steps=steps("grep SigIgn /proc/self/status", "set +o pipefail; yes | head -n 1"))
    seen = world.run(spec)
    assert seen.result is not None and seen.result.status == ResultStatus.SUCCESS
    said = [line["message"] for line in world.log(spec) if line["kind"] == "output"]
    ignored = int(said[0].removeprefix("SigIgn:"), 16)
    assert not [number for number in RESET_SIGNALS if ignored >> (number - 1) & 1]
    assert said[1:] == ["y"]
