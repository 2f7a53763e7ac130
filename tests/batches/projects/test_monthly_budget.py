"""What a project has spent in this month, and that its monthly budget binds."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from batches.core.engine.budget import Budget, Month, tighter
from batches.core.text.words import usd_sum
from batches.engine.snapshots import budget_of
from batches.models import Attempt
from batches.projects.monthly_budget import month_of, month_start, month_to_date
from tests.batches import builders

D = Decimal


def test_month_begins_at_midnight_of_the_installation(settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    with timezone.override("Europe/Berlin"):
        assert month_start(datetime(2026, 8, 31, 22, 30, tzinfo=UTC)).isoformat() == "2026-09-01T00:00:00+02:00"


@pytest.mark.parametrize(
    ("batch", "month", "budget"),
    [
        (None, None, None),
        (D(10), None, Budget(D(10), D(3))),
        (D(10), Month(D(50), D(20)), Budget(D(10), D(3))),
        (D(10), Month(D(50), D(48)), Budget(D(5), D(3), Month(D(50), D(48)))),
        (None, Month(D(50), D(48)), Budget(D(5), D(3), Month(D(50), D(48)))),
        (None, Month(D(50), D(60)), Budget(D(3), D(3), Month(D(50), D(60)))),
    ],
)
def test_the_smaller_of_the_batchs_and_the_months_budget_binds(batch: Decimal | None, month: Month | None, budget: Budget | None) -> None:
    assert tighter(batch, D(3), month) == budget


@pytest.mark.django_db
def test_month_to_date_counts_this_months_attempts_and_says_when_a_cost_is_unknown() -> None:
    batch = builders.finished_batch()
    attempts = Attempt.objects.filter(task__run__batch=batch)
    now = timezone.now()
    attempts.update(cost_usd=None, tokens_used=None, launched_at=now, model="haiku")
    first, second, third = attempts[:3]
    Attempt.objects.filter(pk=first.pk).update(cost_usd=D("1.5"))
    Attempt.objects.filter(pk=second.pk).update(cost_usd=D(7), launched_at=month_start(now) - timedelta(seconds=1))
    found = month_to_date(batch.project, now)
    assert (found.spent_usd, found.unpriced, found.is_near) == (D("1.5"), 0, False)
    Attempt.objects.filter(pk=third.pk).update(tokens_used=1_000)
    batch.project.monthly_budget_usd = D("1.6")
    found = month_to_date(batch.project, now)
    assert (found.unpriced, found.is_near, found.is_over) == (1, True, False)
    assert usd_sum(found.spent_usd, found.unpriced) == "at least $1.50" and usd_sum(None, 1) == "—"
    assert month_to_date(None, now).spent_usd == D("1.5")


@pytest.mark.django_db
def test_monthly_budget_of_a_project_limits_a_run_and_the_list_says_at_least(admin_client) -> None:
    run = builders.running_batch().runs.get()
    project, now = run.batch.project, timezone.now()
    project.monthly_budget_usd = D(20)
    project.save()
    Attempt.objects.filter(task__run=run, ended_at__isnull=False).update(launched_at=now, cost_usd=D(4), model="haiku")
    ended = Attempt.objects.filter(task__run=run, ended_at__isnull=False)
    spent = 4 * ended.count()
    run.backend, run.budget_usd = "claude", None
    run.batch.project = project
    assert month_of(project, now, run=run.pk) == Month(D(20), D(spent))
    assert budget_of(run) == Budget(D(20), D(spent), Month(D(20), D(spent)))
    run.backend = "steps"
    assert budget_of(run) is None
    Attempt.objects.live().filter(task__run=run).update(cost_usd=D(1))
    ended.filter(pk=ended.first().pk).update(cost_usd=None, tokens_used=10)
    assert "at least $" in admin_client.get("/batches/").text
    assert "at least $" in admin_client.get(f"/batches/{run.batch.number}/").text
    assert "at least $" in admin_client.get(f"/projects/{project.slug}/").text
