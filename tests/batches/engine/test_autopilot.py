"""Chains of runs over a real repository: where they go by themselves, where they stop, and how they go on."""

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.core.engine.autopilot_steps import AutopilotState
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.errors import ServiceError
from batches.engine import autopilot, generation, pause_and_cancel
from batches.engine.ticker import Ticker
from batches.models import AutopilotRun, Batch, Run
from batches.plans.versions import import_plan
from tests.batches.world import ACTOR, World, phase, plan, writes

pytestmark = pytest.mark.process

GATES = ("`test -f part-1.txt`", "`test -s part-1.txt`", "`grep -q done part-1.txt`")
SOUND = plan(phase("1", steps=writes("1"), gates=GATES, title="Write the first part"))
NEEDS_APPROVAL = plan(phase("1", steps=writes("1"), gates=(*GATES, "`test -f APPROVED`")))
UNSOUND = plan(phase("1", steps=writes("1")))  # no gates: the review before says so


def begun(world: World, text: str) -> AutopilotRun:
    made = import_plan(text=text, file_name="plan.md", project=world.project, actor=ACTOR)
    batch = generation.generate(plan=made, project=world.project, actor=ACTOR, then=ExecuteOptions(), full_autopilot=True)
    return batch.autopilot_runs.get()


def until(world: World, autopilot_run: AutopilotRun, state: AutopilotState) -> AutopilotRun:
    world.until(lambda: AutopilotRun.objects.filter(pk=autopilot_run.pk, state=state).exists(), f"the autopilot is {state}")
    return AutopilotRun.objects.select_related("run", "batch").get(pk=autopilot_run.pk)


def operations(batch: Batch) -> list[str]:
    runs = batch.runs.order_by("number").values_list("operation", "selection")
    return [f"{operation} {selection}".strip() for operation, selection in runs]


def test_an_autopilot_carries_a_plan_through_all_operations(world: World):
    autopilot_run = until(world, begun(world, SOUND), AutopilotState.FINISHED)
    assert operations(autopilot_run.batch) == ["generate", "review before", "execute", "review after", "update_context"]
    assert set(Run.objects.values_list("state", flat=True)) == {"succeeded"}
    assert autopilot_run.step == "update_context" and "waits for your decision" in autopilot_run.reason
    assert {"part-1.txt", "PRPs/reviews/batch-1-review.md"} <= world.files_on("ce/batch-1")
    assert "CLAUDE.md" in world.files_on("ce/context-1")


def test_a_verdict_stops_it_and_a_persons_reason_lets_it_go_on(world: World):
    autopilot_run = until(world, begun(world, UNSOUND), AutopilotState.STOPPED)
    assert autopilot_run.step == "review_before" and "needs revision" in autopilot_run.reason
    assert operations(autopilot_run.batch) == ["generate", "review before"]
    ada = get_user_model().objects.create_superuser("ada", password="a long password")
    with pytest.raises(ServiceError, match="Give the reason"):
        autopilot.resume(autopilot_run=autopilot_run, actor=Actor.person(ada))
    autopilot.resume(autopilot_run=autopilot_run, actor=Actor.person(ada), reason="A script of one line")
    world.until(lambda: autopilot_run.batch.runs.executions().exists(), "the execution")
    autopilot_run.refresh_from_db()
    assert autopilot_run.step == "execute"


def test_a_failure_stops_it_and_a_retry_after_the_fix_carries_it_to_the_end(world: World):
    autopilot_run = until(world, begun(world, NEEDS_APPROVAL), AutopilotState.STOPPED)
    assert autopilot_run.step == "execute" and autopilot_run.run.state == "failed" and "failed: 1" in autopilot_run.reason
    world.commit("APPROVED", "yes\n")
    autopilot.resume(autopilot_run=autopilot_run, actor=ACTOR)
    autopilot_run = until(world, autopilot_run, AutopilotState.FINISHED)
    assert operations(autopilot_run.batch) == ["generate", "review before", "execute", "review after", "update_context"]
    assert autopilot_run.batch.runs.executions().count() == 1, "the failed run itself went on"


def test_a_new_ticker_takes_the_chain_up_where_the_old_one_died(world: World):
    autopilot_run = begun(world, SOUND)
    for step in ("review_before", "execute", "review_after", "update_context"):
        world.until(lambda step=step: AutopilotRun.objects.get(pk=autopilot_run.pk).step == step, step)
        world.ticker = Ticker("test-host")  # the old one is gone with all that it remembered
    until(world, autopilot_run, AutopilotState.FINISHED)


def test_following_up_twice_starts_one_run(world: World):
    autopilot_run = begun(world, SOUND)
    first = autopilot_run.run
    world.until(lambda: AutopilotRun.objects.get(pk=autopilot_run.pk).step == "review_before")
    assert autopilot.follow_up(first.pk, timezone.now()) is None
    assert autopilot_run.batch.runs.filter(operation="review").count() == 1


def test_cancelling_its_run_ends_the_chain(world: World):
    autopilot_run = begun(world, plan(phase("1", steps=("sleep 60",), gates=GATES)))
    world.until(lambda: AutopilotRun.objects.get(pk=autopilot_run.pk).step == "execute")
    run = autopilot_run.batch.runs.executions().get()
    pause_and_cancel.cancel(run=run, actor=ACTOR)
    world.finish(run)
    autopilot_run.refresh_from_db()
    assert autopilot_run.state == AutopilotState.CANCELLED
    assert operations(autopilot_run.batch) == ["generate", "review before", "execute"]


def test_left_alone_a_run_goes_on_and_nothing_follows_it(world: World):
    autopilot_run = begun(world, SOUND)
    autopilot.stop(autopilot_run=autopilot_run, actor=ACTOR)
    world.finish(autopilot_run.run)
    assert autopilot_run.run.state == "succeeded"
    assert operations(autopilot_run.batch) == ["generate"]
    with pytest.raises(ServiceError, match="is already cancelled"):
        autopilot.stop(autopilot_run=autopilot_run, actor=ACTOR)


def test_started_on_a_batch_it_begins_where_the_batch_stands(world: World):
    batch = world.generated(SOUND)
    world.finish(world.execute(batch))
    autopilot_run = until(world, autopilot.start(batch=batch, actor=ACTOR, options=ExecuteOptions()), AutopilotState.FINISHED)
    assert operations(batch) == ["generate", "execute", "review after", "update_context"]
    with pytest.raises(ServiceError, match="cannot be resumed"):
        autopilot.resume(autopilot_run=autopilot_run, actor=ACTOR)


def test_executing_by_hand_ends_a_chain_that_waited(world: World):
    autopilot_run = until(world, begun(world, UNSOUND), AutopilotState.STOPPED)
    run = world.execute(autopilot_run.batch)
    autopilot_run.refresh_from_db()
    assert autopilot_run.state == AutopilotState.CANCELLED and f"Run {run.number}" in autopilot_run.reason


def test_the_page_says_where_it_stands_why_it_stopped_and_has_the_button(world: World, client):
    autopilot_run = until(world, begun(world, UNSOUND), AutopilotState.STOPPED)
    client.force_login(get_user_model().objects.create_superuser("ada", password="a long password"))
    page = client.get(reverse("batches:detail", args=[1])).content.decode()
    assert "waiting for you" in page and "needs revision" in page
    answer = client.post(reverse("batches:go_on", args=[1, autopilot_run.pk]), {"reason": "It is small"}, follow=True)
    assert "Resumed." in answer.content.decode()
    world.until(lambda: autopilot_run.batch.runs.executions().exists(), "the execution")
    client.post(reverse("batches:leave", args=[1, autopilot_run.pk]))
    autopilot_run.refresh_from_db()
    assert autopilot_run.state == AutopilotState.CANCELLED
