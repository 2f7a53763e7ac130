"""What somebody signed in, or nobody, tries in order to read or write what is not theirs: by ids, extra fields, foreign sites and hosts."""

import pytest
from django.contrib.auth import hashers
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.test import Client
from django.urls import reverse

from batches.accounts import sessions, users
from batches.accounts.sign_in_links import make_link
from batches.models import AuditEvent, Membership, Plan
from tests.batches import builders
from tests.batches.accounts.test_rights import ROWS
from tests.batches.addresses import Objects, every_address, named

pytestmark = [pytest.mark.django_db, pytest.mark.long]
PASSWORD = "a long password"
FOREIGN = (
    *("https://evil.example/", "//evil.example/", "/\\evil.example/", "///evil.example", "http:evil.example"),
    *("javascript:alert(1)", "\t//evil.example"),
)


@pytest.fixture
def objects() -> Objects:
    return Objects(builders.make_project(), builders.make_user("root"))


def test_an_id_of_another_batch_is_not_found_below_this_one(client, objects):
    """Not even for an administrator: so a right in one project says nothing about rows of another."""
    client.force_login(objects.user)
    other = builders.failed_batch(project=builders.make_project("Other"))
    paths, tried = every_address(objects), []
    for name, pattern in named():
        if {"number", "pk"} <= set(pattern.pattern.converters):
            path = paths[name].replace(f"/batches/{objects.batch.number}/", f"/batches/{other.number}/")
            for method in ROWS[name]:
                with transaction.atomic():
                    answer = client.generic(method, path, "reason=x", content_type="application/x-www-form-urlencoded")
                    transaction.set_rollback(True)
                assert answer.status_code == 404, (method, path)
                tried.append(name)
    assert len(tried) >= 11


def test_no_page_but_the_api_takes_a_form_from_another_site(objects):
    client = Client(enforce_csrf_checks=True)
    client.force_login(objects.user)
    for name, path in every_address(objects).items():
        if "POST" in ROWS[name] and ":api_" not in name:
            assert client.post(path, headers={"Origin": "https://evil.example"}).status_code == 403, path


def test_the_api_takes_no_cookie_for_a_token(client, objects):
    client.force_login(objects.user)
    for name, path in every_address(objects).items():
        for method in ROWS[name] if ":api_" in name else ():
            assert client.generic(method, path).status_code == 401, path


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
def test_other_methods_do_nothing(client, objects, method):
    client.force_login(objects.user)
    before = AuditEvent.objects.count()
    for name, path in every_address(objects).items():
        answer = client.generic(method, path)
        assert answer.status_code in (401, 405) or (name == "sign_in" and answer.status_code == 302), (name, answer.status_code)
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize("onward", FOREIGN)
def test_signing_in_and_confirming_lead_to_this_site_only(client, onward):
    builders.make_user("ada")
    assert client.post("/sign-in/", {"username": "ada", "password": PASSWORD, "next": onward})["Location"] == "/batches/"
    assert client.post("/confirm/", {"password": PASSWORD, "next": onward})["Location"] == "/batches/"
    assert client.post("/theme/", {"theme": "dark"}, headers={"Referer": onward})["Location"] == "/batches/"
    assert client.get("/confirm/", {"next": onward}).context["next"] == "/batches/"


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host"])
def test_another_host_name_gets_into_no_link(client, header):
    client.force_login(builders.make_user("root"))
    answer = client.post("/users/", {"name": "eve", "role": "viewer", "way": "link"}, headers={header: "evil.example"})
    assert "evil.example" not in answer.text
    if header == "Host":
        assert answer.status_code == 400 and "ALLOWED_HOSTS" in answer.text and not User.objects.filter(username="eve").exists()


def test_extra_fields_of_a_form_change_nothing(client):
    root = builders.make_user("root")
    eve = User.objects.create_user("eve", password=PASSWORD)
    project = builders.make_project()
    Membership.objects.create(project=project, user=eve, role="admin")
    before = {name: getattr(project, name) for name in ("slug", "repository", "members_only", "tool_paths")}
    client.force_login(eve)
    form = client.get(f"/projects/{project.slug}/").context["form"]
    fields = {name: value for name, value in form.initial.items() if value is not None}
    sent = fields | {"slug": "other", "repository": "/etc", "members_only": "on", "id": "99", "linear_token_sealed": "x"}
    assert client.post(f"/projects/{project.slug}/", sent).status_code == 302
    client.post(f"/projects/{project.slug}/", sent | {"tool_paths": "/root"})
    project.refresh_from_db()
    assert {name: getattr(project, name) for name in before} == before and project.linear_token_sealed == ""
    raised = {"is_superuser": "on", "is_staff": "on", "role": "admin", "groups": Group.objects.get(name="admin").pk, "user": root.pk}
    client.post("/account/password/", {"old": PASSWORD, "new": PASSWORD + "2", "again": PASSWORD + "2"} | raised)
    client.post("/account/tokens/", {"name": "x", "scope": "admin", "days": "7"} | raised)
    eve.refresh_from_db()
    assert not eve.is_superuser and not eve.is_staff and users.role_of(eve) == "" and not root.api_tokens.exists()


def test_a_stolen_session_cannot_guess_the_password_to_change_it(client):
    client.force_login(builders.make_user("ada"))
    new = {"new": PASSWORD + "2", "again": PASSWORD + "2"}
    for _ in range(5):
        assert client.post("/account/password/", {"old": "wrong"} | new).status_code == 400
    assert client.post("/account/password/", {"old": PASSWORD} | new).status_code == 429
    assert User.objects.get().check_password(PASSWORD) and AuditEvent.objects.filter(refused=True).count() == 5


def test_a_session_that_is_old_cannot_give_a_person_without_a_password_one(client):
    user = builders.make_user("ada")
    user.set_unusable_password()
    user.save()
    client.post(make_link(user, "http://testserver/"))
    session = client.session
    session[sessions.CONFIRMED] = 0
    session.save()
    assert client.post("/account/password/", {"new": PASSWORD, "again": PASSWORD}).url.startswith("/confirm/")
    assert not User.objects.get().has_usable_password()


def test_a_viewer_an_author_and_a_program_for_reading_cannot_raise_their_own_rights(client):
    project = builders.make_project()
    for role in ("viewer", "author", "executor"):
        user = User.objects.create_user(f"a-{role}")
        user.groups.add(Group.objects.get(name=role))
        client.force_login(user)
        for path, data in (
            (f"/users/{user.pk}/", {"role": "admin"}),
            (f"/projects/{project.slug}/members/", {"who": f"user-{user.pk}", "user": user.pk, "role": "admin"}),
            ("/teams/", {"name": "mine"}),
            ("/users/", {"name": "other", "role": "admin", "way": "password"}),
        ):
            assert client.post(path, data).status_code == 403, path
        assert users.role_of(User.objects.get(pk=user.pk)) == role and not Membership._base_manager.exists()
        assert client.get("/admin/").status_code == 302 and client.get("/admin/auth/user/").status_code in (302, 404)


@pytest.mark.parametrize("who", ["known", "KNOWN", "unknown", "without-password", "switched-off", ""])
def test_every_name_costs_the_same_work_at_the_sign_in(client, monkeypatch, settings, who):
    """What takes time is the hash of a password: it is made once, whoever is named, so that time tells nothing of who there is."""
    builders.make_user("known")
    User.objects.create_user("without-password").set_unusable_password()
    User.objects.create_user("switched-off", password=PASSWORD, is_active=False)
    made, encode = [], PBKDF2PasswordHasher.encode
    monkeypatch.setattr(PBKDF2PasswordHasher, "encode", lambda self, *given: made.append(given) or encode(self, *given))
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]  # that of an installation
    User.objects.exclude(username="without-password").update(password=hashers.make_password(PASSWORD))
    made.clear()
    answer = client.post("/sign-in/", {"username": who, "password": "wrong"})
    assert answer.status_code == 200
    assert len(made) == (1 if who else 0), "a form without a name is no try"


OUTSIDE = (
    *("..", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e%2fetc%2fpasswd"),
    *("....//", "..\\..\\x", "%00", "a%0d%0aSet-Cookie:x=1"),
)


@pytest.mark.parametrize("text", OUTSIDE)
def test_a_path_in_an_address_leads_nowhere(client, objects, text):
    client.force_login(objects.user)
    tried = 0
    for name, pattern in named():
        values = objects.values(name.removeprefix("batches:"))
        for part, converter in pattern.pattern.converters.items():
            if type(converter).__name__ == "IntConverter":
                continue
            kept = {key: value for key, value in values.items() if key in pattern.pattern.converters}
            path = reverse(name, kwargs=kept).replace(str(kept[part]), text, 1)
            for method in ROWS[name]:
                answer = client.generic(method, path, headers={"Authorization": "Bearer x"} if ":api_" in name else {})
                assert answer.status_code in (400, 401, 404, 410) or answer["Location"].startswith("/"), (method, path, answer.status_code)
                assert "root:x:" not in getattr(answer, "text", "") and "Set-Cookie:x" not in str(answer.headers)
                tried += 1
    assert tried > 20


@pytest.mark.parametrize("name", ["../../x.md", "/etc/passwd", "a/../../b.md"])
def test_the_name_of_an_uploaded_file_leads_nowhere(client, objects, name):
    client.force_login(objects.user)
    before = Plan.objects.count()
    assert client.post("/plans/new/", {"project": objects.project.pk, "text": builders.PLAN_TEXT, "file_name": name}).status_code == 302
    plan = Plan.objects.latest("pk")
    assert (Plan.objects.count(), plan.file_name) == (before + 1, name.rpartition("/")[2])
