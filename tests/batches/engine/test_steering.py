"""A person steers what runs."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from batches.core.errors import ServiceError, WrongChoice
from batches.engine import agent_questions, messages_to_agents, retries
from batches.engine.stop_phase import stop_phase
from batches.engine.ticker import Ticker
from batches.models import Attempt, Notification, Run, Transition
from subagents import inbox
from tests.batches.world import ACTOR, World, phase, plan

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.process]

TWO = plan(
    phase("1", steps=("echo begun > part-1.txt; test -f go || sleep 600",), gates=("`test -f part-1.txt`",)),
    phase("2", steps=("echo done > part-2.txt",), gates=("`test -f part-2.txt`",)),
    phase("3", needs="Phase 1", steps=("echo done > part-3.txt",), gates=("`test -f part-3.txt`",)),
)


def test_a_stopped_phase_keeps_its_work_says_by_whom_and_leaves_the_others_alone(world: World):
    """Also when the ticker is another one by then: what was asked is a row."""
    batch = world.generated(TWO)
    run = world.execute(batch)
    attempt = world.running(run, "1")
    written = Path(attempt.checkout, "part-1.txt")
    world.until(lambda: written.exists() and written.read_text() == "begun\n", "the work of the step")
    stop_phase(task=world.task(run, "1"), actor=ACTOR)
    with pytest.raises(ServiceError, match="is being stopped already"):
        stop_phase(task=world.task(run, "1"), actor=ACTOR)
    world.ticker = Ticker("test-host")
    world.finish(run)
    assert world.states(run) == {"1": "cancelled", "2": "succeeded", "3": "blocked"} | _check(run)
    stopped = world.task(run, "1")
    assert stopped.message.startswith("Stopped by test") and stopped.message.endswith("Its work so far is kept.")
    attempt.refresh_from_db()
    assert (attempt.outcome, attempt.reason) == (Attempt.Outcome.CANCELLED, "cancelled")
    assert world.git("show", f"{attempt.ref}:part-1.txt") == "begun" and attempt.head_commit == world.git("rev-parse", attempt.ref)
    assert Transition.objects.get(task=stopped, event="cancel").cause == ACTOR.cause
    with pytest.raises(ServiceError, match="only a running phase can be stopped"):
        stop_phase(task=stopped, actor=ACTOR)
    world.commit("go", "")
    retries.retry(run=run, actor=ACTOR, names=["1"])
    assert world.finish(run).state == "succeeded"


def test_what_a_person_says_reaches_the_inbox_of_a_running_agent_once_and_is_noted_as_read(world: World):
    """Also over a new ticker; the program of this attempt is a shell, and the test reads in its place."""
    run = world.execute(world.generated(TWO))
    attempt = world.running(run, "1")
    assert not messages_to_agents.say(task=world.task(run, "1"), text="Later.", actor=ACTOR), "the backend steps takes no messages"
    Run.objects.filter(pk=run.pk).update(backend="claude")
    for text in ("First.", "  $(touch x)\n"):
        assert messages_to_agents.say(task=world.task(run, "1"), text=text, actor=ACTOR)
    with pytest.raises(WrongChoice, match="1 to 8000 characters"):
        messages_to_agents.say(task=world.task(run, "1"), text=" ", actor=ACTOR)
    found: list[inbox.Letter] = []
    world.until(lambda: not found.extend(inbox.take(attempt.directory)) and _read(attempt) == 2, "both are read")
    assert [one.text for one in found] == ["First.", "$(touch x)"]
    world.ticker = Ticker("test-host")
    world.until(lambda: _read(attempt) == 2)
    assert inbox.take(attempt.directory) == [], "nothing is said twice"
    attempt.refresh_from_db()
    assert [(one["text"], one["by"]) for one in attempt.messages] == [("First.", ACTOR.cause), ("$(touch x)", ACTOR.cause)]
    stop_phase(task=world.task(run, "1"), actor=ACTOR)
    world.finish(run)
    retries.retry(run=run, actor=ACTOR, names=["1"])
    assert world.task(run, "1").remark == "Later.", "what was kept is told to the next attempt"


def test_a_question_waits_for_a_person_with_the_clocks_stopped_and_is_answered_once(world: World):
    """Over a killed ticker; the program of this attempt is a shell, and the rows are as if its heartbeat asked."""
    run = world.execute(world.generated(TWO))
    attempt = world.running(run, "1")
    world.until(lambda: world.task(run, "2").state == "succeeded", "the other phase")
    with pytest.raises(ServiceError, match="asks nothing now"):
        agent_questions.answer(task=world.task(run, "1"), text="Yes", actor=ACTOR)
    world.project.notify_mail = "anna@example.org"
    world.project.save()
    attempt = Attempt.objects.select_related("task__run__batch__project").get(pk=attempt.pk)
    for _ in range(2):
        agent_questions.note_question(attempt, {"number": 0, "text": "Which port?", "answers": ["80", "8080"]}, timezone.now())
    assert [one["text"] for one in attempt.questions] == ["Which port?"]
    [told] = Notification.objects.filter(run=run)
    assert told.event == Notification.Event.PERSON and told.text.endswith("Phase 1 asks: Which port?")
    world.until(lambda: Run.objects.get(pk=run.pk).waiting_for == "person", "waiting for a person")
    attempt.refresh_from_db()
    assert attempt.open_question is not None
    agent_questions.answer(task=world.task(run, "1"), text=" 8080 ", actor=ACTOR)
    with pytest.raises(ServiceError, match="asks nothing now"):
        agent_questions.answer(task=world.task(run, "1"), text="80", actor=ACTOR)
    world.ticker = Ticker("test-host")
    world.until(lambda: inbox.answer_to(attempt.directory, 0) is not None, "the answer is there")
    assert inbox.answer_to(attempt.directory, 0) == ("8080", ACTOR.cause.partition(":")[2])


def test_a_question_that_nobody_answers_is_answered_by_rule_only_where_the_project_says_so(world: World):
    run = world.execute(world.generated(TWO))
    attempt = Attempt.objects.select_related("task__run__batch__project").get(pk=world.running(run, "1").pk)
    agent_questions.note_question(attempt, {"number": 0, "text": "Which port?", "answers": ["80"]}, timezone.now() - timedelta(minutes=30))
    for minutes, answered in ((None, False), (31, False), (29, True)):
        attempt.task.run.batch.project.answer_minutes = minutes
        agent_questions.pass_answers(attempt, timezone.now())
        attempt.refresh_from_db(fields=["questions"])
        assert (attempt.open_question is None) == answered
    assert attempt.questions[0]["by"] == "policy:default answer"
    assert "take your first suggestion: 80." in attempt.questions[0]["answer"]
    agent_questions.pass_answers(attempt, timezone.now())
    assert inbox.answer_to(attempt.directory, 0)[1] == "default answer"


def _read(attempt: Attempt) -> int:
    attempt.refresh_from_db(fields=["messages"])
    return sum(one["read_at"] is not None for one in attempt.messages)


def _check(run) -> dict[str, str]:
    return {name: state for name, state in run.tasks.values_list("name", "state") if name.startswith("stage-")}
