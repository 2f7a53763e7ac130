"""Reviews carried out by real processes over a real repository."""

import subprocess

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.core.management import call_command

from batches.accounts.actor import Actor
from batches.core.engine.execute_options import ExecuteOptions
from batches.core.errors import ServiceError
from batches.core.review.types import ReviewTiming
from batches.engine import generation, retries
from batches.engine.execution_plan import plan_execution
from batches.models import Batch, Finding, GateOpinion, Review, Run
from batches.plans.versions import import_plan
from batches.projects.change_settings import update_project
from batches.review import begin_review
from batches.review.begin_review import usual_moment
from batches.review.overrule_verdict import overrule_review
from tests.batches.world import ACTOR, SEED_FLOW, World, phase, plan, writes

pytestmark = pytest.mark.process

GATES = ("`test -f part-1.txt`", "`test -s part-1.txt`", "`grep -q done part-1.txt`")
SOUND = plan(phase("1", steps=writes("1"), gates=GATES, title="Write the first part"))
REPORT = "PRPs/reviews/batch-1-review.md"


def reviewed(world: World, batch: Batch, moment: ReviewTiming) -> tuple[Run, Review]:
    run = world.finish(begin_review.review(batch=batch, actor=ACTOR, moment=moment))
    return run, Review.objects.get(run=run)


def users_own(world: World) -> tuple[str, ...]:
    """What is the user's: branch, HEAD, index and working tree."""
    index = world.repository / ".git/index"
    tree = {path.name: path.read_bytes() for path in world.repository.iterdir() if path.is_file()}
    return world.git("rev-parse", "main"), world.git("symbolic-ref", "HEAD"), str(index.read_bytes()), str(sorted(tree.items()))


def test_a_review_before_execution_judges_every_prp_and_commits_one_report(world: World):
    batch = world.generated(SEED_FLOW)
    before, tip = users_own(world), world.git("rev-parse", batch.branch)
    run, review = reviewed(world, batch, ReviewTiming.BEFORE)
    assert run.state == "succeeded", run.report
    assert world.states(run) == dict.fromkeys(("1", "2a", "2b", "3"), "succeeded")
    assert review.verdict == "approved_with_warnings"
    assert [(score["phase"], score["score"], score["band"]) for score in review.scores] == [
        ("1", 25, "medium"), ("2a", 30, "medium"), ("2b", 30, "medium"), ("3", 30, "medium"),
    ]  # fmt: skip
    assert set(review.findings.values_list("phase__key", "category", "severity")) >= {("1", "gates", "minor"), ("3", "gates", "minor")}
    assert review.semantic == "not judged: no model is configured"
    assert world.git("log", "--format=%s", f"{tip}..{batch.branch}") == "PRP-1: Review - A small plan"
    assert world.git("diff", "--name-only", tip, batch.branch) == REPORT
    assert world.git("rev-parse", batch.branch) == review.commit
    text = world.git("show", f"{batch.branch}:{REPORT}")
    assert text == review.text.strip()
    assert "**Verdict**: Approved with warnings" in text
    assert "**Semantic review**: not judged: no model is configured" in text
    assert "Verdict: Approved with warnings" in run.report
    assert run.result["review"]["verdict"] == "approved_with_warnings"
    assert users_own(world) == before
    assert world.git("fsck", "--no-dangling") == ""


def test_a_sound_prp_is_approved_and_a_review_after_execution_sees_files_gates_and_drift(world: World):
    batch = world.generated(SOUND)
    assert reviewed(world, batch, ReviewTiming.BEFORE)[1].verdict == "approved"
    world.finish(world.execute(batch))
    _, review = reviewed(world, batch, ReviewTiming.AFTER)
    assert review.verdict == "approved"
    [score] = review.scores
    # one hour was planned and seconds were needed: the time's 20 per cent, and nothing else
    assert (score["state"], score["drift"], score["lines_added"], score["lines_removed"]) == ("succeeded", 20, 1, 0)
    assert list(review.findings.values_list("severity", "category")) == [("info", "drift")]
    assert world.git("show", f"{batch.branch}:{REPORT}").count("# Review of batch 1") == 1
    assert world.git("fsck", "--no-dangling") == ""


def test_undeclared_files_and_deletions_are_named_after_execution(world: World):
    steps = ("echo done > part-1.txt; echo x > extra.txt; rm README.md",)
    batch = world.generated(plan(phase("1", steps=steps, gates=GATES)))
    world.finish(world.execute(batch))
    _, review = reviewed(world, batch, ReviewTiming.AFTER)
    assert review.verdict == "needs_revision"
    named = set(review.findings.filter(category="files").values_list("place", "severity"))
    assert named == {("README.md", "major"), ("extra.txt", "minor")}


def test_changed_files_that_do_not_parse_are_found_on_the_merged_tree_after_execution(world: World):
    good = phase("1", steps=("echo 'x = 1' > good.py",), files="good.py", gates=("`test -f good.py`",) * 3)
    bad = phase("2", steps=("echo 'def (' > bad.py",), files="bad.py", gates=("`test -f bad.py`",) * 3)
    world.project.standard_gates = []  # they would have stopped the phase
    world.project.save()
    batch = world.generated(plan(good, bad))
    world.finish(world.execute(batch))
    _, review = reviewed(world, batch, ReviewTiming.AFTER)
    finding = review.findings.get(category="lint")
    assert (finding.phase.key, finding.severity) == ("2", "major")
    assert "bad.py: SyntaxError" in finding.message
    assert review.verdict == "needs_revision"


def test_phases_that_failed_need_revision_after_execution(world: World):
    broken = plan(phase("1", steps=writes("1"), gates=GATES), phase("2", steps=writes("2"), gates=("`test -f NEVER`",)))
    batch = world.generated(broken)
    world.finish(world.execute(batch))
    run, review = reviewed(world, batch, ReviewTiming.AFTER)
    assert review.verdict == "needs_revision"
    assert "✓ PRP-1.1.1 Phase 1: " in run.report and "(looked at; executed: success" in run.report
    assert "✕ PRP-1.1.2 Phase 2: " in run.report and "(looked at; executed: failed" in run.report
    assert run.report.count("\n  info: ") == review.findings.filter(severity="info").count() > 0
    assert Finding.objects.get(review=review, category="execution").phase.key == "2"


def test_a_prp_document_that_is_gone_from_the_branch_is_found_by_the_reviewer(world: World):
    batch = world.generated(SOUND)
    world.git("branch", "keep", batch.branch)
    world.git("update-ref", f"refs/heads/{batch.branch}", "main")
    _, review = reviewed(world, batch, ReviewTiming.BEFORE)
    finding = review.findings.get(severity="major")
    assert finding.place == "PRPs/feature-requests/PRP-1.1.1-write-the-first-part.md"
    assert review.verdict == "needs_revision"


def test_a_project_that_requires_a_review_blocks_execute_until_it_approves(world: World):
    update_project(project=world.project, changes={"require_review": True}, actor=ACTOR)
    batch = world.generated(SOUND)
    batch.project.refresh_from_db()
    with pytest.raises(ServiceError, match="requires a review before Execute"):
        world.execute(batch)
    assert any("requires a review" in note for note in plan_execution(batch=batch, options=ExecuteOptions()).notes)
    reviewed(world, batch, ReviewTiming.BEFORE)
    assert world.finish(world.execute(batch)).state == "succeeded"


def test_a_verdict_is_overruled_by_a_named_person_with_a_reason_only(world: World):
    update_project(project=world.project, changes={"require_review": True}, actor=ACTOR)
    batch = world.generated(plan(phase("1", steps=writes("1"))))
    _, review = reviewed(world, batch, ReviewTiming.BEFORE)
    assert review.verdict == "needs_revision"
    batch = Batch.objects.select_related("project").get(pk=batch.pk)
    with pytest.raises(ServiceError, match="says: needs revision"):
        world.execute(batch)
    ada = Actor.person(get_user_model().objects.create_superuser("ada", password="a long password"))
    with pytest.raises(PermissionDenied):
        overrule_review(review=review, reason="I know", actor=ACTOR)
    with pytest.raises(ServiceError, match="reason"):
        overrule_review(review=review, reason=" \n", actor=ada)
    overrule_review(review=review, reason="A script\nof one line", actor=ada)
    assert (review.overruled_name, review.overrule_reason) == ("ada", "A script of one line")
    with pytest.raises(ServiceError, match="already"):
        overrule_review(review=review, reason="Again", actor=ada)
    assert world.finish(world.execute(batch)).state == "succeeded"


@pytest.mark.parametrize(("text", "executed"), [(SOUND, True), (plan(phase("1", steps=writes("1"))), False)])
def test_execute_of_a_plan_goes_through_the_required_review_and_stops_where_it_does_not_approve(world: World, text: str, executed: bool):
    update_project(project=world.project, changes={"require_review": True}, actor=ACTOR)
    made = import_plan(text=text, file_name="plan.md", project=world.project, actor=ACTOR)
    batch = generation.generate(plan=made, project=world.project, actor=ACTOR, then=ExecuteOptions())
    world.finish(batch.runs.get())
    world.finish(batch.runs.get(operation="review"))
    assert batch.runs.filter(operation="execute").exists() is executed
    if not executed:
        assert "did not start: The review of batch 1 says: needs revision" in batch.runs.get(operation="review").report
    else:
        assert world.finish(batch.runs.get(operation="execute")).state == "succeeded"


def test_a_report_that_cannot_be_written_is_said_and_the_verdict_stands(world: World):
    batch = world.generated(SOUND)
    folder = world.repository.parent / "linked"
    world.git("worktree", "add", "-q", str(folder), batch.branch)
    run, review = reviewed(world, batch, ReviewTiming.BEFORE)
    assert review.verdict == "approved"
    assert "is checked out in" in review.problem
    assert review.problem in run.report
    assert subprocess.run(["git", "-C", str(folder), "status", "--porcelain"], capture_output=True, check=True).stdout == b""


def test_a_failed_execution_can_still_be_retried_after_a_review(world: World):
    batch = world.generated(plan(phase("1", steps=writes("1"), gates=GATES), phase("2", steps=writes("2"), gates=("`test -f APPROVED`",))))
    run = world.finish(world.execute(batch))
    assert run.state == "failed"
    reviewed(world, batch, ReviewTiming.AFTER)
    world.commit("APPROVED", "yes\n")
    retries.retry(run=run, actor=ACTOR)
    assert world.finish(run).state == "succeeded"


@pytest.mark.parametrize(("text", "code", "said"), [(SOUND, 0, "Approved"), (plan(phase("1", steps=writes("1"))), 1, "Needs revision")])
def test_the_command_prints_the_verdict_and_ends_with_1_when_it_does_not_approve(world: World, capsys, text: str, code: int, said: str):
    world.generated(text)
    with pytest.raises(SystemExit) as ended:
        call_command("batch_peer_review", "--batch", "1")
    assert ended.value.code == code
    assert f"Verdict: {said}" in capsys.readouterr().out


def test_a_review_is_refused_where_there_is_nothing_to_judge(world: World):
    batch = world.generated(SOUND)
    with pytest.raises(ServiceError, match="No phase of batch 1 has been executed yet"):
        begin_review.review(batch=batch, actor=ACTOR, moment=ReviewTiming.AFTER)
    assert usual_moment(batch) is ReviewTiming.BEFORE


def test_a_review_after_execution_keeps_an_opinion_about_each_unverified_gate_and_without_a_model_it_is_not_judged(world: World):
    gates = ("The owner likes it", "`test -f part-1.txt`", "The words are friendly")
    batch = world.generated(plan(phase("1", steps=writes("1"), gates=gates)))
    world.finish(world.execute(batch))
    reviewed(world, batch, ReviewTiming.AFTER)
    kept = GateOpinion.objects.order_by("gate__position").values_list("gate__position", "opinion", "evidence")
    assert list(kept) == [(place, "not_judged", "not judged: no model is configured") for place in (1, 3)]
