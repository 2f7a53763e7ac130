"""What a running agent does is told as it is: its activity, its time against what is usual, and no time left that nobody knows."""

import re
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from batches.engine.attempt_results import heartbeat_fields
from batches.models import Attempt, Batch, Run
from batches.pages.batches.board import read_board
from batches.pages.batches.time_left import TimeLeft
from subagents.contract import Heartbeat
from tests.batches import builders

pytestmark = pytest.mark.django_db
BEAT = {
    "task_id": "phase-2a", "status": "in_progress", "progress": "Step 1 of 1: Work", "tokens_used": None, "elapsed_seconds": 9.0,
    "last_update": "2026-01-02T03:04:05Z", "last_progress": "2026-01-02T03:04:05Z", "step": 1, "total_steps": 1, "cost_usd": None,
    "activity": "runs `pytest -q`", "attempt": 1, "token": "t",
}  # fmt: skip


@pytest.fixture
def batch(client):
    """A run whose forecast is 3 minutes for a planned hour; 2a has two hours planned and has run for two minutes."""
    client.force_login(builders.make_user())
    made = builders.make_batch("1 -> 2a -> 3", states={"1": "pending", "2a": "running"}, run_state="running")
    Run.objects.update(forecast_seconds=1_080.0, forecast_hours=6.0)
    return made


def page(client, address="/batches/1/"):
    """The page after what it is made of has changed, with single spaces."""
    Batch.objects.bump(Batch.objects.get().pk)
    return " ".join(client.get(address).text.split())


def board(batch):
    return read_board(batch, batch.runs.get(), timezone.now())


def test_an_activity_comes_with_the_heartbeat_and_is_shown_with_its_age_everywhere(client, batch, capsys):
    now = timezone.now()
    beat = Heartbeat.from_json({**BEAT, "activity_since": (now - timedelta(minutes=41)).isoformat()})
    Attempt.objects.update(**heartbeat_fields(beat, now, 1.0))
    for address in ("/batches/1/", "/batches/1/phases/2a/"):
        text = page(client, address)
        assert re.search(r"runs `pytest -q`</span>\s*<span class=\"muted nowrap\"><time [^>]*>4\d min", text), address
    call_command("batch_status", batch=1)
    assert re.search(r"now: runs `pytest -q`, 4\d min", capsys.readouterr().out)
    Attempt.objects.update(**heartbeat_fields(Heartbeat.from_json({**BEAT, "activity": "step"}), now, 1.0))
    assert "phase-activity" not in page(client), "a word of ours says no more than the progress"


def test_a_bar_shows_time_against_the_forecast_and_not_step_one_of_one(client, batch):
    Attempt.objects.update(step=1, total_steps=1)
    (card,) = [card for card in board(batch).cards if card.phase.key == "2a"]
    assert card.forecast == 360 and card.ran_percent == pytest.approx(33, abs=12)
    text = page(client)
    assert "of about 6 min 00 s" in text and "step 1 of 1" not in text
    assert "of about 6 min 00 s" in page(client, "/batches/1/phases/2a/")
    Run.objects.update(forecast_seconds=None)
    assert "<progress" not in page(client).partition('id="phase-2"')[2], "nothing is known"
    Attempt.objects.update(step=2, total_steps=4)
    assert re.search(r'max="4"\s+value="1"', page(client)), "one step is done while it is at the second"


def test_the_time_left_moves_says_at_least_when_a_phase_is_overdue_and_unknown_when_nothing_else_is_left(client, batch):
    first = board(batch).time_left
    Attempt.objects.update(launched_at=timezone.now() - timedelta(minutes=4))
    later = board(batch).time_left
    assert first.seconds - 180 < later.seconds < first.seconds - 60 and not later.at_least
    assert TimeLeft(1.5).rounded == 5, "something is left, so it is not 0"
    Attempt.objects.update(launched_at=timezone.now() - timedelta(minutes=30))
    overdue = board(batch).time_left
    assert overdue.at_least and 0 < overdue.seconds < later.seconds
    text = page(client)
    assert "at least" in text and "2a takes longer than usual" in text
    assert "longer than the usual 6 min 00 s" in text
    batch.runs.get().tasks.exclude(name="2a").update(state="succeeded")
    assert board(batch).time_left is None
    assert re.search(r"Time left</dt>\s*<dd>\s*unknown", page(client))


def test_no_progress_says_what_the_agent_has_been_doing_since(client, batch):
    Attempt.objects.update(last_progress_at=timezone.now() - timedelta(hours=2), activity="runs `make all`")
    for address in ("/batches/1/", "/batches/1/phases/2a/"):
        assert "Since then it runs `make all`." in page(client, address), address


def test_a_phase_at_work_opens_with_the_transcript_of_its_agent_and_without_one_with_its_log(client, batch):
    assert 'aria-current="page" > Log' in page(client, "/batches/1/phases/2a/")
    Run.objects.update(backend="command")
    text = page(client, "/batches/1/phases/2a/")
    loads = f'/attempts/{Attempt.objects.get(task__name="2a").pk}/transcript/" hx-trigger="load"'
    assert 'aria-current="page" > Transcript' in text and loads in text
