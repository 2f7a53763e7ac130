"""Kept work: listed with size and age, restored as a branch, and never deleted before it is under a reference."""

import os
import subprocess
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from batches.models import Attempt, Batch
from batches.repositories.kept_work import clean_up, measure_checkouts, restore
from tests.batches import builders
from tests.batches.review.test_review_engine import users_own
from tests.batches.world import ACTOR, World, phase, plan

pytestmark = pytest.mark.process


@pytest.fixture
def batch(world: World, settings) -> Batch:
    """Phase 1 failed at a gate after its commit; later somebody changed a file in its folder."""
    settings.CE_HOST = "test-host"
    made = world.generated(plan(phase("1", steps=("echo done > part-1.txt",), gates=("`test -f NEVER`",))))
    assert world.finish(world.execute(made)).state == "failed"
    return made


def attempt_of(batch: Batch) -> Attempt:
    return Attempt.objects.select_related("task__run__batch__project").get(task__run__batch=batch, outcome="failed")


def test_a_failed_attempt_is_listed_with_its_size_and_restored_as_a_branch(world: World, batch: Batch, client, admin_user):
    measure_checkouts("test-host", timezone.now())
    attempt = attempt_of(batch)
    assert attempt.checkout_bytes and attempt.checkout_removed_at is None
    assert not Attempt.objects.filter(outcome="succeeded", checkout_removed_at=None).exists()
    client.force_login(admin_user)
    address = f"/batches/{batch.number}/kept/"
    text = client.get(address).text
    assert attempt.ref in text and attempt.checkout in text and "Clean up" in text
    before = users_own(world)
    text = client.post(address, {"restore": attempt.pk}, follow=True).text
    branch = f"ce/restored-1-run-{attempt.task.run.number}-1-1"
    assert branch in text
    assert world.git("rev-parse", branch) == attempt.head_commit
    assert users_own(world) == before
    client.force_login(builders.make_user("vic", admin=False))
    assert client.post(address, {"restore": attempt.pk}).status_code == 403
    assert client.post(address, {"clean": "1"}).status_code == 403


def test_a_clean_up_archives_what_is_not_committed_and_removes_the_folder(world: World, batch: Batch):
    attempt = attempt_of(batch)
    Path(attempt.checkout, "late.txt").write_text("found out later\n")
    measure_checkouts("test-host", timezone.now())
    before = users_own(world)
    done = clean_up(batch=batch, actor=ACTOR)
    assert (done.removed, done.stays) == (1, ()) and done.bytes > 0
    assert not os.path.exists(attempt.checkout)
    attempt.refresh_from_db()
    assert world.git("show", f"{attempt.archive_ref}:late.txt") == "found out later"
    assert world.git("show", f"{attempt.archive_ref}:part-1.txt") == "done"
    assert world.git("rev-parse", attempt.ref) == attempt.head_commit == world.git("rev-parse", f"{attempt.archive_ref}^")
    assert users_own(world) == before
    assert world.git("fsck", "--no-dangling") == ""
    assert clean_up(batch=batch, actor=ACTOR).removed == 0
    branch = restore(attempt=attempt, actor=ACTOR)
    assert world.git("show", f"{branch}:late.txt") == "found out later"


def test_a_folder_with_what_cannot_be_archived_stays_and_says_why(world: World, batch: Batch):
    attempt = attempt_of(batch)
    inner = Path(attempt.checkout, "inner")
    subprocess.run(["git", "init", "-q", str(inner)], check=True)
    commit = ["-c", "user.name=x", "-c", "user.email=x@localhost", "commit", "-q", "--allow-empty", "-m", "x"]
    subprocess.run(["git", "-C", str(inner), *commit], check=True)
    measure_checkouts("test-host", timezone.now())
    done = clean_up(batch=batch, actor=ACTOR)
    assert done.removed == 0 and "inner is another git repository" in done.stays[0]
    assert inner.is_dir()


def test_a_folder_of_another_host_is_left_alone(world: World, batch: Batch, settings):
    measure_checkouts("test-host", timezone.now())
    settings.CE_HOST = "another"
    done = clean_up(batch=batch, actor=ACTOR)
    assert "its folder is on test-host" in done.stays[0]
    assert os.path.isdir(attempt_of(batch).checkout)


def test_the_command_lists_restores_and_cleans_up(world: World, batch: Batch, capsys):
    call_command("batch_kept", "--batch", "1")
    attempt = attempt_of(batch)
    assert f"{attempt.pk}: 1, attempt 1 (failed)" in capsys.readouterr().out
    call_command("batch_kept", "--batch", "1", "--restore", str(attempt.pk))
    call_command("batch_kept", "--batch", "1", "--clean-up")
    said = capsys.readouterr().out
    assert "Restored as the branch ce/restored-1-" in said and "1 folders removed" in said
    assert not os.path.exists(attempt.checkout)
