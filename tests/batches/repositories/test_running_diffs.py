"""The diff of a running attempt: read by its host while somebody looks, never by a viewer, and marked as not committed."""

from pathlib import Path

import pytest
from django.core.cache import cache
from django.utils import timezone

from batches.engine import running_diffs
from batches.models import Attempt, Batch
from tests.batches.repositories.test_predictions import STEP, objects
from tests.batches.world import World, phase, plan

pytestmark = pytest.mark.process


def read() -> int:
    return running_diffs.read_running_diffs("test-host", timezone.now())


def test_the_diff_grows_while_somebody_looks_at_it_and_is_replaced_by_that_of_the_result(world: World, client, admin_user, settings):
    settings.CE_HOST = "test-host"
    client.force_login(admin_user)
    place = world.repository.parent
    step = STEP.format(text="hello", key="1", place=place, last="true")
    batch: Batch = world.generated(plan(phase("1", steps=(step,), files="shared.txt")))
    run = world.execute(batch)
    world.until(lambda: (place / "1.wrote").exists(), "it has written")
    attempt = Attempt.objects.get(task__run=run)
    before = objects(world)
    assert read() == 0 and not running_diffs.is_watched("test-host"), "nobody looks"
    address = f"/batches/{batch.number}/phases/1/?tab=diff"
    assert "is read every few seconds" in client.get(address).text
    assert running_diffs.is_watched("test-host") and not running_diffs.is_watched("another-host")
    assert read() == 1
    text = client.get(address).text
    assert "Not committed yet." in text and "shared.txt" in text and "hello" in text and "is read every few" not in text
    version = Batch.objects.get(pk=batch.pk).version
    assert read() == 0 and Batch.objects.get(pk=batch.pk).version == version, "nothing new: no page draws itself again"
    Path(attempt.checkout, "more.txt").write_text("and more\n")
    assert read() == 1 and "more.txt" in client.get(address).text
    assert objects(world) == before, "nothing is written to the project"
    cache.clear()
    assert not running_diffs.is_watched("test-host"), "who went away does not look"
    (place / "1.go").touch()
    assert world.finish(run).state == "succeeded"
    assert running_diffs.read_running_diffs("test-host", timezone.now()) == 0
    assert "Not committed yet." not in client.get(address).text
    assert "shared.txt" in client.get(address).text


def test_another_host_says_where_the_work_is(world: World, client, admin_user, settings):
    client.force_login(admin_user)
    place = world.repository.parent
    batch = world.generated(plan(phase("1", steps=(STEP.format(text="x", key="1", place=place, last="true"),), files="shared.txt")))
    run = world.execute(batch)
    world.until(lambda: (place / "1.wrote").exists(), "it has written")
    settings.CE_HOST = "another-host"
    assert "pages of that host show its work" in client.get(f"/batches/{batch.number}/phases/1/?tab=diff").text
    settings.CE_HOST = "test-host"
    (place / "1.go").touch()
    world.finish(run)
