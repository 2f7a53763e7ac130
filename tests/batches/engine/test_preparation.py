"""What prepares a batch, or only looks at it, is never shown or left in place of its execution."""

import json

import pytest
from django.urls import reverse
from django.utils import timezone

from batches.core.engine.autopilot_steps import AutopilotState, AutopilotStep
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.engine.states import Operation, TaskState
from batches.core.review.rules import ReviewTiming
from batches.engine import generation, reporting, retries
from batches.models import AutopilotRun, Run, Task
from batches.pages.batches.batch_states import latest_run
from batches.pages.batches.board import read_board
from batches.plans.services import import_plan
from batches.review import services as review_services
from tests.batches.builders import make_batch, make_user
from tests.batches.world import ACTOR, World, phase, plan, writes

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
    world.finish(review_services.review(batch=batch, actor=ACTOR, moment=ReviewTiming.AFTER))
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
