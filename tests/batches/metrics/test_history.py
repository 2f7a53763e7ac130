"""What the history page reads: each figure worked out once more from the raw rows, by other means."""

import json
import statistics
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.engine.pricing import MODELS
from batches.core.engine.states import Operation
from batches.core.errors import ServiceError, WrongChoice
from batches.core.metrics.types import Filters
from batches.core.percentile import MoreThan
from batches.metrics import demo, facts, history
from batches.models import Attempt, AttemptFact, Batch, GateCheck, Project, Result, Run, RunFact, StageFact, Task
from batches.plans.to_batch import next_number
from batches.projects.apply_remedy import apply_remedy
from batches.projects.members import set_member
from batches.runs.create import new_run
from tests.batches.builders import make_batch, make_project, make_user

pytestmark = pytest.mark.django_db
ALL = Filters(period="all")


def ended(shape: str = "1 -> 2a 2b -> 3", **fields) -> Run:
    """The ended execution of a batch, with its facts."""
    fields = {"run_state": "succeeded", "states": dict.fromkeys(["1", "2a", "2b", "3"], "succeeded"), "tokens": True} | fields
    run = make_batch(shape, project=make_project("Real project"), **fields).runs.get()
    facts.rebuild()
    return run


def p90(values: list[float]) -> float:
    return statistics.quantiles(values, n=10, method="inclusive")[8] if len(values) > 1 else values[0]


def test_of_nothing_there_is_no_figure():
    read = history.read_history(Filters(), timezone.now())
    assert (read.runs, read.attempts, read.batches, read.buckets, read.findings) == (0, 0, (), (), ())
    unknown = [one.code for one in read.headlines if one.value is None]
    assert {"success_share", "seconds_median", "cost_usd", "tokens", "error_share", "speed_up", "drift"} <= set(unknown)
    assert all(one.met is None for one in read.criteria)


def test_facts_are_the_same_when_they_are_made_again():
    ended()
    before = [list(model.objects.order_by("pk").values()) for model in (AttemptFact, RunFact)]
    facts.rebuild(anew=True)
    assert [list(model.objects.order_by("pk").values()) for model in (AttemptFact, RunFact)] == before


@pytest.fixture
def made_up() -> tuple[Filters, list[Attempt], list[Run]]:
    """A small made-up history with its raw rows."""
    demo.make_history(batches=24, seed=5, now=timezone.now(), days=60)
    return (
        ALL,
        list(Attempt.objects.select_related("task__phase", "task__run__batch").order_by("ended_at")),
        list(Run.objects.order_by("ended_at")),
    )


def test_every_figure_is_that_of_the_raw_rows(made_up):
    filters, attempts, runs = made_up
    read = history.read_history(filters, timezone.now())
    took = [(run.ended_at - run.started_at).total_seconds() for run in runs]
    spent = {run.pk: [one for one in attempts if one.task.run_id == run.pk] for run in runs}
    work = {key: sum((one.ended_at - one.launched_at).total_seconds() for one in tried) for key, tried in spent.items()}
    failed = [one for one in attempts if one.outcome == "failed"]
    done = [one for one in attempts if one.outcome == "succeeded"]
    cost = {key: sum(one.cost_usd for one in tried if one.cost_usd is not None) for key, tried in spent.items()}
    value = {one.code: one.value for one in read.headlines}
    assert (read.runs, read.attempts, read.demo) == (24, len(attempts), True)
    assert value["success_share"] == pytest.approx(sum(run.state == "succeeded" for run in runs) / 24)
    assert value["seconds_median"] == pytest.approx(statistics.median(took))
    assert value["seconds_p90"] == pytest.approx(p90(took))
    assert value["cost_usd"] == pytest.approx(float(sum(cost.values())))
    assert value["cost_per_batch"] == pytest.approx(statistics.median(map(float, cost.values())))
    assert value["tokens"] == sum(one.tokens_used or 0 for one in attempts)
    assert value["tokens_per_phase"] == pytest.approx(value["tokens"] / len({one.task_id for one in done}))
    assert value["error_share"] == pytest.approx(len(failed) / len(attempts))
    tries = Counter(one.task_id for one in attempts if one.outcome != "deferred")
    assert value["retries"] == sum(count - 1 for count in tries.values())
    assert value["speed_up"] == pytest.approx(statistics.median(work[run.pk] / seconds for run, seconds in zip(runs, took, strict=True)))
    hours = sum(one.task.phase.hours for one in done)
    assert value["estimate_ratio"] == pytest.approx(sum((one.ended_at - one.launched_at).total_seconds() for one in done) / 3600 / hours)
    assert value["wait_share"] == pytest.approx(sum(sum(run.waited.values()) for run in runs) / sum(took))
    prices = {name: MODELS[name].price for name in {one.model for one in attempts}}
    used = [one for one in attempts if one.tokens_used is not None]
    full = sum((one.tokens_used - one.output_tokens) * prices[one.model].input for one in used)
    paid = sum(
        one.input_tokens * prices[one.model].input
        + one.cache_read_tokens * prices[one.model].cache_read
        + one.cache_write_tokens * prices[one.model].cache_write
        for one in used
    )
    assert value["cache_saved"] == pytest.approx(float(1 - paid / full), abs=1e-5)
    assert value["flaky_gates"] == GateCheck.objects.filter(flaky=True).count()
    assert Counter({one.reason: one.count for one in read.errors}) == Counter(one.reason for one in failed)

    assert sum(one.runs for one in read.buckets) == 24
    assert sum(one.attempts for one in read.buckets) == len(attempts)
    by_day = Counter(one.ended_at.date() for one in failed)
    assert {one.start: one.failed for one in read.buckets if one.failed} == dict(by_day)
    assert {one.seconds.count for one in read.stages if one.stage == 1} == {24}
    first = [[one for one in tried if one.task.stage_id == min(one.task.stage_id for one in tried)] for tried in spent.values()]
    spans = [(max(one.ended_at for one in tried) - min(one.launched_at for one in tried)).total_seconds() for tried in first]
    assert read.stages[0].seconds.median == pytest.approx(statistics.median(spans))

    slow = read.phases[0]
    own = [(one.ended_at - one.launched_at).total_seconds() for one in done if one.task.phase.title.lower() == slow.kind]
    stopped = [one for one in failed if one.reason == "phase_time_limit" and one.task.phase.title.lower() == slow.kind]
    own += [one.phase_limit_seconds for one in stopped]
    assert (slow.stopped, isinstance(slow.seconds.p90, MoreThan)) == (len(stopped), True)
    assert (slow.seconds.median, slow.seconds.p90, slow.seconds.count) == (
        pytest.approx(statistics.median(own)),
        pytest.approx(p90(own)),
        len(own),
    )
    for one in read.calibration:
        found = [a for a in done if a.task.phase.complexity == one.complexity]
        ratios = [(a.ended_at - a.launched_at).total_seconds() / 3600 / a.task.phase.hours for a in found]
        assert (one.ratio.median, one.ratio.count) == (pytest.approx(statistics.median(ratios)), len(ratios))
    for one in read.roles:
        found = [a for a in attempts if a.model == one.model]
        assert (one.role, one.attempts, one.tokens.total) == ("executor", len(found), sum(a.tokens_used or 0 for a in found))
        assert one.cost_usd == sum(a.cost_usd for a in found if a.cost_usd is not None)
    assert read.waits.queue == pytest.approx(sum(run.waited["queue"] for run in runs))
    assert read.conflicts.real == sum(bool(one.merge_conflicts) for one in attempts)
    told = [(seconds, run) for seconds, run in zip(took, runs, strict=True) if run.forecast_seconds and run.state == "succeeded"]
    assert (read.forecasts.runs, read.forecasts.within) == (len(told), sum(seconds <= run.forecast_p90_seconds for seconds, run in told))
    drifts = list(AttemptFact.objects.filter(drift__isnull=False).values_list("run", "drift"))
    assert len(drifts) == Result.objects.count()
    assert json.loads(json.dumps(history.to_json(read)))["batches"][-1]["batch"] == runs[-1].batch.number


@pytest.mark.parametrize(
    ("days", "start_of"), [(200, lambda day: day - timedelta(days=day.weekday())), (800, lambda day: day.replace(day=1))]
)
def test_a_long_time_is_told_by_weeks_and_a_longer_one_by_months(days, start_of):
    demo.make_history(batches=40, seed=7, now=timezone.now(), days=days)
    read = history.read_history(ALL, timezone.now())
    for model, name in ((AttemptFact, "attempts"), (RunFact, "runs")):
        expected = Counter(start_of(day) for day in model.objects.values_list("day", flat=True))
        assert {one.start: getattr(one, name) for one in read.buckets if getattr(one, name)} == expected
    tokens = Counter()
    for day, used in AttemptFact.objects.filter(tokens__isnull=False).values_list("day", "tokens"):
        tokens[start_of(day)] += used
    assert {one.start: one.tokens.total for one in read.buckets if one.tokens.total} == tokens
    assert all(before.end == after.start for before, after in pairwise(read.buckets))


def test_the_baseline_is_the_first_ten_executions_and_later_ones_are_compared_with_it(made_up):
    filters, attempts, runs = made_up
    read = history.read_history(filters, timezone.now()).saving

    def rate(some: list[Run]) -> float:
        own = [one for one in attempts if one.task.run_id in {run.pk for run in some}]
        return sum(one.tokens_used or 0 for one in own) / len({one.task_id for one in own if one.outcome == "succeeded"})

    assert (read.baseline_runs, read.now_runs) == (10, 14)
    assert (read.baseline, read.now) == (pytest.approx(rate(runs[:10])), pytest.approx(rate(runs[10:])))


def test_the_token_criterion_is_the_same_on_the_page_in_the_checklist_and_in_the_command(made_up, capsys, client):
    filters, attempts, runs = made_up
    used = defaultdict(lambda: [0, 0])
    for one in attempts:
        used[one.task.run_id][0] += one.tokens_used or 0
        used[one.task.run_id][1] += one.outcome == "succeeded"
    first, later = ([used[run.pk] for run in part] for part in (runs[:10], runs[10:]))
    per_phase = [sum(tokens for tokens, _ in part) / sum(phases for _, phases in part) for part in (first, later)]
    read = history.read_history(filters, timezone.now())
    criterion = read.criteria[2]
    assert criterion.value == read.saving.saved == pytest.approx(1 - per_phase[1] / per_phase[0])
    assert (criterion.samples, criterion.basis) == (14, "runs after the baseline")
    assert criterion.met == (criterion.value >= 0.4)
    call_command("batch_trends", "--period", "all")
    assert f"than in the first 10 batches: {criterion.value:.1%} (at least 40.0%" in capsys.readouterr().out
    client.force_login(make_user())
    page = client.get("/metrics/?period=all&section=tokens").content.decode()
    assert f"14 later runs: {criterion.value:.0%} below".replace("%", " %") in page
    assert page.count(f"{criterion.value:.0%}".replace("%", " %")) >= 2
    every = history.read_history(replace(filters, operation=""), timezone.now())
    assert every.criteria == read.criteria  # what else ran is no batch that was executed


def test_periods_projects_models_and_roles_are_filters(made_up):
    _, attempts, runs = made_up
    now = timezone.now()
    recent = history.read_history(Filters(period="30d"), now)
    since = now - timedelta(days=30)
    assert recent.runs == sum(run.ended_at >= since for run in runs)
    assert recent.headline("runs").before == sum(since - timedelta(days=30) <= run.ended_at < since for run in runs)
    project = Project.objects.get(name="Demo: billing")
    assert history.read_history(Filters(period="all", project=project.slug), now).runs == sum(
        run.batch.project_id == project.pk for run in runs
    )
    with_model = history.read_history(Filters(period="all", model="sonnet"), now)
    assert with_model.attempts == sum(one.model == "sonnet" for one in attempts)
    assert with_model.runs == len({one.task.run_id for one in attempts if one.model == "sonnet"})
    assert history.read_history(Filters(period="all", role="reviewer"), now).runs == 0
    day = runs[5].ended_at.date()
    one_day = history.read_history(Filters.read({"from": day.isoformat(), "to": day.isoformat()}), now)
    assert one_day.runs == sum(run.ended_at.date() == day for run in runs)


def test_reading_takes_as_many_queries_for_a_long_history_as_for_a_short_one(made_up):
    ended()
    with CaptureQueriesContext(
        connection,
    ) as short:
        history.read_history(Filters(), timezone.now())
    with CaptureQueriesContext(connection) as long:
        history.read_history(Filters(demo="with"), timezone.now())
    assert len(long) <= len(short) <= 24


def test_a_demonstration_is_shown_alone_or_when_asked_for_and_leaves_no_trace(made_up):
    assert history.read_history(ALL, timezone.now()).demo
    run = ended()
    read = history.read_history(ALL, timezone.now())
    assert (read.runs, read.demo, read.demo_exists, [one.batch for one in read.batches]) == (1, False, True, [run.batch.number])
    assert history.read_history(Filters(period="all", demo="with"), timezone.now()).runs == 25
    assert history.read_history(Filters(period="all", demo="only"), timezone.now()).runs == 24
    call_command("demo_history", "--remove", verbosity=0)
    assert list(Batch.objects.all()) == [run.batch]
    assert list(Project.objects.all()) == [run.batch.project]
    assert {*Attempt.objects.values_list("task__run", flat=True), *StageFact.objects.values_list("run", flat=True)} == {run.pk}
    assert not history.read_history(ALL, timezone.now()).demo_exists


TRUTHS_FOUND = {
    demo.SLOW: ("slow_kind", "move the data"),
    demo.RISING: ("agent_error_rising", "agent error"),
    demo.ESTIMATES: ("estimates_low", "high complexity"),
    demo.LONG: ("phase_time_limit_common", "time limit"),
    demo.COLLISIONS: ("conflicts_common", "web shop"),
}


def test_every_truth_that_was_planted_is_found_and_nothing_else():
    demo.make_history(batches=150, seed=3, now=timezone.now())
    found = {(one.code, one.title) for one in history.read_history(ALL, timezone.now()).findings}
    for code, word in TRUTHS_FOUND.values():
        assert any(name == code and word in title for name, title in found), code
    others = {code for code, _ in found} - {code for code, _ in TRUTHS_FOUND.values()}
    assert others <= {"failing_kind"}  # the long phases, which fail of their time limit


def test_nothing_is_found_in_a_history_of_chance():
    demo.make_history(batches=60, seed=4, now=timezone.now(), truths=frozenset())
    assert history.read_history(ALL, timezone.now()).findings == ()


def test_nothing_of_a_demonstration_is_executed_and_real_batches_are_numbered_as_if_there_were_none(made_up):
    batch = Batch.objects.filter(project__demo=True).first()
    with pytest.raises(ServiceError, match="is a demonstration"):
        new_run(batch, Operation.REVIEW, ExecuteOptions(), Actor.command("test"))
    assert next_number([]) == 1


def test_two_batches_are_read_side_by_side_with_their_place_among_others(made_up):
    _, attempts, runs = made_up
    good, bad = (next(run for run in runs if run.state == state) for state in ("succeeded", "failed"))
    first, second = history.read_batches([good.batch.number, bad.batch.number, 4711])
    assert (first.run.batch, second.run.batch) == (good.batch.number, bad.batch.number)
    assert sum(phase.attempts for phase in first.phases) == sum(one.task.run_id == good.pk for one in attempts)
    like = [run for run in runs if run.batch.project_id == good.batch.project_id and run.state == "succeeded"]
    quicker = sum(run.ended_at - run.started_at < good.ended_at - good.started_at for run in like)
    assert (first.seconds.rank, first.seconds.count) == (quicker + 1, len(like))
    assert (second.seconds.rank, second.seconds.value) == (None, None)


def test_a_remedy_changes_one_setting_for_whoever_may_and_says_so(settings):
    settings.CE_PHASE_LIMIT_SECONDS = 1800.0
    project = make_project()
    actor = Actor.person(make_user())
    said = apply_remedy(code="raise_phase_limit", project=project, params={"minutes": "90"}, actor=actor)
    project.refresh_from_db()
    assert project.phase_limit_minutes == 90
    assert said.startswith("Phase limit minutes of Sample project: 90 instead of the installation's.")
    apply_remedy(code="raise_phase_limit", project=project, params={"minutes": "60"}, actor=actor)
    assert project.phase_limit_seconds == 3600  # whatever the installation's is
    apply_remedy(code="raise_phase_limit", project=project, params={"minutes": "90"}, actor=actor)
    Project.objects.filter(pk=project.pk).update(max_parallel=1)
    said = apply_remedy(code="more_at_once", project=project, params={"phases": "15"}, actor=actor)
    assert ": 15 instead of 1." in said  # and not of "on", which is equal to 1
    Project.objects.filter(pk=project.pk).update(shared_context=False)
    assert ": on instead of off." in apply_remedy(code="share_context", project=project, params={}, actor=actor)
    with pytest.raises(ServiceError, match="already 90"):
        apply_remedy(code="raise_phase_limit", project=project, params={"minutes": "90"}, actor=actor)
    with pytest.raises(WrongChoice, match="from 1 to 10080"):
        apply_remedy(code="raise_phase_limit", project=project, params={"minutes": "-1"}, actor=actor)
    with pytest.raises(ServiceError, match="nothing to apply"):
        apply_remedy(code="replan", project=project, params={}, actor=actor)
    with pytest.raises(PermissionDenied):
        apply_remedy(code="share_context", project=project, params={}, actor=Actor.person(make_user("bob", admin=False)))


@pytest.mark.long
def test_a_remedy_has_its_button_for_whoever_may_change_that_project(client):
    demo.make_history(batches=150, seed=3, now=timezone.now())
    bob = make_user("bob", admin=False)
    client.force_login(bob)
    cards = [card for card in client.get("/metrics/?period=all").context["cards"] if card.fields]
    assert len({card.finding.remedy.project for card in cards}) > 1 and not any(card.may_apply for card in cards)
    own = Project.objects.get(slug=cards[0].finding.remedy.project)
    set_member(project=own, who=bob, role="admin", actor=Actor("test"))
    page = client.get("/metrics/?period=all")
    cards = [card for card in page.context["cards"] if card.fields]
    assert all(card.may_apply == (card.finding.remedy.project == own.slug) for card in cards)
    assert page.text.count(f'name="project" value="{own.slug}"') == sum(card.may_apply for card in cards) > 0
    assert "somebody who may change this project can do this" in page.text


def test_the_command_prints_what_the_page_shows(made_up, capsys):
    call_command("batch_trends", "--period", "all")
    printed = capsys.readouterr().out
    read = history.read_history(ALL, timezone.now())
    assert printed.startswith("Demonstration: these figures are (also) made up")
    assert f"Runs that succeeded                         {read.headline('success_share').value:.1%}" in printed
    for title in ("Findings", "Success criteria", "Slowest phases (p50, p90, runs)", "Errors", "Waiting", "Conflicts", "Forecasts"):
        assert f"\n{title}\n" in printed
    call_command("batch_trends", "--period", "all", "--json", "--project", "demo: Billing")
    told = json.loads(capsys.readouterr().out)
    assert (told["runs"], told["filters"]["project"]) == (8, "demo-billing")
    for wrong in (["--period", "1y"], ["--project", "nobody's"], ["--from", "yesterday"]):
        with pytest.raises(CommandError) as refused:
            call_command("batch_trends", *wrong)
        assert refused.value.returncode == 2


def test_a_run_that_only_judges_gates_again_is_no_execution(db):
    run = ended()
    before = history.to_json(history.read_history(ALL, timezone.now()))["headlines"]
    again = Run.objects.get(pk=run.pk)
    again.pk, again.number, again.selection = None, 2, "gates"
    again.save(force_insert=True)
    Task.objects.create(run=again, kind="stage_check", stage=run.tasks.first().stage, name="gates", position=1, state="succeeded")
    for anew in (False, True):
        facts.rebuild(anew=anew)
        assert list(RunFact.objects.values_list("run", flat=True)) == [run.pk]
    facts.record_runs([again.pk])
    read = history.read_history(ALL, timezone.now())
    assert history.to_json(read)["headlines"] == before
    assert [one.run.run for one in history.read_batches([run.batch.number])] == [run.pk]


def test_missing_facts_are_filled_in_once(made_up, capsys):
    AttemptFact.objects.filter(number=1).delete()
    missing = Attempt.objects.filter(fact=None).count()
    call_command("batch_facts")
    call_command("batch_facts")
    assert capsys.readouterr().out.splitlines() == [
        f"Facts of {missing} attempts and 0 runs were written.",
        "Facts of 0 attempts and 0 runs were written.",
    ]
