"""Plans are kept version after version; decisions travel with them into the batch; surroundings are looked at first."""

import subprocess
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.errors import ServiceError
from batches.core.plans.conflicts import conflict_id
from batches.engine import generation
from batches.engine.execution_plan import plan_execution
from batches.engine.preflight import preflight_checks
from batches.metrics import facts
from batches.models import Attempt, Conflict, Host, Plan, PlanDecision
from batches.plans.conflict_decisions import decide_plan_conflicts, decisions_of
from batches.plans.finished_phases import finished_phases
from batches.plans.read_plan import report_of
from batches.plans.versions import import_plan
from tests.batches import builders
from tests.batches.world import ACTOR, phase, plan, writes

CLASH = plan(phase("1", files="a.txt", steps=writes("1")), phase("2", files="a.txt", steps=writes("2")))


def kept(text: str = CLASH, **options) -> Plan:
    return import_plan(text=text, file_name="plan.md", project=None, actor=ACTOR, **options)


def only_conflict(made: Plan) -> str:
    (conflict,) = report_of(made).analysis.conflicts
    return conflict_id(conflict)


@pytest.mark.django_db
class TestVersions:
    def test_an_edited_plan_becomes_the_next_version_and_the_earlier_text_stays(self):
        first = kept()
        second = kept(CLASH.replace("small", "better"), edited=first)
        third = kept(CLASH.replace("small", "third"), edited=first)
        assert [(one.version, one.series_id) for one in (first, second, third)] == [(1, first.pk), (2, first.pk), (3, first.pk)]
        first.refresh_from_db()
        assert first.text == CLASH
        assert set(Plan.objects.series_of(second)) == {first, second, third}
        assert list(Plan.objects.latest_versions()) == [third]

    def test_series_do_not_mix(self):
        one, other = kept(), kept()
        kept(edited=other)
        assert list(Plan.objects.series_of(one)) == [one]
        assert one in Plan.objects.latest_versions()

    def test_the_database_refuses_a_version_twice(self):
        first = kept()
        second = kept(edited=first)
        with pytest.raises(IntegrityError), transaction.atomic():
            Plan.objects.create(first_version=first, version=second.version, title="x", text="x", sha256="0")
        with pytest.raises(IntegrityError), transaction.atomic():
            Plan.objects.create(version=2, title="x", text="x", sha256="0")


@pytest.mark.django_db
class TestDecisions:
    def test_the_latest_decision_counts_and_the_earlier_one_is_kept(self):
        made = kept()
        ada = builders.make_user()
        decide_plan_conflicts(plan=made, decisions={only_conflict(made): "warn"}, actor=ACTOR)
        decide_plan_conflicts(plan=made, decisions={only_conflict(made): "serialize"}, actor=Actor.person(ada))
        (row,) = decisions_of(made).values()
        assert (row.decision, row.decided_by) == ("serialize", ada)
        assert PlanDecision.objects.count() == 2

    def test_a_new_version_keeps_who_decided_unless_the_choice_is_another(self):
        ada = builders.make_user()
        first = kept(decisions={})
        decide_plan_conflicts(plan=first, decisions={only_conflict(first): "serialize"}, actor=Actor.person(ada))
        (taken,) = decisions_of(first).values()
        (same,) = decisions_of(kept(edited=first, decisions={only_conflict(first): "serialize"})).values()
        assert (same.decided_by, same.decided_at) == (ada, taken.decided_at)
        (other,) = decisions_of(kept(edited=first, decisions={only_conflict(first): "warn"})).values()
        assert (other.decision, other.decided_by) == ("warn", None)

    def test_a_decision_lapses_when_other_phases_meet_at_the_file(self):
        first = kept()
        decide_plan_conflicts(plan=first, decisions={only_conflict(first): "warn"}, actor=ACTOR)
        assert not decisions_of(kept(CLASH + phase("3", files="a.txt", steps=writes("3")), edited=first))

    def test_what_cannot_be_decided_is_refused(self):
        made = kept()
        with pytest.raises(ServiceError, match="no such conflict"):
            decide_plan_conflicts(plan=made, decisions={"x": "warn"}, actor=ACTOR)
        with pytest.raises(ServiceError, match="can be decided as"):
            decide_plan_conflicts(plan=made, decisions={only_conflict(made): "abort"}, actor=ACTOR)
        with pytest.raises(PermissionDenied):
            bob = Actor.person(builders.make_user("bob", admin=False))
            decide_plan_conflicts(plan=made, decisions={only_conflict(made): "warn"}, actor=bob)
        assert not PlanDecision.objects.exists()


@pytest.mark.process
def test_a_decision_of_the_plan_is_carried_into_the_batch_with_who_and_when(world):
    made = import_plan(text=CLASH, file_name="plan.md", project=world.project, actor=ACTOR)
    ada = builders.make_user()
    decide_plan_conflicts(plan=made, decisions={only_conflict(made): "serialize"}, actor=Actor.person(ada))
    (taken,) = decisions_of(made).values()
    batch = generation.generate(plan=made, project=world.project, actor=ACTOR)
    conflict = Conflict.objects.get(batch=batch)
    assert (conflict.decision, conflict.decided_by, conflict.decided_at) == ("serialize", ada, taken.decided_at)
    assert plan_execution(batch=batch, options=ExecuteOptions()).after == {"2": ("1",)}


@pytest.mark.django_db
def test_the_history_of_a_forecast_holds_finished_executions_with_an_estimate():
    builders.finished_batch()
    builders.failed_batch()
    now = timezone.now()
    Attempt.objects.filter(outcome="succeeded").update(launched_at=now - timedelta(hours=1), ended_at=now)
    facts.rebuild(anew=True)
    history = finished_phases()
    wanted = Attempt.objects.filter(outcome="succeeded", task__phase__hours__gt=0, task__run__operation="execute").count()
    assert len(history) == wanted > 0
    assert {round(one.actual_hours, 6) for one in history} == {1.0}


def checks(project, **options) -> dict[str, tuple[str, str]]:
    return {one.name: (one.state, one.text) for one in preflight_checks(project=project, **options)}


@pytest.mark.process
def test_surroundings_that_are_ready_are_all_well(world):
    Host.objects.create(name="here", last_tick_at=timezone.now(), facts={"disk_free_bytes": 10 * 1024**3})
    found = checks(world.project)
    assert {state for state, _ in found.values()} == {"ok"}
    assert set(found) == {"Repository", "Base branch", "Your files", "Backend", "Ticker", "Disk"}


@pytest.mark.process
def test_each_thing_that_is_amiss_is_named(world):
    (world.repository / "new.txt").write_text("not committed\n")
    found = checks(world.project, prose_phases=["2"])
    assert found["Your files"] == ("warning", "1 file has uncommitted changes")
    assert found["Backend"][0] == "error"
    assert found["Ticker"] == ("error", "has never reported")
    assert found["Disk"][0] == "unknown"
    Host.objects.create(name="here", last_tick_at=timezone.now() - timedelta(minutes=5), facts={"disk_free_bytes": 1})
    found = checks(world.project)
    assert found["Ticker"][1].startswith("silent for 5 min")
    assert found["Disk"][0] == "warning"
    world.project.base_branch = "gone"
    assert checks(world.project)["Base branch"][0] == "error"
    subprocess.run(["mv", str(world.repository), f"{world.repository}-away"], check=True)
    assert checks(world.project)["Repository"][0] == "error"


@pytest.mark.django_db
def test_without_a_project_the_repository_is_unknown():
    assert checks(None)["Repository"][0] == "unknown"
