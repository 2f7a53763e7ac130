"""A batch's branch that somebody deleted or moved is noticed, and comes back from what the rows know."""

import pytest
from django.core.management import call_command

from batches.core.errors import ServiceError
from batches.engine import retries
from batches.repositories.batch_branch import find_loss, restore_branch
from tests.batches.world import ACTOR, World, phase, plan, writes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.engine, pytest.mark.process]

TWO = plan(phase("1", steps=writes("1"), gates=("`test -f part-1.txt`",)), phase("2", needs="Phase 1", steps=("test -e go", *writes("2"))))


def stopped_after_one(world: World):
    """A batch whose first phase is merged and whose second has failed."""
    batch = world.generated(TWO)
    run = world.finish(world.execute(batch))
    assert world.states(run)["1"] == "succeeded" and run.state == "failed"
    world.commit("go", "now\n")
    return batch, run, world.git("rev-parse", batch.branch)


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_a_lost_branch_is_named_and_restored_by_button_or_command_and_the_batch_ends_right(world: World, admin_client, how: str, capsys):
    batch, run, tip = stopped_after_one(world)
    world.git(*(("branch", "-D", batch.branch) if how == "deleted" else ("branch", "-f", batch.branch, "main")))
    moved = "" if how == "deleted" else world.git("rev-parse", "main")
    page = admin_client.get(f"/batches/{batch.number}/merge/").text
    assert f"Restore {batch.branch}" in page and f"--batch {batch.number} --restore-branch" in page and tip[:12] in page
    if how == "deleted":
        for begin in (lambda: retries.retry(run=run, actor=ACTOR), lambda: world.execute(batch)):
            with pytest.raises(ServiceError, match=f"Restore it: manage.py batch_kept --batch {batch.number} --restore-branch"):
                begin()
        admin_client.post(f"/batches/{batch.number}/restore-branch/")
    else:
        call_command("batch_kept", "--batch", str(batch.number), "--restore-branch")
        assert f"{batch.branch} is at {tip[:12]} again" in capsys.readouterr().out
        assert world.git("rev-parse", f"refs/ce/archive/batch-{batch.number}/moved-{moved[:12]}") == moved
    assert world.git("rev-parse", batch.branch) == tip
    assert find_loss(batch) is None
    with pytest.raises(ServiceError, match="nothing to restore"):
        restore_branch(batch=batch, actor=ACTOR)
    retries.retry(run=run, actor=ACTOR)
    assert world.finish(run).state == "succeeded"
    assert {"part-1.txt", "part-2.txt"} <= world.files_on(batch.branch)


def test_nothing_starts_or_is_merged_on_a_branch_that_lacks_merged_work(world: World, admin_client):
    moves = f"cd {world.repository} && git branch -f ce/batch-1 main"
    text = plan(phase("1", steps=writes("1")), phase("2", needs="Phase 1", steps=(moves, *writes("2"))))
    batch = world.generated(text)
    run = world.finish(world.execute(batch, max_parallel=1))
    task = world.task(run, "2")
    assert task.state == "failed" and task.reason == "agent_error", task.message
    assert "was moved" in task.message and "--restore-branch" in task.message
    assert f"Restore {batch.branch}" in admin_client.get(f"/batches/{batch.number}/").text
    restore_branch(batch=batch, actor=ACTOR)
    assert "part-1.txt" in world.files_on(batch.branch)


def test_a_branch_that_grew_or_was_never_merged_into_is_no_loss(world: World):
    batch = world.generated(TWO)
    assert find_loss(batch) is None
    world.finish(world.execute(batch))
    tree = world.git("rev-parse", f"{batch.branch}^{{tree}}")
    grown = world.git("commit-tree", "-p", batch.branch, "-m", "A person's own.", tree)
    world.git("branch", "-f", batch.branch, grown)
    assert find_loss(batch) is None
