"""The pages of an idea: what was typed is never lost, each state has words and a way out, and viewers only look."""

from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from django.utils.html import escape

from batches.models import Idea, Project
from tests.batches import builders
from tests.batches.linear_server import TOKEN, LinearServer

pytestmark = pytest.mark.django_db

QUESTIONS = [{"question": "Which format?", "answers": ["JSON", "YAML"]}, {"question": "For whom?", "answers": []}]


@pytest.fixture
def ada(client):
    user = builders.make_user()
    client.force_login(user)
    return user


@pytest.fixture
def project() -> Project:
    made = builders.make_project("Export")
    made.backend, made.agent_command = "command", "agent"
    made.save()
    return made


def send(client, project: Project, **fields: object):
    return client.post("/plans/idea/", {"project": project.pk, "text": "Export the data", **fields})


def test_an_idea_is_kept_and_its_page_says_what_happens(client, ada, project):
    spec = SimpleUploadedFile("spec.md", b"\xef\xbb\xbfAll of it")
    answer = send(client, project, file=spec, cap_usd="2.50")
    idea = Idea.objects.get()
    assert answer["Location"] == f"/plans/ideas/{idea.pk}/" and idea.wanted == "questions"
    assert (idea.source, idea.document, str(idea.cap_usd)) == ("spec.md", "All of it", "2.500000")
    page = client.get(answer["Location"]).text
    assert "Waiting for a free slot." in page and 'value="stop"' in page and "$2.50" in page


def test_a_form_that_is_sent_twice_is_one_idea_and_with_other_words_another(client, ada, project):
    form = uuid4()
    first, again, other = (send(client, project, sent=form, **more) for more in ({}, {}, {"text": "Import the data"}))
    assert first.url == again.url != other.url and Idea.objects.count() == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text": " ", "document": ""}, "Say what you want"),
        ({"translate": "on", "document": ""}, "Upload or paste the document."),
        ({"text": "x" * 100_001}, "at most 100,000"),
        ({"cap_usd": "0"}, "greater than or equal to 0.01"),
        ({"file": SimpleUploadedFile("spec.pdf", b"\xff\xfe\x00")}, "is not text in UTF-8"),
    ],
)
def test_a_refusal_shows_again_what_was_typed(client, ada, project, fields, words):
    fields = {"document": "My document"} | fields
    answer = send(client, project, **fields)
    assert answer.status_code == 400 and words in answer.text and not Idea.objects.exists()
    assert fields["document"] in answer.text and fields.get("text", "Export the data")[:50] in answer.text


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("https://linear.app/test/issue/ENG-1/export-it", ""),
        ("ENG-1", ""),
        ("https://linear.app/test/issue/ENG-9", "no issue ENG-9"),
        ("https://linear.app/test/issue/OPS-1", "not of the team ENG"),
        ("https://example.com/issues/1", "no link to a Linear issue"),
    ],
)
def test_a_linear_issue_of_the_projects_team_is_read_and_no_other(client, ada, project, settings, link, words):
    server = LinearServer()
    said = [{"body": "Or YAML.", "createdAt": "2", "user": {"name": "Bob"}}, {"body": "Why?", "createdAt": "1", "user": None}]
    made = {"id": "one", "teamId": "team-1", "title": "Export it", "description": "As JSON.\r\nSoon.", "comments": {"nodes": said}}
    server.made({"input": made})
    with server.serve() as settings.CE_LINEAR_URL:
        settings.LINEAR_API_KEY = TOKEN
        assert "has no Linear team" in send(client, project, issue=link).text
        Project.objects.update(linear_team="ENG")
        answer = send(client, project, issue=link, document="More.")
    if words:
        assert words in answer.text and "Paste its text instead" in answer.text and "More." in answer.text
    else:
        idea = Idea.objects.get()
        assert idea.source == "ENG-1"
        assert idea.document.startswith("# ENG-1: Export it\n\nAs JSON.\nSoon.\n\n## Somebody says\n\nWhy?\n\n")
        assert idea.document.endswith("## Bob says\n\nOr YAML.\n\nMore.")


def test_without_a_model_the_page_says_so_and_offers_the_editor(client, ada, project):
    Project.objects.update(backend="steps")
    page = client.get("/plans/idea/").text
    assert "which uses no model" in page and 'href="/plans/new/' in page and "disabled" in page
    answer = send(client, project)
    assert answer.status_code == 400 and "which uses no model" in answer.text and "Export the data" in answer.text


def test_questions_are_answered_in_the_page_or_skipped(client, ada, project):
    first, second = (builders.make_idea(project, questions=QUESTIONS) for _ in range(2))
    page = client.get(f"/plans/ideas/{first.pk}/").text
    assert page.count('type="radio"') == 2 and "Draft with the suggested answers" in page
    client.post(f"/plans/ideas/{first.pk}/", {"action": "answer", "answer-0": "YAML", "own-1": "Only me"})
    client.post(f"/plans/ideas/{second.pk}/", {"action": "suggested", "answer-0": "YAML"})
    assert list(Idea.objects.order_by("pk").values_list("answers", "wanted")) == [
        (["YAML", "Only me"], "plan"),
        (["JSON", "Decide it yourself."], "plan"),
    ]
    again = client.post(f"/plans/ideas/{first.pk}/", {"action": "answer"}, follow=True)
    assert "it has been answered" in again.text


def test_a_problem_is_told_with_the_ways_out_and_a_raised_cap(client, ada, project):
    idea = builders.make_idea(project, problem="The agent's plan has no phases.", questions=QUESTIONS, answers=["a", "b"])
    page = client.get(f"/plans/ideas/{idea.pk}/").text
    assert escape("The agent's plan has no phases.") in page and "Try again" in page
    assert idea.text in client.get(f"/plans/new/?idea={idea.pk}").text
    assert "at least 0.01" in client.post(f"/plans/ideas/{idea.pk}/", {"action": "again", "cap_usd": "x"}, follow=True).text
    client.post(f"/plans/ideas/{idea.pk}/", {"action": "again", "cap_usd": "3"})
    idea.refresh_from_db()
    assert (idea.wanted, idea.problem, idea.cap_usd) == ("plan", "", 3)


def test_a_cost_that_no_agent_reports_is_unknown_and_not_zero(client, ada, project):
    idea = builders.make_idea(project, questions=QUESTIONS)
    assert "spent $0.00" in client.get(f"/plans/ideas/{idea.pk}/").text
    now = timezone.now()
    common = {"token": "t", "host": "h", "directory": "/d", "checkout": "/c", "base_commit": "c", "spec": {}, "launched_clock": 1}
    idea.attempts.create(number=1, asked_for="questions", launched_at=now, ended_at=now, outcome="succeeded", **common)
    assert "spent —" in client.get(f"/plans/ideas/{idea.pk}/").text
    idea.attempts.update(cost_usd="0.25")
    assert "spent $0.25" in client.get(f"/plans/ideas/{idea.pk}/").text


def test_a_draft_shows_its_notes_its_versions_and_its_account(client, ada, project):
    plan = builders.make_plan(project=project)
    later = builders.make_plan(builders.PLAN_TEXT + "\nMore\n", project=project, first_version=plan, version=2)
    account = [{"line": 3, "end_line": 4, "text": "Hello", "became": "", "why": "A greeting."}]
    idea = builders.make_idea(project, plan=later, notes=["Phase 1: lost.py is not in the repository"], account=account)
    page = client.get(f"/plans/ideas/{idea.pk}/").text
    assert "lost.py is not in the repository" in page and "Version 1 to version 2" in page and "A greeting." in page
    assert "lost.py" in client.get(f"/plans/{plan.pk}/edit/").text
    client.post(f"/plans/ideas/{idea.pk}/", {"action": "undo"})
    idea.refresh_from_db()
    assert (idea.plan.version, idea.plan.text) == (3, plan.text)
    client.post(f"/plans/ideas/{idea.pk}/", {"action": "revise", "remark": "Less"})
    idea.refresh_from_db()
    assert (idea.wanted, idea.remark) == ("revision", "Less")


def test_a_poll_leads_to_the_editor_once_the_first_draft_is_there(client, ada, project):
    idea = builders.make_idea(project, wanted="plan")
    headers = {"HX-Request": "true"}
    assert 'id="idea-progress"' in client.get(f"/plans/ideas/{idea.pk}/", headers=headers).text
    plan = builders.make_plan(project=project)
    Idea.objects.update(wanted="", plan=plan)
    assert client.get(f"/plans/ideas/{idea.pk}/", headers=headers)["HX-Redirect"] == f"/plans/{plan.pk}/edit/"


def test_a_viewer_sees_an_idea_and_has_no_button(client, project):
    client.force_login(builders.make_user("vera", admin=False))
    idea = builders.make_idea(project, questions=QUESTIONS)
    page = client.get(f"/plans/ideas/{idea.pk}/").text
    assert "Which format?" in page and 'name="action"' not in page
    assert client.post(f"/plans/ideas/{idea.pk}/", {"action": "suggested"}).status_code == 403
    assert client.get("/plans/idea/").status_code == 403
