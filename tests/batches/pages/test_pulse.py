"""What tells an open page that something has changed elsewhere."""

import pytest
from django.core.cache import cache
from django.utils import timezone

from batches.models import Batch, Plan, Project
from batches.models.visibility import Sight, seeing
from batches.pages.batches.pulse import Pulse
from tests.batches import builders

pytestmark = pytest.mark.django_db


def test_a_page_of_a_batch_depends_on_its_batch_and_says_who_did_what(client):
    batch = builders.failed_batch()
    client.force_login(builders.make_user())
    page = client.get("/batches/1/gates/")
    seen = str(page.context["pulse"].version)
    assert f'data-pulse="{seen}"' in page.text
    asked = {"path": "/batches/1/gates/", "v": seen}
    assert client.get("/pulse/", asked).status_code == 204
    run = batch.runs.get()
    moved = {"from_state": "failed", "to_state": "pending", "cause": "person:mia", "at": timezone.now()}
    run.transitions.create(task=run.tasks.get(name="2a"), event="retry", **moved)
    Batch.objects.bump(batch.pk)
    news = client.get("/pulse/", asked).json()
    assert (news["who"], news["what"], news["failed"]) == ("mia", "Retried phase 2a", 1)
    assert "Retried by mia" in " ".join(client.get("/batches/1/gates/").text.split()), "it stands below the name, on every tab"


def test_another_page_depends_on_all_that_its_reader_sees():
    batch, hidden = builders.failed_batch(), builders.make_project("Another")
    with seeing(Sight(projects=frozenset([batch.project_id]))):
        before = Pulse("/plans/").version
        cache.clear()
        builders.make_plan(builders.plan_text(1), project=hidden)
        assert Pulse("/plans/").version == before, "what is hidden changes nothing"
        cache.clear()
        builders.make_plan(builders.plan_text(1), project=batch.project)
        assert Pulse("/plans/").version != before
    assert Plan.objects.count() == 3 and Project.objects.count() == 2


def test_the_page_of_health_is_read_anew_each_time(client):
    client.force_login(builders.make_user())
    seen = str(client.get("/health/").context["pulse"].version)
    assert client.get("/pulse/", {"path": "/health/", "v": seen}).status_code == 200


def test_a_verb_on_the_batchs_own_page_answers_without_a_reload(client):
    builders.running_batch()
    client.force_login(builders.make_user())
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/batches/1/", "CE-Stay": "1"}
    answer = client.post("/batches/1/pause/", headers=headers)
    assert answer.status_code == 200 and answer["HX-Trigger"] == "ce:acted" and "Paused:" in answer.text
    elsewhere = client.post("/batches/1/unpause/", headers=headers | {"HX-Current-URL": "http://testserver/batches/1/gates/"})
    assert (elsewhere.status_code, elsewhere["HX-Redirect"]) == (204, "/batches/1/")
