"""What a hostile or unlucky step, user, disk or clock does to a run: every run ends, with a reason, and harms no other."""

import json
import os
import signal
import time

import pytest
from django.utils import timezone

from batches.core.engine.execute_options import ExecuteOptions
from batches.engine import generation, reporting, retries, ticker
from batches.engine.ticker import Ticker
from batches.models import Attempt, Run
from batches.plans.versions import import_plan
from tests.batches.engine.test_engine import _carrying as carrying
from tests.batches.world import ACTOR, World, phase, plan, writes
from tests.installation import wait_for

pytestmark = pytest.mark.process

FORGE = """\
cat >forge.py <<'PY'
import json, os, sys, time
spec = json.load(open(os.environ["CE_ATTEMPT"] + "/spec.json"))
folder = spec["repository"] + "/.ce/orchestration/tasks/batch-%d" % spec["batch_id"]
beat = {"task_id": spec["task_id"], "status": "in_progress", "progress": "x", "tokens_used": 1, "elapsed_seconds": 1.0,
        "last_update": "2026-01-01T00:00:00Z", "last_progress": "2026-01-01T00:00:00Z", "step": 1, "total_steps": 1,
        "cost_usd": 0.0, "activity": "step", "attempt": spec["attempt"], "token": spec["token"]}
beat.update(json.loads(sys.argv[1]))
path = folder + "/task-" + spec["task_id"].removeprefix("phase-") + ".hb"
until = time.monotonic() + 1
while time.monotonic() < until:
    with open(path + ".new", "w") as file:
        json.dump(beat, file)
    os.replace(path + ".new", path)
    time.sleep(0.02)
PY
python forge.py '{beat}'
rm forge.py
echo done > part-1.txt"""


@pytest.mark.parametrize(
    "beat",
    [
        {"step": 2**40, "total_steps": 2**40},
        {"tokens_used": 2**53},
        {"cost_usd": 1e15},
        {"cost_usd": 1e300},
        {"cost_usd": 0.1234567890123},
        {"last_progress": "0001-01-01T00:00:00+23:59"},
        {"last_progress": "9999-12-31T23:59:59-23:59"},
        {"elapsed_seconds": 1e308},
        {"progress": "x" * 9_000},
    ],
    ids=lambda beat: next(iter(beat)),
)
def test_forged_heartbeat_stops_neither_its_run_nor_the_ticker(world: World, beat: dict):
    run = world.execute(world.generated(plan(phase("1", steps=(FORGE.replace("{beat}", json.dumps(beat)),)))))
    run = world.finish(run)
    assert run.state in ("succeeded", "failed"), run.report


def test_attempt_of_another_version_ends_with_that_reason_and_stops_nobody_else(world: World):
    text = plan(phase("1", steps=("test -e ../go || { touch ../go; sleep 60; }; echo x > part-1.txt",)), phase("2", steps=writes("2")))
    run = world.execute(world.generated(text))
    attempt = world.running(run, "1")
    Attempt.objects.filter(pk=attempt.pk).update(spec={})  # as an older version may have left it
    world.ticker = Ticker("test-host")
    world.finish(run)
    assert world.states(run) == {"1": "failed", "2": "succeeded"}
    assert world.task(run, "1").reason == "bad_result" and "cannot be understood" in world.task(run, "1").message
    assert carrying(attempt.directory) == []
    retries.retry(run=run, actor=ACTOR)
    assert world.finish(run).state == "succeeded"


class Hasty(Ticker):
    """A ticker that is killed in every round before it comes to what may wait."""

    def clean_up(self, now: object) -> None:
        self.ended.clear()


class Stopped(Ticker):
    """A ticker that is stopped (SIGSTOP) for a while between looking at its attempts and judging them."""

    seconds = 0.0

    def advance_all(self, touched: dict, clock: float) -> bool:
        time.sleep(self.seconds)
        self.seconds = 0.0
        return super().advance_all(touched, clock)


def test_ticker_that_is_stopped_between_look_and_judgement_fails_nothing_that_beats(world: World):
    world.project.silence_seconds = 1
    world.project.save()
    run = world.execute(world.generated(plan(phase("1", steps=("sleep 4; echo x > part-1.txt",)))))
    world.running(run, "1")
    world.ticker = Stopped("test-host")
    world.ticker.seconds = 2.0
    assert world.finish(run).state == "succeeded", world.task(run, "1").message


def test_gates_of_a_stage_are_judged_again_when_a_phase_without_gates_was_merged_last(world: World):
    text = plan(
        phase("1a", steps=("echo x > one.txt",), files="one.txt", gates=("`test ! -f two.txt`",)),
        phase("1b", steps=("sleep 1; echo x > two.txt",), files="two.txt"),
        phase("2", needs="1a, 1b", steps=writes("2")),
    )
    run = world.finish(world.execute(world.generated(text)))
    assert world.states(run) == {"1a": "succeeded", "1b": "succeeded", "stage-1": "failed", "2": "blocked"}


def test_lock_that_a_killed_git_left_on_the_branch_delays_the_merge_and_fails_nothing(world: World):
    batch = world.generated(plan(phase("1", steps=writes("1"))))
    lock = world.repository / ".git" / "refs" / "heads" / f"{batch.branch}.lock"
    run = world.execute(batch)
    lock.write_text("")
    assert world.finish(run).state == "succeeded", world.task(run, "1").message
    assert not lock.exists()


def test_lock_that_a_killed_git_left_where_the_branch_will_be_delays_the_batch_and_fails_nothing(world: World):
    lock = world.repository / ".git" / "refs" / "heads" / "ce" / "batch-1.lock"
    lock.parent.mkdir()
    lock.write_text("")
    batch = world.generated(plan(phase("1", steps=writes("1"))))
    assert (batch.number, batch.runs.get().state) == (1, "succeeded")
    assert not lock.exists()


def json_plan(*keys: str) -> str:
    items = [
        {
            "id": key,
            "title": f"Part {key}",
            "goal": "g",
            "hours": 1,
            "complexity": "low",
            "files": [f"{number}.txt"],
            "dependencies": [],
            "steps": [{"text": "Do it", "commands": [f"echo x > {number}.txt"]}],
            "gates": [f"`test -f {number}.txt`"],
        }
        for number, key in enumerate(keys)
    ]
    return json.dumps({"title": "Odd keys", "items": items})


@pytest.mark.parametrize("key", ["1.lock", "a..b", "a.", "stage-1", "CON", "1" * 90, "x" * 40, "1.1.1.1.1.1.1", "A-b_c"])
def test_odd_key_is_refused_with_its_place_or_works(world: World, key: str):
    made = import_plan(text=json_plan(key, "other"), file_name="plan.json", project=world.project, actor=ACTOR)
    if made.error_count:
        return
    batch = generation.generate(plan=made, project=world.project, actor=ACTOR)
    world.finish(batch.runs.get())
    run = world.finish(world.execute(batch))
    assert run.state == "succeeded", run.report


def test_what_was_stopped_together_with_the_ticker_is_given_time_to_be_heard(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ticker, "BLIND_SECONDS", 1.0)
    world.project.silence_seconds = 1
    world.project.save()
    run = world.execute(world.generated(plan(phase("1", steps=("sleep 1; echo x > part-1.txt",)))))
    attempt = world.running(run, "1")
    os.killpg(attempt.pid, signal.SIGSTOP)  # as when a machine sleeps: nobody beats, nobody looks
    time.sleep(2)
    looks = iter(range(1000))
    world.until(lambda: next(looks) > 3, "some looks before it goes on")
    os.killpg(attempt.pid, signal.SIGCONT)
    assert world.finish(run).state == "succeeded", world.task(run, "1").message


def test_what_was_to_follow_follows_also_when_the_ticker_died_after_the_report(world: World):
    made = import_plan(text=plan(phase("1", steps=writes("1"))), file_name="plan.md", project=world.project, actor=ACTOR)
    batch = generation.generate(plan=made, project=world.project, actor=ACTOR, then=ExecuteOptions())
    first = batch.runs.get()
    world.ticker = Hasty("test-host")
    world.until(lambda: not Run.objects.get(pk=first.pk).is_live)
    reporting.finish(Run.objects.get(pk=first.pk), timezone.now())  # and killed after this line
    world.ticker = Ticker("test-host")
    world.until(lambda: batch.runs.executions().exists(), "the execution that was to follow")


def test_run_that_is_reopened_while_its_report_is_made_gets_the_report_of_its_own_end(world: World):
    run = world.finish(world.execute(world.generated(plan(phase("1", steps=("test -e ../go", *writes("1")))))))
    assert run.state == "failed"
    Run.objects.filter(pk=run.pk).update(reported_at=None)
    seen_by_ticker = Run.objects.select_related("batch__project").get(pk=run.pk)
    retries.retry(run=run, actor=ACTOR)  # between the ticker's look and its report
    reporting.finish(seen_by_ticker, timezone.now())
    assert Run.objects.get(pk=run.pk).reported_at is None
    world.finish(run)


def test_checkouts_of_successes_are_removed_also_when_the_ticker_died_before_it_could(world: World):
    run = world.execute(world.generated(plan(phase("1", steps=writes("1")))))
    attempt = world.running(run, "1")
    world.ticker = Hasty("test-host")
    world.until(lambda: not Run.objects.get(pk=run.pk).is_live)
    assert os.path.isdir(attempt.checkout)
    world.ticker = Ticker("test-host")
    world.finish(run)
    assert not os.path.exists(attempt.checkout)


def test_work_that_the_user_brought_in_by_hand_counts_as_merged(world: World):
    batch = world.generated(plan(phase("1a", steps=writes("1a")), phase("1b", steps=writes("1b"))))
    run = world.execute(batch)
    world.until(lambda: run.tasks.filter(state="running", attempts__pid__isnull=False).count() == 2)
    attempts = {attempt.task.name: attempt for attempt in Attempt.objects.filter(task__run=run)}
    wait_for(lambda: all(os.path.exists(f"{attempt.directory}/exit.json") for attempt in attempts.values()), 20, "both have ended")
    world.git("checkout", "-q", batch.branch)
    world.git("merge", "-q", "--ff", attempts["1a"].ref)
    world.git("merge", "-q", "--no-edit", attempts["1b"].ref)
    world.git("checkout", "-q", "main")
    assert world.finish(run).state == "succeeded", run.report
    recorded = set(Attempt.objects.filter(task__run=run).values_list("merge_commit", flat=True))
    assert recorded == {world.git("rev-parse", attempts["1a"].ref), world.git("rev-parse", batch.branch)}
