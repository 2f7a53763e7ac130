"""What an idea costs is in the figures, and a rate limit that it meets holds for everything that uses the same key."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from batches.core.engine import decide as core
from batches.core.engine.budget import Budget, Month
from batches.core.engine.states import FailureReason
from batches.core.metrics.types import Filters
from batches.engine.drafting import _Drafting
from batches.engine.snapshots import TickContext
from batches.metrics import history
from batches.models import Idea, Run
from batches.projects.monthly_budget import month_of
from batches.runs.provider_trouble import NO_TROUBLE
from subagents.contract import Fault
from tests.batches import builders

pytestmark = pytest.mark.django_db


def drafting(idea: Idea) -> _Drafting:
    return _Drafting(idea, None, TickContext(timezone.now(), 0.0, "here", 1, False), 1)


def test_a_rate_limit_of_an_idea_pauses_the_runs_of_its_backend_and_other_ideas_and_no_others():
    project = builders.make_project("Shop")
    project.backend = "claude"
    project.save()
    mine, other = (builders.make_batch("1", run_state="running", project=project, backend=name) for name in ("claude", "steps"))
    idea, second = (builders.make_idea(project, wanted="questions") for _ in range(2))
    until = timezone.now() + timedelta(minutes=5)
    drafting(idea)._apply(core.Defer(task="idea", until=until, message="Too many requests"))
    assert Run.objects.get(batch=mine).rate_limited_until == until and Run.objects.get(batch=other).rate_limited_until is None
    assert drafting(second)._rate_limit().until == until  # nor does another idea start
    Idea.objects.filter(pk=idea.pk).update(paused_until=None, paused_since=None, wanted="")
    assert drafting(second)._rate_limit().until == until  # the runs' own pause holds for ideas, too
    Run.objects.update(rate_limited_until=timezone.now() - timedelta(minutes=1))
    assert drafting(second)._rate_limit() is None


def test_trouble_with_the_provider_that_an_idea_meets_holds_the_runs_of_its_backend():
    project = builders.make_project("Shop")
    project.backend = "claude"
    project.save()
    mine, other = (builders.make_batch("1", run_state="running", project=project, backend=name) for name in ("claude", "steps"))
    until = timezone.now() + timedelta(minutes=5)
    for fault in (Fault.OVERLOADED, Fault.KEY_REFUSED):
        Run.objects.update(**NO_TROUBLE)
        drafting(builders.make_idea(project, wanted="questions"))._apply(core.Hold("idea", fault, until, "It says so"))
        assert (Run.objects.get(batch=mine).trouble, Run.objects.get(batch=mine).trouble_until) == (fault, until)
        assert not Run.objects.get(batch=other).trouble


def test_the_cost_of_ideas_stands_beside_that_of_runs_by_project():
    shop, other = builders.make_project("Shop"), builders.make_project("Other")
    for project, cost in ((shop, Decimal("0.25")), (shop, Decimal("0.5")), (other, None)):
        idea = builders.make_idea(project)
        builders.make_idea_attempt(idea, cost_usd=cost, ended_at=timezone.now())
    found = {
        name: history.read_history(Filters(project=name), timezone.now()).headline("ideas_usd") for name in ("", shop.slug, other.slug)
    }
    assert {name: one.value for name, one in found.items()} == {"": 0.75, shop.slug: 0.75, other.slug: None}
    assert found[""].samples == 3 and found[other.slug].samples == 1


def test_the_monthly_budget_of_a_project_stops_an_idea_too_and_counts_what_other_ideas_have_set_aside():
    project = builders.make_project("Shop")
    project.backend, project.monthly_budget_usd = "claude", Decimal(2)
    project.save()
    now = timezone.now()
    builders.make_idea_attempt(builders.make_idea(project), cost_usd=None, reserved_usd=Decimal("0.5"), started_at=now, ended_at=now)
    live = builders.make_idea_attempt(builders.make_idea(project), cost_usd=Decimal("0.1"), reserved_usd=Decimal("1.2"))
    idea = builders.make_idea(project, wanted="revision", cap_usd=Decimal(5))
    assert drafting(idea)._budget() == Budget(Decimal("0.3"), Decimal(0), Month(Decimal(2), Decimal("1.7")))
    assert drafting(live.idea)._budget().month == Month(Decimal(2), Decimal("0.5")), "what it has set aside itself it may use"
    project.monthly_budget_usd = Decimal("1.7")
    project.save()
    idea = Idea.objects.get(pk=idea.pk)
    assert not drafting(idea).advance()
    idea.refresh_from_db()
    assert idea.problem == "The project's monthly budget is reached: $1.70 of $1.70 is spent or set aside." and not idea.wanted
    assert not idea.attempts.exists()


def test_an_idea_without_a_cap_may_spend_what_the_month_leaves_and_sets_aside_only_what_earlier_ones_cost():
    project = builders.make_project("Shop")
    project.backend, project.monthly_budget_usd = "claude", Decimal(200)
    project.save()
    now = timezone.now()

    def launch(**given: object) -> core.Launch:
        one = drafting(builders.make_idea(project, wanted="questions", **given))
        (found,) = core.decide(one._snapshot(), now, one._policy())
        return found

    assert launch() == core.Launch("idea", Decimal("0.01"), Decimal(200))
    assert launch(cap_usd=Decimal(5)) == core.Launch("idea", Decimal(5), Decimal(5))
    idea = builders.make_idea(project, wanted="questions")
    live = builders.make_idea_attempt(idea, reserved_usd=Decimal("0.01"), started_at=now, cost_usd=Decimal(200))
    for cost, decisions in ((Decimal(200), []), (Decimal("200.01"), [core.Stop("idea", FailureReason.BUDGET, force=False)])):
        live.cost_usd = cost
        one = _Drafting(idea, live, TickContext(now, 0.0, "here", 1, True), 1)
        assert list(core.decide(one._snapshot(), now, one._policy())) == decisions
    live.ended_at, live.cost_usd = now, Decimal(2)
    live.save()
    assert launch() == core.Launch("idea", Decimal(2), Decimal(198))
    builders.make_idea_attempt(idea, reserved_usd=Decimal(2), started_at=now)
    assert month_of(project, now, run=0) == Month(Decimal(200), Decimal(4)), "a batch may start beside it"
    live.cost_usd = Decimal("197.5")
    live.save()
    assert launch() == core.Launch("idea", Decimal("0.5"), Decimal("0.5")), "it begins while anything is left"
