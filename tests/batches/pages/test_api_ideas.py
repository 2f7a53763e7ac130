"""The JSON API of ideas: each state in words, what a person's page can do, and the sentences of a refusal."""

import pytest

from batches.models import Idea, Project
from batches.plans.versions import import_plan
from tests.batches import builders
from tests.batches.pages.test_api import Program
from tests.batches.world import ACTOR

pytestmark = pytest.mark.django_db
QUESTIONS = [{"question": "Which format?", "answers": ["JSON", "YAML"]}, {"question": "For whom?", "answers": []}]


@pytest.fixture
def project() -> Project:
    made = builders.make_project("Export")
    made.backend, made.agent_command = "command", "agent"
    made.save()
    return made


@pytest.fixture
def root(project) -> Program:
    return Program(builders.make_user("root"))


def test_an_idea_is_made_asked_about_drafted_revised_and_undone(root, project):
    made = root("POST", "/api/ideas/", {"project": project.slug, "text": "Export the data", "document": "x" * 90_000, "cap_usd": "2.50"})
    assert made.status_code == 201, made.text
    at = f"/api/ideas/{made.json()['idea']}/"
    assert (made.json()["state"], made.json()["cap_usd"], made.json()["plan"]) == ("reading", "2.500000", None)
    Idea.objects.update(wanted="", questions=QUESTIONS)
    assert root("GET", at).json()["state"] == "waiting_for_answers" and root("GET", at).json()["questions"] == QUESTIONS
    drafting = root("POST", at + "answer/", {"answers": ["", "Everybody"]})
    assert (drafting.status_code, drafting.json()["state"], drafting.json()["answers"]) == (202, "drafting", ["JSON", "Everybody"])
    assert "no plan yet" in root("POST", at + "revise/", {"remark": "Less"}).json()["error"]
    first = import_plan(text=builders.PLAN_TEXT, file_name="", project=project, actor=ACTOR)
    Idea.objects.update(wanted="", plan=first)
    whole = root("GET", at).json()
    assert (whole["state"], whole["plan"]["plan"], whole["plan"]["valid"]) == ("drafted", first.pk, True)
    assert "findings" in whole["plan"]["review"]
    assert root("POST", at + "revise/", {"remark": "Less"}).json()["state"] == "revising"
    second = import_plan(text=builders.PLAN_TEXT + "\nMore.\n", file_name="", project=project, actor=ACTOR, edited=first)
    Idea.objects.update(wanted="", plan=second)
    assert root("POST", at + "undo/", {}).json()["plan"]["version"] == 3
    saved = root("GET", f"/api/plans/{second.pk}/").json()
    assert saved["text"].endswith("More.\n") and saved["project"] == project.slug
    assert [one["state"] for one in root("GET", "/api/ideas/").json()["ideas"]] == ["drafted"]


def test_what_is_wrong_is_said_and_nothing_is_kept(root, project):
    for body, status, words in (
        ({"text": "Export"}, 400, "slug of a project"),
        ({"project": project.slug}, 409, "Say what you want"),
        ({"project": project.slug, "text": 5}, 400, "text must be text"),
        ({"project": project.slug, "text": "Export", "cap_usd": "much"}, 400, "US dollars"),
        ({"project": project.slug, "text": "Export", "cap_usd": True}, 400, "US dollars"),
        ({"project": project.slug, "text": "Export", "files": "a.py"}, 400, "list of texts"),
        ({"project": project.slug, "text": "x" * 100_001}, 409, "at most 100,000"),
    ):
        answer = root("POST", "/api/ideas/", body)
        assert answer.status_code == status and words in answer.json()["error"], (body, answer.text)
    assert not Idea.objects.exists()
    idea = builders.make_idea(project, problem="The cap is reached.")
    assert root("GET", f"/api/ideas/{idea.pk}/").json()["state"] == "failed"
    assert root("POST", f"/api/ideas/{idea.pk}/again/", {"cap_usd": 5}).json()["state"] == "reading"
    assert root("POST", f"/api/ideas/{idea.pk}/stop/", {}).status_code == 202
    assert "Nothing is asked" in root("POST", f"/api/ideas/{idea.pk}/answer/", {}).json()["error"]


def test_a_plan_is_answered_with_its_review(root, project):
    found = root("POST", f"/api/plans/validate/?project={project.slug}", builders.PLAN_TEXT).json()
    assert set(found["review"]) == {"needs_work", "findings", "left_out", "new_files", "problem"}
    assert "review" not in root("POST", "/api/plans/validate/", builders.PLAN_TEXT).json()
    assert root("POST", "/api/plans/analyze/?project=nowhere", builders.PLAN_TEXT).status_code == 404
