"""Updates of the context carried out by real processes over a real repository."""

import pytest
import yaml
from django.core.management import call_command

from batches.core.errors import ServiceError
from batches.models import Batch, ContextChange, Run
from batches.projects.change_settings import update_project
from batches.review.begin_context_update import update_context
from batches.review.context_updates import accept_context, reject_context
from tests.batches.review.test_review_engine import users_own
from tests.batches.world import ACTOR, World, phase, plan, writes

pytestmark = pytest.mark.process

TEXT = plan(
    phase("1", steps=writes("1"), gates=("`test -f part-1.txt`", "The owner likes it")),
    phase("2", needs="1", steps=("echo x > part-2.txt; echo x > extra.txt",)),
    phase("3", needs="2", steps=writes("3"), gates=("`test -f NEVER`",)),
)
PRP = "PRPs/feature-requests/PRP-1.{stage}.1-part-{stage}.md"
MEMORY = [".serena/memories/ce-batch-1-drift.md", ".serena/memories/ce-batch-1.md"]
CLAUDE = "# Shop\n\nTabs\there, no newline at the end"


def executed(world: World) -> Batch:
    world.commit("CLAUDE.md", CLAUDE)
    batch = world.generated(TEXT)
    world.finish(world.execute(batch))
    return batch


def updated(world: World, batch: Batch) -> tuple[Run, ContextChange]:
    run = world.finish(update_context(batch=batch, actor=ACTOR))
    return run, ContextChange.objects.get(run=run)


def test_what_a_phase_may_change_binds_executions_only(world: World):
    update_project(project=world.project, changes={"undeclared_edits": "fail", "deletions": "fail"}, actor=ACTOR)
    batch = world.generated(plan(phase("1", steps=writes("1"))))
    assert world.finish(world.execute(batch)).state == "succeeded"
    run, change = updated(world, batch)
    assert run.state == "succeeded" and "CLAUDE.md" in change.files, run.report


def test_an_update_is_one_diff_on_a_branch_of_its_own_that_waits_for_a_person(world: World):
    batch = executed(world)
    before, tip = users_own(world), world.git("rev-parse", batch.branch)
    run, change = updated(world, batch)
    assert run.state == "succeeded", run.report
    assert change.decision == "proposed"
    assert change.files == [*MEMORY, "CLAUDE.md", *(PRP.format(stage=stage) for stage in (1, 2, 3))]
    assert world.git("rev-parse", batch.branch) == tip == change.base_commit
    assert world.git("rev-parse", "ce/context-1") == change.head_commit == world.git("rev-parse", change.ref)
    assert world.git("diff", "--name-only", tip, "ce/context-1").split("\n") == change.files
    assert "+++ b/CLAUDE.md" in change.diff
    claude = world.git("show", "ce/context-1:CLAUDE.md")
    assert claude.startswith(CLAUDE + "\n\n<!-- CE Web batch 1: begin -->\n## Batch 1: A small plan\n")
    assert "2 of 3 phases carried out" in claude
    documents = [world.git("show", f"ce/context-1:{PRP.format(stage=stage)}") for stage in (1, 2, 3)]
    first, second, third = (yaml.safe_load(document.split("---\n")[1]) for document in documents)
    assert [front["status"] for front in (first, second, third)] == ["executed", "executed", "failed"]
    assert first["gates"] == "1 passed, 1 unverified"
    assert first["evidence"].startswith(f"merged as {world.attempts(batch.runs.get(operation='execute'), '1')[0].merge_commit[:12]} on ")
    assert second["undeclared"] == "extra.txt"
    assert third["evidence"].startswith("gate_failed: ")
    assert "| PRP-1.2.1 |" in world.git("show", f"ce/context-1:{MEMORY[0]}")
    assert users_own(world) == before
    assert world.git("fsck", "--no-dangling") == ""


def test_what_is_accepted_is_merged_and_a_second_update_changes_nothing(world: World):
    batch = executed(world)
    before = users_own(world)
    _, change = updated(world, batch)
    accept_context(change=change, actor=ACTOR)
    assert change.decision == "accepted"
    assert change.decided_cause == ACTOR.cause
    assert world.git("rev-parse", batch.branch) == change.merge_commit
    assert world.git("diff", batch.branch, "ce/context-1") == ""
    with pytest.raises(ServiceError, match="nothing to decide"):
        reject_context(change=change, reason="", actor=ACTOR)
    run, again = updated(world, batch)
    assert (again.decision, again.files, again.diff) == ("unchanged", [], "")
    assert world.git("rev-parse", batch.branch) == change.merge_commit == world.git("rev-parse", "ce/context-1")
    assert "nothing to change" in run.report
    assert users_own(world) == before
    assert world.git("fsck", "--no-dangling") == ""


def test_what_is_rejected_is_not_merged_and_its_commits_stay_when_a_later_update_takes_the_branch(world: World):
    batch = executed(world)
    tip = world.git("rev-parse", batch.branch)
    _, first = updated(world, batch)
    reject_context(change=first, reason="Not  now", actor=ACTOR)
    assert (first.decision, first.reason) == ("rejected", "Not now")
    assert world.git("rev-parse", batch.branch) == tip
    _, second = updated(world, batch)
    assert second.decision == "proposed"
    assert world.git("rev-parse", first.ref) == first.head_commit
    assert world.git("diff", first.head_commit, second.head_commit) == ""  # the same facts, the same files
    assert world.git("rev-parse", batch.branch) == tip


def test_only_the_newest_proposal_can_be_decided(world: World):
    batch = executed(world)
    _, first = updated(world, batch)
    updated(world, batch)
    with pytest.raises(ServiceError, match="decide about that update"):
        accept_context(change=first, actor=ACTOR)


def test_by_setting_it_is_accepted_at_once(world: World):
    update_project(project=world.project, changes={"accept_context": True}, actor=ACTOR)
    batch = executed(world)
    _, change = updated(world, batch)
    assert (change.decision, change.decided_cause) == ("accepted", "policy:accept_context")
    assert world.git("diff", batch.branch, "ce/context-1") == ""


def test_a_link_in_place_of_claude_md_is_left_alone_and_said(world: World):
    (world.repository / "CLAUDE.md").symlink_to("README.md")
    world.git("add", "CLAUDE.md")
    world.git("commit", "-q", "-m", "Link")
    batch = world.generated(plan(phase("1", steps=writes("1"))))
    world.finish(world.execute(batch))
    run, change = updated(world, batch)
    assert change.decision == "proposed"
    assert "CLAUDE.md" not in change.files
    assert change.notes == ["CLAUDE.md is a symbolic link, not a file; it is left unchanged"]
    assert change.notes[0] in run.report


def test_an_update_before_execution_is_refused(world: World):
    batch = world.generated(TEXT)
    with pytest.raises(ServiceError, match="has not been executed yet"):
        update_context(batch=batch, actor=ACTOR)


def test_the_command_proposes_and_says_how_to_look_at_it(world: World, capsys):
    executed(world)
    with pytest.raises(SystemExit) as ended:
        call_command("batch_update_context", "--batch", "1")
    assert ended.value.code == 0
    assert "git diff ce/batch-1...ce/context-1" in capsys.readouterr().out
