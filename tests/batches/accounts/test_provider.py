"""Sign-in by an identity provider: only by a token that is signed, for us, for this request and for now; roles follow groups."""

import base64
import json
import re
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from batches.accounts import identities, sessions, users
from batches.accounts.actor import Actor
from batches.models import AuditEvent, ProviderIdentity, SecondStep
from tests.batches import builders
from tests.batches.oidc_server import CLIENT, SECRET, Provider
from tests.batches.oidc_server import provider as serving_provider

pytestmark = pytest.mark.django_db
PASSWORD = "a long password"


@pytest.fixture
def provider(settings) -> Iterator[Provider]:
    with serving_provider() as made:
        settings.CE_OIDC_ISSUER, settings.CE_OIDC_CLIENT_ID, settings.CE_OIDC_CLIENT_SECRET = made.url, CLIENT, SECRET
        settings.CE_OIDC_NAME, settings.CE_OIDC_CREATE = "Example SSO", True
        settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": made.url}}
        yield made


def go(client: Client, address: str = "/sign-in/provider/?next=/plans/") -> str:
    """Follow the browser to the provider and back; where it is sent at last."""
    there = client.get(address)
    assert there.status_code == 302, there.content
    return come_back(client, there["Location"])


def come_back(client: Client, there: str) -> str:
    back = urlsplit(httpx.get(there).headers["Location"])
    return client.get(f"{back.path}?{back.query}")["Location"]


def signed_in(client: Client) -> str:
    """The name of who is signed in, or ""."""
    pk = client.session.get("_auth_user_id")
    return User.objects.get(pk=pk).username if pk else ""


def refusals() -> str:
    return " | ".join(AuditEvent.objects.filter(refused=True).values_list("what", flat=True))


def test_somebody_new_gets_an_account_without_a_role_where_that_is_configured(client, provider, settings):
    settings.CE_OIDC_CREATE = False
    assert go(client) == "/sign-in/" and "No account is connected" in refusals() and not User.objects.exists()
    assert "No account is connected" in client.get("/sign-in/").text
    settings.CE_OIDC_CREATE = True
    assert "Sign in with Example SSO" in client.get("/sign-in/").text
    assert go(client) == "/plans/" and signed_in(client) == "ada"
    ada = User.objects.get()
    assert users.role_of(ada) == "" and not ada.has_usable_password() and ada.email == "ada@example.org"
    assert client.get("/plans/").status_code == 403, "an administrator gives a role"
    assert set(AuditEvent.objects.filter(refused=False).values_list("what", flat=True)) == {
        "Added ada at the first sign-in, without a role",
        "Signed in by Example SSO",
    }
    provider.person["preferred_username"] = "countess"
    other = Client()
    assert go(other) == "/plans/" and signed_in(other) == "ada", "the provider's name for her has not changed"


def test_the_request_has_pkce_a_state_and_a_nonce_and_no_secret(client, provider):
    there = urlsplit(client.get("/sign-in/provider/")["Location"])
    asked = {name: values[0] for name, values in parse_qs(there.query).items()}
    assert asked["code_challenge_method"] == "S256" and min(len(asked[name]) for name in ("code_challenge", "state", "nonce")) >= 43
    assert asked["redirect_uri"] == "http://testserver/sign-in/provider/back/" and SECRET not in there.query
    again = urlsplit(client.get("/sign-in/provider/")["Location"])
    assert parse_qs(again.query)["nonce"] != [asked["nonce"]]


def test_an_account_is_never_taken_over_by_a_name_or_an_email_address(client, provider):
    ada = builders.make_user("ada")
    User.objects.filter(pk=ada.pk).update(email="ada@example.org")
    assert go(client) == "/sign-in/" and "already a user called ada" in refusals() and signed_in(client) == ""
    provider.person["preferred_username"] = "ADA"
    assert go(client) == "/sign-in/" and User.objects.count() == 1


FALSE = {
    "nonce of another request": {"nonce": "x"},
    "no nonce": {"nonce": None},
    "audience of another application": {"aud": "another"},
    "no audience": {"aud": None},
    "audience of two, made for the other": {"aud": [CLIENT, "another"], "azp": "another"},
    "issuer": {"iss": "https://evil.example"},
    "expired": {"exp": int(time.time()) - 3600},
    "no end": {"exp": None},
    "issued in the future": {"iat": int(time.time()) + 3600},
    "nobody": {"sub": ""},
    "no subject": {"sub": None},
}


@pytest.mark.parametrize("change", FALSE.values(), ids=FALSE)
def test_a_token_that_is_not_for_us_for_this_request_and_for_now_is_refused(client, provider, change):
    provider.change = change
    assert go(client) == "/sign-in/" and signed_in(client) == "" and not User.objects.exists()
    assert "ID token" in refusals()
    provider.change = {}
    assert go(client) == "/plans/" and signed_in(client) == "ada"


def _forged(claims):
    return jwt.encode(claims, rsa.generate_private_key(public_exponent=65537, key_size=2048), algorithm="RS256", headers={"kid": "first"})


def _tampered(provider):
    def sign(claims):
        head, body, signature = provider.signed(claims).split(".")
        body = base64.urlsafe_b64encode(json.dumps(claims | {"sub": "root"}).encode()).rstrip(b"=").decode()
        return f"{head}.{body}.{signature}"

    return sign


@pytest.mark.parametrize("how", ["another key", "tampered", "none", "the client's secret", "the public key as a secret", "no token"])
def test_a_token_that_the_provider_did_not_sign_is_refused(client, provider, how):
    provider.sign = {
        "another key": _forged,
        "tampered": _tampered(provider),
        "none": lambda claims: jwt.encode(claims, None, algorithm="none", headers={"kid": "first"}),
        "the client's secret": lambda claims: jwt.encode(claims, SECRET * 2, algorithm="HS256", headers={"kid": "first"}),
        "the public key as a secret": lambda claims: jwt.encode(claims, "k" * 64, algorithm="HS256", headers={"kid": "first"}),
        "no token": lambda claims: "rubbish",
    }[how]
    assert go(client) == "/sign-in/" and signed_in(client) == "" and "ID token is not valid" in refusals()


def test_new_keys_of_the_provider_are_asked_for_and_old_ones_are_refused_then(client, provider):
    assert go(client) == "/plans/" and go(Client()) == "/plans/"
    assert provider.asked.count("/keys") == 1 and provider.asked.count("/.well-known/openid-configuration") == 1
    old = dict(provider.keys)
    provider.change_keys("second")
    assert go(Client()) == "/plans/" and provider.asked.count("/keys") == 2
    provider.sign = lambda claims: jwt.encode(claims, old["first"], algorithm="RS256", headers={"kid": "first"})
    assert go(Client()) == "/sign-in/" and "does not show" in refusals()


def test_an_answer_counts_once_in_the_browser_that_asked_and_not_later(client, provider):
    there = client.get("/sign-in/provider/")["Location"]
    back = urlsplit(httpx.get(there).headers["Location"])
    stranger = Client()
    assert stranger.get(f"{back.path}?{back.query}")["Location"] == "/sign-in/" and "not begun in this browser" in refusals()
    late = client.session
    late["ce_provider"] |= {"at": late["ce_provider"]["at"] - 601}
    late.save()
    assert client.get(f"{back.path}?{back.query}")["Location"] == "/sign-in/" and signed_in(client) == ""
    there = client.get("/sign-in/provider/")["Location"]
    back = urlsplit(httpx.get(there).headers["Location"])
    assert client.get(f"{back.path}?{back.query}")["Location"] == "/batches/" and signed_in(client) == "ada"
    client.post("/sign-out/")
    assert client.get(f"{back.path}?{back.query}")["Location"] == "/sign-in/" and signed_in(client) == ""


@pytest.mark.parametrize("query", ["", "?state=x&code=y", "?error=access_denied", "?code=x", "?state=%00"])
def test_rubbish_at_the_callback_signs_nobody_in(client, provider, query):
    answer = client.get(f"/sign-in/provider/back/{query}")
    assert answer.status_code in (302, 400) and signed_in(client) == "" and not provider.asked


def test_what_a_provider_says_wrong_of_itself_is_refused(client, provider):
    for about in ({"issuer": "https://evil.example"}, {"token_endpoint": "http://192.0.2.1/token"}, {"jwks_uri": 5}):
        cache.clear()
        provider.about = about
        there = client.get("/sign-in/provider/")
        if there["Location"] != "/sign-in/":
            assert come_back(client, there["Location"]) == "/sign-in/"
        assert signed_in(client) == ""
    assert "not https" in refusals() and "calls itself otherwise" in refusals() and "jwks_uri" in refusals()


def test_a_provider_that_does_not_answer_is_named_and_the_password_still_works(client, provider, settings):
    builders.make_user("ada")
    settings.CE_OIDC_ISSUER = "http://127.0.0.1:9"
    assert client.get("/sign-in/provider/")["Location"] == "/sign-in/" and "could not be reached" in refusals()
    assert client.post("/sign-in/", {"username": "ada", "password": PASSWORD}).url == "/batches/"


def test_somebody_switched_off_stays_off(client, provider):
    go(Client())
    User.objects.update(is_active=False)
    assert go(client) == "/sign-in/" and signed_in(client) == "" and "switched off" in refusals()
    assert User.objects.count() == 1


def test_the_role_follows_the_groups_up_and_down_but_never_takes_the_last_administrator(client, provider, settings):
    settings.CE_OIDC_ROLES = {"bosses": "admin", "coders": "executor"}
    for groups, role in ((["x", "coders"], "executor"), (["coders", "bosses"], "admin")):
        provider.person["groups"] = groups
        assert go(client) == "/plans/" and users.role_of(User.objects.get()) == role
        client.post("/sign-out/")
    provider.person["groups"] = []
    assert go(client) == "/plans/" and users.role_of(User.objects.get()) == "admin" and "last administrator" in refusals()
    builders.make_user("root")
    client.post("/sign-out/")
    go(client)
    ada = User.objects.get(username="ada")
    assert users.role_of(ada) == "" and not ada.is_staff and client.get("/plans/").status_code == 403
    settings.CE_OIDC_ROLES = {}
    users.change_user(user=ada, email="", role="viewer", actor=Actor("test"))
    client.post("/sign-out/")
    go(client)
    assert users.role_of(User.objects.get(username="ada")) == "viewer", "without the setting, administrators give roles"


def test_an_account_is_connected_from_within_by_a_link_that_no_other_page_can_start(provider):
    ada = builders.make_user("ada")
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    assert client.post("/account/provider/").status_code == 403
    token = client.get("/account/").context["csrf_token"]
    shown = client.post("/account/provider/", {"csrfmiddlewaretoken": str(token)})
    there = re.search(r'class="btn btn-main" href="([^"]+)"', shown.text).group(1).replace("&amp;", "&")
    assert come_back(client, there) == "/account/" and identities.identity_of(ada).subject == "1234"
    eve = builders.make_user("eve")
    other = Client()
    other.force_login(eve)
    page = other.post("/account/provider/")
    assert come_back(other, page.context["address"]) == "/account/" and identities.identity_of(eve) is None, "it is ada's"
    fresh = Client()
    assert go(fresh) == "/plans/" and signed_in(fresh) == "ada"
    assert fresh.post("/account/provider/", {"what": "disconnect"}).url == "/account/" and not ProviderIdentity.objects.exists()


def test_a_second_step_is_the_providers_matter_also_where_it_is_required(client, provider, settings):
    settings.CE_TWO_STEP = "required"
    settings.CE_OIDC_ROLES = {"coders": "executor"}
    provider.person["groups"] = "coders"
    assert go(client) == "/plans/" and client.get("/plans/").status_code == 200 and not SecondStep.objects.exists()


def test_without_a_password_one_confirms_at_the_provider_and_only_by_signing_in_anew(client, provider, settings):
    settings.CE_OIDC_ROLES = {"bosses": "admin"}
    provider.person["groups"] = ["bosses"]
    provider.change = {"auth_time": int(time.time()) - 7200}
    go(client)
    assert client.get("/users/").url == "/confirm/?next=%2Fusers%2F", "she signed in at the provider long ago"
    assert "/sign-in/provider/?next=/users/" in client.get("/confirm/?next=/users/").text
    there = client.get("/sign-in/provider/?next=/users/")["Location"]
    assert "prompt=login" in there and "max_age=0" in there
    for said in ({"auth_time": int(time.time()) - 7200}, {"auth_time": None}, {"auth_time": int(time.time()) + 7200}, {"sub": "another"}):
        provider.change = said
        assert go(client, "/sign-in/provider/?next=/users/") == "/confirm/" and client.get("/users/").status_code == 302
    provider.change = {}
    assert go(client, "/sign-in/provider/?next=/users/") == "/users/" and client.get("/users/").status_code == 200
    assert go(client, "/sign-in/provider/?next=https://evil.example/") == "/batches/"


def test_new_access_by_an_administrator_ends_the_connection(client, provider):
    go(client)
    ada = User.objects.get()
    users.reset_access(user=ada, by_link=True, base_url="", actor=Actor("test"))
    assert not ProviderIdentity.objects.exists() and sessions.sessions_of(ada) == []


def test_without_a_provider_there_are_no_such_pages(client, settings):
    settings.CE_OIDC_ISSUER = ""
    assert [client.get(path).status_code for path in ("/sign-in/provider/", "/sign-in/provider/back/")] == [404, 302]
    assert "provider" not in client.get("/sign-in/").text
