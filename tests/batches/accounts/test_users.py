"""People, their roles and their API tokens: for administrators and for oneself; somebody who can administer is always left."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from batches.accounts import api_tokens, users
from batches.accounts.actor import Actor
from batches.core.errors import ServiceError
from batches.models import ApiToken, AuditEvent
from tests.batches import builders

pytestmark = pytest.mark.django_db
PASSWORD = "a long password"


@pytest.fixture(autouse=True)
def quick_hashes(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def add(name: str, role: str, actor: Actor = Actor("test")) -> User:  # noqa: B008 -- frozen
    return users.add_user(name=name, email="", role=role, by_link=True, base_url="http://testserver/", actor=actor).user


def said() -> list[str]:
    return list(AuditEvent.objects.order_by("pk").values_list("what", flat=True))


@pytest.fixture
def root(client) -> User:
    user = builders.make_user("root")
    client.force_login(user)
    return user


def test_somebody_added_comes_in_by_the_link_chooses_a_password_and_is_in_the_group(client, root):
    page = client.post("/users/", {"name": "eve", "email": "eve@example.org", "role": "author", "way": "link"})
    link = page.context["access"].link
    assert page.status_code == 201 and link in page.text and page["Cache-Control"] == "no-store"
    assert client.post("/users/", {"name": "eve", "role": "author", "way": "link"}).status_code == 400
    client.logout()
    assert client.post(link, follow=True).redirect_chain == [("/account/", 302)]
    eve = User.objects.get(username="eve")
    assert eve.has_perm("batches.add_plan") and not eve.has_perm("batches.execute_batch") and not eve.is_staff
    assert client.post("/account/password/", {"new": "short", "again": "short"}).status_code == 400
    assert client.post("/account/password/", {"new": PASSWORD, "again": PASSWORD}).status_code == 302
    assert client.get("/account/").status_code == 200, "the session goes on"
    client.logout()
    assert User.objects.get(username="eve").check_password(PASSWORD)
    assert said()[0] == "Signed in" and "Added eve as author" in said() and said()[-2:] == ["Changed their own password", "Signed out"]


def test_a_password_is_shown_once_and_works(client, root):
    secret = client.post("/users/", {"name": "eve", "role": "viewer", "way": "password"}).context["access"].password
    assert len(secret) == 20 and User.objects.get(username="eve").check_password(secret)
    assert secret not in client.get("/users/").text


def test_changing_the_own_password_takes_the_old_one(client, root):
    assert client.post("/account/password/", {"old": "wrong", "new": PASSWORD * 2, "again": PASSWORD * 2}).status_code == 400
    assert client.post("/account/password/", {"old": PASSWORD, "new": PASSWORD * 2, "again": PASSWORD}).status_code == 400
    assert client.post("/account/password/", {"old": PASSWORD, "new": PASSWORD * 2, "again": PASSWORD * 2}).status_code == 302


@pytest.mark.parametrize("way", ["role", "active"])
def test_the_last_administrator_stays(root, way):
    other = add("eve", "admin")
    actor = Actor.person(other)
    if way == "role":
        users.change_user(user=root, email="", role="executor", actor=actor)
    else:
        users.set_active(user=root, active=False, actor=actor)
    assert list(users.administrators()) == [other]
    with pytest.raises(ServiceError, match="last administrator"):
        users.change_user(user=other, email="", role="viewer", actor=actor)
    with pytest.raises(ServiceError, match=r"last administrator|yourself"):
        users.set_active(user=other, active=False, actor=Actor("command:test"))
    other.refresh_from_db()
    assert users.role_of(other) == "admin" and other.is_active and other.is_staff


def test_somebody_switched_off_is_signed_out_at_once_and_reset_ends_every_session(client, root, django_user_model):
    eve = add("eve", "viewer")
    client.force_login(eve)
    access = users.reset_access(user=eve, by_link=False, base_url="", actor=Actor("test"))
    assert client.get("/batches/").status_code == 302 and access.password not in repr(access)
    client.force_login(User.objects.get(pk=eve.pk))
    users.set_active(user=eve, active=False, actor=Actor("test"))
    assert client.get("/batches/").status_code == 302


@pytest.mark.parametrize("role", ["viewer", "author", "executor"])
def test_people_are_managed_by_administrators_only(client, role):
    user = add("eve", role)
    client.force_login(user)
    answers = [client.get("/users/"), client.get(f"/users/{user.pk}/"), client.post(f"/users/{user.pk}/", {"role": "admin"})]
    answers += [client.post("/users/", {"name": "x"}), client.post(f"/users/{user.pk}/active/"), client.post(f"/users/{user.pk}/reset/")]
    assert [answer.status_code for answer in answers] == [403] * 6
    assert "/users/" not in client.get("/account/").text


def test_a_token_is_shown_once_kept_as_a_hash_and_revoked_by_its_owner_or_an_administrator(client, root):
    page = client.post("/account/tokens/", {"name": "nightly", "lives": "30"})
    text, token = page.context["text"], ApiToken.objects.get()
    assert page.status_code == 201 and text in page.text and text not in str(token.__dict__) and text not in client.get("/account/").text
    assert client.post("/account/tokens/", {"name": "nightly", "lives": "30"}).status_code == 400, "one standing token of a name"
    now = timezone.now()
    assert api_tokens.token_of(text, address="127.0.0.1", now=now).user == root
    token.refresh_from_db()
    assert token.last_used_at == now
    assert api_tokens.token_of(text, address=None, now=now + timedelta(days=31)) is None
    eve = add("eve", "executor")
    client.force_login(eve)
    assert client.post(f"/tokens/{token.pk}/revoke/").status_code == 404, "to others there is no such token"
    client.force_login(root)
    assert client.post(f"/tokens/{token.pk}/revoke/").status_code == 302
    assert api_tokens.token_of(text, address=None, now=now) is None
    assert said()[-1] == f"Revoked or expired token: nightly (…{text[-4:]}) of root"


def test_bad_tokens_are_counted_by_address_and_a_good_one_passes_all_the_same(root):
    _, good = api_tokens.make_token(name="good", days=None, actor=Actor.person(root))
    now = timezone.now()
    for number in range(api_tokens.BAD_TRIES):
        assert api_tokens.token_of(f"ce_{number}", address="10.0.0.1", now=now) is None
    rows = AuditEvent.objects.count()
    with pytest.raises(api_tokens.TooManyBadTokens) as refused:
        api_tokens.token_of("ce_again", address="10.0.0.1", now=timezone.now())
    assert 0 < refused.value.retry_seconds <= 900 and AuditEvent.objects.count() == rows, "a flood writes nothing"
    assert api_tokens.token_of("ce_other", address="10.0.0.2", now=timezone.now()) is None
    assert api_tokens.token_of(good, address="10.0.0.1", now=timezone.now()).user == root
    root.is_active = False
    root.save()
    assert api_tokens.token_of(good, address="10.0.0.2", now=timezone.now()) is None


def test_sign_ins_and_refusals_are_kept_without_what_was_typed_as_an_unknown_name(client):
    builders.make_user("ada")
    for name in ("ada", "my secret password"):
        client.post("/sign-in/", {"username": name, "password": "wrong"})
    client.post("/sign-in/", {"username": "ada", "password": PASSWORD})
    client.post("/sign-out/")
    assert said() == ["Wrong password for ada", "Sign-in with an unknown name", "Signed in", "Signed out"]


@pytest.mark.parametrize("way", ["reset", "switched off"])
def test_new_access_and_switching_off_end_tokens_for_good(root, way):
    eve = add("eve", "executor")
    _, text = api_tokens.make_token(name="nightly", days=None, actor=Actor.person(eve))
    if way == "reset":
        users.reset_access(user=eve, by_link=True, base_url="", actor=Actor("test"))
    else:
        users.set_active(user=eve, active=False, actor=Actor("test"))
        users.set_active(user=User.objects.get(pk=eve.pk), active=True, actor=Actor("test"))
    assert api_tokens.token_of(text, address=None, now=timezone.now()) is None
    assert [one for one in said() if "; ended 1 token" in one]


def test_who_was_switched_off_in_another_way_comes_back_without_the_old_tokens(root):
    eve = add("eve", "executor")
    _, text = api_tokens.make_token(name="nightly", days=None, actor=Actor.person(eve))
    User.objects.filter(pk=eve.pk).update(is_active=False)
    users.set_active(user=User.objects.get(pk=eve.pk), active=True, actor=Actor("test"))
    assert api_tokens.token_of(text, address=None, now=timezone.now()) is None
