"""The JSON API: the rights of the token's person, the objects of the commands, refusals as sentences."""

import json
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from batches.accounts import api_tokens
from batches.accounts.actor import Actor
from batches.engine import generation
from batches.models import Idea, Plan, Run, Transition
from batches.pages.urls import urlpatterns
from batches.plans.versions import import_plan
from batches.projects.add_project import create_project
from subagents.open_repository import open_repository
from tests.batches import builders
from tests.batches.accounts.test_users import add
from tests.batches.world import ACTOR

pytestmark = pytest.mark.django_db
PLAN = builders.PLAN_TEXT
# URL, verb, body -> the status for viewer, author, executor and admin; the batch is busy, so that those who may act meet a 409.
TABLE = (
    ("/api/batches/", "GET", None, (200, 200, 200, 200)),
    ("/api/batches/", "POST", {"plan": 0}, (400, 400, 400, 400)),
    ("/api/batches/", "POST", {"plan": "sound"}, (403, 403, 201, 201)),
    ("/api/batches/1/", "GET", None, (200, 200, 200, 200)),
    ("/api/batches/1/report/", "GET", None, (200, 200, 200, 200)),
    ("/api/batches/1/execute/", "POST", {}, (403, 403, 409, 409)),
    ("/api/batches/1/retry/", "POST", {}, (403, 403, 409, 409)),
    ("/api/batches/1/phases/1/accept/", "POST", {"reason": "Read."}, (403, 403, 409, 409)),
    ("/api/batches/1/phases/1/say/", "POST", {"text": "Use the old name."}, (403, 403, 202, 202)),
    ("/api/batches/1/phases/1/answer/", "POST", {"text": "Yes."}, (403, 403, 409, 409)),
    ("/api/batches/1/phases/1/stop/", "POST", {}, (403, 403, 409, 409)),
    ("/api/batches/1/phases/1/transcript/", "GET", None, (200, 200, 200, 200)),
    ("/api/batches/1/cancel/", "POST", {}, (403, 403, 202, 202)),
    ("/api/batches/1/verify/", "GET", None, (200, 200, 200, 200)),
    ("/api/batches/1/verify/", "POST", {}, (403, 403, 409, 409)),
    ("/api/batches/1/verify/stop/", "POST", {}, (403, 403, 409, 409)),
    ("/api/batches/1/plan/", "GET", None, (200, 200, 200, 200)),
    ("/api/batches/1/runs/1/", "GET", None, (200, 200, 200, 200)),
    ("/api/batches/1/phases/1/log/", "GET", None, (200, 200, 200, 200)),
    ("/api/batches/1/diff/", "GET", None, (200, 200, 200, 200)),
    ("/api/batches/1/merge/", "GET", None, (403, 403, 409, 409)),
    ("/api/batches/1/merge/", "POST", {}, (403, 403, 409, 409)),
    ("/api/batches/1/bring-in/", "POST", {}, (403, 403, 409, 409)),
    ("/api/batches/1/judge/", "POST", {}, (403, 403, 409, 409)),
    ("/api/batches/1/pull-request/", "GET", None, (200, 200, 200, 200)),
    ("/api/batches/1/pull-request/", "POST", {}, (403, 403, 409, 409)),
    ("/api/batches/1/pull-request/remarks/", "POST", {}, (403, 403, 409, 409)),
    ("/api/batches/1/review/", "POST", {"moment": "before"}, (403, 403, 409, 409)),
    ("/api/batches/1/context/", "GET", None, (200, 200, 200, 200)),
    ("/api/batches/1/context/", "POST", {}, (403, 403, 409, 409)),
    ("/api/batches/1/context/decide/", "POST", {"accept": True}, (403, 403, 409, 409)),
    ("/api/plans/", "POST", PLAN, (403, 201, 201, 201)),
    ("/api/plans/{plan}/", "GET", None, (200, 200, 200, 200)),
    ("/api/ideas/", "GET", None, (200, 200, 200, 200)),
    ("/api/ideas/", "POST", {"project": "test", "text": "Export it"}, (403, 409, 409, 409)),
    ("/api/ideas/{idea}/", "GET", None, (200, 200, 200, 200)),
    ("/api/ideas/{idea}/answer/", "POST", {}, (403, 409, 409, 409)),
    ("/api/ideas/{idea}/revise/", "POST", {"remark": "Less"}, (403, 409, 409, 409)),
    ("/api/ideas/{idea}/again/", "POST", {}, (403, 409, 409, 409)),
    ("/api/ideas/{idea}/stop/", "POST", {}, (403, 409, 409, 409)),
    ("/api/ideas/{idea}/undo/", "POST", {}, (403, 409, 409, 409)),
    ("/api/plans/validate/", "POST", PLAN, (200, 200, 200, 200)),
    ("/api/plans/analyze/", "POST", PLAN, (200, 200, 200, 200)),
    ("/api/projects/", "GET", None, (200, 200, 200, 200)),
    ("/api/metrics/", "GET", None, (200, 200, 200, 200)),
)


class Program:
    """What sends a token, to a server that insists on CSRF tokens elsewhere."""

    def __init__(self, user, **limits) -> None:
        self.client = Client(enforce_csrf_checks=True)
        made = api_tokens.make_token(name=f"test {len(user.api_tokens.all())}", days=7, actor=Actor.person(user), **limits)
        self.headers = {"Authorization": f"Bearer {made[1]}"}

    def __call__(self, verb: str, path: str, body: object = None):
        text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
        return self.client.generic(verb, path, text.encode(), content_type="text/plain", headers=self.headers)


@pytest.fixture
def batch(repository: Path):
    project = create_project(name="Test", repository=str(repository), actor=ACTOR)
    plan = import_plan(text=PLAN, file_name="plan.md", project=project, actor=ACTOR)
    return generation.generate(plan=plan, project=project, actor=ACTOR)


def named_path(batch, path: str) -> str:
    """The path with the ids of a plan and of an idea that nobody is asked about."""
    idea = Idea.objects.first() or builders.make_idea(batch.project)
    return path.format(plan=batch.plan_id, idea=idea.pk)


@pytest.fixture
def root(batch) -> Program:
    return Program(builders.make_user("root"))


@pytest.mark.long
@pytest.mark.parametrize(("place", "role"), list(enumerate(("viewer", "author", "executor", "admin"))))
def test_every_address_and_verb_asks_for_the_rights_that_the_pages_ask_for(batch, place, role):
    program = Program(add(f"a-{role}", role))
    found = []
    for path, verb, body, statuses in TABLE:
        sent = {"plan": batch.plan_id} if body == {"plan": "sound"} else body
        answer = program(verb, named_path(batch, path), sent)
        assert answer.headers["Content-Type"] == "application/json"
        if answer.status_code != statuses[place]:
            found.append((verb, path, answer.status_code, statuses[place], answer.json()))
    assert not found


@pytest.mark.long
@pytest.mark.parametrize(("place", "scope"), list(enumerate(("read", "plan", "execute", "admin"))))
def test_a_token_may_do_what_its_scope_says_and_never_more_than_its_person(batch, place, scope):
    """A scope of an administrator's token and the role of the same rank may do the same."""
    for role, rank in (("admin", place), ("viewer", 0)):
        program = Program(add(f"a-{role}", role), scope=scope)
        for path, verb, body, statuses in TABLE:
            answer = program(verb, named_path(batch, path), {"plan": batch.plan_id} if body == {"plan": "sound"} else body)
            assert (answer.status_code == 403) == (statuses[rank] == 403), (role, verb, path, answer.json())
    if scope == "read":
        assert "scope is read; this needs a token with the scope execute" in program("POST", "/api/batches/1/cancel/", {}).json()["error"]


def test_a_token_of_a_project_sees_and_reaches_no_other(batch):
    user, other = builders.make_user("root"), builders.make_project("Other")
    inside, outside = Program(user, project=batch.project), Program(user, project=other)
    assert [one["slug"] for one in inside("GET", "/api/projects/").json()["projects"]] == [batch.project.slug]
    assert inside("GET", "/api/batches/1/").status_code == 200 and outside("GET", "/api/batches/1/").status_code == 404
    assert outside("GET", "/api/batches/").json()["count"] == 0 and inside("GET", "/api/batches/").json()["count"] == 1
    assert outside("POST", "/api/batches/1/cancel/", {}).status_code == 404
    assert outside("POST", "/api/batches/", {"plan": batch.plan_id}).status_code == 400
    assert outside("POST", f"/api/plans/?project={batch.project.slug}", PLAN).status_code == 404


def test_no_two_addresses_have_one_name():
    names = [pattern.name for pattern in urlpatterns]
    assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]


def test_the_table_has_every_address_of_the_api():
    routes = [pattern.pattern._route for pattern in urlpatterns if str(pattern.name).startswith("api_")]
    named = {route.replace("<str:key>", "1").replace("<int:run>", "1") for route in routes}
    paths = {route.replace("<int:number>", "1").replace("plans/<int:pk>", "plans/{plan}").replace("<int:pk>", "{idea}") for route in named}
    assert {f"/{path}" for path in paths} == {path for path, *_ in TABLE}


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ce_wrong", "Basic YTpi", "Bearer \x00", "Bearer " + "x" * 5000])
def test_without_a_token_that_works_nothing_is_answered_a_cookie_counts_for_nothing(client, header):
    client.force_login(builders.make_user())
    answer = client.get("/api/batches/", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401 and "Bearer" in answer.headers["WWW-Authenticate"] and "account" in answer.json()["error"]


def test_too_many_bad_tokens_are_answered_with_429_and_how_long(client, db):
    answers = [client.get("/api/batches/", headers={"Authorization": f"Bearer ce_{number}"}) for number in range(api_tokens.BAD_TRIES + 1)]
    assert [one.status_code for one in answers] == [401] * api_tokens.BAD_TRIES + [429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 900


def test_status_is_what_the_command_prints_and_plans_are_read_as_the_commands_read_them(root, batch, tmp_path, capsys):
    call_command("batch_status", batch=batch.number, json=True)
    assert root("GET", "/api/batches/1/").json() == json.loads(capsys.readouterr().out)
    path = tmp_path / "plan.md"
    path.write_text(PLAN)
    call_command("analyze", str(path), "--json")
    assert root("POST", "/api/plans/analyze/", PLAN).json() == json.loads(capsys.readouterr().out)
    faulty = root("POST", "/api/plans/validate/", PLAN.replace("Phase 1\n", "Phase 9\n")).json()
    assert faulty["conflicts"] == [] and not faulty["valid"] and faulty["errors"][0]["line"] > 0 and Plan.objects.count() == 1


def test_a_plan_is_kept_made_a_batch_executed_and_cancelled_in_the_name_of_the_token(root, batch):
    Run.objects.update(state="succeeded", ended_at=timezone.now(), reported_at=timezone.now(), report="All done.")
    open_repository(batch.project.repository).ensure_branch(batch.branch, batch.base_commit)
    assert root("GET", "/api/batches/1/report/").json()["report"] == "All done."
    kept = root("POST", f"/api/plans/?project={batch.project.slug}&file_name=a/b.md", PLAN).json()
    assert kept["valid"] and Plan.objects.get(pk=kept["plan"]).file_name == "b.md"
    assert root("POST", "/api/batches/1/execute/", {"what": "phase:7"}).status_code == 400
    assert root("POST", "/api/batches/1/execute/", {"max_parallel": 0}).status_code == 400
    answer = root("POST", "/api/batches/1/execute/", {"what": "phase:1", "max_parallel": 2, "fail_fast": True})
    run = Run.objects.latest("pk")
    assert (answer.status_code, answer.json()["run"], run.max_parallel, run.fail_fast) == (202, 2, 2, True)
    assert root("POST", "/api/batches/1/execute/").status_code == 409
    assert root("POST", "/api/batches/1/cancel/").status_code == 202
    run.refresh_from_db()
    assert run.cancel_requested and run.cancel_cause == "person:root (token test 0)"
    listed = root("GET", "/api/batches/?q=statistics").json()
    assert [one["batch_id"] for one in listed["batches"]] == [1] and listed["batches"][0]["tokens_used"] is None
    assert not Transition.objects.filter(cause="").exists()


@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        ("POST", "/api/batches/1/execute/", "{", 400),
        ("POST", "/api/batches/1/execute/", "[]", 400),
        ("POST", "/api/batches/1/execute/", '{"unknown": 1}', 400),
        ("POST", "/api/batches/1/execute/", '{"budget_usd": NaN}', 400),
        ("POST", "/api/batches/1/execute/", "[" * 50_000, 400),
        ("POST", "/api/batches/1/execute/", " " * 70_000, 413),
        ("POST", "/api/batches/1/retry/", '{"phases": "1"}', 400),
        ("POST", "/api/batches/", '{"plan": true}', 400),
        ("POST", "/api/batches/", '{"plan": %s}' % 10**30, 400),
        ("DELETE", "/api/batches/1/", None, 405),
        ("GET", "/api/batches/999/", None, 404),
        ("GET", "/api/nowhere/", None, 404),
        ("GET", "/api/metrics/?period=8", None, 400),
        ("POST", "/api/plans/", None, 400),
        ("POST", "/api/plans/", "x" * 1_000_001, 413),
        ("POST", "/api/plans/?project=nowhere", PLAN, 404),
        ("POST", "/api/plans/", "\0", 409),
    ],
)
def test_what_cannot_be_used_is_a_sentence(root, verb, path, body, status):
    answer = root(verb, path, body)
    assert answer.status_code == status and len(answer.json()["error"]) > 10


@pytest.mark.parametrize("project", [5, "nowhere", "\0", "\ud800", ["test"], {"slug": "test"}, True, False])
def test_a_batch_in_a_project_that_is_not_there_is_refused(root, batch, project):
    answer = root("POST", "/api/batches/", {"plan": batch.plan.pk, "project": project})
    assert answer.status_code in (400, 404) and len(answer.json()["error"]) > 10
    assert batch.plan.batches.count() == 1
