"""One duration of a run and of a phase on every page, in the report, in the API and in the figures; a person's time beside it."""

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from batches.core.engine.states import Operation, RunEvent, RunState, TaskEvent
from batches.core.metrics.types import Filters
from batches.engine import pause_and_cancel, reporting, retries
from batches.metrics import facts, history
from batches.models import Attempt, Batch, Run, RunFact, StageFact
from batches.pages.batches.batch_states import latest_run
from batches.pages.batches.board import read_board
from batches.runs.transitions import move_run, move_task
from tests.batches.builders import failed_batch, make_user, running_batch
from tests.batches.world import ACTOR, World, phase, plan, writes

WAITED = 180.0


@pytest.fixture
def reopened(db) -> Run:
    """A run of 20 s whose phase 2a failed, lay 3 min until a person retried it, and then succeeded in 5 s, with what it had blocked."""
    run = failed_batch().runs.get()
    now = timezone.now()
    began = now - timedelta(seconds=WAITED + 30)
    Run.objects.filter(pk=run.pk).update(started_at=began, ended_at=began + timedelta(seconds=20))
    Attempt.objects.filter(task__run=run).update(launched_at=began + timedelta(seconds=1), ended_at=began + timedelta(seconds=20))
    run.refresh_from_db()
    retried = began + timedelta(seconds=20 + WAITED)
    assert move_run(run, RunEvent.REOPEN, now=retried, cause="person:ada")
    task = run.tasks.get(name="2a")
    move_task(task, TaskEvent.RETRY, now=retried, cause="person:ada")
    move_task(task, TaskEvent.LAUNCH, now=retried, cause="policy:slot-free")
    first = task.attempts.get()
    end = retried + timedelta(seconds=5)
    Attempt.objects.create(
        task=task, number=2, token="b", host="here", base_commit=first.base_commit, spec=first.spec, launched_at=retried, launched_clock=0,
        started_at=retried, pid=1, exited_at=end, ended_at=end, outcome="succeeded", elapsed_seconds=4.0,
    )  # fmt: skip
    move_task(task, TaskEvent.SUCCEED, now=end, cause="host:here")
    move_run(run, RunEvent.SUCCEED, now=end, cause="policy:all done")
    facts.rebuild(anew=True)
    return Run.objects.get(pk=run.pk)


def test_reopening_books_the_idle_time_as_waiting_for_a_person(reopened):
    assert reopened.waited == {"person": WAITED}
    assert reopened.seconds == pytest.approx(25)
    ((since, until),) = reopened.idle
    assert (since, until) == tuple(
        (reopened.started_at + timedelta(seconds=seconds)).isoformat() for seconds in (20, 20 + WAITED)
    )


def test_each_place_shows_the_same_duration_and_the_waiting_beside_it(reopened, client, capsys):
    client.force_login(make_user())
    batch = reopened.batch
    fact, read = RunFact.objects.get(), history.read_history(Filters(period="all"), timezone.now())
    board = read_board(batch, latest_run(batch), timezone.now())
    result = reporting.batch_result(reopened)
    assert {fact.seconds, read.seconds.median, read.batches[0].seconds, board.seconds, result["elapsed_seconds"]} == {25.0}
    assert (fact.person_seconds, read.waits.person, board.waited_for_person, result["waited"]) == (180, 180, 180, {"person": 180})
    assert read.headline("wait_share").value == 0
    assert read.criteria[1].value == 25
    assert "in 25 s, waited 3 min 00 s for a person" in reporting.report_text(reopened, result)
    page = client.get(reverse("batches:detail", args=[batch.number])).content.decode()
    assert "waited 3 min 00 s for a person" in page and "3 min 25 s" not in page
    assert "3 min 25 s" not in client.get(reverse("batches:list")).content.decode()
    call_command("batch_status", "--batch", str(batch.number), "--json")
    assert json.loads(capsys.readouterr().out)["elapsed_seconds"] == 25.0


def test_a_stage_has_one_duration_too(reopened):
    board = read_board(reopened.batch, latest_run(reopened.batch), timezone.now())
    assert StageFact.objects.get(stage=2).seconds == board.stages[1].elapsed == 24


def test_a_phase_has_one_duration_and_its_parts_are_named(reopened, client):
    client.force_login(make_user())
    attempt = Attempt.objects.get(task__name="2a", number=2)
    Attempt.objects.filter(pk=attempt.pk).update(
        started_at=attempt.launched_at + timedelta(seconds=1), exited_at=attempt.launched_at + timedelta(seconds=3)
    )
    attempt.refresh_from_db()
    assert (attempt.seconds, attempt.parts) == (5, [("start", 1.0), ("work", 2.0), ("merge", 2.0)])
    page = client.get(reverse("batches:phase", args=[reopened.batch.number, "2a"])).content.decode()
    told = " ".join(page.split())
    for words in ("5.0 s <span", "start 1.0 s", "work 2.0 s", "merge 2.0 s"):
        assert words in told, words
    entry = next(one for one in reporting.batch_result(reopened)["results"] if one["phase"] == "2a")
    assert entry["elapsed_seconds"] == 5
    assert attempt.fact.seconds == 5
    assert "4.0 s" not in told


def test_the_clock_stands_still_while_a_paused_run_waits_for_a_person(db):
    batch = running_batch(paused=True)
    now = timezone.now()
    Run.objects.filter(batch=batch).update(waiting_for="person", waiting_since=now - timedelta(seconds=60), waited={"person": 40.0})
    run = latest_run(batch)
    board = read_board(batch, run, now)
    assert board.clock_from is None
    assert board.waited_for_person == 100
    assert board.seconds == pytest.approx((now - run.started_at).total_seconds() - 100)
    Run.objects.filter(batch=batch).update(waiting_for="", waiting_since=None)
    board = read_board(batch, latest_run(batch), now)
    assert (board.clock_from - run.started_at).total_seconds() == 40


def test_a_run_that_was_cancelled_in_the_queue_begins_when_it_is_reopened(db):
    run = failed_batch().runs.get()
    Run.objects.filter(pk=run.pk).update(started_at=None)
    run.refresh_from_db()
    now = timezone.now()
    move_run(run, RunEvent.REOPEN, now=now, cause="person:ada")
    assert (Run.objects.get().started_at, Run.objects.get().waited) == (now, {})


FAILS_ONCE = plan(
    phase("1", steps=writes("1"), gates=("`test -e part-1.txt`",)),
    phase("2", steps=writes("2"), gates=("`test -e ok.txt`",)),
    phase("3", needs="Phase 2", steps=writes("3"), gates=("`test -e part-3.txt`",)),
)


@pytest.mark.engine
@pytest.mark.django_db(transaction=True)
def test_the_engine_counts_work_and_not_the_time_until_somebody_retries(world: World):
    run = world.finish(world.execute(world.generated(FAILS_ONCE)))
    assert run.state == RunState.FAILED
    past = timedelta(minutes=3)  # as if the failure lay that long ago
    Run.objects.filter(pk=run.pk).update(started_at=run.started_at - past, ended_at=run.ended_at - past)
    for attempt in Attempt.objects.filter(task__run=run):
        Attempt.objects.filter(pk=attempt.pk).update(launched_at=attempt.launched_at - past, ended_at=attempt.ended_at - past)
    world.commit("ok.txt", "yes")
    retries.retry(run=run, actor=ACTOR)
    run = world.finish(run)
    assert run.state == RunState.SUCCEEDED
    whole = (run.ended_at - run.started_at).total_seconds()
    assert run.waited["person"] >= 180
    assert run.seconds == pytest.approx(whole - run.waited["person"])
    assert run.seconds < 60
    assert RunFact.objects.get(run=run).seconds == pytest.approx(run.seconds)
    assert sum(StageFact.objects.filter(run=run).values_list("seconds", flat=True)) < 60
    assert "waited 3 min 0" in run.report


@pytest.mark.engine
@pytest.mark.django_db(transaction=True)
def test_a_paused_run_waits_for_a_person_only_once_nothing_of_it_is_at_work(world: World):
    slow = plan(phase("1", steps=("sleep 0.6; echo 1 > part-1.txt",)), phase("2", needs="Phase 1", steps=writes("2")))
    run = world.execute(world.generated(slow))
    world.running(run, "1")
    pause_and_cancel.pause(run=run, actor=ACTOR)
    world.until(lambda: Run.objects.get(pk=run.pk).waiting_for == "person", "the wait for a person")
    first = world.attempts(run, "1")[0]
    waiting_since = Run.objects.get(pk=run.pk).waiting_since
    assert waiting_since >= first.ended_at
    pause_and_cancel.unpause(run=Run.objects.get(pk=run.pk), actor=ACTOR)
    run = world.finish(run)
    ((since, _until),) = run.idle
    assert since == waiting_since.isoformat()
    assert run.seconds == pytest.approx((run.ended_at - run.started_at).total_seconds() - run.waited["person"])


def test_the_latest_run_of_the_list_is_told_by_the_same_rule(reopened):
    batch = Batch.objects.with_state().get()
    assert (batch.operation, batch.run_waited) == (Operation.EXECUTE, {"person": WAITED})
