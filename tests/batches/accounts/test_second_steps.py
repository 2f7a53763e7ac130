"""Two-step sign-in: a code of an app or a recovery code after the password; wrong codes wait; who may require and remove it."""

from datetime import timedelta
from urllib.parse import urlsplit

import pyotp
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from batches.accounts import api_tokens, second_steps, sessions, users
from batches.accounts.actor import Actor
from batches.accounts.sign_in_links import make_link
from batches.models import AuditEvent, SecondStep, SignInFailure
from tests.batches import builders

pytestmark = pytest.mark.django_db
PASSWORD = "a long password"
PAGE = "/account/second-steps/"


def code_of(key: str, steps: int = 0) -> str:
    """What an app with this key shows, `steps` times 30 s from now."""
    app = pyotp.TOTP(key)
    return app.generate_otp(app.timecode(timezone.now()) + steps)


def first_step(name: str = "ada") -> Client:
    client = Client()
    assert client.post("/sign-in/", {"username": name, "password": PASSWORD, "next": "/plans/"}).url == "/sign-in/second-step/"
    return client


def signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


@pytest.fixture
def ada() -> User:
    return builders.make_user("ada")


@pytest.fixture
def key(ada) -> str:
    """The key of an app that ada has set up; its code of 30 s ago is the last that was used."""
    made = second_steps.new_key()
    second_steps.add_app(ada, made, code_of(made, -1), "Phone")
    return made


def test_an_app_is_set_up_by_its_code_and_asked_for_from_then_on(client, ada):
    client.force_login(ada)
    page = client.get(PAGE)
    key = page.context["key"].replace(" ", "")
    assert client.get(PAGE).context["key"].replace(" ", "") == key, "a reload does not make another one"
    wrong = client.post(PAGE, {"what": "app", "code": "000000" if code_of(key) != "000000" else "000001", "name": "Phone"})
    assert wrong.status_code == 400 and "clocks" in wrong.text and not SecondStep.objects.exists()
    made = client.post(PAGE, {"what": "app", "code": code_of(key, -1), "name": "Phone"})
    codes = made.context["codes"]
    assert made.status_code == 201 and len(set(codes)) == 10 and "no-store" in made["Cache-Control"]
    assert client.get(PAGE).context["key"].replace(" ", "") != key
    stored = str(list(SecondStep.objects.values()))
    assert key not in stored and not any(code.replace("-", "") in stored for code in codes)
    other = first_step()
    assert not signed_in(other) and other.get("/plans/").url.startswith("/sign-in/?next=")
    assert other.post("/sign-in/second-step/", {"code": code_of(key)}).url == "/plans/" and signed_in(other)
    assert other.get("/plans/").status_code == 200


def test_a_code_works_once_and_only_within_its_time(ada, key):
    client = first_step()
    for steps in (-1, -2, 3):
        assert client.post("/sign-in/second-step/", {"code": code_of(key, steps)}).status_code == 400, "used, too old, too new"
    assert client.post("/sign-in/second-step/", {"code": code_of(key)}).status_code == 302
    again = first_step()
    assert again.post("/sign-in/second-step/", {"code": code_of(key)}).status_code == 400 and not signed_in(again)


def test_a_recovery_code_works_once_also_as_it_may_be_typed(ada, key):
    one, two = second_steps.new_codes(ada)[:2]
    assert first_step().post("/sign-in/second-step/", {"code": f" {one.upper()} "}).status_code == 302
    assert first_step().post("/sign-in/second-step/", {"code": one}).status_code == 400
    assert AuditEvent.objects.filter(what="Used a recovery code; 9 left").exists()
    eve = builders.make_user("eve")
    second_steps.add_app(eve, key, code_of(key, -1), "Phone")
    assert first_step("eve").post("/sign-in/second-step/", {"code": two}).status_code == 400, "it is ada's"
    second_steps.new_codes(ada)
    assert first_step().post("/sign-in/second-step/", {"code": two}).status_code == 400, "new ones end the old ones"


def test_wrong_codes_wait_wherever_from_and_whatever_the_password_step_does(ada, key):
    for number in range(5):
        client = first_step()
        client.defaults["REMOTE_ADDR"] = f"192.0.2.{number}"
        assert client.post("/sign-in/second-step/", {"code": "1"}).status_code == 400
    refused = first_step().post("/sign-in/second-step/", {"code": code_of(key)}, REMOTE_ADDR="198.51.100.1")
    assert refused.status_code == 429 and 0 < int(refused["Retry-After"]) <= 5
    assert AuditEvent.objects.filter(refused=True, what="Wrong second step for ada; the next try waits 5 s").exists()
    for row in SignInFailure.objects.all():
        SignInFailure.objects.filter(pk=row.pk).update(at=row.at - timedelta(seconds=5))
    assert first_step().post("/sign-in/second-step/", {"code": code_of(key)}).status_code == 302
    assert not SignInFailure.objects.exists(), "right ones leave nothing behind"


def test_the_first_step_counts_for_ten_minutes_and_until_the_password_changes(ada, key):
    for change in ("time", "password", "off"):
        client = first_step()
        if change == "time":
            session = client.session
            session[sessions.FIRST_STEP] |= {"at": session[sessions.FIRST_STEP]["at"] - 601}
            session.save()
        elif change == "password":
            ada.set_password(PASSWORD)
            ada.save()
        else:
            User.objects.filter(pk=ada.pk).update(is_active=False)
        assert client.post("/sign-in/second-step/", {"code": code_of(key)}).url == "/sign-in/" and not signed_in(client)
    assert Client().get("/sign-in/second-step/").url == "/sign-in/"


def test_the_session_has_another_key_after_each_step(ada, key):
    client = Client()
    client.get("/sign-in/")
    session = client.session
    session["planted"] = 1
    session.save()
    planted = session.session_key
    client.cookies["sessionid"] = planted
    client.post("/sign-in/", {"username": "ada", "password": PASSWORD})
    between = client.session.session_key
    client.post("/sign-in/second-step/", {"code": code_of(key)})
    assert len({planted, between, client.session.session_key}) == 3 and signed_in(client)


def test_a_link_asks_for_the_second_step_too_unless_access_was_reset(ada, key, capsys):
    client = Client()
    path = urlsplit(make_link(ada, "http://testserver/")).path
    assert client.post(path).url == "/sign-in/second-step/" and not signed_in(client)
    access = users.reset_access(user=ada, by_link=True, base_url="http://testserver/", actor=Actor("test"))
    assert not SecondStep.objects.exists() and AuditEvent.objects.filter(what__endswith="; removed 1 second step").exists()
    assert client.post(urlsplit(access.link).path).url == "/account/" and signed_in(client)
    second_steps.add_app(ada, key, code_of(key), "Phone")
    call_command("sign_in_link", "ada", "--remove-second-steps")
    assert not SecondStep.objects.exists()
    assert Client().post(urlsplit(capsys.readouterr().out.strip()).path).url == "/account/"


def test_tokens_work_as_before(client, ada, key, settings):
    settings.CE_TWO_STEP = "required"
    token = api_tokens.make_token(name="nightly", days=7, actor=Actor.person(ada))[1]
    assert client.get("/api/projects/", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_where_it_is_required_whoever_has_none_is_led_to_set_it_up_and_cannot_remove_the_last(ada, settings):
    settings.CE_TWO_STEP = "required"
    client = Client()
    assert client.post("/sign-in/", {"username": "ada", "password": PASSWORD}).url == "/batches/"
    for path in ("/batches/", "/account/", "/admin/", "/plans/"):
        assert client.get(path).url == PAGE
    assert client.post("/account/tokens/", {"name": "nightly"}).url == PAGE and not ada.api_tokens.exists()
    polled = client.get("/batches/", headers={"HX-Request": "true"})
    assert polled.status_code == 204 and polled["HX-Redirect"] == PAGE
    key = client.get(PAGE).context["key"].replace(" ", "")
    assert client.post(PAGE, {"what": "app", "code": code_of(key, -1), "name": ""}).status_code == 201
    assert client.get("/batches/").status_code == 200
    step = SecondStep.objects.get(kind="app")
    assert "requires a second step" in client.post(PAGE, {"what": "remove", "step": step.pk}).text and SecondStep.objects.filter(pk=step.pk)
    settings.CE_TWO_STEP = "optional"
    assert client.post(PAGE, {"what": "remove", "step": step.pk}).status_code == 302
    assert not SecondStep.objects.exists(), "the recovery codes ended with it"


def test_a_session_from_before_it_was_required_ends_if_the_person_has_a_second_step(client, ada, key, settings):
    client.force_login(ada)
    assert client.get("/batches/").status_code == 200
    settings.CE_TWO_STEP = "required"
    assert client.get("/batches/").url == "/sign-in/" and not signed_in(client)


def test_second_steps_are_changed_by_their_person_alone_and_after_the_password(client, ada, key):
    eve = builders.make_user("eve")
    client.force_login(eve)
    step = SecondStep.objects.get(kind="app")
    assert client.post(PAGE, {"what": "remove", "step": step.pk}).status_code == 404 and SecondStep.objects.filter(pk=step.pk).exists()
    assert client.post(PAGE, {"what": "codes"}).status_code == 400, "without a step there are no codes"
    session = client.session
    session[sessions.CONFIRMED] = 0
    session.save()
    assert client.get(PAGE).url.startswith("/confirm/") and client.post(PAGE, {"what": "codes"}).url.startswith("/confirm/")


EMPTY = '{"id": "AA", "rawId": "AA", "response": {}, "type": "public-key"}'


@pytest.mark.parametrize("answer", ["", "x", "[]", "{}", "[" * 5000, '{"id": 1}', EMPTY])
def test_rubbish_is_no_passkey(client, ada, key, answer):
    client.force_login(ada)
    refused = client.post(PAGE, {"what": "passkey", "passkey": answer}, headers={"Host": "localhost"})
    assert refused.status_code == 400 and not SecondStep.objects.filter(kind="passkey").exists()
    other = first_step()
    assert other.post("/sign-in/second-step/", {"passkey": answer}).status_code == 400 and not signed_in(other)


@pytest.mark.parametrize(
    ("host", "secure", "possible"),
    [
        ("localhost:8000", False, True),
        ("127.0.0.1:8000", False, False),
        ("[::1]:8000", False, False),
        ("testserver", False, False),
        ("testserver", True, True),
    ],
)
def test_passkeys_are_offered_where_browsers_can_make_them(client, ada, host, secure, possible):
    client.force_login(ada)
    page = client.get(PAGE, headers={"Host": host}, secure=secure)
    assert (page.context["options"] is not None) is possible
