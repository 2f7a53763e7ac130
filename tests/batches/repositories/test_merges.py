"""Merge into main: what it shows, when it refuses, and that the user's checkout is whole afterwards."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.core.errors import NothingToDo, ServiceError
from batches.engine import execution, pause_and_cancel, retries
from batches.models import BaseMerge, Batch
from batches.repositories.merges import bring_in_base, finish_merges, merge_batch, preview_merge
from tests.batches import builders
from tests.batches.review.test_review_engine import users_own
from tests.batches.world import ACTOR, World, phase, plan, writes

pytestmark = pytest.mark.process

TEXT = plan(phase("1", steps=writes("1")), phase("2", needs="1", steps=("rm README.md; echo x > part-2.txt",)))


@pytest.fixture
def batch(world: World) -> Batch:
    made = world.generated(TEXT)
    assert world.finish(world.execute(made)).state == "succeeded"
    return made


def whole(world: World) -> bool:
    return world.git("status", "--porcelain", "--untracked-files=all") == "" and world.git("fsck", "--no-dangling") == ""


def test_a_fast_forward_brings_the_users_checkout_along_and_is_recorded(world: World, batch: Batch):
    before = world.git("rev-parse", "main")
    preview = preview_merge(batch)
    assert (preview.refusal, preview.folder, preview.undone, preview.later) == ("", str(world.repository), (), ())
    assert preview.changes.deleted == ("README.md",)
    merge = merge_batch(batch=batch, actor=ACTOR, expected=(preview.base_commit, preview.batch_commit))
    assert world.git("rev-parse", "HEAD", "main").split() == [world.git("rev-parse", batch.branch)] * 2
    assert (world.repository / "part-2.txt").exists() and not (world.repository / "README.md").exists()
    assert whole(world)
    assert (merge.merged, merge.cause, merge.from_commit) == (True, ACTOR.cause, before)
    with pytest.raises(ServiceError, match=r"main already contains everything on ce/batch-1"):
        merge_batch(batch=batch, actor=ACTOR)


def test_a_merge_commit_has_both_sides_as_parents_and_names_who_asked(world: World, batch: Batch):
    before, tip = world.git("rev-parse", "main"), world.git("rev-parse", batch.branch)
    merge_batch(batch=batch, actor=ACTOR, fast_forward=False)
    assert world.git("log", "-1", "--format=%P", "main").split() == [before, tip]
    assert f"CE-Asked-By: {ACTOR.cause}" in world.git("log", "-1", "--format=%B", "main")
    assert whole(world)


def test_a_base_that_moved_is_refused_until_it_was_brought_in(world: World, batch: Batch):
    world.commit("other.txt", "by a person\n")
    before = users_own(world)
    with pytest.raises(ServiceError, match=r"main has moved: it has 1 commit .* --bring-in"):
        merge_batch(batch=batch, actor=ACTOR)
    assert users_own(world) == before
    bring_in_base(batch=batch, actor=ACTOR)
    assert users_own(world) == before
    assert [commit.subject for commit in preview_merge(batch).later] == ["Add other.txt", "Merge main into ce/batch-1"]
    with pytest.raises(ServiceError, match=r"No gate has judged ce/batch-1 with what main brought in\. Judge the gates again"):
        merge_batch(batch=batch, actor=ACTOR)
    assert users_own(world) == before
    assert world.finish(execution.judge_again(batch=batch, actor=ACTOR)).state == "succeeded"
    merge_batch(batch=batch, actor=ACTOR)
    assert whole(world) and (world.repository / "other.txt").exists() and (world.repository / "part-1.txt").exists()


def test_dirty_files_refuse_it_and_stay_and_so_does_a_look_that_is_out_of_date(world: World, batch: Batch):
    preview = preview_merge(batch)
    with pytest.raises(ServiceError, match="has moved since you looked"):
        merge_batch(batch=batch, actor=ACTOR, expected=(preview.base_commit, preview.base_commit))
    (world.repository / "README.md").write_text("half done\n")
    before = users_own(world)
    with pytest.raises(ServiceError, match=r"not committed: README\.md\. Commit or stash"):
        merge_batch(batch=batch, actor=ACTOR)
    assert users_own(world) == before
    assert not BaseMerge.objects.exists()


def test_a_live_run_and_a_person_without_the_right_are_refused(world: World):
    made = world.generated(plan(phase("1", steps=("sleep 60",))))
    run = world.execute(made)
    world.running(run, "1")
    with pytest.raises(ServiceError, match="busy with run"):
        merge_batch(batch=made, actor=ACTOR)
    pause_and_cancel.cancel(run=run, actor=ACTOR)
    world.finish(run)
    with pytest.raises(PermissionDenied):
        merge_batch(batch=made, actor=Actor.person(builders.make_user("vic", admin=False)))


def test_a_merge_whose_process_died_is_put_right_by_the_next_look(world: World, batch: Batch):
    base, tip = world.git("rev-parse", "main"), world.git("rev-parse", batch.branch)
    common = {"batch": batch, "base_branch": "main", "method": "ff", "cause": "person:ada", "batch_commit": tip}
    row = BaseMerge.objects.create(**common, from_commit=base, to_commit=tip, asked_at=timezone.now())
    with pytest.raises(ServiceError, match="is being merged right now"):
        merge_batch(batch=batch, actor=ACTOR)
    world.git("read-tree", "-m", "-u", base, tip)  # and killed here: the files are there, the branch is not
    BaseMerge.objects.update(asked_at=timezone.now() - timedelta(hours=1))
    assert finish_merges() == 1
    row.refresh_from_db()
    assert row.merged is True and world.git("rev-parse", "main") == tip and whole(world)


def test_the_page_shows_commits_and_files_and_merges_what_it_showed(world: World, batch: Batch, client, admin_user):
    client.force_login(admin_user)
    assert f'href="/batches/{batch.number}/merge/"' in client.get(f"/batches/{batch.number}/").text
    text = client.get(f"/batches/{batch.number}/merge/").text
    for said in ("PRP-1.1.1: Merge phase 1", "README.md", "undeclared", "Fast-forward main", "Merge with a commit"):
        assert said in text
    tip = world.git("rev-parse", batch.branch)
    posted = {"base": world.git("rev-parse", "main"), "tip": tip, "method": "ff"}
    text = client.post(f"/batches/{batch.number}/merge/", posted, follow=True).text
    assert f"main is at {tip[:12]} now." in text and "person:admin" in text
    assert whole(world)
    assert "merged into" in client.get(f"/batches/{batch.number}/").text


def test_the_page_says_why_not_and_offers_the_way_out(world: World, batch: Batch, client, admin_user):
    client.force_login(admin_user)
    world.commit("other.txt", "by a person\n")
    text = client.get(f"/batches/{batch.number}/merge/").text
    assert "has moved" in text and "Bring main into ce/batch-1" in text and "Fast-forward main" not in text
    text = client.post(f"/batches/{batch.number}/bring-in/", follow=True).text
    assert "No gate has judged" in text and "Judge the gates again" in text and "Fast-forward main" not in text
    world.finish(execution.judge_again(batch=batch, actor=ACTOR))
    assert "Fast-forward main" in client.get(f"/batches/{batch.number}/merge/").text
    client.force_login(builders.make_user("vic", admin=False))
    assert client.get(f"/batches/{batch.number}/merge/").status_code == 403
    assert client.post(f"/batches/{batch.number}/bring-in/").status_code == 403


def test_the_command_shows_refuses_with_1_and_merges(world: World, batch: Batch, capsys):
    call_command("batch_merge", "--batch", "1", "--dry-run")
    assert "1 deleted" in capsys.readouterr().out
    world.commit("other.txt", "by a person\n")
    with pytest.raises(CommandError, match="has moved") as refused:
        call_command("batch_merge", "--batch", "1", "--ff")
    assert refused.value.returncode == 1
    call_command("batch_merge", "--batch", "1", "--bring-in")
    world.finish(execution.judge_again(batch=batch, actor=ACTOR))
    call_command("batch_merge", "--batch", "1", "--no-ff")
    assert "Merged: main is at" in capsys.readouterr().out
    assert whole(world)


def test_the_gates_are_judged_again_on_what_was_brought_in_and_may_be_retried(world: World, client, admin_user):
    gate = "`! grep -q broken other.txt`"
    batch = world.generated(plan(phase("1", steps=writes("1"), gates=(gate,)), phase("2", needs="1", steps=writes("2"), gates=(gate,))))
    with pytest.raises(NothingToDo, match="no phase of batch 1 has been merged"):
        execution.judge_again(batch=batch, actor=ACTOR)
    world.commit("other.txt", "whole\n")
    assert world.finish(world.execute(batch)).state == "succeeded"
    world.commit("other.txt", "broken\n")
    bring_in_base(batch=batch, actor=ACTOR)
    client.force_login(admin_user)
    page = f"/batches/{batch.number}/merge/"
    assert "Judge the gates again" in client.get(page).text
    client.post(f"/batches/{batch.number}/judge-again/")
    run = world.finish(batch.runs.latest("number"))
    assert (run.state, world.task(run, "gates").reason) == ("failed", "gate_failed"), run.report
    assert len(world.task(run, "gates").covers) == 2
    assert client.get(f"/batches/{batch.number}/").status_code == 200
    assert "Judge the gates again" in client.get(page).text
    world.commit("other.txt", "fixed\n")
    retries.retry(run=run, actor=ACTOR)
    assert world.finish(run).state == "succeeded", run.report
    assert "Judge the gates again" not in client.get(page).text and preview_merge(batch).later == ()
