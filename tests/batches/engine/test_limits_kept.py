"""Limits are kept with each attempt, a raised one reaches the next retry, and what was stopped counts as more than its limit."""

import pytest
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.engine.states import Operation
from batches.core.metrics.charts import figures
from batches.core.metrics.text import trends_text
from batches.core.metrics.types import Filters, Spread
from batches.core.percentile import MoreThan
from batches.engine import pause_and_cancel, retries
from batches.metrics import facts, history
from batches.models import Attempt, AttemptFact, Project, Run
from batches.pages.metrics.metrics import PageLinks
from batches.projects.apply_remedy import apply_remedy
from batches.runs.create import new_run
from tests.batches.builders import failed_batch, make_batch, make_project, make_user
from tests.batches.world import ACTOR, World, phase, plan

ALL = Filters(period="all")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("setting", "raised", "column", "expected"),
    [
        ({"phase_limit_minutes": 30}, {"phase_limit_minutes": 90}, "phase_limit_seconds", 5400),
        ({"silence_seconds": 60}, {"silence_seconds": 120}, "silence_seconds", 120),
        ({"max_parallel": 8}, {"max_parallel": 4}, "max_parallel", 4),
        ({"retry_model": ""}, {"retry_model": "opus"}, "retry_model", "opus"),
    ],
)
def test_a_setting_that_was_changed_reaches_the_next_retry(monkeypatch, setting, raised, column, expected):
    run = begun(monkeypatch, setting)
    Project.objects.update(**raised)
    retries.retry(run=run, actor=Actor.person(make_user()))
    assert getattr(Run.objects.get(pk=run.pk), column) == expected


@pytest.mark.django_db
def test_what_a_person_chose_for_the_run_stays_while_the_project_stays(monkeypatch):
    run = begun(monkeypatch, {"phase_limit_minutes": 30}, timeout_minutes=10)
    retries.retry(run=run, actor=Actor.person(make_user()))
    assert Run.objects.get(pk=run.pk).phase_limit_seconds == 600


@pytest.mark.django_db
def test_what_the_retry_asks_for_is_stronger_than_the_project(monkeypatch):
    run = begun(monkeypatch, {"phase_limit_minutes": 30})
    Project.objects.update(phase_limit_minutes=90)
    retries.retry(run=run, actor=Actor.person(make_user()), options=ExecuteOptions(timeout_minutes=45))
    assert Run.objects.get(pk=run.pk).phase_limit_seconds == 45 * 60


def begun(monkeypatch, setting: dict[str, object], **options) -> Run:
    """The failed run of a project with this setting; there is no repository to bring anything in from."""
    monkeypatch.setattr(retries, "bring_in", lambda batch: None)
    run = failed_batch().runs.get()
    Project.objects.update(**setting)
    run.batch.refresh_from_db()
    made = new_run(run.batch, Operation.EXECUTE, ExecuteOptions(**options), ACTOR)
    columns = ("phase_limit_seconds", "silence_seconds", "max_parallel", "retry_model", "project_settings")
    Run.objects.filter(pk=run.pk).update(**{name: getattr(made, name) for name in columns})
    made.delete()
    return Run.objects.get(pk=run.pk)


@pytest.mark.django_db
def test_the_finding_about_a_limit_is_over_once_it_was_raised_and_comes_back_with_the_new_limit():
    project = make_project()
    for _ in range(7):
        make_batch(
            states={"1": "succeeded", "2a": "failed", "2b": "succeeded", "3": "failed"},
            reasons={"2a": "phase_time_limit", "3": "phase_time_limit"}, run_state="failed", project=project,
        )  # fmt: skip
    Attempt.objects.update(phase_limit_seconds=3600, silence_seconds=60)
    facts.rebuild(anew=True)
    (found,) = [one for one in history.read_history(ALL, timezone.now()).findings if one.code == "phase_time_limit_common"]
    assert "ran into the limit of 60 min" in found.evidence
    params = dict(found.remedy.params)
    said = apply_remedy(code=found.remedy.code, project=project, params=params, actor=Actor.person(make_user()))
    assert "so does the next retry" in said
    assert not [one for one in history.read_history(ALL, timezone.now()).findings if "phase_time_limit" in one.code]
    AttemptFact.objects.update(limit_seconds=5400)
    (again,) = [one for one in history.read_history(ALL, timezone.now()).findings if one.code == "phase_time_limit_common"]
    assert "ran into the limit of 90 min" in again.evidence


@pytest.mark.django_db
def test_a_kind_of_phase_that_always_hits_the_limit_is_the_slowest_and_takes_more_than_it():
    make_batch(
        states={"1": "succeeded", "2a": "failed", "2b": "succeeded", "3": "blocked"}, reasons={"2a": "phase_time_limit"},
        titles={"1": "Small", "2a": "Move the data", "2b": "Small"}, run_state="failed",
    )  # fmt: skip
    Attempt.objects.filter(task__name="2a").update(phase_limit_seconds=3600)
    facts.rebuild(anew=True)
    read = history.read_history(ALL, timezone.now())
    slow = read.phases[0]
    assert (slow.kind, slow.stopped, slow.key) == ("move the data", 1, "2a")
    assert isinstance(slow.seconds.p90, MoreThan) and slow.seconds.p90 == 3600
    assert "move the data                               > 1 h 00 min, > 1 h 00 min, 1" in trends_text(read)
    figure = next(one for one in figures(read, PageLinks(ALL)) if one.name == "slowest_phases")
    told = dict(zip((one.name for one in figure.columns), figure.rows[0].values, strict=True))
    assert (told["runs"], told["failed"], told["stopped"]) == (0, 1, 1)


def test_a_percentile_is_more_than_a_limit_only_where_what_was_stopped_reaches_down_to_it():
    told = Spread.of([10, 20, 30, 40], stopped=[60])
    assert (told.median, told.p90, told.count) == (30, pytest.approx(52), 5)
    assert not isinstance(told.median, MoreThan) and isinstance(told.p90, MoreThan)  # 52 lies between 40 and more than 60
    assert isinstance(Spread.of([10, 90], stopped=[60, 60]).median, MoreThan)
    assert not isinstance(Spread.of([70, 80]).p90, MoreThan)


SLOW = plan(phase("1", steps=("sleep 30",)))


@pytest.mark.engine
@pytest.mark.django_db(transaction=True)
def test_the_engine_keeps_the_limits_in_force_with_each_attempt(world: World):
    batch = world.generated(SLOW)
    run = world.finish(world.execute(batch, timeout_minutes=0.01))
    Project.objects.update(phase_limit_minutes=1, silence_seconds=33)
    retries.retry(run=run, actor=ACTOR)
    world.running(run, "1")
    pause_and_cancel.cancel(run=Run.objects.get(pk=run.pk), actor=ACTOR)
    world.finish(run)
    kept = AttemptFact.objects.filter(run=run).order_by("number").values_list("reason", "limit_seconds", "silence_seconds")
    first = kept[0]
    assert first[:2] == ("phase_time_limit", pytest.approx(0.6))
    assert kept[1][1:] == (60.0, 33.0) and first[2] != 33.0
