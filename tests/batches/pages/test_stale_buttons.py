"""Buttons pressed twice, too late, or against each other; and a batch branch that its owner takes in hand."""

import os

import pytest

from batches.core.errors import ServiceError
from batches.engine import pause_and_cancel, retries
from batches.engine.ticker import Ticker
from batches.models import Attempt, Run, Transition
from tests.batches.engine.test_hostile import Hasty
from tests.batches.world import ACTOR, World, phase, plan, writes
from tests.installation import wait_for

pytestmark = pytest.mark.process

ONCE_FAILED = "test -e ../{0} || {{ touch ../{0}; false; }}; echo x > part-{0}.txt"
UNTIL_TOLD = "until test -e {0}; do sleep 0.02; done; echo x > part-{1}.txt"


def test_retry_pressed_twice_tries_once(world: World):
    run = world.finish(world.execute(world.generated(plan(phase("1", steps=(ONCE_FAILED.format("1"),))))))
    retries.retry(run=run, actor=ACTOR, names=["1"])
    with pytest.raises(ServiceError, match="Phase 1 is pending"):
        retries.retry(run=run, actor=ACTOR, names=["1"])
    with pytest.raises(ServiceError, match="Nothing to retry"):
        retries.retry(run=run, actor=ACTOR)
    assert world.finish(run).state == "succeeded"
    assert len(world.attempts(run, "1")) == 2


def test_retry_while_others_run_tries_only_what_failed(world: World):
    go = world.repository.parent / "go"
    text = plan(phase("1", steps=(ONCE_FAILED.format("1"),)), phase("2", steps=(UNTIL_TOLD.format(go, "2"),)))
    run = world.execute(world.generated(text))
    world.until(lambda: world.states(run)["1"] == "failed" and world.states(run)["2"] == "running")
    retries.retry(run=run, actor=ACTOR, names=["1"])
    world.until(lambda: world.states(run)["1"] == "succeeded")
    with pytest.raises(ServiceError, match="Phase 2 is running"):
        retries.retry(run=run, actor=ACTOR, names=["2"])
    go.touch()
    assert world.finish(run).state == "succeeded"
    assert [len(world.attempts(run, name)) for name in ("1", "2")] == [2, 1]


def test_retry_of_a_run_that_is_being_cancelled_is_refused_not_swallowed(world: World):
    text = plan(phase("1", steps=("false",)), phase("2", steps=("trap '' TERM; sleep 60",)))
    run = world.execute(world.generated(text))
    world.until(lambda: world.states(run)["1"] == "failed" and world.states(run)["2"] == "running")
    pause_and_cancel.cancel(run=run, actor=ACTOR)
    with pytest.raises(ServiceError, match="being cancelled"):
        retries.retry(run=run, actor=ACTOR, names=["1"])
    assert world.finish(run).state == "cancelled"
    retries.retry(run=run, actor=ACTOR, names=["1"])  # now it may
    assert Run.objects.get(pk=run.pk).state == "running"


def test_cancel_pressed_twice_cancels_once_and_is_refused_afterwards(world: World):
    run = world.execute(world.generated(plan(phase("1", steps=("sleep 60",)))))
    world.running(run, "1")
    pause_and_cancel.cancel(run=run, actor=ACTOR)
    pause_and_cancel.cancel(run=run, actor=ACTOR)
    world.finish(run)
    assert Transition.objects.filter(run=run, event="cancel").count() == 2  # the phase, and the run
    for action in (pause_and_cancel.cancel, pause_and_cancel.pause, pause_and_cancel.unpause):
        with pytest.raises(ServiceError, match="is already cancelled"):
            action(run=run, actor=ACTOR)


def test_pause_then_cancel_ends_the_run(world: World):
    run = world.execute(world.generated(plan(phase("1", steps=("sleep 60",)), phase("2", steps=writes("2")))))
    world.running(run, "1")
    pause_and_cancel.pause(run=run, actor=ACTOR)
    pause_and_cancel.cancel(run=run, actor=ACTOR)
    assert world.finish(run).state == "cancelled"
    retries.retry(run=run, actor=ACTOR)
    run.refresh_from_db()
    assert (run.paused, run.cancel_requested) == (False, False)
    pause_and_cancel.cancel(run=run, actor=ACTOR)
    world.finish(run)


def test_work_that_was_done_when_cancel_was_pressed_is_merged_and_counts(world: World):
    batch = world.generated(plan(phase("1", steps=writes("1")), phase("2", needs="1", steps=writes("2"))))
    run = world.execute(batch)
    attempt = world.running(run, "1")
    wait_for(lambda: os.path.exists(f"{attempt.directory}/exit.json"), 20, "the attempt has ended")
    pause_and_cancel.cancel(run=run, actor=ACTOR)
    assert world.finish(run).state == "cancelled"
    assert world.states(run) == {"1": "succeeded", "2": "cancelled"}
    assert "part-1.txt" in world.files_on(batch.branch)


def test_phase_retried_and_cancelled_over_and_over_has_one_attempt_at_a_time(world: World):
    run = world.execute(world.generated(plan(phase("1", steps=("sleep 60",)))))
    for _ in range(3):
        attempt = world.running(run, "1")
        pause_and_cancel.cancel(run=run, actor=ACTOR)
        assert world.finish(run).state == "cancelled"
        assert not os.path.exists(f"/proc/{attempt.pid}")
        retries.retry(run=run, actor=ACTOR)
    assert Attempt.objects.live().filter(task__run=run).count() <= 1
    pause_and_cancel.cancel(run=run, actor=ACTOR)
    world.finish(run)


def test_batch_branch_that_is_checked_out_holds_the_merge_up_with_that_reason_and_nothing_is_lost(world: World):
    batch = world.generated(plan(phase("1", steps=("sleep 0.5", *writes("1")))))
    run = world.execute(batch)
    attempt = world.running(run, "1")
    world.git("checkout", "-q", batch.branch)
    run = world.finish(run)
    assert world.task(run, "1").reason == "merge_conflict"
    assert f"{batch.branch} is checked out in" in world.task(run, "1").message
    assert world.git("status", "--porcelain") == ""
    assert "part-1.txt" in world.files_on(attempt.ref)
    with pytest.raises(ServiceError, match="is checked out in"):
        retries.retry(run=run, actor=ACTOR)
    world.git("checkout", "-q", "main")
    retries.retry(run=run, actor=ACTOR)
    assert world.finish(run).state == "succeeded"


def test_batch_branch_that_is_deleted_is_named_and_work_goes_on_once_it_is_back(world: World):
    go = world.repository.parent / "go"
    batch = world.generated(plan(phase("1", steps=(UNTIL_TOLD.format(go, "1"),)), phase("2", needs="1", steps=writes("2"))))
    run = world.execute(batch)
    world.running(run, "1")
    pause_and_cancel.pause(run=run, actor=ACTOR)
    go.touch()
    world.until(lambda: world.states(run)["1"] == "succeeded")
    tip = world.git("rev-parse", batch.branch)
    world.git("branch", "-q", "-D", batch.branch)
    pause_and_cancel.unpause(run=run, actor=ACTOR)
    run = world.finish(run)
    assert run.state == "failed" and f"has no branch {batch.branch}" in world.task(run, "2").message
    with pytest.raises(ServiceError, match=f"has no branch {batch.branch}"):
        retries.retry(run=run, actor=ACTOR)
    world.git("branch", batch.branch, tip)
    retries.retry(run=run, actor=ACTOR)
    assert world.finish(run).state == "succeeded"
    assert world.files_on(batch.branch) >= {"part-1.txt", "part-2.txt"}


def test_batch_branch_that_is_moved_forward_or_back_by_its_owner_is_respected(world: World):
    batch = world.generated(plan(*(phase(key, needs=needs, steps=writes(key)) for key, needs in (("1", "None"), ("2", "1"), ("3", "2")))))
    run = world.execute(batch)
    world.ticker = Hasty("test-host")
    world.until(lambda: world.states(run)["1"] == "succeeded")
    world.git("checkout", "-q", "--detach", batch.branch)
    world.commit("by-hand.txt", "a person's\n")
    world.git("update-ref", f"refs/heads/{batch.branch}", "HEAD")
    world.git("checkout", "-q", "main")
    world.until(lambda: world.states(run)["2"] == "succeeded")
    world.ticker = Ticker("test-host")
    run = world.finish(run)
    assert run.state == "succeeded", run.report
    assert world.files_on(batch.branch) >= {"part-1.txt", "part-2.txt", "part-3.txt", "by-hand.txt"}
