"""What git says of a phase's work decides whether it is merged, by real processes over a real repository."""

import os

import pytest
from django.utils.html import strip_tags

from batches.engine import orchestrator, retries
from batches.models import Attempt
from batches.projects.change_settings import update_project
from subagents.contract import TaskSpec
from tests.batches.review.test_review_engine import users_own
from tests.batches.world import ACTOR, World, phase, plan, writes

pytestmark = pytest.mark.process

DELETES = plan(phase("1", steps=("git rm -q --cached README.md; rm README.md; echo x > part-1.txt",)), phase("2", needs="1"))


def test_an_undeclared_deletion_passes_and_is_listed_unless_the_project_says_otherwise(world: World, client, admin_user):
    batch = world.generated(DELETES)
    run = world.finish(world.execute(batch))
    assert run.state == "succeeded", run.report
    result = world.attempts(run, "1")[0].result
    assert (result.files_deleted, result.undeclared) == (["README.md"], ["README.md"])
    client.force_login(admin_user)
    text = strip_tags(client.get(f"/batches/{batch.number}/changes/?phase=1").text)
    assert text.index("README.md") < text.index("part-1.txt") and "undeclared" in text and "−A repository for tests." in text


@pytest.mark.parametrize("setting", ["deletions", "undeclared_edits"])
def test_an_undeclared_deletion_fails_the_phase_by_name_and_a_retry_passes_once_the_setting_allows_it(world: World, setting: str):
    update_project(project=world.project, changes={setting: "fail"}, actor=ACTOR)
    before = users_own(world)
    batch = world.generated(DELETES)
    run = world.finish(world.execute(batch))
    assert world.states(run) == {"1": "failed", "2": "blocked"}
    failed = world.task(run, "1")
    assert failed.reason == "gate_failed" and "README.md" in failed.message and "project's settings" in failed.message
    assert "README.md" in run.report
    assert "README.md" in world.files_on(batch.branch) and "part-1.txt" not in world.files_on(batch.branch)
    kept = world.attempts(run, "1")[0]
    assert kept.merge_commit == "" and "part-1.txt" in world.files_on(kept.ref)
    update_project(project=world.project, changes={setting: "allow"}, actor=ACTOR)
    retries.retry(run=run, actor=ACTOR)
    assert world.finish(run).state == "succeeded", run.report
    assert "README.md" not in world.files_on(batch.branch)
    assert users_own(world) == before
    assert world.git("fsck", "--no-dangling") == ""


def test_commits_with_a_link_out_of_the_tree_or_another_repository_are_never_merged_whoever_made_them(world: World):
    batch = world.generated(plan(phase("1", steps=writes("1"))))
    run = world.finish(world.execute(batch))
    attempt = Attempt.objects.select_related("task__run__batch__project").get(task__run=run)
    tip = world.git("rev-parse", batch.branch)
    os.symlink("/etc/passwd", world.repository / "out")
    world.git("add", "out")
    world.git("update-index", "--add", "--cacheinfo", f"160000,{tip},vendored")
    tree = world.git("write-tree")
    world.git("reset", "-q", "--hard")
    made = world.git("commit-tree", "-p", attempt.base_commit, "-m", "Odd", tree)
    merged = orchestrator.merge(attempt, TaskSpec.from_json(attempt.spec), made, ())
    assert merged is not None and merged.commit == ""
    assert merged.facts["verdict"] == "agent_error"
    assert "out is a symbolic link that leaves the tree: /etc/passwd" in merged.facts["message"]
    assert "vendored is another git repository" in merged.facts["message"]
    assert world.git("rev-parse", batch.branch) == tip


def test_two_phases_that_merge_cleanly_but_break_together_are_caught_and_a_fix_and_a_retry_recover_them(world: World):
    alone = "`test ! -f two.txt || test -f fixed.txt`"
    text = plan(
        phase("1a", steps=("echo x > one.txt",), files="one.txt", gates=(alone,)),
        phase("1b", steps=("echo x > two.txt",), files="two.txt", gates=("`test -f two.txt`",)),
        phase("2", needs="1a, 1b", steps=writes("2")),
    )
    batch = world.generated(text)
    run = world.finish(world.execute(batch))
    assert world.states(run) == {"1a": "succeeded", "1b": "succeeded", "stage-1": "failed", "2": "blocked"}
    assert world.task(run, "stage-1").reason == "gate_failed" and "two.txt" in world.task(run, "stage-1").message
    world.commit("fixed.txt", "by a person\n")
    before = users_own(world)
    retries.retry(run=run, names=["stage-1"], actor=ACTOR)
    assert world.finish(run).state == "succeeded", run.report
    assert users_own(world) == before
    assert world.git("fsck", "--no-dangling") == ""
