"""Budget, rate limits, models and missing progress as the pages show them."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from batches.core.metrics.types import Filters
from batches.metrics import facts, history
from batches.models import Attempt, Batch, Run, Task
from tests.batches import builders

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def page(client):
    client.force_login(builders.make_user())

    def text(address: str, expected: int = 200) -> str:
        answer = client.get(address)
        assert answer.status_code == expected
        return " ".join(answer.text.split())

    return text


def limited(**columns) -> Batch:
    batch = builders.running_batch(backend="command")
    Run.objects.filter(batch=batch).update(**columns)
    return batch


def test_the_batch_page_shows_what_is_spent_reserved_and_left_of_the_budget(page):
    batch = limited(budget_usd=D(10))
    Attempt.objects.filter(task__name="1").update(cost_usd=D("2.50"))
    Attempt.objects.filter(task__name="2a").update(cost_usd=D("0.50"), reserved_usd=D("2"))
    Attempt.objects.filter(task__name="2b").update(reserved_usd=D("1"))
    shown = page(f"/batches/{batch.number}/")
    assert "$3.00</strong> spent · $2.50 reserved · $4.50 left of <strong>$10.00" in shown


def test_an_unknown_cost_counts_as_its_reservation_and_no_budget_shows_no_bar(page):
    batch = limited(budget_usd=D(10))
    Attempt.objects.filter(task__name="1").update(cost_usd=None, reserved_usd=D("4"))
    assert "$4.00</strong> spent" in page(f"/batches/{batch.number}/")
    Run.objects.update(budget_usd=None)
    Batch.objects.bump(batch.pk)
    assert "Budget of the batch" not in page(f"/batches/{batch.number}/")


def test_a_rate_limit_has_a_banner_with_a_countdown_and_says_how_many_run_at_once_from_now_on(page):
    now = timezone.now()
    batch = limited(rate_limited_since=now, rate_limited_until=now + timedelta(minutes=5), parallel_limit=2)
    shown = page(f"/batches/{batch.number}/")
    assert "The provider takes no requests until" in shown and 'data-age="until"' in shown
    assert "2 phases at once instead of 4, since a rate limit was met." in shown
    Run.objects.update(rate_limited_until=now - timedelta(seconds=1))
    Batch.objects.bump(batch.pk)
    assert "takes no requests" not in page(f"/batches/{batch.number}/")


def test_a_batch_that_was_stopped_for_its_budget_says_so_and_not_failed(page):
    batch = builders.make_batch(states={"1": "succeeded", "2a": "cancelled"}, run_state="cancelled", backend="command")
    said = "Stopped for the budget: $4.50 of $5.00 is spent. Raise the budget and resume."
    Run.objects.update(stop_reason="budget", stop_message=said)
    for address in (f"/batches/{batch.number}/", "/batches/"):
        assert "stopped for the budget" in page(address)
    assert said in page(f"/batches/{batch.number}/")


def test_alive_without_progress_needs_attention_and_a_new_sign_of_work_ends_the_warning(page, settings):
    batch = limited()
    attempts = Attempt.objects.filter(task__name="2a")
    attempts.update(last_beat_at=timezone.now(), last_progress_at=timezone.now() - timedelta(seconds=601))
    for address in (f"/batches/{batch.number}/", f"/batches/{batch.number}/phases/2a/"):
        assert "Alive, but for" in page(address) and "no tool call began or ended" in page(address)
        assert "no progress" in page(address)
    before = Batch.objects.get().version
    settings.CE_NO_PROGRESS_SECONDS = 700
    assert "Alive, but for" not in page(f"/batches/{batch.number}/")  # without any row that changed
    assert Batch.objects.get().version == before


def test_silence_is_told_before_missing_progress(page):
    batch = limited()
    long_ago = timezone.now() - timedelta(hours=1)
    Attempt.objects.filter(task__name="2a").update(last_beat_at=long_ago, last_progress_at=long_ago)
    shown = page(f"/batches/{batch.number}/")
    assert "No heartbeat for" in shown and "Alive, but for" not in shown


def test_the_phase_and_its_card_show_the_model(page):
    batch = limited(model="opus")
    Attempt.objects.filter(task__name="2a").update(model="sonnet")
    shown = page(f"/batches/{batch.number}/")
    assert "<span>sonnet</span>" in shown
    assert "<dt>Model</dt> <dd>sonnet</dd>" in page(f"/batches/{batch.number}/phases/2a/")
    assert "<dt>Model</dt> <dd>opus</dd>" in page(f"/batches/{batch.number}/phases/3/")


def test_the_confirmation_says_which_model_each_phase_gets_and_takes_another_for_one(client, page):
    batch = builders.make_batch(run_state=None)
    batch.phases.filter(key="3").update(complexity="high")
    batch.project.backend = "command"
    batch.project.save()
    shown = page(f"/batches/{batch.number}/execute/")
    assert shown.count("<td>haiku, sonnet for a retry</td>") == 3 and "<td>sonnet</td>" in shown
    answer = client.post(f"/batches/{batch.number}/execute/", {"model": "opus", "model-2a": "haiku", "budget_usd": "0.001"})
    assert answer.status_code == 400
    assert "greater than or equal to 0.01" in answer.text
    answer = client.post(f"/batches/{batch.number}/execute/", {"model": "gpt", "model-2a": "haiku"})
    assert "Unknown model &#x27;gpt&#x27;. Choose one of: haiku, sonnet, opus" in answer.text


def test_prices_are_on_the_health_page(page):
    shown = page("/health/", 503)
    assert "Models and prices" in shown
    assert "haiku, prompts over 100.0k tokens" in shown


def test_metrics_show_what_was_waited_for(page):
    for waited in ({"slot": 60, "rate_limit": 300}, {"rate_limit": 60}):
        builders.finished_batch()
        Run.objects.filter(pk=Run.objects.latest("pk").pk).update(waited=waited)
    facts.rebuild(anew=True)
    shown = page("/metrics/?period=all&section=time")
    assert "For a free slot" in shown and "For a rate limit" in shown
    assert "7 min 00 s in all" in shown


def test_a_deferred_attempt_is_no_retry_and_no_failure(page):
    batch = builders.finished_batch()
    task = Task.objects.get(run__batch=batch, name="1")
    attempt = builders.make_attempt(task, number=2)
    Attempt.objects.filter(pk=attempt.pk).update(outcome="deferred", reason="rate_limited")
    facts.rebuild(anew=True)
    read = history.read_history(Filters(period="all"), timezone.now())
    assert (read.attempts, read.headline("error_share").value, read.headline("retries").value) == (5, 0, 0)
    assert "put off" in page(f"/batches/{batch.number}/phases/1/?tab=attempts")
