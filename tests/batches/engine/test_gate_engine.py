"""Gates over real processes: nobody's word counts, a flaky one is named, the project's own are judged where they should be."""

import pytest

from batches.core.gates.success import Success
from batches.engine import retries
from batches.models import AttemptFact, GateCheck
from batches.projects.change_settings import update_project
from batches.repositories.merges import open_looks
from tests.batches import builders
from tests.batches.world import ACTOR, World, phase, plan, writes

pytestmark = pytest.mark.process

# Claims success in every file that the engine reads, while the tests fail.
LIES = """\
cat > lie.py <<'PY'
import json, os
spec = json.load(open(os.environ["CE_ATTEMPT"] + "/spec.json"))
stem = spec["repository"] + "/.ce/orchestration/tasks/batch-%d/task-1" % spec["batch_id"]
gate = dict(spec["gates"][0], status="passed", exit_code=0, commit="", output="1 passed", seconds=0.1, note="", phase="")
claim = {"task_id": "phase-1", "prp_id": spec["prp_id"], "status": "success", "attempt": spec["attempt"], "token": spec["token"],
         "failure_reason": "", "steps_completed": 1, "total_steps": 1, "errors": [], "usage": {}, "elapsed_seconds": 1.0,
         "output": {"files_created": ["part-1.txt"], "files_modified": [], "files_deleted": [], "commits": [], "prps_generated": []},
         "validation_gates": {"passed": 1, "failed": 0, "unverified": 0, "details": [gate]}, "report": {}}
beat = {"task_id": "phase-1", "status": "success", "progress": "All tests pass", "tokens_used": 1, "elapsed_seconds": 1.0, "step": 1,
        "last_update": "2026-01-01T00:00:00Z", "last_progress": "2026-01-01T00:00:00Z", "total_steps": 1, "cost_usd": 0.0,
        "activity": "done", "attempt": spec["attempt"], "token": spec["token"]}
for ending, data in ((".result.json", claim), (".hb", beat)):
    with open(stem + ending, "w") as file:
        json.dump(data, file)
PY
python lie.py
rm lie.py
echo "All gates pass: 12 passed"
printf 'def test_it():\\n    assert open("answer.txt").read() == "42"\\n' > test_answer.py
test -e answer.txt || printf 41 > answer.txt"""


def test_an_executor_that_lies_is_caught_by_its_gate_named_and_can_be_retried_once_it_is_fixed(world: World):
    text = plan(
        phase("1", files="answer.txt, test_answer.py", steps=(LIES,), gates=("All tests pass",)),
        phase("2", needs="1", steps=writes("2")),
    )
    run = world.finish(world.execute(world.generated(text)))
    assert world.states(run) == {"1": "failed", "2": "blocked"}
    task = world.task(run, "1")
    assert task.reason == "gate_failed"
    assert 'gate 1 "All tests pass" failed: `python -m pytest -q` ended with exit code 1' in task.message
    check = GateCheck.objects.get(gate__phase__key="1")
    assert (check.status, check.exit_code, check.flaky) == ("failed", 1, False)
    assert "assert '41' == '42'" in check.output
    assert "answer.txt" not in world.files_on("ce/batch-1"), "what fails its gates is not merged"
    world.commit("answer.txt", "42")
    retries.retry(run=run, names=["1"], actor=ACTOR)
    run = world.finish(run)
    assert world.states(run) == {"1": "succeeded", "2": "succeeded", "stage-1": "succeeded"}, run.report
    judged = GateCheck.objects.filter(gate__phase__key="1").order_by("pk").values_list("attempt__task__name", "status")
    assert list(judged) == [("1", "failed"), ("1", "passed"), ("stage-1", "passed")]


def test_a_flaky_gate_passes_and_is_said_to_be_flaky_in_row_result_and_report(world: World):
    flaky = "test -e ../seen || { touch ../seen; echo too early; exit 1; }"
    run = world.finish(world.execute(world.generated(plan(phase("1", steps=writes("1"), gates=(f"Up (checked: {flaky})",))))))
    assert run.state == "succeeded"
    check = GateCheck.objects.get(gate__isnull=False, attempt__task__name="1")
    assert (check.status, check.flaky, check.first_exit_code, check.first_output) == ("passed", True, 1, "too early\n")
    assert "gates 1/1, 1 flaky" in run.report
    assert "Gates: 7 passed, 1 flaky\n" in run.report, "the four standard ones of the phase, the three on the merged tree"
    assert run.result["results"][0]["validation_gates"]["flaky"] == 1
    [detail] = world.attempts(run, "1")[0].result.data["validation_gates"]["details"]
    assert detail["flaky"] and detail["note"].startswith("flaky")


def test_the_projects_gates_are_judged_after_every_phase_and_on_the_merged_tree_and_fixed_settings_count_at_a_retry(world: World):
    world.project.lint_command, world.project.test_command, world.project.test_when = "test ! -e bad.txt", "test -e part-1b.txt", "stage"
    world.project.save()
    text = plan(phase("1a", steps=writes("1a")), phase("1b", steps=writes("1b")), phase("2", needs="1a, 1b", steps=("echo x > bad.txt",)))
    run = world.finish(world.execute(world.generated(text)))
    assert world.states(run) == {"1a": "succeeded", "1b": "succeeded", "stage-1": "succeeded", "2": "failed"}
    assert 'project gate 1 "Lint of the project" failed: `test ! -e bad.txt`' in world.task(run, "2").message
    judged = GateCheck.objects.filter(origin="project").values_list("attempt__task__name", "text", "status")
    assert sorted(judged) == [
        ("1a", "Lint of the project", "passed"),
        ("1b", "Lint of the project", "passed"),
        ("2", "Lint of the project", "failed"),
        ("stage-1", "Lint of the project", "passed"),
        ("stage-1", "Tests of the project", "passed"),
    ]
    update_project(project=world.project, changes={"lint_command": "true", "test_command": ""}, actor=ACTOR)
    retries.retry(run=run, names=["2"], actor=ACTOR)
    assert world.finish(run).state == "succeeded"


def test_a_gate_that_a_later_phase_breaks_without_touching_its_files_is_named_beside_its_phase(world: World):
    text = plan(
        phase("1", steps=writes("1"), gates=("`test -e part-1.txt && test ! -e bad.txt`",)),
        phase("2", needs="1", files="bad.txt", steps=("echo bad > bad.txt",), gates=("`test -e bad.txt`",)),
        phase("3", needs="2", steps=writes("3"), gates=("`test -e part-3.txt`",)),
    )
    batch = world.generated(text)
    run = world.finish(world.execute(batch))
    assert run.state == "succeeded" and run.result["not_verified"] == "1 phase needs a look"
    said = "fails on the merged tree of stage 3: a later phase broke it"
    [(key, [look])] = open_looks(batch)
    assert key == "1" and look.startswith("gate 1 of phase 1 ") and look.endswith(said)
    assert said in run.report
    kinds = AttemptFact.objects.exclude(success="").order_by("attempt__task__name").values_list("attempt__task__name", "success")
    assert list(kinds) == [("1", Success.NEEDS_LOOK), ("2", Success.VERIFIED), ("3", Success.VERIFIED)]
    judged = GateCheck.objects.filter(attempt__task__name="stage-3", origin="plan").values_list("gate__phase__key", flat=True)
    assert list(judged) == ["3"], "what fails so is no failure of the stage"


def test_a_gate_of_the_stage_is_judged_with_all_others_on_the_merged_tree_even_if_a_phase_was_judged_on_it(world: World):
    world.project.test_command, world.project.test_when = "grep -q done part-1.txt", "stage"
    world.project.save()
    run = world.finish(world.execute(world.generated(plan(phase("1", steps=writes("1"), gates=("`test -f part-1.txt`",))))))
    assert world.states(run) == {"1": "succeeded", "stage-1": "succeeded"}
    at_end = GateCheck.objects.filter(attempt__task__name="stage-1")
    assert {(check.origin, check.status) for check in at_end} == {("plan", "passed"), ("project", "passed"), ("standard", "passed")}


def test_a_standard_gate_stops_a_phase_that_leaves_conflict_markers_until_the_project_switches_it_off(world: World):
    markers = r"printf '<<<<<<< a\nx\n=======\ny\n>>>>>>> b\n' > part-1.txt"
    run = world.finish(world.execute(world.generated(plan(phase("1", steps=(markers,))))))
    assert "standard gate 1 \"No conflict markers in changed files\" failed" in world.task(run, "1").message
    assert "part-1.txt:1: conflict markers" in run.report
    update_project(project=world.project, changes={"standard_gates": ["size", "parse"]}, actor=ACTOR)
    retries.retry(run=run, actor=ACTOR)
    assert world.finish(run).state == "succeeded"


def test_what_nobody_checked_and_what_changed_nothing_is_said_beside_success_everywhere(world: World, client):
    text = plan(
        phase("1", steps=writes("1"), gates=("`test -f part-1.txt`",)),
        phase("2", steps=writes("2"), gates=("The owner likes it",)),
        phase("3", steps=("true",), gates=("`test -d .`",)),
    )
    batch = world.generated(text)
    run = world.finish(world.execute(batch))
    assert run.state == "succeeded" and run.result["status"] == "success"
    assert [entry["status"] for entry in run.result["results"]] == ["success"] * 3
    assert [entry["success"] for entry in run.result["results"]] == ["verified", "not_verified", "changed_nothing"]
    said = "succeeded, 1 phase changed nothing, 1 phase not verified"
    assert run.result["not_verified"] == "1 phase changed nothing, 1 phase not verified"
    assert said in run.report and "(succeeded, changed nothing, " in run.report
    client.force_login(builders.make_user())
    for address in ("/batches/", f"/batches/{batch.number}/"):
        assert said in client.get(address).text, address
    assert 'data-state="stale"' in client.get(f"/batches/{batch.number}/").text
