"""Mail to people by their own choice: of what, when, as which message, and what becomes of it when its sender is killed."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, time, timedelta

import pytest
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.integrations import notifications, personal_notifications
from batches.models import Notification, PersonalNotifications, Project, Run
from batches.projects import members
from tests.batches import builders
from tests.installation import ROOT, Installation
from tests.local_server import serving
from tests.mail_server import MailServer

EVENING = datetime(2026, 11, 28, 21, 30, tzinfo=UTC)  # 22:30 in Vienna
CHOICE = {"of": "all", "ended": "on", "needs_person": "on", "zone": "Europe/Vienna"}


@pytest.fixture
def clock(monkeypatch, settings):
    """`clock.now` is the time."""
    settings.EMAIL_HOST = "mail.example.org"

    class Clock:
        now = EVENING

    monkeypatch.setattr(timezone, "now", lambda: Clock.now)
    return Clock


def person(name: str = "ada", *, admin: bool = True, **choice):
    """Somebody with a mail address who chose this; without a choice, all at once."""
    made = builders.make_user(name, admin=admin)
    made.email = f"{name}@example.org"
    made.save()
    PersonalNotifications.objects.create(user=made, **{"of": "all", "zone": "Europe/Vienna", **choice})
    return made


def ends(state: str = "succeeded", *, by=None, at: datetime | None = None, **fields) -> Run:
    """A batch ends."""
    batch = builders.make_batch("1 -> 2", states={"1": "failed" if state == "failed" else "succeeded"}, run_state=state, **fields)
    Run.objects.filter(batch=batch).update(created_by=by)
    run = Run.objects.select_related("batch__project").get(batch=batch)
    notifications.tell_end(run, at or timezone.now())
    return run


@pytest.mark.django_db
def test_a_person_gets_mail_once_of_what_was_chosen_and_nobody_else_does(mailoutbox, clock):
    ada, grace = person(of="started", needs_person=False), person("grace", ended=False)
    person("linus", of="none")
    builders.make_user("mary")
    run = ends(by=ada)
    notifications.tell_end(run, clock.now)
    ends("failed", by=ada)
    ends(by=grace)
    notifications.work()
    notifications.work()
    assert [(mail.to, mail.subject) for mail in mailoutbox] == [
        (["ada@example.org"], "Batch 1: Text statistics has succeeded."),
        (["grace@example.org"], "Batch 2: Text statistics failed: 1."),
    ]
    assert "http://127.0.0.1:8000/batches/1/" in mailoutbox[0].body and "/account/" in mailoutbox[0].body
    assert set(Notification.objects.values_list("error", "tries")) == {("", 1)}


@pytest.mark.django_db
def test_whoever_may_not_see_the_project_is_told_nothing_and_it_is_asked_again_when_it_is_sent(mailoutbox, clock, client):
    eve, out = person("eve", admin=False), person("out", admin=False)
    closed = builders.make_project("Closed")
    members.set_members_only(project=closed, closed=True, actor=Actor("test"))
    members.set_member(project=closed, who=eve, role="viewer", actor=Actor("test"))
    ends(project=closed)
    assert list(Notification.objects.values_list("user__username", flat=True)) == ["eve"]
    members.remove_member(membership=closed.memberships.get(), actor=Actor("test"))
    ends(project=builders.make_project("Open"))
    notifications.work()
    assert sorted(mail.to[0] for mail in mailoutbox) == ["eve@example.org", "out@example.org"]
    assert all(mail.subject.startswith("Batch 2:") for mail in mailoutbox)
    assert "may no longer be seen" in Notification.objects.get(run__batch__project=closed).error
    client.force_login(eve)
    page = client.get("/account/").text
    assert "Batch 2: " in page and "Batch 1: " not in page, "the list keeps to what may be seen"
    type(out).objects.filter(pk=out.pk).update(is_active=False)
    ends(project=Project.objects.get(name="Open"))
    assert not Notification.objects.filter(user=out, sent_at=None).exists()
    type(eve).objects.filter(pk=eve.pk).update(is_active=False)
    mailoutbox.clear()
    notifications.work()
    assert not mailoutbox and Notification.objects.get(user=eve, run__batch__number=3).error == "The account is switched off."
    assert not notifications.has_work(clock.now + timedelta(days=9))


@pytest.mark.django_db
def test_quiet_hours_hold_everything_back_until_their_end_over_midnight_and_then_it_comes_as_one(mailoutbox, clock):
    person(quiet_from=time(22), quiet_to=time(7))
    person("grace")
    ends("failed")
    ends()
    for moment in (EVENING, EVENING + timedelta(hours=3), datetime(2026, 11, 29, 5, 59, tzinfo=UTC)):
        clock.now = moment
        notifications.work()
    assert [mail.to for mail in mailoutbox] == [["grace@example.org"]], "the other person's night is not quiet"
    clock.now = datetime(2026, 11, 29, 6, 0, tzinfo=UTC)
    notifications.work()
    (mail,) = [mail for mail in mailoutbox if mail.to == ["ada@example.org"]]
    assert mail.subject == "2 notifications" and "Batch 1: " in mail.body and "Batch 2: " in mail.body


@pytest.mark.django_db
def test_what_a_stopped_server_did_not_send_does_not_come_in_the_quiet_hours(mailoutbox, clock):
    person(quiet_from=time(22), quiet_to=time(7))
    ends(at=EVENING - timedelta(hours=2))
    notifications.work()
    assert not mailoutbox and Notification.objects.get().tries == 0
    clock.now = EVENING + timedelta(hours=9)
    notifications.work()
    assert len(mailoutbox) == 1


@pytest.mark.django_db
def test_a_digest_is_one_message_a_day_by_project_and_none_where_there_is_nothing_to_say(mailoutbox, clock):
    person(digest_at=time(8))
    clock.now = datetime(2026, 10, 23, 12, 0, tzinfo=UTC)
    second = builders.make_project("Zeta")
    first = builders.make_project("Alpha")
    for project in (second, first, second):
        ends(project=project)
    clock.now = datetime(2026, 10, 24, 5, 59, tzinfo=UTC)
    notifications.work()
    assert not mailoutbox
    clock.now = datetime(2026, 10, 24, 6, 0, tzinfo=UTC)
    notifications.work()
    (mail,) = mailoutbox
    body = mail.body
    assert mail.subject == "3 notifications"
    assert body.index("Alpha\n") < body.index("/batches/2/") < body.index("Zeta\n") < body.index("/batches/1/") < body.index("/batches/3/")
    clock.now = datetime(2026, 10, 24, 6, 30, tzinfo=UTC)
    ends(project=first)  # in the night the clocks are put back: an hour more until 08:00
    for hour in (6, 6.99):
        clock.now = datetime(2026, 10, 25, tzinfo=UTC) + timedelta(hours=hour)
        notifications.work()
    assert len(mailoutbox) == 1
    clock.now = datetime(2026, 10, 25, 7, 0, tzinfo=UTC)
    notifications.work()
    assert len(mailoutbox) == 2 and "/batches/4/" in mailoutbox[1].body and "/batches/1/" not in mailoutbox[1].body
    clock.now += timedelta(days=1)
    notifications.work()
    assert len(mailoutbox) == 2, "a day without an event has no message"


@pytest.mark.django_db
def test_the_account_page_saves_the_choice_also_for_what_waits_and_says_what_is_wrong(client, mailoutbox, clock):
    user = builders.make_user()
    client.force_login(user)

    def save(**more):
        return client.post("/account/notifications/", {**CHOICE, **more}, follow=True)

    assert "has no mail address" in save().text
    type(user).objects.update(email="ada@example.org")
    for more, said in (
        ({"zone": "Nowhere"}, "There is no time zone Nowhere"),
        ({"quiet_from": "22:00"}, "Quiet hours need two different times"),
        ({"quiet_from": "22:00", "quiet_to": "22:00"}, "Quiet hours need two different times"),
        ({"ended": "", "needs_person": ""}, "Choose an event"),
        ({"of": "everything"}, "Select a valid choice"),
        ({"digest_at": "25:00"}, "Enter a valid time"),
    ):
        answer = save(**more)
        assert answer.status_code == 400 and said in answer.text, (more, said)
    assert not PersonalNotifications.objects.exists(), "nothing is sent to whoever has not chosen"
    ends()
    assert "Saved." in save(digest_at="23:30").text
    ends()
    notifications.work()
    assert not mailoutbox and "waiting" in client.get("/account/").text
    assert "Saved." in save(quiet_from="22:00", quiet_to="07:00").text
    notifications.work()
    assert not mailoutbox
    assert "Saved." in save().text
    notifications.work()
    assert len(mailoutbox) == 1 and "sent" in client.get("/account/#notifications").text
    ends()
    assert "Saved." in save(of="none").text
    notifications.work()
    assert len(mailoutbox) == 1 and "have been switched off" in client.get("/account/").text


@pytest.mark.django_db
def test_mail_that_cannot_be_sent_is_tried_again_and_the_reason_is_kept(mailoutbox, clock, settings, client):
    settings.EMAIL_HOST = ""
    user = person()
    ends()
    ends()
    notifications.work()
    assert set(Notification.objects.values_list("error", "tries")) == {("No mail server is set (setting CE_MAIL_URL).", 1)}
    client.force_login(user)
    assert "CE_MAIL_URL" in client.get("/account/").text
    settings.EMAIL_HOST, clock.now = "mail.example.org", clock.now + timedelta(minutes=2)
    notifications.work()
    assert [mail.subject for mail in mailoutbox] == ["2 notifications"]


@pytest.mark.django_db
def test_what_is_a_persons_is_in_no_list_of_the_project_and_is_not_sent_again(client, clock):
    project = ends(by=person()).batch.project
    client.force_login(builders.make_user("root"))
    assert "has succeeded." not in client.get(f"/projects/{project.slug}/?tab=settings").text
    notice = Notification.objects.get()
    assert client.post(f"/projects/{project.slug}/messages/{notice.pk}/again/").status_code == 404


@pytest.mark.process
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_killed_sender_loses_nothing_and_doubles_nothing_that_was_not_taken(tmp_path, moment):
    """Killed while the mail server has the message: before it has taken it, it comes once; after that as the same message again."""
    server = MailServer()
    with serving(server):
        site = Installation(tmp_path / "site", CE_MAIL_URL=server.url, PYTHONPATH=str(ROOT))
        shell, here = ("shell", "--no-imports", "-c"), f"from {__name__} import *"
        site.manage(*shell, f"{here}; person(); ends(); ends()")
        work = "from batches.integrations.notifications import work; work()"
        process = subprocess.Popen([sys.executable, str(ROOT / "manage.py"), *shell, work], env=site.environment)

        def kill() -> None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            if moment == "before":
                raise ConnectionError

        setattr(server, moment, kill)
        assert process.wait() == -signal.SIGKILL
        setattr(server, moment, lambda: None)
        site.manage(*shell, work)
        assert len(server.got) == (moment == "after"), "a claimed message is left alone"
        site.manage(*shell, f"{here}; Notification.objects.update(claimed_until=EVENING - timedelta(days=9)); ends(); {work}")
    told = [mail.get_payload(decode=True).decode() for mail in server.got]
    assert [text.count("/batches/") for text in told] == ([2, 1] if moment == "before" else [2, 2, 1])
    ids = [mail["Message-ID"] for mail in server.got]
    assert len(set(ids)) == 2 and ids[0] == ids[-2]


def test_a_zone_that_the_machine_does_not_know_any_more_is_utc():
    chosen = PersonalNotifications(zone="Gone/Away", digest_at=time(8))
    assert personal_notifications.due(chosen, EVENING) == datetime(2026, 11, 29, 8, 0, tzinfo=UTC)
