"""The installation's settings: for administrators alone, each change with a name, and a key that is shown to nobody again."""

import http.server
import threading
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import connection

from batches.accounts.actor import Actor
from batches.integrations import api_keys
from batches.integrations.api_key_test import try_api_key
from batches.integrations.installation_settings import keep_api_key
from batches.models import Installation, SettingChange
from batches.pages.plans.execute_form import Execute
from batches.projects.add_project import create_project
from tests.batches import builders
from tests.local_server import LocalServer, serving

pytestmark = pytest.mark.django_db

KEY = "fake-key-of-a-test-0123456789-tail"
ADDRESSES = ("/settings/", "/settings/key/", "/settings/key/forget/", "/settings/key/try/")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    for name in ("ANTHROPIC_API_KEY", "CE_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def admin(client):
    user = builders.make_user("root", admin=False)
    user.groups.add(Group.objects.get(name="admin"))
    client.force_login(user)
    return user


@pytest.mark.parametrize("role", ["viewer", "author", "executor"])
def test_nobody_else_sees_or_changes_them(client, role):
    user = builders.make_user(role, admin=False)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    assert 'href="/settings/"' not in client.get("/projects/").text
    assert client.get("/settings/").status_code == 403
    assert [client.post(address, {"key": KEY, "default_backend": "claude"}).status_code for address in ADDRESSES] == [403] * 4
    with pytest.raises(PermissionDenied):
        keep_api_key(key=KEY, actor=Actor.person(user))
    assert not Installation.objects.exists() and not SettingChange.objects.exists()


def test_anonymous_is_asked_to_sign_in(client):
    assert all("/sign-in/" in client.post(address).headers["Location"] for address in ADDRESSES)


def test_key_is_kept_encrypted_and_only_its_end_is_shown(client, admin):
    page = client.post("/settings/key/", {"key": f" {KEY} "}, follow=True).text
    assert "ends in <code>tail</code>" in page and KEY not in page and 'value="fake' not in page
    assert api_keys.api_key().value == KEY and KEY not in repr(api_keys.api_key())
    with connection.cursor() as cursor:
        cursor.execute("SELECT api_key FROM batches_installation")
        kept = cursor.fetchone()[0]
    assert KEY not in kept and kept
    assert [(change.cause, change.name) for change in SettingChange.objects.all()] == [("person:root", "API key")]


def test_key_that_is_refused_is_not_echoed(client, admin):
    response = client.post("/settings/key/", {"key": "two words of a key"}, follow=True)
    assert "without spaces" in response.text and "two words" not in response.text
    assert not SettingChange.objects.exists()


def test_kept_key_can_be_removed(client, admin):
    client.post("/settings/key/", {"key": KEY})
    page = client.post("/settings/key/forget/", follow=True).text
    assert api_keys.api_key().value == "" and "No key is set." in page
    assert [change.name for change in SettingChange.objects.all()] == ["API key removed", "API key"]


def test_key_of_another_secret_key_cannot_be_read_and_is_asked_for_again(client, admin, settings):
    client.post("/settings/key/", {"key": KEY})
    settings.SECRET_KEY = "another secret key that is long enough for it all"
    client.force_login(admin)
    page = client.get("/settings/").text
    assert "SECRET_KEY has changed" in page and api_keys.api_key().value == ""
    client.post("/settings/key/", {"key": KEY})
    assert api_keys.api_key().value == KEY


def test_environment_comes_before_the_file_and_the_file_before_the_page(client, admin, monkeypatch, tmp_path):
    client.post("/settings/key/", {"key": KEY})
    file = tmp_path / "key"
    file.write_text("key-of-the-file-0123456789\n")
    monkeypatch.setenv("CE_API_KEY_FILE", str(file))
    assert api_keys.api_key().value == "key-of-the-file-0123456789"
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key-of-the-environment")
    assert api_keys.api_key().value == "key-of-the-environment"
    assert "ANTHROPIC_API_KEY" in client.get("/settings/").text


def test_file_that_cannot_be_used_is_named(client, admin, monkeypatch, tmp_path):
    monkeypatch.setenv("CE_API_KEY_FILE", str(tmp_path / "nowhere"))
    assert "The file does not exist." in client.get("/settings/").text


def test_only_agents_are_handed_the_key(client, admin):
    client.post("/settings/key/", {"key": KEY})
    assert (api_keys.key_for("steps"), api_keys.key_for("claude")) == ("", KEY)


def test_default_backend_is_that_of_new_projects(client, admin, repository):
    assert client.post("/settings/", {"default_backend": "nothing"}).status_code == 400
    assert client.post("/settings/", {"default_backend": "claude"}).status_code == 302
    made = create_project(name="New", repository=str(repository), actor=Actor.person(admin))
    assert made.backend == "claude"
    assert "default backend" in client.get("/settings/").text


Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@pytest.fixture
def api(settings) -> Iterator[list[Answer]]:
    """A service on this machine that answers as the last function in the list does."""
    answers: list[Answer] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers[-1](self)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = LocalServer(Handler)
    settings.CE_API_BASE_URL = server.url
    with serving(server):
        yield answers


def says(status: int, body: str = "{}", **headers: str) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body.encode())

    return answer


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(200, '{"data": [{"id": "claude-haiku-5-5"}]}'), "accepted it. It lists 1 model, such as claude-haiku-5-5."),
        (says(200, "<html>"), "did not answer like the API"),
        (says(401), "refused the key (401)"),
        (says(404), "cannot be tested"),
        (says(429), "was recognised"),
        (says(500), "neither accepted nor refused"),
        (says(302, Location="http://127.0.0.1:9/"), "answered 302"),
    ],
)
def test_try_of_the_key_says_what_came_of_it(client, admin, api, answer, words):
    seen = []
    api.append(lambda request: (seen.append((request.path, request.headers["x-api-key"])), answer(request)))
    client.post("/settings/key/", {"key": KEY})
    page = client.post("/settings/key/try/", follow=True).text
    assert words in page and KEY not in page
    assert seen == [("/v1/models?limit=1000", KEY)]


def test_models_that_the_provider_lists_are_offered_and_an_exact_id_stays_possible(client, admin, api):
    api.append(says(200, '{"data": [{"id": "claude-new-6"}, {"id": "<not a model>"}]}'))
    batch = builders.failed_batch()
    client.post("/settings/key/", {"key": KEY})
    project = f"/projects/{batch.project.slug}"
    pages = (f"{project}/?tab=settings", f"{project}/agents/", f"/batches/{batch.number}/execute/")
    option = '<option value="claude-new-6">'
    assert [option in client.get(page).text for page in pages] == [False] * 3
    client.post("/settings/key/try/")
    assert [option in client.get(page).text for page in pages] == [True] * 3
    form = Execute({"model": "claude-other-7", "retry_model": "no model"}, of=batch.project)
    assert "retry_model" in form.errors and "model" not in form.errors
    client.post("/settings/key/", {"key": KEY + "2"})  # which may see others
    assert [option in client.get(page).text for page in pages] == [False] * 3


def test_try_ends_when_nothing_answers(client, admin, api):
    done = threading.Event()
    api.append(lambda request: done.wait(30))
    client.post("/settings/key/", {"key": KEY})
    trial = try_api_key(actor=Actor.person(admin), seconds=0.2)
    done.set()
    assert not trial.works and "did not answer within 0.2 s" in trial.said


def test_try_says_when_nobody_listens_and_when_there_is_no_key(client, admin, settings):
    assert "The key cannot be tested" in client.post("/settings/key/try/", follow=True).text
    client.post("/settings/key/", {"key": KEY})
    settings.CE_API_BASE_URL = "http://127.0.0.1:1"
    assert "cannot be reached" in client.post("/settings/key/try/", follow=True).text
