"""The page of a verification: who may ask for one, how far it is, and what it found."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from batches.accounts import api_tokens
from batches.accounts.actor import Actor
from batches.accounts.roles import AUTHOR, EXECUTOR, VIEWER
from batches.core.gates.evidence import Difference
from batches.models import ApiToken, Batch, Host, Verification
from tests.batches import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def batch() -> Batch:
    return builders.finished_batch()


def signed_in(client, role: str) -> None:
    person = builders.make_user(role, admin=False)
    person.groups.add(Group.objects.get(name=role))
    client.force_login(person)


def test_only_who_may_execute_has_the_button_and_may_ask(client, batch):
    for role, may in ((VIEWER, False), (EXECUTOR, True)):
        signed_in(client, role)
        for address in (f"/batches/{batch.number}/", f"/batches/{batch.number}/verify/"):
            assert ('id="verb-verify"' in client.get(address).text) is may, (role, address)
    signed_in(client, AUTHOR)
    assert client.post(f"/batches/{batch.number}/verify/").status_code == 403
    assert not Verification.objects.exists()


def test_what_differs_comes_first_and_odd_texts_are_shown_as_text(client, batch):
    client.force_login(builders.make_user())
    assert "Not verified yet" in client.get(f"/batches/{batch.number}/verify/").text
    assert client.get(f"/batches/{batch.number}/verify.json").status_code == 404
    builders.make_verification(batch, Difference("status", "passed then, <b>failed</b> now"), text="It \u202e runs")
    text = client.get(f"/batches/{batch.number}/verify/").text
    assert "Not everything agrees: 2 gates, 1 agrees, 1 differs, 1 problem besides." in text
    assert text.index("⟦U+202E⟧") < text.index("It holds")
    assert "&lt;b&gt;failed&lt;/b&gt;" in text and "\x1b" not in text
    assert "not everything agrees" in client.get(f"/batches/{batch.number}/").text
    found = client.get(f"/batches/{batch.number}/verify.json")
    assert found.json()["agrees"] is False and "attachment" in found["Content-Disposition"]


def test_one_that_runs_says_how_far_it_is_and_reloads_the_page_at_its_end(client, batch):
    client.force_login(builders.make_user())
    one = builders.make_verification(batch, ended_at=None, agrees=None, progress="3 of 8: 2a, attempt 1")
    address = f"/batches/{batch.number}/verify/"
    assert "3 of 8: 2a, attempt 1" in client.get(address).text
    assert "3 of 8" in client.get(address, headers={"HX-Request": "true"}).text
    assert "already" in client.post(address, follow=True).text or Verification.objects.count() == 1
    Verification.objects.filter(pk=one.pk).update(ended_at=timezone.now(), agrees=True)
    Batch.objects.bump(batch.pk)
    assert client.get(address, headers={"HX-Request": "true"})["HX-Refresh"] == "true"
    assert "Verified" in client.get(f"/batches/{batch.number}/").text


def test_it_is_asked_for_and_stopped_by_the_api_and_on_the_page(client, batch):
    user = builders.make_user()
    _, text = api_tokens.make_token(name="ci", days=None, scope=ApiToken.Scope.EXECUTE, actor=Actor.person(user))
    token, address = {"Authorization": f"Bearer {text}"}, f"/api/batches/{batch.number}/verify/"
    assert client.get(address, headers=token).json()["state"] == "none"
    one = builders.make_verification(batch, ended_at=None, agrees=None, result=None, host="far", progress="3 of 8: 2a, attempt 1")
    found = client.get(address, headers=token).json()
    assert (found["state"], found["progress"], found["document"]) == ("running", one.progress, None)
    asked = client.post(address, headers=token, data="{}", content_type="application/json")
    assert asked.status_code == 409 and "does not exist" in asked.json()["error"], "its repository is not there"
    client.force_login(user)
    page = f"/batches/{batch.number}/verify/"
    assert 'id="verb-verify-stop"' in client.get(page).text
    long_ago = timezone.now() - timedelta(minutes=12)
    Host.objects.create(name="far", last_tick_at=long_ago, lease_until=long_ago)
    assert "The host far has not been heard of for 12 min" in client.get(page).text
    stopped = client.post(f"{address}stop/", headers=token, data="{}", content_type="application/json")
    assert stopped.status_code == 202 and stopped.json()["state"] == "failed" and "Stopped by" in stopped.json()["problem"]
    assert "Stopped by" in client.get(page).text
    assert client.post(f"{page}stop/", follow=True).text.count("is not being verified") == 1


def test_the_page_takes_a_bounded_number_of_queries(client, batch, django_assert_max_num_queries):
    client.force_login(builders.make_user())
    builders.make_verification(batch)
    with django_assert_max_num_queries(31):  # with the head of the batch, which is rendered once per version
        client.get(f"/batches/{batch.number}/verify/")
