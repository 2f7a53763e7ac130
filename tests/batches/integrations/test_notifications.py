"""Messages out of the browser: when, to whom, over which addresses, and what becomes of one that cannot be sent."""

import hmac
import ipaddress
import json
import socket
from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.sealed import seal
from batches.core.errors import ServiceError
from batches.engine import reporting
from batches.integrations import notifications, webhook
from batches.models import AutopilotRun, Notification, Project, Run
from batches.projects.change_settings import update_project
from tests.batches import builders
from tests.local_server import LocalServer, serving

pytestmark = pytest.mark.django_db


class Receiver(LocalServer):
    """Takes what is posted, and answers with the next of `statuses`."""

    def __init__(self) -> None:
        self.got: list[dict] = []
        self.sent: list[tuple[dict, bytes]] = []
        self.statuses: list[int] = []
        super().__init__(Handler)

    @property
    def url(self) -> str:
        return f"{super().url}/hook?key=secret"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(json.loads(body))
        self.server.sent.append((dict(self.headers), body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver(settings):
    settings.CE_WEBHOOK_PRIVATE = True
    server = Receiver()
    with serving(server):
        yield server


def ended(state: str, *, url: str = "", mail: str = "", form: str = "json", **fields) -> Run:
    batch = builders.make_batch("1 -> 2", states={"1": "failed" if state == "failed" else "succeeded"}, run_state=state, **fields)
    Project.objects.update(notify_webhook_sealed=seal(url) if url else "", notify_mail=mail, notify_format=form)
    run = Run.objects.select_related("batch__project").get(batch=batch)
    notifications.tell_end(run, timezone.now())
    return run


def test_a_batch_that_ends_is_told_once_by_webhook_with_all_facts(receiver):
    run = ended("succeeded", url=receiver.url)
    notifications.tell_end(run, timezone.now())
    notifications.work()
    notifications.work()
    (got,) = receiver.got
    assert (got["event"], got["batch_id"], got["state"], got["url"]) == ("ended", 1, "succeeded", "http://127.0.0.1:8000/batches/1/")
    assert got["text"].startswith("Batch 1: Text statistics has succeeded.")
    notice = Notification.objects.get()
    assert notice.sent_at and not notice.error and notice.tries == 1


def test_slack_gets_blocks_without_markup_and_a_failure_needs_a_person(receiver):
    ended("failed", url=receiver.url, form="slack")
    Notification.objects.update(text="Batch 1: *a* <!channel> & b failed.")
    notifications.work()
    (got,) = receiver.got
    page = "http://127.0.0.1:8000/batches/1/"
    section, actions = got["blocks"]
    assert section["text"] == {"type": "plain_text", "text": "Batch 1: *a* <!channel> & b failed.", "emoji": False}
    assert actions["elements"][0]["url"] == page and set(got) == {"text", "blocks"}
    assert got["text"] == f"Batch 1: *a* &lt;!channel&gt; &amp; b failed.\n{page}", "what is shown where there are no blocks"
    assert Notification.objects.get().event == "needs_person"


@pytest.mark.parametrize(("status", "said"), [(500, "refused the message (500)"), (302, "a redirect (302)")])
def test_what_is_refused_is_kept_with_why_and_tried_again_later(receiver, status, said):
    ended("succeeded", url=receiver.url)
    receiver.statuses = [status]
    notifications.work()
    notice = Notification.objects.get()
    assert said in notice.error and "secret" not in notice.error and notice.next_try_at > timezone.now() + timedelta(seconds=50)
    assert not notifications.has_work(timezone.now()) and notifications.has_work(timezone.now() + timedelta(minutes=2))
    Notification.objects.update(next_try_at=timezone.now())
    notifications.work()
    assert len(receiver.got) == 2 and Notification.objects.get().sent_at
    Notification.objects.update(sent_at=None, tries=notifications.TRIES)
    assert not notifications.has_work(timezone.now()), "given up"


def test_a_receiver_that_says_nothing_holds_nobody_up_for_longer_than_is_allowed(receiver):
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, pytest.raises(webhook.WebhookError, match="did not answer"):
        webhook.send(f"http://127.0.0.1:{silent.getsockname()[1]}/", {}, private=True, seconds=0.3)


def test_a_test_message_goes_over_every_channel_at_once_and_says_what_did_not_work(receiver, settings, mailoutbox, client):
    settings.EMAIL_HOST = "mail.example.org"
    client.force_login(builders.make_user())
    project = builders.make_batch().project
    address = f"/projects/{project.slug}/test-message/"
    assert "save a webhook, email addresses or another service first" in client.post(address, follow=True).text
    Project.objects.update(notify_webhook_sealed=seal(receiver.url), notify_mail="a@example.org")
    assert "A test notification was sent by webhook and mail." in client.post(address, follow=True).text
    (got,) = receiver.got
    assert (got["event"], got["project"], got["url"]) == ("test", project.slug, f"http://127.0.0.1:8000/projects/{project.slug}/")
    assert mailoutbox[0].to == ["a@example.org"] and not Notification.objects.exists()
    receiver.statuses = [500]
    told = client.post(address, follow=True).text
    assert "refused the message (500)" in told and "Sent by mail." in told


def test_a_test_message_takes_the_right_to_change_the_project(receiver, client):
    project = builders.make_batch().project
    Project.objects.update(notify_webhook_sealed=seal(receiver.url))
    client.force_login(builders.make_user("viewer", admin=False))
    assert client.post(f"/projects/{project.slug}/test-message/").status_code == 403 and not receiver.got


def test_mail_goes_to_every_address(settings, mailoutbox):
    settings.EMAIL_HOST = "mail.example.org"
    ended("succeeded", mail="a@example.org, b@example.org")
    notifications.work()
    (sent,) = mailoutbox
    assert sent.to == ["a@example.org", "b@example.org"] and "/batches/1/" in sent.body and "\n" not in sent.subject
    settings.EMAIL_HOST = ""
    Notification.objects.update(sent_at=None)
    notifications.work()
    assert "CE_MAIL_URL" in Notification.objects.get().error


def test_nothing_is_told_between_the_runs_of_an_autopilot_but_that_it_waits_for_somebody():
    run = ended("succeeded")
    Project.objects.update(notify_mail="a@example.org")
    run.refresh_from_db()
    run = Run.objects.select_related("batch__project").get(pk=run.pk)
    AutopilotRun.objects.create(batch=run.batch, run=run, whole=True, step="execute", state="going")
    notifications.tell_end(run, timezone.now())
    assert not Notification.objects.exists()
    from batches.engine import autopilot

    autopilot.wait_for_person(run.autopilot_runs.get(), run, "The review says: needs revision.", timezone.now())
    assert Notification.objects.get().text == "Batch 1: Text statistics waits for you. The review says: needs revision."


def test_the_report_of_a_run_asks_for_the_message(monkeypatch):
    batch = builders.make_batch("1", states={"1": "succeeded"}, run_state="succeeded")
    Project.objects.update(notify_mail="a@example.org")
    Run.objects.update(reported_at=None)
    monkeypatch.setattr(reporting, "_write_files", lambda *_: None)
    reporting.finish(Run.objects.select_related("batch__project").get(batch=batch), timezone.now())
    assert Notification.objects.get().event == "ended"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::",
     "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:a00:1", "2002:7f00:1::", "64:ff9b::7f00:1", "2001:0:0:0:0:0:80ff:fffe", "ff02::1",
     "fec0::1", "3fff::1", "3fff:fff::1", "4000::1", "5f00::1", "100::1", "64:ff9b:1::1", "2001:db8::1", "192.0.0.8", "192.88.99.1"],
)  # fmt: skip
def test_addresses_that_lead_inside_are_not_public(address):
    assert not webhook.is_public(ipaddress.ip_address(address))


def test_public_addresses_are_public():
    assert webhook.is_public(ipaddress.ip_address("93.184.216.34")) and webhook.is_public(ipaddress.ip_address("2606:2800:220:1::1"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "127.1"])
def test_however_this_machine_is_written_it_is_not_sent_to(host):
    with pytest.raises(webhook.WebhookError, match=r"not in the public network|no address"):
        webhook.send(f"https://{host}/", {})


@pytest.mark.parametrize("url", ["http://example.org/", "ftp://x/", "https://", "https://a:b@example.org/", "https://x/\r\nA: b", "x"])
def test_a_webhook_is_plain_https(url):
    project = builders.make_project()
    with pytest.raises(ServiceError):
        update_project(project=project, changes={"notify_webhook": url}, actor=Actor("test"))


def test_the_webhook_is_kept_encrypted_and_never_shown(client):
    project = builders.make_project()
    client.force_login(builders.make_user())
    update_project(project=project, changes={"notify_webhook": "https://hooks.example.org/T0/secret"}, actor=Actor("test"))
    assert "secret" not in project.notify_webhook_sealed and "hooks.example.org" not in client.get(f"/projects/{project.slug}/").text
    update_project(project=project, changes={"notify_forget": True}, actor=Actor("test"))
    assert project.notify_webhook_sealed == ""


def test_a_message_is_signed_and_names_its_delivery_each_time_it_is_sent(receiver, client):
    run = ended("succeeded", url=receiver.url)
    project = run.batch.project
    with pytest.raises(ServiceError, match="at least 16 characters"):
        update_project(project=project, changes={"notify_secret": "short"}, actor=Actor.command("test"))
    update_project(project=project, changes={"notify_secret": "a secret of sixteen or more"}, actor=Actor.command("test"))
    assert "a secret" not in Project.objects.get().notify_secret_sealed
    receiver.statuses = [500]
    notifications.work()
    Notification.objects.update(next_try_at=timezone.now())
    notifications.work()
    notice = Notification.objects.get()
    assert notice.sent_at is not None
    client.force_login(builders.make_user())
    page = client.get(f"/projects/{project.slug}/?tab=settings").text
    assert "Send again" in page and "a secret of" not in page
    said = client.post(f"/projects/{project.slug}/messages/{notice.pk}/again/", follow=True).text
    assert "It is sent again by webhook." in said
    notifications.work()
    assert len(receiver.sent) == 3 and len({headers["X-CE-Delivery"] for headers, _ in receiver.sent}) == 1
    for headers, body in receiver.sent:
        at, _, proof = headers["X-CE-Signature"].removeprefix("t=").partition(",v1=")
        wanted = hmac.new(b"a secret of sixteen or more", f"{at}.".encode() + body, "sha256").hexdigest()
        assert hmac.compare_digest(proof, wanted) and abs(int(at) - timezone.now().timestamp()) < 60
    update_project(project=project, changes={"notify_forget": True}, actor=Actor.command("test"))
    assert Project.objects.get().notify_secret_sealed == ""
    with pytest.raises(ServiceError, match="no longer notifies by webhook"):
        notifications.send_again(notice=Notification.objects.select_related("run__batch__project").get(), actor=Actor.command("test"))
