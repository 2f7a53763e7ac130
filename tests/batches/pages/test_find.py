"""Going to anything by its name: what is found, by whom, and by how many queries."""

import pytest

from batches.models import Phase, Project
from tests.batches import builders

pytestmark = pytest.mark.django_db


def found(client, text, **more) -> str:
    answer = client.get("/find/", {"q": text, **more}, headers={"HX-Request": "true"})
    assert answer.status_code == 200 and "<html" not in answer.text
    return answer.text


def test_each_kind_of_thing_is_found_by_its_name_and_a_phase_by_its_batch_and_key(client, django_assert_max_num_queries):
    client.force_login(builders.make_user())
    batch = builders.failed_batch(title="Text <b>statistics</b>")
    number, project = batch.number, batch.project
    with django_assert_max_num_queries(12):
        page = found(client, "statistics")
    assert f'href="/batches/{number}/"' in page and "&lt;b&gt;" in page and "<b>" not in page
    assert f'href="/projects/{project.slug}/"' in found(client, project.name[:6].upper())
    assert f'href="/batches/{number}/phases/2a/"' in found(client, f"{number} 2")
    assert f'href="/batches/{number}/phases/2a/"' in found(client, "2a", batch=number)
    assert f'href="/plans/{batch.plan_id}/"' in found(client, batch.plan.title)
    assert 'href="/metrics/"' in found(client, "metr") and 'href="/plans/new/"' in found(client, "new plan")
    assert "/settings/" in found(client, "settings")
    assert found(client, "no such thing").strip() == ""
    for hostile in ("\x00", "9" * 90, "%_", f"{2**70} 1"):
        assert client.get("/find/", {"q": hostile}).status_code in (200, 400)


def test_nothing_is_found_that_the_person_may_not_see_or_do(client):
    batch = builders.failed_batch(title="Hidden work")
    Project.objects.filter(pk=batch.project_id).update(members_only=True, name="Hidden place")
    Phase.objects.filter(batch=batch, key="2a").update(title="Hidden phase")
    client.force_login(builders.make_user("viv", admin=False))
    for text in ("hidden", f"{batch.number} 2", batch.plan.title):
        assert "/batches/" not in found(client, text) and "/projects/h" not in found(client, text)
    assert found(client, "settings").strip() == "" and found(client, "new plan").strip() == ""


def test_without_javascript_the_same_is_a_page(client):
    client.force_login(builders.make_user())
    assert 'href="/health/"' in client.get("/find/?q=health").text
