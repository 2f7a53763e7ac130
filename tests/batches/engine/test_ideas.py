"""From an idea to a plan, through the real engine, the real SDK and its program, and a stand-in for the Messages API."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from batches.core.errors import ServiceError
from batches.core.plans.drafted import NOT_SAID
from batches.engine import ideas
from batches.models import Host, Idea, IdeaAttempt, Plan, Project
from batches.plans.read_plan import report_of
from subagents import launcher
from tests.batches.world import ACTOR, World
from tests.subagents import ideas as model
from tests.subagents.messages_api import MessagesApi, Scenario, messages_api

pytestmark = pytest.mark.process


@pytest.fixture
def api() -> Iterator[MessagesApi]:
    with messages_api(dict(model.SCENARIOS)) as running:
        yield running


@pytest.fixture
def agent(world: World, api: MessagesApi, settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str | Scenario], None]]:
    """agent(scenario): the project's backend is Claude, whose model does that."""
    world.project.backend, world.project.model = "claude", "haiku"
    world.project.save()
    settings.CE_API_BASE_URL = api.address
    settings.CE_HOST = world.ticker.host

    def choose(scenario: str | Scenario) -> None:
        if callable(scenario):
            api.scenarios["own"], scenario = scenario, "own"
        monkeypatch.setenv("ANTHROPIC_API_KEY", f"fake-{scenario}")

    choose("drafts")
    yield choose
    for directory in IdeaAttempt.objects.filter(ended_at=None).values_list("directory", flat=True):
        launcher.stop(directory, force=True)


def done(world: World, idea: Idea) -> Idea:
    world.until(lambda: Idea.objects.get(pk=idea.pk).wanted == "", "the end of what was asked")
    return Idea.objects.get(pk=idea.pk)


def asked(world: World, **given: object) -> Idea:
    """An idea whose questions have been asked."""
    return done(world, ideas.new_idea(project=world.project, actor=ACTOR, **{"text": "Export the data", **given}))


def drafted(world: World, **given: object) -> Idea:
    idea = asked(world, **given)
    if idea.waits_for_answers:
        ideas.answer_questions(idea=idea, answers=["", "Only me"], actor=ACTOR)
        idea = done(world, idea)
    return idea


def test_an_idea_becomes_questions_then_a_plan_that_can_be_executed_then_another_version(world, agent, api):
    idea = asked(world, files=["README.md"], cap_usd=1)
    assert [one["question"] for one in idea.questions] == ["Which format?", "For whom?"] and idea.plan is None
    ideas.answer_questions(idea=idea, answers=["", "Only me"], actor=ACTOR)
    idea = done(world, idea)
    assert idea.problem == "" and idea.answers == ["JSON", "Only me"], idea.problem
    report = report_of(idea.plan)
    assert report.is_valid, report.reading.errors
    first, second = report.reading.plan.phases
    assert (first.files, second.files, second.dependencies) == (("export.py",), ("export.py", "README.md"), ("1",))
    assert "`export.py` (NEW)" in idea.plan.text and "As JSON, for everybody." in idea.plan.text and idea.notes == []
    prompts = [str(body["messages"]) for body in api.bodies]
    assert any("Only me" in prompt and "- README.md" in prompt for prompt in prompts)
    tools = {tool["name"] for body in api.bodies for tool in body["tools"]}
    assert not tools & {"Bash", "Write", "Edit"}, "it only reads"
    attempts = list(idea.attempts.all())
    assert [(one.asked_for, one.outcome) for one in attempts] == [("questions", "succeeded"), ("plan", "succeeded")]
    assert all(one.cost_usd and one.tokens_used and one.log_tail for one in attempts) and 0 < idea.spent_usd() < 1
    assert world.git("status", "--porcelain") == "" and world.git("branch", "--list") == "* main"

    agent(model.drafts(revision=model.plan(model.phase("Only this"))))
    ideas.revise(idea=idea, remark="Less, please", actor=ACTOR)
    revised = done(world, idea)
    assert (revised.plan.version, revised.plan.series_id, revised.plan.phase_count) == (2, idea.plan.pk, 1), revised.problem
    assert "Less, please" in str(api.bodies[-1]["messages"])
    back = ideas.undo(idea=revised, actor=ACTOR)
    assert (back.version, back.text) == (3, idea.plan.text)


def test_a_file_that_does_not_exist_is_corrected_or_flagged_where_the_plan_names_it(world, agent):
    world.commit("src/deep/engine.py", "pass\n")
    wrong = [{"path": "engine.py", "new": False}, {"path": "nowhere.py", "new": False}, {"path": "src/", "new": False}]
    agent(model.drafts(model.plan(model.phase("One", files=wrong))))
    idea = drafted(world)
    assert report_of(idea.plan).reading.plan.phases[0].files == ("src/deep/engine.py", "nowhere.py", "src/")
    assert "`nowhere.py` - not in the repository at" in idea.plan.text
    assert [note.split(":")[1].split()[0] for note in idea.notes] == ["engine.py", "nowhere.py"]


def test_a_phase_without_a_checkable_gate_gets_the_tests_of_the_project(world, agent):
    world.commit("test_it.py", "def test_it(): pass\n")
    agent(model.drafts(model.plan(model.phase("One", gates=[{"text": "It looks good", "command": ""}]))))
    idea = drafted(world)
    gates = [gate.text for gate in report_of(idea.plan).reading.plan.phases[0].gates]
    assert gates == ["It looks good", "The tests pass (checked: `python -m pytest -q`)"]


def test_no_question_is_no_stop(world, agent):
    agent(model.drafts(questions={"questions": []}))
    world.project.monthly_budget_usd = 200
    world.project.save()
    assert asked(world).plan is not None
    first = IdeaAttempt.objects.order_by("number")[0]
    assert (float(first.reserved_usd), first.spec["max_cost_usd"]) == (0.01, 200), "a batch that starts meanwhile has the month too"


ENDS = {
    "refuses": "the model refused",
    "says_nothing_of_use": "no usable result",
    "no_phases": "has no phases",
    "refused_key": "the API key was refused",
    "costs_too_much": "The cap is reached",
}


@pytest.mark.parametrize("scenario", ENDS)
def test_what_goes_wrong_ends_in_words_and_can_be_tried_again_with_what_was_written(world, agent, scenario):
    agent(scenario)
    idea = drafted(world, cap_usd=0.05)
    assert ENDS[scenario] in idea.problem and idea.plan is None and idea.text == "Export the data"
    assert not IdeaAttempt.objects.filter(ended_at=None).exists()
    agent("drafts")
    ideas.try_again(idea=idea, actor=ACTOR, cap_usd=5)
    idea = done(world, idea)
    if idea.waits_for_answers:
        ideas.answer_questions(idea=idea, answers=[], actor=ACTOR)
        idea = done(world, idea)
    assert idea.plan is not None, idea.problem


def test_a_plan_with_errors_is_kept_for_the_editor(world, agent):
    agent("circle")
    idea = drafted(world)
    assert idea.problem == "" and idea.plan.error_count == 1


COMMAND_AGENT = """
import json, os, sys
prompt = sys.stdin.read()
open("scribble.txt", "w").write("what it writes is thrown away")
print("I looked around.", json.dumps(json.loads(sys.argv[1])["questions" if "what you must ask" in prompt else "plan"]))
"""


def test_an_agent_with_a_command_line_of_its_own_does_the_same_and_its_cost_is_unknown(world, tmp_path, settings):
    program = tmp_path / "agent.py"
    program.write_text(COMMAND_AGENT)
    answers = json.dumps({"questions": {"questions": model.QUESTIONS}, "plan": model.GOOD})
    settings.CE_HOST = world.ticker.host
    Project.objects.filter(pk=world.project.pk).update(backend="command", agent_command=shlex.join([sys.executable, str(program), answers]))
    world.project.refresh_from_db()
    idea = drafted(world)
    assert idea.problem == "" and report_of(idea.plan).is_valid and idea.known_usd is None
    assert world.git("status", "--porcelain") == ""


def test_a_person_stops_the_agent(world, agent, api):
    agent(lambda turn: model.Reply(fault="hang"))
    idea = ideas.new_idea(project=world.project, actor=ACTOR, text="Export the data")
    world.until(lambda: idea.attempts.filter(pid__isnull=False).exists(), "the agent at work")
    ideas.stop(idea=idea, actor=ACTOR)
    idea = done(world, idea)
    assert idea.problem.startswith("Stopped by test") and idea.attempts.get().outcome == "cancelled"


def test_a_translation_accounts_for_every_line(world, agent):
    account = [
        {"line": 1, "end_line": 1, "became": "title", "why": ""},
        {"line": 3, "end_line": 3, "became": "phase 1, step 1", "why": ""},
        {"line": 4, "end_line": 4, "became": "", "why": "It is a greeting."},
    ]
    agent(model.drafts(translation=model.plan(model.phase("One"), account=account)))
    idea = asked(world, text="", document="My notes\n\nExport it\nHello!\nAnd test it\n", source="notes.txt", translate=True)
    assert idea.plan is not None, idea.problem
    told = [(one["line"], one["became"], one["why"]) for one in idea.account]
    assert told == [(1, "title", ""), (3, "phase 1, step 1", ""), (4, "", "It is a greeting."), (5, "", NOT_SAID)]


def test_an_agent_on_a_host_that_is_gone_is_told_and_can_be_tried_again(world, agent):
    idea = asked(world)
    then = timezone.now() - timedelta(hours=1)
    Host.objects.create(name="gone", last_tick_at=then, lease_until=then)
    idea.attempts.update(host="gone", ended_at=None, outcome="")
    Idea.objects.update(wanted="plan", answers=[])
    assert "The host gone" in done(world, idea).problem and not IdeaAttempt.objects.filter(ended_at=None).exists()


def test_without_a_model_it_says_so_and_keeps_nothing(world, monkeypatch):
    with pytest.raises(ServiceError, match="uses no model"):
        ideas.new_idea(project=world.project, actor=ACTOR, text="Export the data")
    world.project.backend = "command"
    with pytest.raises(ServiceError, match="no agent command is configured"):
        ideas.new_idea(project=world.project, actor=ACTOR, text="Export the data")
    assert not Idea.objects.exists()


def test_the_command_asks_and_prints_the_address_of_the_plan(world, agent, tmp_path):
    (tmp_path / "answers").write_text("YAML\n\n")
    out, err = StringIO(), StringIO()
    call_command("plan_from_idea", "Export the data", answers=str(tmp_path / "answers"), cap=1, stdout=out, stderr=err)
    idea = Idea.objects.get()
    assert idea.answers == ["YAML", "Everybody"]
    assert out.getvalue().strip().endswith(f"/plans/{Plan.objects.get().pk}/"), out.getvalue()
    agent("no_phases")
    with pytest.raises(CommandError, match="has no phases"):
        call_command("plan_from_idea", "Export the data", suggested=True, stdout=out, stderr=err)
