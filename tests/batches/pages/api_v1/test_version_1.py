"""Version 1 of the API: what every address shares, and what each may be asked by whom."""

import json
from pathlib import Path

import pytest
from django.test import Client
from django.urls import resolve

from batches.engine import generation
from batches.pages.api_urls import urlpatterns as old_addresses
from batches.pages.api_v1.application import document
from batches.pages.api_v1.urls import urlpatterns
from batches.plans.services import import_plan
from batches.projects.services import create_project
from tests.batches import builders
from tests.batches.accounts.test_users import add
from tests.batches.pages.api_v1.program import Program
from tests.batches.world import ACTOR

pytestmark = pytest.mark.django_db
# Address, verb, body -> the status for viewer, author, executor and admin; the batch is busy, so that those who may act meet a 409.
TABLE = (
    ("/projects/", "GET", None, (200, 200, 200, 200)),
    ("/projects/test/", "GET", None, (200, 200, 200, 200)),
    ("/batches/", "GET", None, (200, 200, 200, 200)),
    ("/batches/1/", "GET", None, (200, 200, 200, 200)),
    ("/metrics/", "GET", None, (200, 200, 200, 200)),
)


@pytest.fixture
def batch(repository: Path):
    project = create_project(name="Test", repository=str(repository), actor=ACTOR)
    plan = import_plan(text=builders.PLAN_TEXT, file_name="plan.md", project=project, actor=ACTOR)
    return generation.generate(plan=plan, project=project, actor=ACTOR)


@pytest.fixture
def root(db) -> Program:
    return Program(builders.make_user("root"))


@pytest.mark.long
@pytest.mark.parametrize(("place", "role"), list(enumerate(("viewer", "author", "executor", "admin"))))
def test_every_address_asks_for_the_rights_that_the_pages_ask_for(batch, place, role):
    program, found = Program(add(f"a-{role}", role)), []
    for path, verb, body, statuses in TABLE:
        answer = program(verb, path, body)
        if answer.status_code != statuses[place]:
            found.append((verb, path, answer.status_code, statuses[place], answer.content))
    assert not found


def test_the_table_has_every_address():
    asked = {(verb.lower(), resolve(f"/api/v1{path}").url_name) for path, verb, *_ in TABLE}
    there = {(verb.lower(), pattern.name) for pattern in urlpatterns if pattern.name != "openapi" for verb in pattern.callback.verbs}
    assert there == asked


def test_every_operation_is_in_the_document_once_with_examples():
    names = [operation["operationId"] for path in document()["paths"].values() for operation in path.values()]
    assert len(set(names)) == len(names) == len({(verb, path) for path, verb, *_ in TABLE})
    assert document()["openapi"].startswith("3.1")
    shapes = document()["components"]["schemas"]
    assert shapes["BatchStatus"]["properties"]["batch_id"]["examples"] == [44]


def test_anybody_may_read_the_document(client):
    answer = client.get("/api/v1/openapi.json")
    assert answer.status_code == 200 and answer.json()["info"]["title"] == "CE Web"


@pytest.mark.parametrize(
    ("verb", "path", "status", "said"),
    [
        ("GET", "/batches/?view=nowhere", 400, "view: Input should be 'all'"),
        ("GET", "/batches/?project=nowhere", 400, "There is no project 'nowhere'"),
        ("GET", "/metrics/?project=nowhere", 400, "There is no project 'nowhere'"),
        ("GET", "/batches/?page=2", 400, "Unknown parameters: page. Known: cursor"),
        ("GET", "/batches/?cursor=MQ==", 400, "cursor must be"),
        ("GET", "/batches/?cursor=%C3%A9", 400, "cursor must be"),
        ("GET", "/batches/?limit=0", 400, "limit: Input should be greater than or equal to 1"),
        ("GET", "/batches/?limit=201", 400, "limit: Input should be less than"),
        ("GET", "/batches/999/", 404, "Not found."),
        ("GET", "/batches/99999999999/", 400, "number: Input should be less than"),
        ("DELETE", "/batches/1/", 405, "This address takes GET, not DELETE."),
        ("GET", "/metrics/?period=8", 400, "There is no period '8'"),
    ],
)
def test_what_is_wrong_is_a_problem_with_a_sentence(root, verb, path, status, said):
    answer = root(verb, path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert said in answer.json()["detail"] and answer.json()["status"] == status


@pytest.mark.parametrize("path", ["nowhere/", "batches/0x1/", "batches/?q=%00"])
def test_an_address_that_is_none_is_a_problem_too(client, path):
    answer = client.get(f"/api/v1/{path}")
    assert answer.status_code in (400, 404) and answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("header", ["", "Bearer ce_wrong", "Basic YTpi"])
def test_without_a_token_nothing_is_answered_and_a_cookie_counts_for_nothing(client: Client, header):
    client.force_login(builders.make_user())
    answer = client.get("/api/v1/batches/", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401 and "Bearer" in answer.headers["WWW-Authenticate"]
    assert "Your account" in answer.json()["detail"] and answer.headers["Content-Type"] == "application/problem+json"


def test_a_token_of_a_project_sees_no_other():
    batch, other = builders.failed_batch(), builders.make_project("Other")
    inside, outside = (Program(builders.make_user(f"root-{of.slug}"), project=of) for of in (batch.project, other))
    assert inside("GET", f"/batches/{batch.number}/").status_code == 200
    assert outside("GET", f"/batches/{batch.number}/").status_code == 404
    assert outside("GET", "/batches/").json()["items"] == []
    assert outside("GET", f"/batches/?project={batch.project.slug}").status_code == 400
    assert outside("GET", f"/projects/{batch.project.slug}/").status_code == 404


def test_a_list_comes_in_parts_and_what_comes_meanwhile_moves_nothing(root):
    batches = [builders.failed_batch() for _ in range(3)]
    first = root("GET", "/batches/?limit=2").json()
    builders.failed_batch(project=batches[0].project)
    second = root("GET", f"/batches/?limit=2&cursor={first['next']}").json()
    assert [one["batch_id"] for one in first["items"] + second["items"]] == [one.number for one in reversed(batches)]
    assert first["next"] and second["next"] is None


def test_an_answer_that_a_program_has_is_not_sent_again(root):
    batch = builders.finished_batch()
    first = root("GET", f"/batches/{batch.number}/")
    again = root("GET", f"/batches/{batch.number}/", If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    batch.conflicts.all().delete()
    type(batch).objects.filter(pk=batch.pk).update(title="Another title")
    assert root("GET", f"/batches/{batch.number}/", If_None_Match=first.headers["ETag"]).status_code == 200


def test_both_versions_say_the_same_and_the_old_one_names_the_new(root, client):
    batch = builders.failed_batch()
    sent = {"Authorization": f"Bearer {root.token}"}
    old = client.get(f"/api/batches/{batch.number}/", headers=sent)
    assert old.json() == root("GET", f"/batches/{batch.number}/").json()
    assert old.headers["Deprecation"] == "@1795824000"
    assert old.headers["Link"] == f'</api/v1/batches/{batch.number}/>; rel="successor-version"'
    assert "Deprecation" not in root("GET", f"/batches/{batch.number}/").headers


def test_the_document_is_plain_json():
    assert json.loads(json.dumps(document())) == document()
    assert len(old_addresses) > 30
