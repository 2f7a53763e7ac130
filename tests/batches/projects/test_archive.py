"""What is archived is hidden by lists and starts nothing; nothing of it is deleted, and it can be brought back."""

import pytest
from django.urls import reverse

from batches.core.engine.states import Operation
from batches.core.errors import ServiceError
from batches.models import AuditEvent, Batch, Project
from batches.runs.create import free_run
from tests.batches import builders
from tests.batches.world import ACTOR


def listed(client, **query: str) -> list[int]:
    return [row.batch.number for row in client.get(reverse("batches:list"), query).context["rows"]]


@pytest.mark.parametrize("what", ["the batch", "its project"])
def test_archived_and_brought_back(admin_client, what):
    batch = builders.failed_batch()
    other = builders.failed_batch(project=batch.project if what == "the batch" else builders.make_project("Another"))
    at = ("batches:archive", batch.number) if what == "the batch" else ("batches:project_archive", batch.project.slug)
    address = reverse(at[0], args=at[1:])
    admin_client.post(address)
    batch.refresh_from_db()
    assert listed(admin_client) == [other.number] and listed(admin_client, view="archived") == [batch.number]
    assert listed(admin_client, view="failed") == [other.number]
    with pytest.raises(ServiceError, match="is archived, so nothing starts there"):
        free_run(Batch.objects.get(pk=batch.pk), Operation.REVIEW, ACTOR)
    kept = admin_client.get(reverse("batches:kept", args=[batch.number]))
    assert kept.status_code == 200 and batch.phases.count() and batch.runs.count()
    projects = admin_client.get(reverse("batches:projects"))
    assert (batch.project.name in {one.name for one in projects.context["projects"]}) is (what == "the batch")
    if what == "its project":
        assert "1 archived" in projects.content.decode()
        archived = admin_client.get(reverse("batches:projects"), {"archived": "1"}).context["projects"]
        assert [one.name for one in archived] == [batch.project.name]
    assert admin_client.get(reverse("batches:detail", args=[batch.number])).status_code == 200
    admin_client.post(address, {"back": "1"})
    assert sorted(listed(admin_client)) == sorted([batch.number, other.number])
    said = list(AuditEvent.objects.filter(kind="project").order_by("pk").values_list("what", flat=True))[-2:]
    name = f"batch {batch.number}" if what == "the batch" else batch.project.name
    assert said == [f"Archived {name}", f"Brought back {name}"]


def test_what_is_at_work_is_not_archived(admin_client):
    batch = builders.failed_batch()
    run = batch.runs.order_by("-number").first()
    type(run).objects.filter(pk=run.pk).update(state="running", ended_at=None)
    for name, argument in (("archive", batch.number), ("project_archive", batch.project.slug)):
        said = admin_client.post(reverse(f"batches:{name}", args=[argument]), follow=True).content.decode()
        assert "Wait for its end, or cancel it" in said
    assert not Batch.objects.exclude(archived_at=None).exists() and not Project.objects.exclude(archived_at=None).exists()
