"""What prepares a batch, or only looks at it, is never shown or left in place of its execution."""

import json
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone

from batches.core.engine.autopilot_steps import AutopilotState, AutopilotStep
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.engine.states import Operation, TaskState
from batches.core.review.types import ReviewTiming
from batches.engine import generation, preparation, reporting, retries
from batches.models import Attempt, AutopilotRun, Run, Task
from batches.pages.batches.batch_states import latest_run
from batches.pages.batches.board import read_board
from batches.plans.versions import import_plan
from batches.repositories.repository import repository_of
from batches.review import begin_review
from subagents.contract import OrchestrationFiles
from tests.batches.builders import make_batch, make_user
from tests.batches.world import ACTOR, SEED_FLOW, World, phase, plan, writes

SHAPE = "1 -> 2a 2b -> 3"
THREE = {"1": TaskState.SUCCEEDED, "2a": TaskState.SUCCEEDED, "2b": TaskState.SUCCEEDED, "3": TaskState.RUNNING}
PAIR = plan(
    phase("1", steps=writes("1"), gates=("`test -f part-1.txt`",)),
    phase("2", steps=writes("2"), gates=("`test -f nothing.txt`",)),
)


@pytest.mark.django_db
def test_the_page_shows_work_orders_being_written_and_no_finished_stage(client):
    batch = make_batch(SHAPE, states=THREE, run_state="running", operation=Operation.GENERATE)
    board = read_board(batch, latest_run(batch), timezone.now())
    assert (board.preparing, board.done, board.current_stage) == ("Writing work orders 3/4", 0, None)
    assert [stage.state for stage in board.stages] == ["planned", "planned", "running"]
    client.force_login(make_user())
    page = client.get(reverse("batches:detail", args=[batch.number])).content.decode()
    assert "Writing work orders 3/4" in page
    assert 'data-state="succeeded"' not in page.split('id="stages"')[-1].split("</section>")[0]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("state", "chain", "status"),
    [
        ("running", AutopilotState.GOING, "preparing"),
        ("running", None, "preparing"),
        ("succeeded", AutopilotState.GOING, "preparing"),
        ("succeeded", AutopilotState.STOPPED, "stopped"),
        ("succeeded", None, "prepared"),
        ("failed", AutopilotState.STOPPED, "failed"),
    ],
)
def test_a_batch_is_no_success_before_it_was_executed(state, chain, status):
    states = THREE if state == "running" else dict.fromkeys(THREE, TaskState.SUCCEEDED)
    batch = make_batch(SHAPE, states=states, run_state=state, operation=Operation.GENERATE)
    if chain is not None:
        reason = "Held up by a review." if chain == AutopilotState.STOPPED else ""
        AutopilotRun.objects.create(batch=batch, run=batch.runs.get(), step=AutopilotStep.GENERATE, state=chain, reason=reason)
    run, result = reporting.status_of(batch)
    assert (result["status"], result["operation"]) == (status, "generate")
    assert {entry["status"] for entry in result["results"]} <= {"not run", "running"}
    assert "success" not in {stage["status"] for stage in result["stages"]}
    written = sum(one == TaskState.SUCCEEDED for one in states.values())
    assert (result["preparation"]["written"], result["preparation"]["of"]) == (written, 4)
    assert f"{written} of 4 work orders written" in reporting.report_text(run, result)


@pytest.mark.engine
@pytest.mark.django_db(transaction=True)
def test_the_status_becomes_success_with_the_execution_and_not_with_the_work_orders(world: World):
    made = import_plan(text=plan(phase("1", steps=writes("1"))), file_name="plan.md", project=world.project, actor=ACTOR)
    batch = generation.generate(plan=made, project=world.project, actor=ACTOR, then=ExecuteOptions())
    seen = []

    def executed() -> bool:
        status = reporting.status_of(batch)[1]["status"]
        if not seen or seen[-1] != status:
            seen.append(status)
        return Run.objects.filter(batch=batch, operation="execute", reported_at__isnull=False).exists()

    world.until(executed, "the end of the execution")
    executed()
    assert seen[0] == "preparing" and seen[-1] == "success" and seen.count("success") == 1
    assert set(seen) <= {"preparing", "queued", "running", "success"}


@pytest.mark.engine
@pytest.mark.django_db(transaction=True)
def test_the_files_of_the_latest_execution_stay_whatever_looks_at_the_phases_later(world: World):
    batch = world.generated(PAIR)
    folder = world.repository / ".ce/orchestration/tasks/batch-1"
    assert sorted(path.name for path in folder.glob("task-2*.json")) == ["task-2.generate.json", "task-2.generate.result.json"]
    run = world.finish(world.execute(batch))
    before = {path.name: path.read_bytes() for path in folder.glob("task-?.*")}
    for key, status in (("1", "success"), ("2", "failed")):
        assert json.loads(before[f"task-{key}.result.json"])["status"] == status
    assert json.loads(before["task-2.json"])["type"] == "execute"
    world.finish(begin_review.review(batch=batch, actor=ACTOR, moment=ReviewTiming.AFTER))
    own = ("json", "hb", "result.json", "log")
    assert {name: (folder / name).read_bytes() for name in before} == before
    for ending in own:
        assert (folder / f"task-2.review.{ending}").exists(), ending
    assert json.loads((folder / "task-2.review.result.json").read_text())["status"] == "success"
    world.commit("nothing.txt", "here")
    retries.retry(run=run, actor=ACTOR)
    world.finish(run)
    assert json.loads((folder / "task-2.result.json").read_text())["attempt"] == 2
    assert Task.objects.get(run=run, name="2").state == "succeeded"
    kept = world.repository / ".ce/orchestration/completed-batches/batch-1"
    assert json.loads((kept / "run-2/task-2/attempt-1/task-2.result.json").read_text())["status"] == "failed"
    assert (kept / "run-3/task-2.review/attempt-1/task-2.review.log").exists()


@pytest.mark.engine
def test_work_orders_are_a_chain_of_commits_without_a_process(world: World):
    world.git("gc", "-q")  # what lies in a pack takes an index
    batch = world.generated(SEED_FLOW)
    run = batch.runs.get()
    attempts = list(Attempt.objects.filter(task__run=run).select_related("result").order_by("pk"))
    assert run.state == "succeeded"
    assert [attempt.pid for attempt in attempts] == [None] * 4
    line = world.git("log", "--reverse", "--format=%H %P %s", f"{batch.base_commit}..{batch.branch}").split("\n")
    assert [row.split()[0] for row in line] == [attempt.head_commit for attempt in attempts]
    assert [row.split()[1] for row in line] == [batch.base_commit, *(attempt.head_commit for attempt in attempts[:-1])]
    for attempt, row in zip(attempts, line, strict=True):
        (path,) = attempt.result.files_created
        assert attempt.spec["prp_id"] in row and attempt.spec["prp_id"] in path
        assert world.git("show", f"{batch.branch}:{path}") == attempt.spec["payload"]["text"].strip()
        assert attempt.result.diff.strip() == world.git("diff", attempt.base_commit, attempt.head_commit)
        assert [move.event for move in attempt.task.transitions.all()] == ["launch", "succeed"]
        kept = OrchestrationFiles(str(world.repository)).archive(batch.number, run.number, f"{attempt.task.name}.generate", 1)
        assert json.loads((Path(kept) / f"task-{attempt.task.name}.generate.result.json").read_text()) == attempt.result.data


@pytest.mark.engine
def test_a_kill_between_work_orders_and_their_rows_costs_nothing(world: World):
    made = import_plan(text=SEED_FLOW, file_name="plan.md", project=world.project, actor=ACTOR)
    batch = generation.generate(plan=made, project=world.project, actor=ACTOR)
    run = Run.objects.select_related("batch__project").get(batch=batch)
    preparation.write(repository_of(batch), run, preparation.waiting(run))  # and here it dies
    tip = world.git("rev-parse", batch.branch)
    assert world.finish(run).state == "succeeded"
    assert world.git("rev-parse", batch.branch) == tip
    assert world.finish(world.execute(batch)).state == "succeeded"


@pytest.mark.engine
def test_what_keeps_work_orders_from_being_written_at_once_is_said_by_attempts(world: World):
    world.commit("PRPs", "a file in the place of the folder")
    batch = world.generated(plan(phase("1")))
    attempt = Attempt.objects.get(task__run__batch=batch)
    assert attempt.outcome == "failed" and attempt.pid is not None
