"""The context page: what is proposed, and who may decide."""

import pytest

from tests.batches import builders

pytestmark = pytest.mark.django_db


def test_a_proposal_shows_its_files_and_diff_and_can_be_rejected_with_a_reason(client):
    client.force_login(builders.make_user())
    batch = builders.finished_batch()
    change = builders.make_context_change(batch, "proposed", notes=("Something was left alone",))
    text = client.get(f"/batches/{batch.number}/context/").text
    for said in ("proposed", "CLAUDE.md", "## Batch 1", "Something was left alone", "Accept", "Reject"):
        assert said in text
    address = f"/batches/{batch.number}/context/{change.pk}/"
    assert "can be accepted or rejected" in client.post(address, {"decision": "both"}, follow=True).text
    text = client.post(address, {"decision": "reject", "reason": "Too long"}, follow=True).text
    assert "Too long" in text
    assert "person:ada" in text
    assert "nothing to decide" in client.post(address, {"decision": "accept"}, follow=True).text


def test_a_viewer_sees_it_and_can_neither_start_nor_decide(client):
    batch = builders.finished_batch()
    change = builders.make_context_change(batch, "proposed")
    client.force_login(builders.make_user("vic", admin=False))
    text = client.get(f"/batches/{batch.number}/context/").text
    assert "CLAUDE.md" in text
    assert "Update the context" not in text
    assert "Reject" not in text
    assert client.post(f"/batches/{batch.number}/context/").status_code == 403
    assert client.post(f"/batches/{batch.number}/context/{change.pk}/", {"decision": "accept"}).status_code == 403


def test_a_batch_whose_context_was_updated_stands_where_it_stood_before(client):
    client.force_login(builders.make_user())
    batch = builders.failed_batch()
    builders.make_context_change(batch, "proposed")
    assert "verb-retry" in client.get(f"/batches/{batch.number}/").text


def test_the_page_takes_a_bounded_number_of_queries(client, django_assert_max_num_queries):
    client.force_login(builders.make_user())
    batch = builders.finished_batch()
    for _ in range(5):
        builders.make_context_change(batch, "rejected")
    with django_assert_max_num_queries(34):  # with the head of the batch, which is rendered once per version
        client.get(f"/batches/{batch.number}/context/")
