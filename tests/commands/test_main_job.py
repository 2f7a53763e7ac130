"""The main job from a shell: the sample plans generated, executed, fixed and tried again."""

import json

import pytest

from tests.commands.driver import PLANS

pytestmark = pytest.mark.engine


GATE = "python tools/release_check.py"


def test_sample_plan_is_generated_and_executed_and_the_shell_lines_of_the_guide_print_what_they_promise(either):
    printed = either.run("batch_gen_prp", str(PLANS / "text-statistics.md")).stdout
    n = int(printed.split()[1])
    assert printed.splitlines() == [
        f"Batch {n} Generated:",
        f"  Stage 1: PRP-{n}.1.1",
        f"  Stage 2: PRP-{n}.2.1, PRP-{n}.2.2 (parallel)",
        f"  Stage 3: PRP-{n}.3.1",
        "",
        "Created 4 PRPs. Ready for execution.",
    ]
    before = either.shell("git rev-parse main && git status --porcelain && git branch --show-current")
    done = either.execute(n)
    assert "succeeded, 4 of 4 phases done" in done.stdout and "Gates on the merged tree: succeeded" in done.stdout
    progress = done.stderr.splitlines()
    assert "[stage 3] Phase 3: succeeded in" in done.stderr and all(progress)
    assert all(line.startswith("[stage ") for line in progress), "nothing but progress"
    assert either.shell("git rev-parse main && git status --porcelain && git branch --show-current") == before

    shell_lines_of_the_guide(either, n)
    archive_is_complete(either, n)

    human = either.run("batch_status", "--batch", str(n)).stdout
    assert human == done.stdout
    assert either.status(n) == either.result(n)

    again = either.execute(n)
    assert "Nothing to do" in again.stdout and set(either.attempts(n).values()) == {1}


def shell_lines_of_the_guide(driver, n):
    """The guide's own lines, with the number and the branch filled in."""
    ce = ".ce/orchestration"
    beat = json.loads(driver.shell(f"cat {ce}/tasks/batch-{n}/task-2a.hb"))
    assert beat["task_id"] == "phase-2a" and beat["status"] == "success" and beat["elapsed_seconds"] > 0
    assert {"progress", "tokens_used", "last_update"} <= beat.keys()
    result = json.loads(driver.shell(f"cat {ce}/tasks/batch-{n}/task-2a.result.json"))
    assert result["prp_id"] == f"PRP-{n}.2.1" and result["status"] == "success" and result["steps_completed"] == result["total_steps"] == 2
    assert result["validation_gates"]["passed"] == 3 and not result["errors"]
    assert "textstats/frequency.py" in result["output"]["files_created"] and len(result["output"]["commits"]) == 3

    whole = json.loads(driver.shell(f"cat {ce}/batches/batch-{n}.result.json | jq ."))
    assert whole["batch_id"] == n and whole["status"] == "success"
    batch_result = f"cat {ce}/batches/batch-{n}.result.json"
    slow = [json.loads(line) for line in driver.shell(f"{batch_result} | jq -c '.results[] | {{phase, elapsed_seconds}}'").splitlines()]
    assert [entry["phase"] for entry in slow] == ["1", "2a", "2b", "3"] and all(entry["elapsed_seconds"] > 0 for entry in slow)
    tokens = [json.loads(line) for line in driver.shell(f"{batch_result} | jq -c '.results[] | {{phase, tokens_used}}'").splitlines()]
    assert [entry["phase"] for entry in tokens] == ["1", "2a", "2b", "3"]
    assert {entry["tokens_used"] for entry in tokens} == {None}, "no model was asked, so nobody knows of tokens: not 0"

    branch = f"ce/batch-{n}"
    second = driver.shell(f'git log --oneline {branch} | grep "PRP-{n}.2"')
    for subject in (
        f"PRP-{n}.2.1: Step 1 - Count words, most frequent first and ties in alphabetical order",
        f"PRP-{n}.2.1: Step 2 - Test the order and the limit",
        f"PRP-{n}.2.1: Complete - Word frequencies",
        f"PRP-{n}.2.2: Complete - Readability",
    ):
        assert subject in second
    timeline = driver.shell(f'git log --oneline --grep="PRP-{n}" {branch} | head -20').splitlines()
    assert 4 < len(timeline) <= 20 and all(f"PRP-{n}." in line for line in timeline)
    assert f"PRP-{n}.3.1" in timeline[0]
    parents = driver.shell(f"git log --format=%P --merges {branch} --grep='PRP-{n}.2.1: Merge'").split()
    assert len(parents) >= 2, "a finished phase is merged with a merge commit"


def archive_is_complete(driver, n):
    top = driver.repository / f".ce/orchestration/completed-batches/batch-{n}"
    assert sorted(path.name for path in top.iterdir()) == ["run-1", "run-2"]
    phases, checks = ["1", "2a", "2b", "3"], ["stage-1", "stage-2", "stage-3"]
    for run, tasks in (("run-1", [f"{name}.generate" for name in phases]), ("run-2", phases + checks)):
        assert (top / run / f"batch-{n}.result.json").is_file()
        for name in tasks:
            kept = {path.name for path in (top / run / f"task-{name}" / "attempt-1").iterdir()}
            assert kept == {f"task-{name}.{kind}" for kind in ("json", "hb", "log", "result.json")}


def test_failing_gate_is_named_and_after_the_fix_only_that_phase_and_what_it_blocked_run_again(either):
    n = either.generate(PLANS / "release-needs-approval.md")
    failed = either.execute(n, code=1)
    assert "gate_failed" in failed.stdout and "gate 3" in failed.stdout and GATE in failed.stdout
    assert "| Then retry the phase" in failed.stdout, "what the gate said is quoted"
    assert f"  ce retry {n} 2" in failed.stdout
    assert either.statuses(n) == {"1": "success", "2": "failed", "3": "blocked"}
    assert either.result(n)["status"] == "failed"

    still = either.execute(n, "--retry-phase", "2", code=1)
    assert GATE in still.stdout and either.attempts(n) == {"1": 1, "2": 2, "3": 0}

    either.commit("RELEASE_APPROVAL", "Ada\n")
    fixed = either.execute(n, "--retry-phase", "2")
    assert "succeeded, 3 of 3 phases done" in fixed.stdout
    assert either.attempts(n) == {"1": 1, "2": 3, "3": 1}
    archive = either.repository / f".ce/orchestration/completed-batches/batch-{n}/run-2/task-2"
    outcomes = [json.loads((archive / f"attempt-{one}/task-2.result.json").read_text())["status"] for one in (1, 2, 3)]
    assert outcomes == ["failed", "failed", "success"]
    kept = either.shell(f"git for-each-ref --format='%(refname)' refs/ce/attempts/batch-{n}").split()
    assert [f"refs/ce/attempts/batch-{n}/run-2/2/{one}" in kept for one in (1, 2, 3)] == [True, True, True]


def test_phases_that_change_the_same_file_can_be_refused_run_one_after_the_other_or_run_anyway(either):
    plan = PLANS / "file-conflict.md"
    n = either.generate(plan)
    refused = either.execute(n, "--on-conflict", "abort", code=1)
    assert "CHANGELOG.md (phases 1, 2)" in refused.stderr and "textstats/counting.py" in refused.stderr
    assert either.status(n)["operation"] == "generate"
    assert "succeeded" in either.execute(n, "--on-conflict", "serialize").stdout
    first, second = (either.phases(n)[key] for key in ("1", "2"))
    assert first["ended_at"] <= second["started_at"]

    n = either.generate(plan)
    collided = either.execute(n, code=1)
    assert "merge_conflict" in collided.stdout and "CHANGELOG.md, textstats/counting.py" in collided.stdout
    (loser,) = [key for key, status in either.statuses(n).items() if status == "failed"]
    assert {one["file"]: one["collided"] for one in either.result(n)["conflicts"]} == {"CHANGELOG.md": True, "textstats/counting.py": True}
    assert "succeeded" in either.execute(n, "--retry-phase", loser).stdout
    assert either.attempts(n) == {"1": 1, "2": 1, "3": 1} | {loser: 2}


def test_cycle_is_refused_with_its_path_and_line_and_nothing_is_made(alone):
    before = alone.everything()
    refused = alone.run("batch_gen_prp", str(PLANS / "cycle.md"), code=1)
    assert "cycle.md:14: Circular dependency: 1 → 3 → 2 → 1" in refused.stderr
    assert alone.everything() == before


def test_dry_run_changes_nothing_at_all(alone):
    n = alone.generate(PLANS / "release-needs-approval.md")
    begun = alone.everything()
    planned = alone.execute(n, "--dry-run")
    assert f"Stage 1: PRP-{n}.1.1 Phase 1, PRP-{n}.1.2 Phase 2 (parallel)" in planned.stdout and "Nothing was changed." in planned.stdout
    preview = alone.run("batch_gen_prp", str(PLANS / "text-statistics.md"), "--dry-run")
    assert "Stage 3: phase 3 -> PRPs/feature-requests/PRP-N.3.1-command-line-and-documentation.md" in preview.stdout
    assert alone.everything() == begun
    if (alone.repository / "RELEASE_APPROVAL").exists():  # another test's fix
        alone.shell("git rm -q RELEASE_APPROVAL && git -c user.name=Ada -c user.email=ada@example.org commit -qm 'Take it back'")
        alone.execute(n, "--dry-run")
    alone.execute(n, code=1)
    failed = alone.everything()
    assert "Would try again: 2, 3" in alone.execute(n, "--retry-phase", "2", "--dry-run").stdout
    assert "Would try again: 2, 3" in alone.execute(n, "--resume", "--dry-run").stdout
    alone.execute(n, "--cancel", "--dry-run", code=1)
    assert alone.everything() == failed
