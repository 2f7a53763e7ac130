"""Conflicts foreseen while phases run: seen, shown, gone when no longer true, and compared with what really collided."""

from pathlib import Path

import pytest
from django.utils import timezone

from batches.engine import pause_and_cancel, retries
from batches.engine.predictions import predict_conflicts
from batches.models import Batch, PredictedConflict, Run
from batches.tasks import look_around
from tests.batches.review.test_review_engine import users_own
from tests.batches.world import ACTOR, World, phase, plan

pytestmark = pytest.mark.process

# Writes at once, says so, and goes on when told; what is written then is what counts.
STEP = "echo {text} >> shared.txt; touch {place}/{key}.wrote; until test -e {place}/{key}.go; do sleep 0.02; done; {last}"


class Pair:
    """Two phases at work that write to the same place."""

    def __init__(self, world: World, last: str = "true") -> None:
        self.world, self.place = world, world.repository.parent
        steps = {key: STEP.format(text=key, key=key, place=self.place, last=last if key == "2b" else "true") for key in ("2a", "2b")}
        self.batch: Batch = world.generated(plan(*(phase(key, steps=(steps[key],), files="shared.txt") for key in steps)))
        self.run: Run = world.execute(self.batch)
        world.until(lambda: all((self.place / f"{key}.wrote").exists() for key in steps), "both have written")

    def go(self, key: str) -> None:
        Path(self.place, f"{key}.go").touch()

    def look(self) -> int:
        return predict_conflicts("test-host", timezone.now())

    def rows(self) -> list[PredictedConflict]:
        return list(self.run.predictions.all())


def objects(world: World) -> str:
    return world.git("count-objects", "-v") + world.git("for-each-ref")


def test_two_phases_that_will_collide_are_named_while_they_run_and_nothing_is_written_for_it(world: World, client, admin_user):
    pair = Pair(world)
    before, own = objects(world), users_own(world)
    assert pair.look() == 1
    assert (objects(world), users_own(world)) == (before, own)
    (row,) = pair.rows()
    assert (row.file, row.phases, row.gone_at, row.collided) == ("shared.txt", ["2a", "2b"], None, None)
    client.force_login(admin_user)
    text = client.get(f"/batches/{pair.batch.number}/").text
    assert "Phases 2a and 2b will collide" in text and "would collide" in text
    changes = client.get(f"/batches/{pair.batch.number}/changes/?phase=2a").text
    assert "shared.txt" in changes and "created" in changes
    version = Batch.objects.get(pk=pair.batch.pk).version
    pair.look()  # nothing new: no page is asked to draw itself again
    assert Batch.objects.get(pk=pair.batch.pk).version == version and len(pair.rows()) == 1
    # One is merged: now the other would collide with what is merged.
    pair.go("2a")
    world.until(lambda: world.states(pair.run)["2a"] == "succeeded")
    assert pair.look() == 1
    assert sorted(row.phases for row in pair.rows()) == [["2a", "2b"], ["2b"]]
    pair.go("2b")
    run = world.finish(pair.run)
    assert world.task(run, "2b").reason == "merge_conflict"
    assert [(row.collided, row.gone_at is not None) for row in pair.rows()] == [(True, True)] * 2
    assert "will collide" not in client.get(f"/batches/{pair.batch.number}/").text
    retries.retry(run=run, actor=ACTOR)
    assert world.finish(run).state == "succeeded"
    assert [row.collided for row in pair.rows()] == [True, True]
    assert world.git("fsck", "--no-dangling") == ""


def test_what_is_no_longer_true_disappears_and_counts_as_not_collided_once_both_are_merged(world: World):
    mind = "rm shared.txt; echo x > other.txt; touch ../changed; until test -e ../end; do sleep 0.02; done; rm ../changed ../end"
    pair = Pair(world, last=mind)
    assert pair.look() == 1
    pair.go("2b")
    checkouts = Path(world.attempts(pair.run, "2b")[0].checkout).parent
    world.until(lambda: (checkouts / "changed").exists(), "the change of mind")
    assert pair.look() == 0
    assert pair.rows()[0].gone_at is not None
    (checkouts / "end").touch()
    pair.go("2a")
    assert world.finish(pair.run).state == "succeeded"
    assert [row.collided for row in pair.rows()] == [False]


def test_the_minutes_task_looks_and_harms_nothing_when_there_is_nothing(world: World, settings):
    settings.CE_HOST = "test-host"
    assert look_around() == "0 conflicts predicted"
    pair = Pair(world)
    assert look_around() == "1 conflicts predicted"
    pause_and_cancel.cancel(run=pair.run, actor=ACTOR)
    world.finish(pair.run)
    assert [(row.collided, row.gone_at is not None) for row in pair.rows()] == [(None, True)]
    assert look_around() == "0 conflicts predicted"
