"""Version 1 of the API: what every address shares, and what each may be asked by whom."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.urls import resolve
from django.utils import timezone

from batches.core.errors import ServiceError
from batches.engine import generation
from batches.models import AuditEvent, Batch, Gate, Idea, KeptAnswer, Plan, Run
from batches.pages.api.urls import urlpatterns as old_addresses
from batches.pages.api_v1 import events
from batches.pages.api_v1.application import document
from batches.pages.api_v1.urls import urlpatterns
from batches.plans.versions import import_plan
from batches.projects.add_project import create_project
from batches.runs.busy_or_archived import refuse_archived
from tests.batches import builders
from tests.batches.accounts.test_users import add
from tests.batches.pages.api_v1.program import Program, let_go
from tests.batches.world import ACTOR

pytestmark = pytest.mark.django_db
# Address, verb, body -> the status for viewer, author, executor and admin; the batch is busy, so that those who may act meet a 409.
PLAN = builders.PLAN_TEXT
READ = (200, 200, 200, 200)
TABLE = (
    ("/projects/", "GET", None, READ),
    ("/projects/test/", "GET", None, READ),
    ("/projects/test/settings/", "GET", None, (403, 403, 403, 200)),
    ("/projects/test/settings/", "PUT", {"settings": {"fail_fast": True}}, (403, 403, 403, 200)),
    ("/projects/test/members/", "GET", None, (403, 403, 403, 200)),
    ("/projects/test/members/", "PUT", {"user": "nobody", "role": "viewer"}, (403, 403, 403, 400)),
    ("/projects/test/members/1/", "DELETE", None, (403, 403, 403, 404)),
    ("/projects/test/", "DELETE", None, (403, 403, 403, 409)),
    ("/projects/test/archive/", "PUT", None, (403, 403, 403, 409)),
    ("/projects/test/archive/", "DELETE", None, (403, 403, 403, 200)),
    ("/projects/test/webhook/", "GET", None, (403, 403, 403, 200)),
    ("/projects/test/webhook/", "PUT", {"url": "https://hooks.example.org/ce"}, (403, 403, 403, 200)),
    ("/projects/test/webhook/", "DELETE", None, (403, 403, 403, 200)),
    ("/projects/test/webhook/test/", "POST", None, (403, 403, 403, 409)),
    ("/projects/test/notifications/", "GET", None, (403, 403, 403, 200)),
    ("/plans/", "GET", None, READ),
    ("/plans/", "POST", PLAN, (403, 201, 201, 201)),
    ("/plans/{plan}/", "GET", None, READ),
    ("/plans/{plan}/", "DELETE", None, (403, 403, 403, 409)),
    ("/plans/validate/", "POST", PLAN, READ),
    ("/plans/analyze/", "POST", PLAN, READ),
    ("/ideas/", "GET", None, READ),
    ("/ideas/", "POST", {"project": "test", "text": "Export it"}, (403, 409, 409, 409)),
    ("/ideas/{idea}/", "GET", None, READ),
    ("/ideas/{idea}/answer/", "POST", {}, (403, 409, 409, 409)),
    ("/ideas/{idea}/revise/", "POST", {"remark": "Less"}, (403, 409, 409, 409)),
    ("/ideas/{idea}/again/", "POST", {}, (403, 409, 409, 409)),
    ("/ideas/{idea}/stop/", "POST", None, (403, 409, 409, 409)),
    ("/ideas/{idea}/undo/", "POST", None, (403, 409, 409, 409)),
    ("/batches/", "GET", None, READ),
    ("/batches/", "POST", {"plan": "sound"}, (403, 403, 201, 201)),
    ("/batches/1/", "GET", None, READ),
    ("/batches/1/", "DELETE", None, (403, 403, 403, 409)),
    ("/batches/1/archive/", "PUT", None, (403, 403, 403, 409)),
    ("/batches/1/archive/", "DELETE", None, (403, 403, 403, 200)),
    ("/batches/1/plan/", "GET", None, READ),
    ("/batches/1/report/", "GET", None, READ),
    ("/batches/1/events/", "GET", None, READ),
    ("/batches/1/runs/", "GET", None, READ),
    ("/batches/1/runs/1/", "GET", None, READ),
    ("/batches/1/execute/", "POST", {}, (403, 403, 409, 409)),
    ("/batches/1/preview/", "POST", {}, (403, 403, 200, 200)),
    ("/batches/1/try-now/", "POST", None, (403, 403, 409, 409)),
    ("/batches/1/retry/", "POST", {}, (403, 403, 409, 409)),
    ("/batches/1/cancel/", "POST", None, (403, 403, 202, 202)),
    ("/batches/1/diff/", "GET", None, READ),
    ("/batches/1/verify/", "GET", None, READ),
    ("/batches/1/verify/", "POST", None, (403, 403, 409, 409)),
    ("/batches/1/verify/stop/", "POST", None, (403, 403, 409, 409)),
    ("/batches/1/review/", "POST", {}, (403, 403, 409, 409)),
    ("/batches/1/context/", "POST", None, (403, 403, 409, 409)),
    ("/batches/1/context/", "GET", None, READ),
    ("/batches/1/context/decide/", "POST", {"accept": True}, (403, 403, 409, 409)),
    ("/batches/1/bring-in/", "POST", None, (403, 403, 409, 409)),
    ("/batches/1/judge/", "POST", None, (403, 403, 409, 409)),
    ("/batches/1/merge/", "GET", None, (403, 403, 409, 409)),
    ("/batches/1/merge/", "POST", {}, (403, 403, 409, 409)),
    ("/batches/1/pull-request/", "GET", None, READ),
    ("/batches/1/pull-request/", "POST", {}, (403, 403, 409, 409)),
    ("/batches/1/pull-request/remarks/", "POST", {}, (403, 403, 409, 409)),
    ("/batches/1/phases/", "GET", None, READ),
    ("/batches/1/phases/1/", "GET", None, READ),
    ("/batches/1/phases/1/attempts/", "GET", None, READ),
    ("/batches/1/phases/1/log/", "GET", None, READ),
    ("/batches/1/phases/1/transcript/", "GET", None, READ),
    ("/batches/1/questions/", "GET", None, READ),
    ("/batches/1/phases/1/say/", "POST", {"text": "Use the old name."}, (403, 403, 202, 202)),
    ("/batches/1/phases/1/answer/", "POST", {"text": "Yes."}, (403, 403, 409, 409)),
    ("/batches/1/phases/1/stop/", "POST", None, (403, 403, 409, 409)),
    ("/batches/1/phases/1/accept/", "POST", {"reason": "Read."}, (403, 403, 409, 409)),
    ("/batches/1/gates/", "GET", None, READ),
    ("/batches/1/gates/{gate}/sign-off/", "POST", {"reason": "Read."}, (403, 403, 409, 409)),
    ("/batches/1/reviews/", "GET", None, READ),
    ("/metrics/", "GET", None, READ),
)


def named(batch, path: str) -> str:
    idea = Idea.objects.first() or builders.make_idea(batch.project)
    return path.format(plan=batch.plan_id, idea=idea.pk, gate=Gate.objects.filter(phase__batch=batch).order_by("pk").first().pk)


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
        answer = program(verb, named(batch, path), {"plan": batch.plan_id} if body == {"plan": "sound"} else body)
        if answer.status_code != statuses[place]:
            found.append((verb, path, answer.status_code, statuses[place], getattr(answer, "content", "")))
        with let_go(answer):
            pass
    assert not found


def test_the_table_has_every_address():
    asked = {(verb.lower(), resolve(f"/api/v1{path.format(plan=1, idea=1, gate=1)}").url_name) for path, verb, *_ in TABLE}
    there = {(verb.lower(), pattern.name) for pattern in urlpatterns if pattern.name != "openapi" for verb in pattern.callback.verbs}
    assert there == asked


def test_every_operation_is_in_the_document_once_with_examples():
    names = [operation["operationId"] for path in document()["paths"].values() for operation in path.values()]
    assert len(set(names)) == len(names) == len({(verb, path) for path, verb, *_ in TABLE})
    assert document()["openapi"].startswith("3.1")
    shapes = document()["components"]["schemas"]
    assert shapes["BatchStatus"]["properties"]["batch_id"]["examples"] == [44]


def test_settings_and_members_are_changed_as_their_pages_change_them(root, batch):
    def change(status: int = 200, **settings: object) -> object:
        answer = root("PUT", "/projects/test/settings/", {"settings": settings})
        assert answer.status_code == status, answer.content
        return answer.json()

    before = root("GET", "/projects/test/settings/").json()["settings"]
    wanted = {"budget_usd": "2.5", "network": "all", "web_fetch": True, "members_only": True}
    wanted |= {"protected_paths": " a/ \n", "standard_gates": []}
    after = change(**wanted)["settings"]
    assert after == before | wanted | {"budget_usd": "2.500000", "protected_paths": "a/"}
    for settings, said in (
        ({"web_fetch": True, "network": "none"}, "web_fetch: The sandbox has no network"),
        ({"fail_fast": "false"}, "fail_fast must be true or false."),
        ({"max_parallel": True}, "max_parallel must be a number or null."),
        ({"max_parallel": 0, "model": "x y"}, "max_parallel: "),
        ({"forge_token": "secret"}, "There is no setting forge_token."),
        ({"name": 3}, "name must be text."),
        ({"standard_gates": "all"}, "standard_gates must be a list."),
    ):
        assert said in change(400, **settings)["detail"], settings
    assert root("GET", "/projects/test/settings/").json()["settings"] == after

    add("ada", "viewer")
    made = root("PUT", "/projects/test/members/", {"user": "ada", "role": "author"}).json()
    assert root("PUT", "/projects/test/members/", {"user": "ada", "role": "executor"}).json() == made | {"role": "executor"}
    assert [(one["user"], one["role"]) for one in root("GET", "/projects/test/members/").json()["items"]] == [("ada", "executor")]
    assert root("PUT", "/projects/test/members/", {"role": "author"}).status_code == 400
    assert root("PUT", "/projects/test/members/", {"team": "admin", "role": "author"}).status_code == 409
    assert root("DELETE", f"/projects/test/members/{made['member']}/").json()["role"] == "executor"
    assert root("GET", "/projects/test/members/").json()["items"] == []


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
        *(("GET", f"/batches/?limit={sent}", 400, "limit: Input should be a whole number in digits") for sent in ("3.0", "1_0", "ten", "")),
        ("GET", "/batches/?limit=201", 400, "limit: Input should be less than"),
        ("GET", "/batches/999/", 404, "Not found."),
        ("GET", "/batches/99999999999/", 400, "number: Input should be less than"),
        ("DELETE", "/metrics/", 405, "This address takes GET, not DELETE."),
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


def test_every_old_address_has_a_successor_with_its_methods():
    for pattern in old_addresses:
        old = "/" + re.sub(r"<\w+:\w+>", "1", pattern.pattern._route)
        assert set(pattern.callback.methods) <= set(resolve(old.replace("/api/", "/api/v1/", 1)).func.verbs), old


def test_an_address_without_a_successor_is_not_called_deprecated(root, client, monkeypatch):
    sent = {"Authorization": f"Bearer {root.token}"}
    assert client.get("/api/projects/", headers=sent).headers["Link"].startswith("</api/v1/projects/>")
    monkeypatch.setattr("batches.pages.api.endpoint.resolve", lambda path: resolve("/nowhere/at/all/"))
    assert "Deprecation" not in client.get("/api/projects/", headers=sent).headers


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/batches/1/retry/", {"phases": "1"}, "phases: Input should be a valid list"),
        ("/batches/1/retry/", {"unknown": 1}, "unknown: Extra inputs are not permitted"),
        ("/batches/", {}, "plan: Field required"),
        ("/batches/", {"plan": True}, "plan: Input should be a valid integer"),
        ("/batches/", {"plan": 999}, "plan must be the id"),
        ("/batches/1/execute/", {"max_parallel": 0}, "max_parallel: Input should be greater than or equal to 1"),
        ("/batches/1/review/", {"moment": "never"}, "moment: Input should be 'before'"),
        ("/plans/", "", "The body must be the plan"),
        ("/plans/?project=nowhere", PLAN, "There is no project"),
    ],
)
def test_a_body_that_is_wrong_is_a_problem_with_a_sentence(root, path, body, said):
    builders.failed_batch()
    answer = root("POST", path, body)
    assert answer.status_code == 400 and said in answer.json()["detail"]


def test_the_same_request_with_its_key_is_done_once(root):
    first = root("POST", "/plans/", PLAN, Idempotency_Key="one")
    again = root("POST", "/plans/", PLAN, Idempotency_Key="one")
    assert (again.status_code, again.json()) == (201, first.json()) and again.headers["Idempotency-Replayed"] == "true"
    assert Plan.objects.count() == 1
    other = root("POST", "/plans/?file_name=b.md", PLAN, Idempotency_Key="one")
    assert other.status_code == 400 and "another request" in other.json()["detail"]
    assert root("POST", "/plans/", PLAN, Idempotency_Key="two").status_code == 201 and Plan.objects.count() == 2
    assert Program(builders.make_user("other"))("POST", "/plans/", PLAN, Idempotency_Key="one").json()["plan"] != first.json()["plan"]


def test_a_key_whose_request_was_refused_is_free_and_one_that_was_lost_is_not(root):
    assert root("POST", "/batches/", {"plan": 999}, Idempotency_Key="one").status_code == 400
    assert not KeptAnswer.objects.exists()
    root("POST", "/plans/", PLAN, Idempotency_Key="one")
    KeptAnswer.objects.update(status=None)
    lost = root("POST", "/plans/", PLAN, Idempotency_Key="one")
    assert lost.status_code == 409 and "look before you ask again" in lost.json()["detail"]
    KeptAnswer.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert root("POST", "/plans/", PLAN, Idempotency_Key="one").status_code == 201


def test_a_batch_and_a_project_are_archived_and_brought_back(root, batch):
    Run.objects.update(state="succeeded", ended_at=timezone.now())
    for path, name, row in (("/batches/1/archive/", "batch 1", batch), ("/projects/test/archive/", "Test", batch.project)):
        for _ in range(2):  # again is no fault
            told = root("PUT", path).json()
            row.refresh_from_db()
            assert (told["name"], told["archived"]) == (name, True) and row.archived_at is not None and told["archived_at"]
        with pytest.raises(ServiceError, match="is archived, so nothing starts there"):
            refuse_archived(Batch.objects.get())
        assert root("DELETE", path).json() == {"name": name, "archived": False, "archived_at": None}
    told = ["Archived batch 1", "Brought back batch 1", "Archived Test", "Brought back Test"]
    assert list(AuditEvent.objects.filter(what__in=told).order_by("pk").values_list("what", flat=True)) == told


def test_the_webhook_is_set_tried_and_deleted_and_its_address_is_never_told(root):
    batch = builders.failed_batch()
    base = f"/projects/{batch.project.slug}/webhook/"
    assert root("GET", base).json()["set"] is False
    assert root("PUT", base, {"url": "https://hooks.example.org/secret", "format": "slack"}).json()["set"] is True
    assert "secret" not in root("GET", base).content.decode() and root("GET", base).json()["format"] == "slack"
    assert root("PUT", base, {"url": "http://hooks.example.org/"}).status_code == 409
    assert root("DELETE", base).json()["set"] is False


def test_gates_say_what_was_found_and_by_whom(root):
    batch = builders.failed_batch()
    found = root("GET", f"/batches/{batch.number}/gates/").json()["gates"]
    assert {one["state"] for one in found} >= {"passed", "failed"}
    failed = root("GET", f"/batches/{batch.number}/gates/?state=failed&phase=2a").json()["gates"]
    assert failed and all(one["state"] == "failed" and one["phase"] == "2a" for one in failed)
    assert root("GET", f"/batches/{batch.number}/gates/?phase=9").status_code == 404


def test_reviews_tell_their_findings(root):
    batch = builders.failed_batch()
    builders.make_review(batch, "before", "needs_revision")
    found = root("GET", f"/batches/{batch.number}/reviews/").json()["items"]
    assert found[0]["verdict"] == "needs_revision" and found[0]["passes"] is False


def test_a_stream_tells_the_state_now_and_each_change_and_ends_with_the_run(root):
    batch = builders.failed_batch()
    Run.objects.filter(batch=batch).update(reported_at=timezone.now())
    with let_go(root("GET", f"/batches/{batch.number}/events/")) as answer:
        told = b"".join(answer.streaming_content).decode()
    names = re.findall(r"^event: (.*)$", told, re.MULTILINE)
    assert names == ["batch", "end"] and answer.headers["Content-Type"] == "text/event-stream"
    data = json.loads(re.search(r"^data: (.*)$", told, re.MULTILINE).group(1))
    assert data == root("GET", f"/batches/{batch.number}/").json()
    last = re.findall(r"^id: (.*)$", told, re.MULTILINE)[0]
    with let_go(root("GET", f"/batches/{batch.number}/events/", Last_Event_ID=last)) as answer:
        assert re.findall(r"^event: (.*)$", b"".join(answer.streaming_content).decode(), re.MULTILINE) == ["end"]


def test_a_stream_of_a_running_batch_tells_each_change_and_ends_in_time(root):
    batch = builders.make_batch(states={"1": "running", "2a": "pending", "2b": "pending", "3": "pending"}, run_state="running")
    moments = iter([0.0, 1.0, 2.0, 1e9])

    def rest(_seconds: float) -> None:
        type(batch).objects.bump(batch.pk)

    stream = events.Stream(batch, "", clock=lambda: next(moments), rest=rest)
    events._free.acquire()
    told = b"".join(stream).decode()
    stream.close()
    assert told.count("event: batch") == 3 and "event: end" not in told and "\n: still here" in told


def test_only_some_threads_hold_streams_and_each_gives_its_place_back(root):
    batch = builders.failed_batch()
    held = [root("GET", f"/batches/{batch.number}/events/") for _ in range(events.STREAMS)]
    refused = root("GET", f"/batches/{batch.number}/events/")
    assert refused.status_code == 503 and refused.headers["Retry-After"] == "10"
    for one in held:
        with let_go(one):
            pass
    with let_go(root("GET", f"/batches/{batch.number}/events/")) as answer:
        assert answer.status_code == 200
def test_the_document_is_plain_json():
    assert json.loads(json.dumps(document())) == document()
