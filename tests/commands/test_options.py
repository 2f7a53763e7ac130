"""Every option of batch_exe_prp, seen by what it does."""

import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from tests.commands.driver import CHAIN, Driver, phase, plan
from tests.installation import ROOT
from tests.patience import PATIENCE

pytestmark = pytest.mark.engine

SLEEP = "300.25"  # longer than any test, and found by its number in a list of processes


def overlap(one: dict, other: dict) -> bool:
    """Whether the last attempts of two phases ran at the same time."""
    begins = [datetime.fromisoformat(entry["started_at"]) for entry in (one, other)]
    ends = [datetime.fromisoformat(entry["ended_at"]) for entry in (one, other)]
    return max(begins) < min(ends)


def until(path: Path) -> str:
    """A step that goes on once `path` exists, and fails when it does not within a minute."""
    return f"(for i in $(seq 600); do test -e {path} && break; sleep 0.1; done; test -e {path})"


def waits_for(name: str) -> str:
    """A step that goes on only in a checkout with the file `name`, and else for longer than any test."""
    return f"(test -e {name} || sleep {SLEEP})"


def test_stage_and_phase_do_only_what_they_name_and_nothing_is_done_twice(served):
    n = served.generate(CHAIN)
    early = served.execute(n, "--phase", "2a", code=1)
    assert "Phase 1 must be done first" in early.stderr
    served.execute(n, "--stage", "1")
    assert served.statuses(n) == {"1": "success", "2a": "not run", "2b": "not run", "3": "not run"}
    served.execute(n, "--phase", "phase 2A")
    assert served.statuses(n) == {"1": "success", "2a": "success", "2b": "not run", "3": "not run"}
    served.execute(n)
    assert served.statuses(n) == {"1": "success", "2a": "success", "2b": "success", "3": "success"}
    assert served.attempts(n) == {"1": 1, "2a": 1, "2b": 1, "3": 1}
    runs = served.repository / f".ce/orchestration/completed-batches/batch-{n}"
    assert [sorted(path.name for path in (runs / f"run-{run}").glob("task-[123]*")) for run in (2, 3, 4)] == [
        ["task-1"],
        ["task-2a"],
        ["task-2b", "task-3"],
    ]


def test_max_parallel_limits_how_many_run_at_once(served):
    n = served.generate(plan("Fan", phase("1", "sleep 0.5"), phase("2", "sleep 0.5")))
    served.execute(n, "--max-parallel", "1")
    done = served.phases(n)
    assert not overlap(done["1"], done["2"])


def test_phases_of_a_stage_run_side_by_side_by_default(served, tmp_path):
    """Each of the two waits for the other: one after the other they would fail."""
    meet = {key: f"touch {tmp_path}/{key} && {until(tmp_path / other)}" for key, other in (("1", "2"), ("2", "1"))}
    n = served.generate(plan("Pair", *(phase(key, command) for key, command in meet.items())))
    served.execute(n)
    done = served.phases(n)
    assert overlap(done["1"], done["2"])


@pytest.mark.parametrize(("option", "second"), [(("--fail-fast",), "blocked"), ((), "success")])
def test_fail_fast_starts_nothing_after_a_failure(served, option, second):
    n = served.generate(plan("Two", phase("1", "true", gate="test -e no-such-file"), phase("2", "true")))
    failed = served.execute(n, "--max-parallel", "1", *option, code=1)
    assert served.statuses(n) == {"1": "failed", "2": second}
    assert ("Fail-fast: 1 failed." in failed.stdout) is bool(option)


def test_dataflow_starts_a_phase_as_soon_as_what_it_needs_is_merged(served, tmp_path):
    """Phase 2 waits for phase 3, which is in the stage after it: stage by stage it would fail."""
    sign = tmp_path / "sign"
    flow = plan("Flow", phase("1", "true"), phase("2", until(sign)), phase("3", f"touch {sign}", after="Phase 1"))
    n = served.generate(flow)
    served.execute(n, "--scheduling", "dataflow")
    done = served.phases(n)
    assert done["3"]["started_at"] < done["2"]["ended_at"]


def test_with_stages_a_phase_waits_for_the_whole_stage_before_it(served):
    n = served.generate(plan("Stages", phase("1", "true"), phase("2", "sleep 0.5"), phase("3", "true", after="Phase 1")))
    served.execute(n, "--scheduling", "stages")
    done = served.phases(n)
    assert done["3"]["started_at"] > done["2"]["ended_at"]


def test_timeout_ends_a_phase_that_takes_too_long_and_a_retry_may_have_more(served):
    n = served.generate(plan("Slow", phase("1", waits_for("QUICK"))))
    failed = served.execute(n, "--timeout", "0.03", code=1)
    assert "phase_time_limit" in failed.stdout
    served.commit("QUICK")
    served.execute(n, "--retry-phase", "1", "--timeout", "5", "--backend", "steps")
    spec = served.repository / f".ce/orchestration/tasks/batch-{n}/task-1.json"
    assert '"timeout_seconds": 300.0' in spec.read_text()
    assert served.attempts(n) == {"1": 2}


def test_detached_run_is_cancelled_with_all_its_processes_and_resumed_without_repeating_what_was_done(served):
    endless = phase("2", waits_for("GO_ON"), after="Phase 1")
    n = served.generate(plan("Long", phase("1", "true"), endless, phase("3", "true", after="Phase 2")))
    assert f"Batch {n}, run 2 is going on." in served.execute(n, "--detach").stdout
    served.wait_for_beat(n, "2")
    busy = served.execute(n, code=1)
    assert f"Batch {n} is busy with run 2" in busy.stderr
    assert "Would cancel run 2" in served.execute(n, "--cancel", "--dry-run").stdout
    assert f"Batch {n}, run 2 is being cancelled." in served.execute(n, "--cancel").stdout
    served.installation.wait(lambda: served.reported(n, 2), 30, "the run has ended")
    assert served.statuses(n) == {"1": "success", "2": "cancelled", "3": "cancelled"}
    assert "already cancelled" in served.execute(n, "--cancel", code=1).stderr
    served.commit("GO_ON")
    served.execute(n, "--resume")
    assert served.attempts(n) == {"1": 1, "2": 2, "3": 1}
    assert "Nothing to do" in served.execute(n, "--resume").stdout


def test_interrupt_leaves_the_run_going_and_says_how_to_stop_it(either):
    gate = either.installation.directory / "open"
    gate.unlink(missing_ok=True)
    n = either.generate(plan("Watched", phase("1", until(gate)), phase("2", "true", after="Phase 1")))
    command = [sys.executable, str(ROOT / "manage.py"), "batch_exe_prp", "--batch", str(n)]
    with subprocess.Popen(
        command,
        env=either.installation.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests that run in the background have it ignored
    ) as waiting:
        while "Phase 1: running" not in (line := waiting.stderr.readline()):
            assert line, "it ended before the phase ran"
        os.killpg(waiting.pid, signal.SIGINT)
        printed, said = waiting.communicate(timeout=20 * PATIENCE)
    assert waiting.returncode == 130 and not printed
    assert f"Batch {n} goes on." in said and f"manage.py batch_exe_prp --batch {n} --cancel" in said and "Traceback" not in said
    running = either.status(n)
    assert running["status"] == "running" and running["results"][0]["status"] == "running"
    assert "Running for" in either.run("batch_status", "--batch", str(n)).stdout
    gate.touch()
    either.execute(n, "--resume")
    assert either.attempts(n) == {"1": 1, "2": 1}, "the attempt that was under way is the one that counts"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("batch_exe_prp", "--batch", "99999"), "There is no batch 99999; the newest is"),
        (("batch_exe_prp", "--batch", "{n}", "--phase", "9"), "There is no phase '9'; there are: 1, 2a, 2b, 3."),
        (("batch_exe_prp", "--batch", "{n}", "--stage", "4"), "has no stage 4; it has stages 1 to 3."),
        (("batch_exe_prp", "--batch", "{n}", "--stage", "0", "--dry-run"), "has no stage 0"),
        (("batch_exe_prp", "--batch", "{n}", "--max-parallel", "0"), "from 1 to 256"),
        (("batch_exe_prp", "--batch", "{n}", "--timeout", "-1"), "more than 0 minutes"),
        (("batch_exe_prp", "--batch", "{n}", "--timeout", "nan"), "more than 0 minutes"),
        (("batch_exe_prp", "--batch", "{n}", "--backend", "magic"), "invalid choice: 'magic'"),
        (("batch_exe_prp", "--batch", "{n}", "--on-conflict", "pray"), "invalid choice: 'pray'"),
        (("batch_exe_prp", "--batch", "{n}", "--resume", "--cancel"), "not allowed with"),
        (("batch_exe_prp", "--batch", "{n}", "--resume", "--scheduling", "dataflow"), "cannot change now: scheduling"),
        (("batch_exe_prp",), "required: --batch"),
        (("batch_status", "--batch", "x"), "invalid int value"),
        (("batch_gen_prp", "no-such-plan.md"), "no-such-plan.md: No such file"),
        (("batch_gen_prp", "{plan}", "--project", "nobody"), "There is no project 'nobody'; there are: sample-text-statistics"),
        (("batch_gen_prp", "{plan}", "--magic"), "unrecognized arguments: --magic"),
        (("validate", "no-such-plan.md"), "No such file"),
        (("analyze",), "required: PLAN.md"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_there_is(alone, chain, arguments, reason):
    path = str(ROOT / "examples" / "plans" / "cycle.md")
    done = alone.run(*(one.format(n=chain, plan=path) for one in arguments), code=2)
    assert reason in done.stderr


@pytest.fixture(scope="package")
def chain(alone) -> int:
    """A generated batch that no test executes."""
    return alone.generate(CHAIN)


def test_with_two_projects_one_is_asked_for_and_taken_by_its_name_or_slug(installation, tmp_path):
    driver = Driver(installation)
    subprocess.run(["git", "clone", "-q", str(driver.repository), str(tmp_path / "other")], check=True)
    installation.shell(
        "from batches.projects.add_project import create_project; from batches.accounts.actor import Actor\n"
        f"create_project(name='Other one', repository={str(tmp_path / 'other')!r}, actor=Actor.command('test'))"
    )
    path = str(ROOT / "examples" / "plans" / "file-conflict.md")
    asked = driver.run("batch_gen_prp", path, code=2)
    assert "Choose a project: --project other-one, sample-text-statistics" in asked.stderr
    for number, name in enumerate(("Other one", "other-one"), start=1):
        assert f"Batch {number} Generated:" in driver.run("batch_gen_prp", path, "--project", name).stdout
    branches = subprocess.run(["git", "branch", "--list", "ce/*"], cwd=tmp_path / "other", capture_output=True, text=True, check=True)
    assert branches.stdout.split() == ["ce/batch-1", "ce/batch-2"]


def test_validate_and_analyze_need_no_database_and_end_with_1_on_errors(alone):
    away = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    good, bad = (str(ROOT / "examples" / "plans" / name) for name in ("text-statistics.md", "cycle.md"))
    for command in ("validate", "analyze"):
        alone.run(command, good, **away)
        assert "1 → 3 → 2 → 1" in "".join((found := alone.run(command, bad, code=1, **away)).stdout + found.stderr)
        alone.run(command, good, bad, "--json", code=1, **away)
