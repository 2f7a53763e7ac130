"""Services that apprise knows: what they are told, who may set which, and that this server's network and files are out of reach."""

import gzip
import inspect
import json
import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from apprise.manager_plugins import NotificationManager
from apprise.plugins.custom_json import NotifyJSON
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.core.errors import ServiceError
from batches.integrations import notifications, other_services
from batches.integrations.only_public import Refused, only_public
from batches.integrations.webhook import WebhookError
from batches.models import Notification, Project, Run
from batches.projects import members
from batches.projects.change_settings import update_project
from tests.batches import builders
from tests.local_server import LocalServer, serving

ROOT = Actor.command("test")


class Services(LocalServer):
    """Takes what is posted anywhere, and answers with the next of `statuses`; a redirect leads to itself."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict]] = []
        self.statuses: list[int] = []
        super().__init__(Handler)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, json.loads(body)))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


PACKED, LARGE = gzip.compress(gzip.compress(b"ok")), bytes(1_000_001)
ANSWERS = [("gzip, gzip", PACKED, False), ("br", b"", False), ("", LARGE, False), ("", LARGE[1:], True)]


@pytest.mark.parametrize(("coding", "body", "taken"), ANSWERS, ids=["packed twice", "packed", "large", "just not too large"])
def test_an_answer_that_is_packed_or_large_is_not_taken(coding, body, taken):
    """2.6 kB, packed twice, filled 3 GB and took 89 s."""
    asked = []

    class Answers(Handler):
        def do_POST(self) -> None:
            asked.append(self.headers["Accept-Encoding"])
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            if coding:
                self.send_header("Content-Encoding", coding)
            self.end_headers()
            self.wfile.write(body)

    server = LocalServer(Answers)
    with serving(server), nullcontext() if taken else pytest.raises(WebhookError, match="did not take the message"):
        other_services.post(f"json://127.0.0.1:{server.server_port}/", "title", "text", private=True)
    assert asked == ["identity"]


@pytest.fixture
def services(settings):
    settings.CE_WEBHOOK_PRIVATE = True
    server = Services()
    with serving(server):
        yield server


@pytest.mark.django_db
def test_every_service_is_told_by_itself_and_one_that_fails_is_told_again_alone(services, client):
    batch = builders.make_batch("1", states={"1": "succeeded"}, run_state="succeeded")
    addresses = f" json://{services.host}/hook \nntfy://{services.host}/topic\n\njson://{services.host}/hook"
    update_project(project=batch.project, changes={"notify_others": addresses}, actor=ROOT)
    assert services.host not in Project.objects.get().notify_others_sealed
    run = Run.objects.select_related("batch__project").get()
    for _ in range(2):
        notifications.tell_end(run, timezone.now())
    services.statuses = [401]
    notifications.work()
    Notification.objects.update(next_try_at=timezone.now())
    notifications.work()
    paths = [path for path, _ in services.got]
    assert sorted(paths) == ["/", "/hook", "/hook"] or sorted(paths) == ["/", "/", "/hook"], "only the one that failed comes twice"
    told = next(body for path, body in services.got if path == "/hook")
    assert told["title"] == batch.project.name and told["attachments"] == []
    assert told["message"].splitlines() == ["Batch 1: Text statistics has succeeded.", "http://127.0.0.1:8000/batches/1/"]
    assert set(Notification.objects.values_list("channel", "error")) == {("other", "")}
    client.force_login(builders.make_user())
    page = client.get(f"/projects/{batch.project.slug}/?tab=settings").text
    assert "other service" in page and services.host not in page
    said = client.post(f"/projects/{batch.project.slug}/test-message/", follow=True).text
    assert "A test notification was sent by other service." in said
    services.statuses = [500, 500]
    with pytest.raises(ServiceError, match=r"JSON did not take the message \(500\)"):
        notifications.try_channels(project=Project.objects.get(), actor=ROOT)
    update_project(project=batch.project, changes={"notify_others_forget": True}, actor=ROOT)
    Notification.objects.update(sent_at=None)
    notifications.work()
    assert set(Notification.objects.values_list("error", flat=True)) == {"The project no longer notifies this service."}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "said"),
    [
        *((f"{scheme}://x", f"{scheme}:// is no service") for scheme in ("file", "exec", "dbus", "syslog", "mailto", "mqtt", "nothing")),
        ("words", "is no service that is spoken to by HTTP"),
        ("json://", "the rest of the address is not as this service needs it"),
    ],
)
def test_what_is_not_spoken_to_by_http_is_refused_with_its_line(address, said):
    with pytest.raises(ServiceError, match=f"line 2: .*{said}"):
        update_project(project=builders.make_project(), changes={"notify_others": f"tgram://123:abc_defg/1\n{address}"}, actor=ROOT)


@pytest.mark.django_db
def test_an_address_with_a_host_of_its_own_is_for_administrators_of_the_installation():
    project, maria = builders.make_project(), builders.make_user("maria", admin=False)
    members.set_member(project=project, who=maria, role="admin", actor=ROOT)
    update_project(project=project, changes={"notify_others": "discord://1234567890/abcdefghijklmnop"}, actor=Actor.person(maria))
    for address in ("json://hooks.example.org/", "ntfys://ntfy.example.org/topic", "matrixs://token@example.org/#room"):
        with pytest.raises(ServiceError, match="names a host, so an administrator of the installation sets it"):
            update_project(project=project, changes={"notify_others": address}, actor=Actor.person(maria))
        update_project(project=project, changes={"notify_others": address}, actor=Actor.person(builders.make_user(f"root-{address[:4]}")))
    with pytest.raises(ServiceError, match="at most 10"):
        update_project(project=project, changes={"notify_others": "\n".join(f"tgram://{i}:a_b/1" for i in range(11))}, actor=ROOT)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::1]", "169.254.169.254"])
def test_however_this_machine_or_its_network_is_written_it_is_not_reached(host):
    with pytest.raises(WebhookError, match=r"not in the public network|did not take"):
        other_services.post(f"json://{host}:9/", "T", "text")


def test_a_file_of_the_server_is_not_sent_nor_read(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text('{"content": "secret"}')
    for address in (f"discord://1234567890/abcdefghijklmnop?template={secret}", f"fcm://project@key/device?keyfile={secret}"):
        with pytest.raises(WebhookError, match="It tried to use a file of this server"):
            other_services.post(address, "T", "text")


def test_a_service_that_never_answers_holds_nobody_up():
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, pytest.raises(WebhookError, match=r"JSON did not answer within 0.3 s"):
        other_services.post(f"json://127.0.0.1:{silent.getsockname()[1]}/", "T", "text", private=True, seconds=0.3)


def test_a_pause_that_a_service_asks_for_is_left_to_the_next_try(monkeypatch):
    asked = []
    monkeypatch.setattr(NotifyJSON, "send", lambda self, **_: asked.append(self.throttle(wait=600)))
    with pytest.raises(WebhookError, match="JSON did not take the message"):
        other_services.post("json://example.org/", "T", "text")
    assert asked == [None]


def test_no_service_that_is_spoken_to_by_http_starts_threads_which_would_not_be_held_back():
    known = NotificationManager()
    known.load_modules()
    modules = [sys.modules[kind.__module__] for kind in known.plugins()]
    sources = {module.__name__: inspect.getsource(module) for module in modules if hasattr(module, "requests")}
    assert len(sources) > 100
    assert [name for name, source in sources.items() if re.search(r"Thread\(|Executor|start_new_thread|Process\(", source)] == []


def test_what_a_block_refuses_and_that_it_ends_with_the_block(tmp_path):
    (tmp_path / "there").write_text("here")
    server = socket.create_server(("127.0.0.1", 0))
    local, plain, datagrams = socket.socket(socket.AF_UNIX), socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    attempts = {
        "a file": lambda: (tmp_path / "there").read_text(),
        "a new file": lambda: (tmp_path / "new").write_text("x"),
        "a way out of Python's own folder": lambda: Path(f"{os.path.dirname(os.__file__)}{'/..' * 20}{tmp_path}/there").read_text(),
        "a process": lambda: subprocess.run(["true"], check=False),
        "a shell": lambda: os.system("true"),
        "an address inside": lambda: socket.create_connection(server.getsockname()),
        "a name": lambda: plain.connect(("localhost", 9)),
        "a local socket": lambda: local.connect(str(tmp_path / "socket")),
        "a datagram": lambda: datagrams.sendto(b"x", ("127.0.0.1", 9)),
        "a removal": lambda: os.remove(tmp_path / "there"),
    }
    with server, local, plain, datagrams:
        for what, attempt in attempts.items():
            with only_public(5) as block, pytest.raises(Refused):
                attempt()
            assert block.refused or what == "a new file", what
        with only_public(5, private=True):
            socket.create_connection(server.getsockname()).close()
        go, read = threading.Event(), list[str]()
        other = threading.Thread(target=lambda: go.wait() and read.append((tmp_path / "there").read_text()))
        other.start()
        with only_public(5):
            go.set()
            other.join()
        assert read == ["here"], "another thread is not held back"
        assert (tmp_path / "there").read_text() == "here" and not (tmp_path / "new").exists()
