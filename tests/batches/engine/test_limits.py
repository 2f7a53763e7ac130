"""Budget, rate limits, refused keys and models in rows: the ends of attempts go in, what the engine recorded is looked at."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import OutputWrapper
from django.db import OperationalError
from django.db.utils import ConnectionHandler
from django.utils import timezone

from batches.core.engine.execute_options import ExecuteOptions
from batches.core.errors import ServiceError, WrongChoice
from batches.engine import orchestrator, retries
from batches.engine import ticker as engine_ticker
from batches.engine.attempt_results import End
from batches.engine.disk_space import FileSystem, words_of_fault
from batches.engine.execute_options import changes_of_run
from batches.engine.execution_plan import plan_execution
from batches.engine.snapshots import TickContext, budget_of
from batches.engine.task_specs import build_spec
from batches.engine.try_now import try_now
from batches.management.commands._waiting import Progress
from batches.models import Attempt, Batch, Host, Phase, Project, Run, Task
from batches.runs import create
from batches.runs.provider_trouble import columns_of, hold_others, trouble_words
from batches.runs.transitions import move_task
from subagents.contract import Fault, TaskResult
from subagents.launcher import Observation
from tests.batches import builders
from tests.batches.world import ACTOR

pytestmark = pytest.mark.django_db
D = Decimal
NOW = timezone.now()  # one moment for all: machines may be slow


@pytest.fixture
def wide(repository: Path) -> Callable[..., Run]:
    """Makes runs of a backend with a model over three phases that wait for nobody; no process is ever started."""
    project = builders.make_project()
    Project.objects.filter(pk=project.pk).update(repository=str(repository))

    def make(states: dict[str, str] | None = None, **columns: object) -> Run:
        batch = builders.make_batch("1 2 3", states=states or {}, run_state="running", project=project)
        subprocess.run(["git", "-C", str(repository), "branch", batch.branch, "main"], check=True)
        Run.objects.filter(batch=batch).update(backend="command", **columns)
        return Run.objects.get(batch=batch)

    return make


def end(run: Run, name: str, reason: str = "", *, message: str = "told so", **said) -> End:
    """How the live attempt of a task ended: with success when no reason is given."""
    attempt = Attempt.objects.live().select_related("task__run__batch__project").get(task__run=run, task__name=name)
    spec = build_spec(run, attempt.task, attempt)
    status = "failed" if reason else "success"
    errors = (message,) if reason else ()
    result = TaskResult(spec.task_id, spec.prp_id, status, spec.attempt, spec.token, reason, errors, head_commit=spec.base_commit, **said)
    return End.of(attempt, spec, Observation(spec.files, False, None, None, None, None, TaskResult.from_json(result.to_json()), None))


def step(run: Run, *ends: End, later: float = 0) -> Run:
    """One step of the engine `later` seconds from now; nothing is started, for only rows are looked at."""
    now = NOW + timedelta(seconds=later)
    orchestrator.record_step(run.pk, TickContext(now, 100.0 + later, "build-1", 100), ends)
    run.refresh_from_db()
    return run


def states(run: Run) -> dict[str, str]:
    return dict(run.tasks.values_list("name", "state"))


def test_a_rate_limit_pauses_the_run_lowers_how_many_run_at_once_and_is_no_failure(wide):
    run = wide({"1": "running"}, max_parallel=4)
    until = NOW + timedelta(minutes=10)
    step(run, end(run, "1", "rate_limited", retry_at=until.isoformat()))
    assert states(run) == {"1": "pending", "2": "pending", "3": "pending"}
    assert (run.state, run.rate_limited_until, run.parallel, run.waiting_for) == ("running", until, 2, "rate_limit")
    (attempt,) = Attempt.objects.filter(task__run=run)
    assert (attempt.outcome, attempt.reason, attempt.retry_at) == ("deferred", "rate_limited", until)
    step(run, later=599)
    assert states(run)["1"] == "pending"
    step(run, later=601)
    assert states(run) == {"1": "launching", "2": "launching", "3": "pending"}
    assert (run.waited["rate_limit"], run.waiting_for) == (pytest.approx(601, abs=2), "slot")


def test_one_limit_that_several_meet_lowers_the_number_once_and_a_success_forgets_the_back_off(wide):
    run = wide(dict.fromkeys("123", "running"), max_parallel=4)
    step(run, *(end(run, name, "rate_limited") for name in "12"))
    step(run, end(run, "3", "rate_limited"), later=1)
    assert (run.parallel, run.rate_limits) == (2, 1)
    step(run, later=20)
    step(run, end(run, "1", "rate_limited"), later=21)
    assert (run.parallel, run.rate_limits) == (1, 2)
    assert run.rate_limited_until > NOW + timedelta(seconds=45)
    step(run, end(run, "2"), later=22)
    assert run.rate_limits == 0


@pytest.mark.parametrize("minutes", [(10, 1), (1, 10)])
def test_of_a_pause_that_is_met_twice_the_later_end_holds(wide, minutes):
    run = wide({"1": "running", "2": "running"})
    met = [(name, NOW + timedelta(minutes=after)) for name, after in zip("12", minutes, strict=True)]
    step(run, *(end(run, name, "rate_limited", retry_at=until.isoformat()) for name, until in met))
    assert (run.rate_limited_until, run.rate_limits) == (NOW + timedelta(minutes=10), 1)
    step(run, later=599)
    assert set(states(run).values()) == {"pending"}
    step(run, later=601)
    assert "launching" in states(run).values()


def test_a_longer_pause_is_not_cut_short_by_one_that_another_run_meets(wide):
    run, longer = wide({"1": "running"}), wide()
    hour = NOW + timedelta(hours=1)
    Run.objects.filter(pk=longer.pk).update(rate_limited_since=NOW, rate_limited_until=hour)
    met = end(run, "1", "rate_limited", retry_at=(NOW + timedelta(minutes=10)).isoformat())
    acts = orchestrator.record_step(run.pk, TickContext(NOW, 1.0, "build-1", 100), [met])
    orchestrator.pause_other_runs(run.pk, acts.pause)
    longer.refresh_from_db()
    assert longer.rate_limited_until == hour
    started = create._pause_of_others("command")
    assert started["rate_limited_until"] == hour, "a new run waits for the longest of them"


def test_two_waits_for_the_same_thing_add_up(wide):
    run = wide({"1": "running"})
    for begin, until in ((0, 100), (200, 350)):
        retry_at = (NOW + timedelta(seconds=until)).isoformat()
        step(run, end(run, "1", "rate_limited", retry_at=retry_at), later=begin)
        step(run, later=until)
    assert run.waited["rate_limit"] == pytest.approx(100 + 150, abs=2)


def test_a_rate_limit_holds_for_the_other_runs_of_the_backend_and_for_new_ones(wide):
    run = wide({"1": "running"})
    other, steps = wide(), wide()
    Run.objects.filter(pk=steps.pk).update(backend="steps")
    acts = orchestrator.record_step(run.pk, TickContext(NOW, 1.0, "build-1", 100), [end(run, "1", "rate_limited")])
    versions = dict(Batch.objects.values_list("pk", "version"))
    orchestrator.pause_other_runs(run.pk, acts.pause)
    for one in (run, other, steps):
        one.refresh_from_db()
    assert other.rate_limited_until == run.rate_limited_until is not None
    assert steps.rate_limited_until is None
    assert Batch.objects.get(pk=other.batch_id).version > versions[other.batch_id]
    step(other)
    assert set(states(other).values()) == {"pending"}


def test_the_clock_set_back_to_before_the_pause_ends_it(wide):
    run = wide({"1": "running"})
    step(run, end(run, "1", "rate_limited"), later=10_000)
    step(run)
    assert states(run)["1"] == "launching"


def test_a_budget_is_reserved_before_each_launch_and_its_end_stops_the_run_without_a_failure(wide):
    run = wide(budget_usd=D(2), phase_cap_usd=D(1))
    step(run)
    assert states(run) == {"1": "launching", "2": "launching", "3": "pending"}
    assert run.waiting_for == "budget"
    first = Attempt.objects.get(task__run=run, task__name="1")
    assert (first.reserved_usd, first.spec["max_cost_usd"], first.spec["model"]) == (D(1), 1.0, "haiku")
    Attempt.objects.filter(task__run=run).update(started_at=NOW, pid=1)
    step(run, end(run, "1", cost_usd=0.4))
    assert states(run)["3"] == "pending"  # 0.40 is spent, 1.00 reserved: 0.60 is left
    step(run, end(run, "2"))  # what it cost, nobody knows: it counts as what it had reserved
    assert states(run) == {"1": "succeeded", "2": "succeeded", "3": "cancelled"}
    assert (run.state, run.stop_reason) == ("cancelled", "budget")
    task = Task.objects.get(run=run, name="3")
    assert task.reason == "budget"
    assert task.message.startswith("Stopped for the budget: $1.40 of $2.00 is spent. The next phase reserves $1.00.")
    assert budget_of(run).spent_usd == D("1.4")


def test_raising_the_budget_and_resume_goes_on_where_it_was_stopped(wide):
    run = wide({"1": "succeeded", "2": "succeeded"}, budget_usd=D(1), phase_cap_usd=D(1))
    Attempt.objects.filter(task__run=run).update(cost_usd=D("0.5"))
    step(run)
    assert run.state == "cancelled"
    retries.resume(batch=run.batch, actor=ACTOR, options=ExecuteOptions(budget_usd="$2.00", models={"3": "opus"}))
    step(run)
    assert Attempt.objects.live().get().model == "opus"
    assert (run.state, run.stop_reason, run.budget_usd) == ("running", "", D(2))
    assert states(run) == {"1": "succeeded", "2": "succeeded", "3": "launching"}


def test_what_earlier_runs_of_the_batch_have_spent_counts_and_so_does_history(wide):
    run = wide({"1": "succeeded"}, budget_usd=D(10))
    Attempt.objects.update(cost_usd=D("2.5"), model="haiku")
    step(run)
    assert set(Attempt.objects.live().values_list("reserved_usd", flat=True)) == {D("2.5")}  # as the one that is known
    assert {spec["max_cost_usd"] for spec in Attempt.objects.live().values_list("spec", flat=True)} == {5.0}


def test_work_beyond_the_budget_is_told_to_stop(wide):
    run = wide({"1": "running", "2": "running"}, budget_usd=D(1))
    Attempt.objects.filter(task__name="1").update(cost_usd=D("1.2"), reserved_usd=D("0.5"), beat_clock=100.0)
    Attempt.objects.filter(task__name="2").update(beat_clock=100.0)
    acts = orchestrator.record_step(run.pk, TickContext(NOW, 100.0, "build-1", 100))
    assert [(attempt.task.name, force) for attempt, force in acts.stops] == [("1", False)]
    step(run, end(run, "1", "cancelled", cost_usd=1.2))
    task = Task.objects.get(run=run, name="1")
    assert (task.state, task.reason) == ("cancelled", "budget")


def test_a_refused_key_lets_all_runs_of_the_backend_wait_and_fails_no_phase(wide):
    run, other = wide({"1": "running", "2": "running"}, max_parallel=2), wide({"1": "pending"})
    step(run, end(run, "1", "agent_error", message="The API key was refused", fault="key_refused"))
    hold_others(run.pk)
    assert states(run) == {"1": "pending", "2": "running", "3": "pending"}
    assert (run.state, run.trouble, run.trouble_holds) == ("running", "key_refused", 1)
    assert run.trouble_until == NOW + timedelta(seconds=300) and trouble_words(run)[0] == "The API key is refused"
    assert (Task.objects.get(run=run, name="1").restarts, Attempt.objects.get(task__run=run, task__name="1").outcome) == (0, "deferred")
    other.refresh_from_db()
    assert (other.trouble, other.trouble_until) == (run.trouble, run.trouble_until)
    assert create.trouble_of_others("command")["trouble"] == "key_refused"
    step(run, end(run, "2", "agent_error", message="The API key was refused", fault="key_refused"))
    assert run.trouble_holds == 1, "what two attempts meet counts once"
    try_now(run=run, actor=ACTOR)
    pressed = (timezone.now() - NOW).total_seconds() + 1  # long after this module was loaded, on a busy machine
    assert states(step(run, later=pressed)) == {"1": "launching", "2": "pending", "3": "pending"}, "one tries for all"
    Attempt.objects.live().filter(task__run=run).update(started_at=NOW, pid=1, tokens_used=5)
    step(run, later=pressed + 1)
    assert run.trouble == "" and sorted(states(run).values()) == ["launching", "launching", "pending"], "it works again"


@pytest.mark.parametrize("minutes", [(10, 1), (1, 10)])
def test_of_trouble_that_is_met_twice_the_later_end_holds(wide, minutes):
    run = wide()
    for after in minutes:
        columns = columns_of(run, Fault.UNREACHABLE, NOW + timedelta(minutes=after), "gone", NOW)
        Run.objects.filter(pk=run.pk).update(**columns)
        run.refresh_from_db()
    assert (run.trouble_until, run.trouble_holds) == (NOW + timedelta(minutes=10), 1)


def test_minutes_without_network_use_up_no_restart(wide):
    run = wide({"1": "running", "2": "succeeded", "3": "succeeded"})
    later, waits = 0.0, []
    for _ in range(5):
        step(run, end(run, "1", "agent_error", message="No route", fault="unreachable"), later=later)
        waits.append((run.trouble_until - NOW).total_seconds() - later)
        later = (run.trouble_until - NOW).total_seconds()
        assert states(step(run, later=later - 1))["1"] == "pending"
        assert states(step(run, later=later))["1"] == "launching"
    assert waits == [10, 20, 40, 80, 160] and run.trouble_since == NOW
    assert Task.objects.get(run=run, name="1").restarts == 0
    with pytest.raises(ServiceError, match="does not wait"):
        Run.objects.filter(pk=run.pk).update(trouble="")
        try_now(run=run, actor=ACTOR)


def test_an_overload_is_tried_again_with_a_back_off_and_not_for_ever(wide):
    run = wide({"1": "running", "2": "succeeded", "3": "succeeded"})
    later = 0
    for restart in range(5):
        step(run, end(run, "1", "agent_error", fault="transient", message="529"), later=later)
        task = Task.objects.get(run=run, name="1")
        if restart < 4:
            assert (task.state, task.restarts) == ("pending", restart + 1)
            later += 70
            step(run, later=later)
    assert (task.state, task.reason) == ("failed", "agent_error")
    assert "1 of 4" in run.transitions.filter(event="retry").first().message


def test_the_model_goes_by_complexity_unless_the_run_or_the_phase_has_one_and_a_retry_may_have_another(wide):
    run = wide()
    Phase.objects.filter(key="2").update(complexity="high")
    Task.objects.filter(name="3").update(model="opus")
    step(run)
    assert dict(Attempt.objects.values_list("task__name", "model")) == {"1": "haiku", "2": "sonnet", "3": "opus"}
    step(run, end(run, "1", "gate_failed"), end(run, "3", "gate_failed"))
    for task in Task.objects.filter(state="failed"):
        move_task(task, "retry", now=NOW, cause="test")
    step(run)
    assert dict(Attempt.objects.live().values_list("task__name", "model")) == {"1": "sonnet", "2": "sonnet", "3": "opus"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": "gpt-4"}, "Unknown model 'gpt-4'. Choose one of: haiku, sonnet, opus"),
        ({"models": {"1": "gpt-4"}}, "Unknown model 'gpt-4'"),
        ({"models": {"9": "haiku"}}, "no phase '9'"),
        ({"budget_usd": "many"}, "The budget must be an amount of US dollars"),
        ({"budget_usd": "-1"}, "The budget must be an amount of US dollars"),
        ({"phase_cap_usd": "nan"}, "The cap of a phase must be an amount"),
        ({"budget_usd": "1e9"}, "from 0.01 to 100000"),
    ],
)
def test_what_is_no_model_and_no_amount_is_refused_with_the_way_out(options, says):
    batch = builders.make_batch("1 2 3")
    with pytest.raises(WrongChoice, match=says.replace("(", r"\(")):
        plan_execution(batch=batch, options=ExecuteOptions(**options))


def test_a_live_run_takes_a_new_budget_and_more_at_once_ends_the_lowering():
    changes = changes_of_run(ExecuteOptions(budget_usd="12.50", max_parallel=6, model=""))
    assert changes == {"budget_usd": D("12.5"), "max_parallel": 6, "parallel_limit": None, "model": ""}




def test_with_too_little_free_space_nothing_starts_and_pages_and_commands_say_so(wide, client, settings, capsys):
    run = wide()
    settings.CE_FREE_SPACE_BYTES = 2**62
    ticker = engine_ticker.Ticker("build-1")
    ticker.advance_all({}, 100.0)
    ticker.renew_lease(NOW, 100.0)
    run.refresh_from_db()
    assert not Attempt.objects.exists() and run.waiting_for == "slot"
    client.force_login(builders.make_user())
    assert "Disk nearly full." in client.get(f"/batches/{run.batch.number}/").text
    shown = client.get("/health/")
    assert shown.status_code == 503 and "nothing starts there" in shown.text
    call_command("batch_status", "--batch", str(run.batch.number))
    assert "Disk nearly full: " in capsys.readouterr().out
    assert not Progress(run, OutputWrapper(sys.stdout)).done() and "Disk nearly full: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("free", "inodes", "is_low"), [(10**10, 10**6, False), (10**10, None, False), (10**8, None, True), (10**10, 9, True)]
)
def test_space_and_inodes_of_a_file_system_are_watched_unless_that_is_switched_off(settings, free, inodes, is_low):
    settings.CE_FREE_SPACE_BYTES = 10**9
    found = FileSystem("the repository of Shop", "/srv", free, inodes)
    assert found.is_low is is_low and FileSystem.from_json(found.to_json()) == found
    settings.CE_FREE_SPACE_BYTES = 0
    assert not found.is_low


def test_a_fault_of_the_machine_is_a_banner_with_cause_and_button_and_no_failure(wide, client, capsys):
    run = wide({"1": "running", "2": "running"})
    fault = "No space left on device: the file system at /srv has 0.0 of 16.8 MB free"
    run = step(run, end(run, "1", "machine_fault", message=fault), end(run, "2", "machine_fault", message=fault))
    assert (run.machine_fault, run.machine_faults, run.waiting_for) == (fault, 1, "machine")
    assert run.machine_fault_until == NOW + timedelta(seconds=10)
    assert states(run)["1"] == "pending" and not Attempt.objects.filter(outcome="failed").exists()
    call_command("batch_status", "--batch", str(run.batch.number))
    assert f"Waiting for the machine: {fault}. The next try is at {run.machine_fault_until:%H:%M:%S} UTC." in capsys.readouterr().out
    call_command("batch_exe_prp", "--batch", str(run.batch.number), "--try-now", "--detach")
    run.refresh_from_db()
    assert run.machine_fault_until <= timezone.now() and run.machine_fault_until != NOW + timedelta(seconds=10)
    client.force_login(builders.make_user())
    page = client.get(f"/batches/{run.batch.number}/").text
    assert fault in page and "Try now" in page and "Waiting for the machine" in page
    client.post(f"/batches/{run.batch.number}/try-now/")
    run.refresh_from_db()
    assert run.machine_fault_until < timezone.now()
    assert not orchestrator.is_put_off(run, timezone.now())
    assert client.get("/health/").status_code == 503




def test_health_says_what_is_there(client, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-a-test")
    facts = {"disk_free_bytes": 9 * 2**40, "sandbox": "bwrap, tried now", "at start": "3 were running: 1 alive, 2 finished meanwhile."}
    now = timezone.now()
    lease = now + timedelta(seconds=30)
    Host.objects.create(name="one", pid=7, slots=8, started_at=now, last_tick_at=now, lease_until=lease, facts=facts)
    client.force_login(builders.make_user())
    page = client.get("/health/")
    assert page.status_code == 200 and page.context["worst"] == "ok"
    for words in ("3 on one", "bwrap", "set, from the environment", "3 were running: 1 alive, 2 finished meanwhile.", "1 host alive"):
        assert words in page.text
    assert "sk-of-a-test" not in page.text


def test_a_database_without_room_is_the_machines_fault_and_other_errors_of_it_are_not(tmp_path):
    small = ConnectionHandler({"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "small.sqlite3")}})["default"]
    with closing(small), small.cursor() as cursor:
        cursor.execute("CREATE TABLE kept (text)")
        cursor.execute("PRAGMA max_page_count = 3")
        with pytest.raises(OperationalError) as full:
            cursor.execute("INSERT INTO kept VALUES (zeroblob(100000))")
        with pytest.raises(OperationalError) as wrong:
            cursor.execute("SELECT * FROM lost")
    assert "(database or disk is full)" in words_of_fault(full.value)
    assert words_of_fault(wrong.value) == ""
