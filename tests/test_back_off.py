"""Wrong passwords slow down whoever types them, and never lock a named person out; addresses are those of the clients."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from batches.accounts import back_off
from batches.accounts.client_address import address_of
from batches.models import AuditEvent, SignInFailure
from ce_web.env import env_networks
from tests.batches import builders

pytestmark = pytest.mark.django_db
PASSWORD = "a long password"


def sign_in(client, name="ada", password=PASSWORD, address="192.0.2.1", **headers):
    return client.post("/sign-in/", {"username": name, "password": password}, REMOTE_ADDR=address, headers=headers)


def pass_time(**ago) -> None:
    for row in SignInFailure.objects.all():
        SignInFailure.objects.filter(pk=row.pk).update(at=row.at - timedelta(**ago))


def just_failed() -> None:
    """As if the last try had failed just now: a slow machine waits no part of the time by itself."""
    last = max(row.at for row in SignInFailure.objects.all())
    pass_time(seconds=(last - timezone.now()).total_seconds())


@pytest.fixture
def ada() -> User:
    return builders.make_user("ada")


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_the_sixth_wrong_password_waits_twice_as_long_each_time_and_waiting_is_not_counted(ada, name):
    client = Client()
    assert [sign_in(client, name, "wrong").status_code for _ in range(5)] == [200] * 5
    for seconds in (5, 10, 20):
        for _ in range(3):
            just_failed()
            refused = sign_in(client, name, PASSWORD)
            assert refused.status_code == 429 and 0 < int(refused["Retry-After"]) <= seconds
        pass_time(seconds=seconds)
        assert sign_in(client, name, "wrong").status_code == 200, "and this one is counted"
    pass_time(hours=1)
    assert sign_in(client, name, "wrong").status_code == 200 and SignInFailure.objects.count() == 1


def test_nobody_is_locked_out_by_what_others_do_with_the_name(ada):
    known, stranger = Client(), Client()
    assert sign_in(known).status_code == 302
    known.post("/sign-out/")
    for _ in range(8):
        sign_in(stranger, password="wrong")
        pass_time(seconds=1)
    just_failed()
    assert sign_in(stranger).status_code == 429
    assert sign_in(known).status_code == 302, "the same address, but a browser where she has signed in before"
    assert sign_in(Client(), address="192.0.2.2").status_code == 302, "and from elsewhere at once"
    other = Client()
    other.cookies[back_off.DEVICE_COOKIE] = back_off.device_cookie(builders.make_user("eve"))
    just_failed()
    assert sign_in(other).status_code == 429, "the cookie of somebody else is none"


def test_guessing_from_many_addresses_is_slow_and_waits_for_seconds_only(ada):
    now = timezone.now()
    for number in range(60):
        trier = back_off.Trier.of("ada", f"198.51.100.{number}", "")
        SignInFailure.objects.create(at=now, name=trier.name, network=trier.network)
    assert 0 < back_off.Trier.of("ada", "203.0.113.9", "").seconds_to_wait(now) <= 15
    assert back_off.Trier.of("eve", "203.0.113.9", "").seconds_to_wait(now) == 0


def test_many_names_from_one_address_or_one_network_wait_too(ada):
    for number in range(20):
        sign_in(Client(), f"name{number}", "wrong", address=f"2001:db8::{number + 1:x}")
    assert sign_in(Client(), "name99", "wrong", address="2001:db8::ffff").status_code == 429
    assert sign_in(Client(), "name99", "wrong", address="2001:db8:0:1::1").status_code == 200


def test_a_success_clears_the_count_and_the_administration_has_no_door_of_its_own(ada):
    client = Client()
    for _ in range(4):
        sign_in(client, password="wrong")
    assert sign_in(client).status_code == 302 and not SignInFailure.objects.exists()
    assert Client().post("/admin/login/", {"username": "ada", "password": "wrong"}).url.startswith("/sign-in/")
    assert "ada" not in str(list(SignInFailure.objects.values())), "no name is stored"


@pytest.mark.parametrize(
    ("peer", "header", "trusted", "found"),
    [
        ("192.0.2.1", "203.0.113.5", "", "192.0.2.1"),
        ("127.0.0.1", "203.0.113.5", "127.0.0.1", "203.0.113.5"),
        ("127.0.0.1", "6.6.6.6, 203.0.113.5", "127.0.0.1", "203.0.113.5"),
        ("127.0.0.1", "6.6.6.6, 203.0.113.5, 10.0.0.7", "127.0.0.1,10.0.0.0/8", "203.0.113.5"),
        ("192.0.2.1", "203.0.113.5", "127.0.0.1", "192.0.2.1"),
        ("127.0.0.1", "rubbish", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "10.0.0.1, 10.0.0.2", "127.0.0.1,10.0.0.0/8", "10.0.0.1"),
        ("", "203.0.113.5", "127.0.0.1", "203.0.113.5"),
        ("::1", "2001:db8::1", "::1", "2001:db8::1"),
    ],
)
def test_the_address_is_the_last_that_no_trusted_proxy_has(rf, settings, monkeypatch, peer, header, trusted, found):
    monkeypatch.setenv("CE_TRUSTED_PROXIES", trusted)
    settings.CE_TRUSTED_PROXIES = env_networks("CE_TRUSTED_PROXIES", "")
    assert address_of(rf.get("/", headers={"X-Forwarded-For": header}, REMOTE_ADDR=peer)) == found


def test_behind_a_trusted_proxy_the_wait_and_the_trail_have_the_address_of_the_client(ada, settings, monkeypatch):
    monkeypatch.setenv("CE_TRUSTED_PROXIES", "127.0.0.1")
    settings.CE_TRUSTED_PROXIES = env_networks("CE_TRUSTED_PROXIES", "")

    def through_proxy(address):
        return sign_in(Client(), password="wrong", address="127.0.0.1", **{"X-Forwarded-For": address}).status_code

    assert [through_proxy("203.0.113.5") for _ in range(6)][-1] == 429
    assert through_proxy("203.0.113.6") == 200
    assert set(AuditEvent.objects.values_list("address", flat=True)) == {"203.0.113.5", "203.0.113.6"}
    assert AuditEvent.objects.filter(what="Wrong password for ada; the next try waits 5 s").exists()
