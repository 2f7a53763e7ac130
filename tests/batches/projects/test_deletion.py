"""What is deleted is gone with its files; what no branch has is never deleted, and what is at work is left alone."""

import os
import subprocess
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.urls import reverse
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.core.errors import ServiceError
from batches.engine.retries import retry
from batches.models import Attempt, AuditEvent, Batch, Membership, Plan, Project, Transition
from batches.plans.to_batch import next_number
from batches.projects import deletion
from batches.projects.archive import archive_batch
from batches.repositories.kept_work import clean_up, measure_checkouts
from tests.batches import builders
from tests.batches.world import ACTOR, World, phase, plan, writes


def project_on(repository: Path) -> Project:
    made = builders.make_project()
    made.repository = str(repository)
    made.save()
    return made


def references(world: World) -> list[str]:
    return [line for line in world.git("for-each-ref", "--format=%(refname)").split() if "/owner" not in line]


def files(world: World, number: int) -> list[str]:
    found = [path for root in (world.repository, settings.CE_DATA_DIR) for path in Path(root).rglob(f"batch-{number}*")]
    return sorted(str(path) for path in found if ".git" not in path.parts)


def reachable(world: World) -> set[str]:
    return set(world.git("rev-list", "--branches").split())


@pytest.mark.process
def test_a_batch_goes_with_its_files_and_nothing_that_no_branch_has(world: World, admin_client):
    fails = phase("2", steps=writes("2"), gates=("`test -f nothing`",))
    batch = world.generated(plan(phase("1", steps=writes("1")), fails))
    other = world.generated(plan(phase("1", steps=writes("other"))))
    run = world.finish(world.execute(batch, fail_fast=False))
    Attempt.objects.update(host=settings.CE_HOST)
    (failed,) = world.attempts(run, "2")
    Path(failed.checkout, "later.txt").write_text("not committed")
    address = reverse("batches:delete", args=[batch.number])
    tips = {one.head_commit for one in Attempt.objects.filter(task__run__batch=batch)} - {""}
    before = references(world)

    said = admin_client.post(address, follow=True).content.decode()
    assert "Clean up first" in said and references(world) == before and Batch.objects.filter(pk=batch.pk).exists()
    measure_checkouts(settings.CE_HOST, timezone.now())
    assert not clean_up(batch=batch, actor=ACTOR).stays
    left = world.git("rev-parse", f"refs/ce/archive/batch-{batch.number}/run-{run.number}/2/1.left")
    with pytest.raises(ServiceError, match="Make branches of them first"):
        deletion.delete_batch(batch=batch, actor=ACTOR)
    shown = admin_client.get(address).content.decode()
    assert "Make branches of these commits" in shown and 'id="verb-delete"' not in shown
    admin_client.post(address, {"branches": "1"})
    assert {*tips, left} <= reachable(world)

    shown = admin_client.get(address).content.decode()
    assert f"The branch {batch.branch}, with commits that main does not have." in shown and 'id="verb-delete"' in shown
    assert files(world, batch.number) and Transition.objects.filter(run__batch=batch).exists()
    answer = admin_client.post(address)
    assert answer["Location"] == reverse("batches:list")
    assert not Batch.objects.filter(pk=batch.pk).exists() and not Transition.objects.filter(run__batch=batch.pk).exists()
    assert files(world, batch.number) == [] and files(world, other.number)
    assert [one for one in references(world) if f"batch-{batch.number}/" in one] == []
    assert {*tips, left} <= reachable(world), "every commit is still on a branch"
    assert world.git("rev-parse", batch.branch)
    assert AuditEvent.objects.latest("pk").what.startswith(f"Deleted batch {batch.number}, ")
    assert admin_client.get(reverse("batches:metrics")).status_code == 200
    assert world.generated(plan(phase("1", steps=writes("1")))).number > other.number, "no number is given twice"


@pytest.mark.process
def test_what_was_not_committed_stays_though_its_batch_goes(world: World):
    ignored = ("printf '*.log\\n' > .gitignore", "echo one > 1.txt", "echo two > kept.log")
    batch = world.generated(plan(phase("1", steps=ignored, files=".gitignore, 1.txt")))
    world.finish(world.execute(batch))
    Attempt.objects.update(host=settings.CE_HOST)
    found = deletion.batch_deletion(batch)
    archives = list((Path(settings.CE_DATA_DIR) / "attempts").rglob("left-over.tar.gz"))
    assert archives and any("not committed" in said for said in found.stays)
    deletion.delete_batch(batch=batch, actor=ACTOR)
    kept = [path for path in (Path(settings.CE_DATA_DIR) / "attempts").rglob("*") if path.is_file()]
    assert kept == archives


def test_a_link_in_the_place_of_a_folder_leads_nowhere(db, tmp_path, repository):
    project = project_on(repository)
    batch = builders.make_batch(project=project)
    elsewhere = tmp_path / "elsewhere" / f"batch-{batch.number}"
    elsewhere.mkdir(parents=True)
    (elsewhere / "precious.txt").write_text("a person's")
    (repository / ".ce" / "orchestration").mkdir(parents=True)
    (repository / ".ce" / "orchestration" / "tasks").symlink_to(elsewhere.parent)
    (repository / ".ce" / "orchestration" / "completed-batches").mkdir()
    (repository / ".ce" / "orchestration" / "completed-batches" / f"batch-{batch.number}").symlink_to(elsewhere)
    deletion.delete_batch(batch=batch, actor=ACTOR)
    assert (elsewhere / "precious.txt").exists() and not Batch.objects.exists()
    assert os.listdir(repository / ".ce" / "orchestration" / "completed-batches") == []


def test_what_is_at_work_or_used_is_not_deleted(admin_client, repository):
    batch = builders.failed_batch(project=project_on(repository))
    said = admin_client.post(reverse("batches:plan_delete", args=[batch.plan_id]), follow=True).content.decode()
    assert f"Delete what came of it first: batch {batch.number}." in said and Plan.objects.exists()
    batch.verifications.create(host="one", asked_at=batch.created_at)
    with pytest.raises(ServiceError, match="is being verified"):
        deletion.delete_batch(batch=batch, actor=ACTOR)
    run = batch.runs.order_by("-number").first()
    type(run).objects.filter(pk=run.pk).update(state="running", ended_at=None)
    for address in (reverse("batches:delete", args=[batch.number]), reverse("batches:project_delete", args=[batch.project.slug])):
        assert "Wait for its end, or cancel it" in admin_client.post(address, follow=True).content.decode()
    assert Batch.objects.exists() and Project.objects.exists()


def test_nothing_is_deleted_in_the_repository_of_another_installation(db, repository):
    batch = builders.make_batch(project=project_on(repository))
    git = ["git", "-C", str(repository)]
    text = b'{"installation": "another", "directory": "another"}'
    blob = subprocess.run([*git, "hash-object", "-w", "--stdin"], input=text, capture_output=True, check=True).stdout.decode().strip()
    subprocess.run([*git, "update-ref", "refs/ce/owner", blob], check=True)
    with pytest.raises(ServiceError, match="belongs to another CE Web installation"):
        deletion.delete_batch(batch=batch, actor=ACTOR)
    assert Batch.objects.exists()


def test_a_project_goes_with_its_plans_and_a_plan_with_its_versions(admin_client, repository):
    project = project_on(repository)
    batch = builders.failed_batch(project=project)
    batch.runs.update(reported_at=batch.created_at)
    builders.make_idea(project)
    lonely, later = builders.make_plan(project=project), None
    later = builders.make_plan(project=project, first_version=lonely, version=2)
    admin_client.post(reverse("batches:plan_delete", args=[later.pk]))
    assert not Plan.objects.filter(pk__in=[lonely.pk, later.pk]).exists() and Plan.objects.exists()
    shown = admin_client.get(reverse("batches:project_delete", args=[project.slug])).content.decode()
    assert "1 batch with" in shown and f"The repository {repository}" in shown
    admin_client.post(reverse("batches:project_delete", args=[project.slug]))
    assert not Project.objects.exists() and not Plan.objects.exists() and not Batch.objects.exists()
    assert (repository / ".git").is_dir()
    said = list(AuditEvent.objects.order_by("pk").values_list("what", flat=True))[-3:]
    assert [one.split(",")[0].split(":")[0] for one in said] == [
        f"Deleted the plan {lonely.title}",
        f"Deleted batch {batch.number}",
        f"Deleted {project.name}",
    ]


def test_a_batch_whose_repository_is_gone_can_be_deleted(db, tmp_path):
    batch = builders.make_batch(project=project_on(tmp_path / "gone"))
    deletion.delete_batch(batch=batch, actor=ACTOR)
    assert not Batch.objects.exists()
    assert next_number([]) == batch.number + 1, "no other batch is ever called so"
    with pytest.raises(ServiceError, match="is deleted already"):
        deletion.delete_batch(batch=batch, actor=ACTOR)


def test_a_plan_with_versions_in_two_projects_goes_with_the_right_in_both_and_with_no_project(db, repository):
    one, other = project_on(repository), builders.make_project("Another")
    first = builders.make_plan(project=one)
    builders.make_plan(project=other, first_version=first, version=2)
    with pytest.raises(ServiceError, match="Delete the plans first that have versions in other projects"):
        deletion.delete_project(project=one, actor=ACTOR)
    mia = builders.make_user("mia", admin=False)
    Membership.objects.create(project=one, user=mia, role="admin")
    with pytest.raises(PermissionDenied):
        deletion.delete_plan(plan=first, actor=Actor.person(mia))
    assert Plan.objects.count() == 2
    deletion.delete_plan(plan=first, actor=ACTOR)
    loose = builders.make_plan(project=None)
    builders.make_plan(project=one, first_version=loose, version=2)
    deletion.delete_project(project=one, actor=ACTOR)
    assert not Plan.objects.exists(), "no version stays behind for everybody to read"


def test_retry_starts_nothing_in_what_is_archived(db):
    batch = builders.failed_batch()
    archive_batch(batch=batch, actor=ACTOR)
    with pytest.raises(ServiceError, match="is archived, so nothing starts there"):
        retry(run=batch.runs.executions().latest("number"), actor=ACTOR)
