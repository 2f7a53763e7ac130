"""Where people are signed in, signing out elsewhere, and the password again before secrets and people."""

import pytest
from django.test import Client

from batches.accounts import sessions, users
from batches.accounts.actor import Actor
from batches.models import AuditEvent
from tests.batches import builders
from tests.batches.accounts.test_users import PASSWORD, add

pytestmark = pytest.mark.django_db


def signed_in(name: str, browser: str) -> Client:
    client = Client(headers={"User-Agent": browser})
    assert client.post("/sign-in/", {"username": name, "password": PASSWORD}).status_code == 302
    return client


def forget_confirmation(client: Client) -> None:
    session = client.session
    session[sessions.CONFIRMED] -= sessions.CONFIRMED_FOR.total_seconds() + 1
    session.save()


def test_ones_sessions_are_listed_and_ended_one_by_one_or_all_but_this_one():
    builders.make_user("ada")
    here, there, phone = (signed_in("ada", browser) for browser in ("Here", "There", "Phone"))
    listed = {one.browser: one for one in here.get("/account/").context["sessions"]}
    assert set(listed) == {"Here", "There", "Phone"} and listed["Here"].is_current and listed["There"].address == "127.0.0.1"
    assert here.session.session_key not in here.get("/account/").text
    here.post("/account/sessions/", {"session": listed["There"].id})
    assert [client.get("/batches/").status_code for client in (here, there, phone)] == [200, 302, 200]
    here.post("/account/sessions/")
    assert [client.get("/batches/").status_code for client in (here, phone)] == [200, 302]
    assert AuditEvent.objects.filter(what="Signed ada out in 1 place").count() == 2


def test_an_administrator_signs_somebody_out_everywhere_and_others_cannot():
    builders.make_user("root")
    eve = add("eve", "viewer")
    eve.set_password(PASSWORD)
    eve.save()
    root, client = signed_in("root", "a"), signed_in("eve", "b")
    assert client.post(f"/users/{eve.pk}/sessions/").status_code == 403
    assert root.post(f"/users/{eve.pk}/sessions/").status_code == 302
    assert client.get("/batches/").status_code == 302 and root.get("/batches/").status_code == 200


def test_new_access_leaves_no_session_behind():
    client, user = Client(), builders.make_user("ada")
    client.force_login(user)
    assert len(sessions.sessions_of(user)) == 1
    users.reset_access(user=user, by_link=True, base_url="", actor=Actor("test"))
    assert sessions.sessions_of(user) == []


ASKED = (
    ("GET", "/users/", {}),
    ("POST", "/users/", {"name": "eve", "role": "viewer", "way": "link"}),
    ("GET", "/users/{pk}/", {}),
    ("POST", "/users/{pk}/", {"role": "admin"}),
    ("POST", "/users/{pk}/active/", {}),
    ("POST", "/users/{pk}/reset/", {}),
    ("POST", "/users/{pk}/sessions/", {}),
    ("POST", "/account/tokens/", {"name": "nightly"}),
    ("POST", "/settings/key/", {"key": "k" * 40}),
    ("POST", "/settings/key/forget/", {}),
)


@pytest.mark.parametrize(("verb", "path", "data"), ASKED)
def test_secrets_and_people_ask_for_the_password_again_and_then_lead_back(client, verb, path, data):
    client.force_login(builders.make_user("root"))
    forget_confirmation(client)
    path = path.format(pk=add("ada", "viewer").pk)
    answer = client.get(path) if verb == "GET" else client.post(path, data)
    if verb == "POST":  # a form that was opened in time may still be sent
        assert not answer.get("Location", "").startswith("/confirm/")
        session = client.session
        session[sessions.CONFIRMED] -= sessions.TO_SEND.total_seconds()
        session.save()
        answer = client.post(path, data)
    assert answer.status_code == 302 and answer.url.startswith("/confirm/?next=%2F")
    wrong = client.post(answer.url, {"password": "wrong", "next": "/users/"})
    assert wrong.status_code == 400 and client.get("/users/").status_code == 302
    right = client.post(answer.url, {"password": PASSWORD, "next": "/users/"})
    assert right.status_code == 302 and right.url == "/users/" and client.get("/users/").status_code == 200


def test_secrets_of_a_project_ask_too_and_its_other_settings_do_not(client):
    project = builders.make_project()
    client.force_login(builders.make_user("root"))
    session = client.session
    session[sessions.CONFIRMED] = 0
    session.save()
    fields = client.get(f"/projects/{project.slug}/").context["form"].initial
    data = {name: value for name, value in fields.items() if value is not None}
    assert client.post(f"/projects/{project.slug}/", data).url == f"/projects/{project.slug}/?tab=settings"
    assert client.post(f"/projects/{project.slug}/", data | {"linear_token": "lin_secret"}).url.startswith("/confirm/")
    project.refresh_from_db()
    assert project.linear_token_sealed == ""


@pytest.mark.parametrize("change", [{"who": "user-{pk}", "role": "admin"}, {"only": "off"}, {"end": "1"}])
def test_who_is_a_member_of_a_project_is_changed_after_the_password_too(client, change):
    project, eve = builders.make_project(), add("eve", "viewer")
    client.force_login(builders.make_user("root"))
    forget_confirmation(client)
    session = client.session
    session[sessions.CONFIRMED] -= sessions.TO_SEND.total_seconds()
    session.save()
    path = f"/projects/{project.slug}/members/"
    assert client.get(path).status_code == 200
    assert client.post(path, {name: text.format(pk=eve.pk) for name, text in change.items()}).url.startswith("/confirm/")
    assert not project.memberships.exists()


def test_confirming_is_slowed_down_as_signing_in_is_and_leads_nowhere_else(client):
    client.force_login(builders.make_user("root"))
    for _ in range(5):
        assert client.post("/confirm/", {"password": "wrong"}).status_code == 400
    assert client.post("/confirm/", {"password": PASSWORD}).status_code == 429
    assert client.get("/confirm/?next=https://evil.example/").context["next"] == "/batches/"
