"""The review page: what it shows, who may start and overrule, and that a batch's own state is not changed by a review."""

import pytest

from batches.models import Batch, Review
from tests.batches import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client):
    user = builders.make_user()
    client.force_login(user)
    return user


def test_the_page_shows_verdict_scores_findings_and_what_was_not_judged(client, ada):
    batch = builders.finished_batch()
    builders.make_review(batch, "after", "approved_with_warnings")
    text = client.get(f"/batches/{batch.number}/review/").text
    for said in ("approved with warnings", "14 of 100", "20 %", "+1,200", "fewer than 3 say little", "not judged: no model is configured"):
        assert said in text
    assert "Overrule" not in text


def test_an_earlier_review_stays_to_be_looked_at(client, ada):
    batch = builders.finished_batch()
    builders.make_review(batch, "before", "needs_revision", overruled=True)
    builders.make_review(batch, "after", "approved")
    text = client.get(f"/batches/{batch.number}/review/?run=2").text
    assert "Overruled by ada" in text
    assert "It is urgent." in text


def test_a_named_person_overrules_with_a_reason_and_not_without(client, ada):
    batch = builders.make_batch(run_state="succeeded", operation="generate")
    review = builders.make_review(batch, "before", "needs_revision")
    address = f"/batches/{batch.number}/review/{review.pk}/overrule/"
    assert "Give the reason" in client.post(address, {"reason": " "}, follow=True).text
    assert "Overruled by ada" in client.post(address, {"reason": "A prototype"}, follow=True).text
    assert Review.objects.get().passes


def test_a_viewer_sees_the_review_and_can_neither_start_nor_overrule(client):
    batch = builders.finished_batch()
    review = builders.make_review(batch, "before", "rejected")
    client.force_login(builders.make_user("vic", admin=False))
    text = client.get(f"/batches/{batch.number}/review/").text
    assert "rejected" in text
    assert "Overrule" not in text
    assert "Review the PRPs" not in text
    assert client.post(f"/batches/{batch.number}/review/", {"moment": "before"}).status_code == 403
    assert client.post(f"/batches/{batch.number}/review/{review.pk}/overrule/", {"reason": "x"}).status_code == 403


def test_an_unknown_moment_is_refused_with_the_choices(client, ada):
    batch = builders.finished_batch()
    text = client.post(f"/batches/{batch.number}/review/", {"moment": "during"}, follow=True).text
    assert "Reviews: before, after" in text


def test_a_batch_that_was_reviewed_stands_where_it_stood_before(client, ada):
    ready = builders.make_batch(run_state="succeeded", operation="generate")
    failed = builders.failed_batch()
    for batch in (ready, failed):
        builders.make_review(batch, "before", "needs_revision")
    states = {batch.number: (batch.operation, batch.run_state) for batch in Batch.objects.with_state()}
    assert states == {ready.number: ("generate", "succeeded"), failed.number: ("execute", "failed")}
    assert "verb-retry" in client.get(f"/batches/{failed.number}/").text
    assert "verb-execute" in client.get(f"/batches/{ready.number}/").text


def test_a_review_that_is_at_work_is_what_the_batch_shows(client, ada):
    batch = builders.finished_batch()
    builders.make_review(batch, "after", "", state="running")
    assert "review run 2" in client.get(f"/batches/{batch.number}/").text
    assert "hx-trigger" in client.get(f"/batches/{batch.number}/review/").text


def test_the_page_takes_a_bounded_number_of_queries(client, ada, django_assert_max_num_queries):
    batch = builders.finished_batch()
    for _ in range(5):
        builders.make_review(batch, "before", "needs_revision")
    with django_assert_max_num_queries(34):  # with the head of the batch, which is rendered once per version
        client.get(f"/batches/{batch.number}/review/")
