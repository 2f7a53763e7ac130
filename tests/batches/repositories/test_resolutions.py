"""The three ways on from a merge conflict: on top of the merged state, by hand, or without the phase."""

import os
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.utils.html import strip_tags

from batches.accounts.actor import Actor
from batches.core.errors import NothingToDo, ServiceError
from batches.engine import retries
from batches.engine.conflict_resolutions import drop_phase
from batches.models import Batch, GateCheck, Run, Task, Transition
from tests.batches import builders
from tests.batches.review.test_review_engine import users_own
from tests.batches.world import ACTOR, World, phase, plan, writes

pytestmark = pytest.mark.process

# Both write to one place; the second ends later, so it is the one that collides.
WAITS = "echo b > shared.txt; until test -e {go}; do sleep 0.02; done"
TEXT = plan(
    phase("1a", steps=("echo a > shared.txt",), files="shared.txt"),
    phase("1b", steps=(WAITS,), files="shared.txt", gates=("`grep -q b shared.txt`",)),
    phase("2", needs="1b", steps=writes("2")),
)


class Collision:
    def __init__(self, world: World) -> None:
        self.world = world
        go = world.repository.parent / "go"
        self.batch: Batch = world.generated(TEXT.replace("{go}", str(go)))
        self.run: Run = world.execute(self.batch)
        world.until(lambda: world.states(self.run)["1a"] == "succeeded" and world.states(self.run)["1b"] == "running")
        go.touch()
        world.finish(self.run)
        assert world.task(self.run, "1b").reason == "merge_conflict"

    @property
    def task(self) -> Task:
        return Task.objects.select_related("run__batch__project").get(run=self.run, name="1b")

    def resolve(self, text: str, branch: str = "resolve/batch-1-1b", *, merge: bool = True) -> str:
        """What the page tells a person to type, with `text` as the resolution."""
        folder = self.world.repository.parent / "by-hand"
        if not folder.exists():
            self.world.git("worktree", "add", "-q", "-b", branch, str(folder), self.batch.branch)
            if merge:
                attempt = self.world.attempts(self.run, "1b")[0]
                os.system(f"git -C {folder} -c user.name=P -c user.email=p@localhost merge -q {attempt.ref} >/dev/null 2>&1")
        Path(folder, "shared.txt").write_text(text)
        self.world.git("-C", str(folder), "add", "--all")
        self.world.git("-C", str(folder), "commit", "-q", "-m", "Resolve")
        return branch


@pytest.fixture
def collision(world: World) -> Collision:
    return Collision(world)


def test_the_page_shows_both_sides_and_the_commands_and_retry_starts_on_top(world: World, collision: Collision, client, admin_user):
    client.force_login(admin_user)
    page = f"/batches/{collision.batch.number}/phases/1b/"
    assert f'href="{page}conflict/"' in client.get(f"/batches/{collision.batch.number}/").text
    assert f'href="{page}conflict/"' in client.get(page).text
    text = client.get(f"{page}conflict/").text
    commands = ("git merge refs/ce/attempts/", "worktree add -b resolve/batch-1-1b")
    for said in ("shared.txt", "+a", "+b", *commands, "Take my resolution", "Drop phase 1b"):
        assert said in strip_tags(text)
    before = users_own(world)
    client.post(f"{page}conflict/", {"choice": "retry"})
    run = world.finish(collision.run)
    assert run.state == "succeeded", run.report
    assert world.git("show", f"{collision.batch.branch}:shared.txt") == "b"
    assert users_own(world) == before
    assert world.git("fsck", "--no-dangling") == ""
    assert "has no merge conflict" in client.get(f"{page}conflict/").text


def test_a_resolution_by_hand_is_judged_and_merged_and_what_waited_goes_on(world: World, collision: Collision, client, admin_user):
    client.force_login(admin_user)
    action = {"action": "take_resolution_of_selected", "_selected_action": [collision.task.pk]}
    assert "has no branch or commit resolve/batch-1-1b" in client.post("/admin/batches/task/", action, follow=True).text
    branch = collision.resolve("a and b\n")
    before, tip = users_own(world), world.git("rev-parse", branch)
    assert "will be retried: 1b, 2." in client.post("/admin/batches/task/", action, follow=True).text
    run = world.finish(collision.run)
    assert run.state == "succeeded", run.report
    last = world.attempts(run, "1b")[-1]
    assert world.git("show", f"{collision.batch.branch}:shared.txt") == "a and b"
    assert world.git("merge-base", tip, collision.batch.branch) == tip
    assert (last.result.files_modified, last.result.undeclared, last.result.total_steps) == (["shared.txt"], [], 0)
    assert [check.status for check in GateCheck.objects.filter(attempt=last, gate__command__contains="grep")] == ["passed"]
    assert (users_own(world), world.git("rev-parse", branch)) == (before, tip)
    assert world.git("fsck", "--no-dangling") == ""


def test_a_resolution_whose_gates_fail_is_not_merged_and_can_be_fixed(world: World, collision: Collision, client, admin_user):
    tip = world.git("rev-parse", collision.batch.branch)
    branch = collision.resolve("neither\n")
    retries.take_resolution(task=collision.task, commit=branch, actor=ACTOR)
    run = world.finish(collision.run)
    assert (world.task(run, "1b").reason, world.states(run)["2"]) == ("gate_failed", "blocked")
    assert world.git("rev-parse", collision.batch.branch) == tip
    client.force_login(admin_user)
    address = f"/batches/{collision.batch.number}/phases/1b/conflict/"
    assert "was not merged" in client.get(address).text
    collision.resolve("a, then b\n")
    client.post(address, {"choice": "take", "commit": branch})
    assert world.finish(run).state == "succeeded"
    assert world.git("show", f"{collision.batch.branch}:shared.txt") == "a, then b"


def test_what_is_no_resolution_is_refused_with_what_is_missing(world: World, collision: Collision):
    def refused(name: str, match: str) -> None:
        with pytest.raises(ServiceError, match=match):
            retries.take_resolution(task=collision.task, commit=name, actor=ACTOR)

    refused("", "Name the branch")
    refused("nowhere", "has no branch or commit nowhere")
    refused("--upload-pack=x", "cannot be the name of a branch")
    refused("main", "does not contain the work of phase 1b. Merge it first: git merge refs/ce/attempts/")
    attempt = world.attempts(collision.run, "1b")[0]
    refused(attempt.head_commit, "conflicts with ce/batch-1: shared.txt")
    with pytest.raises(PermissionDenied):
        retries.take_resolution(task=collision.task, commit="main", actor=Actor.person(builders.make_user("vic", admin=False)))
    assert world.states(collision.run)["1b"] == "failed"
    os.symlink("/etc/passwd", world.repository.parent / "link")
    branch = collision.resolve("a and b\n")
    os.symlink("/etc/passwd", world.repository.parent / "by-hand/out")
    collision.resolve("a, b\n")
    refused(branch, "out is a symbolic link that leaves the tree")


def test_a_dropped_phase_is_kept_under_an_archive_reference_and_only_its_name_takes_it_up_again(
    world: World, collision: Collision, client, admin_user
):
    head = world.attempts(collision.run, "1b")[0].head_commit
    client.force_login(admin_user)
    action = {"action": "drop_selected", "_selected_action": [collision.task.pk]}
    text = client.post("/admin/batches/task/", action, follow=True).text
    assert "1 done, 0 refused" in text
    ref = collision.task.dropped_ref
    assert world.git("rev-parse", ref) == head and ref.startswith("refs/ce/archive/batch-1/")
    assert world.states(collision.run) == {"1a": "succeeded", "1b": "cancelled", "2": "blocked"}
    move = Transition.objects.get(task=collision.task, event="drop")
    assert (move.from_state, move.to_state, move.cause) == ("failed", "cancelled", f"person:{admin_user.username}")
    assert "can be dropped" in client.post("/admin/batches/task/", action, follow=True).text
    with pytest.raises(ServiceError, match="can be dropped"):
        drop_phase(task=collision.task, actor=ACTOR)
    with pytest.raises(ServiceError, match="Nothing to retry"):
        retries.retry(run=collision.run, actor=ACTOR)
    with pytest.raises(NothingToDo, match="dropped"):
        retries.resume(batch=collision.batch, actor=ACTOR)
    with pytest.raises(NothingToDo, match=r"\(Phases 1b, 2\) were dropped"):
        world.execute(collision.batch)
    retries.retry(run=collision.run, actor=ACTOR, names=["1b"])
    assert world.finish(collision.run).state == "succeeded"
    assert world.git("rev-parse", ref) == head


def test_the_command_shows_takes_and_drops(world: World, collision: Collision, capsys):
    call_command("batch_conflict", "--batch", "1", "--phase", "1b")
    said = capsys.readouterr().out
    assert "shared.txt" in said and "--take resolve/batch-1-1b" in said
    with pytest.raises(CommandError, match="has no branch or commit") as failed:
        call_command("batch_conflict", "--batch", "1", "--phase", "1b", "--take", "nowhere")
    assert failed.value.returncode == 1
    call_command("batch_conflict", "--batch", "1", "--phase", "1b", "--drop")
    assert "refs/ce/archive/" in capsys.readouterr().out


def test_a_viewer_sees_the_conflict_and_decides_nothing(world: World, collision: Collision, client):
    client.force_login(builders.make_user("vic", admin=False))
    address = f"/batches/{collision.batch.number}/phases/1b/conflict/"
    text = strip_tags(client.get(address).text)
    assert "+a" in text and "Take my resolution" not in text
    for choice in ("retry", "take", "drop"):
        assert client.post(address, {"choice": choice}).status_code == 403
