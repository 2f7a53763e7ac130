"""A batch made anew from an edited plan, while nothing of it was executed."""

import pytest
from django.core.management import CommandError, call_command

from batches.core.errors import ServiceError
from batches.core.review.types import ReviewTiming
from batches.engine import generation
from batches.models import Batch, Review
from batches.plans.versions import import_plan
from batches.projects.change_settings import update_project
from batches.review.begin_review import review
from tests.batches.builders import make_user
from tests.batches.world import ACTOR, World, phase, plan, writes

pytestmark = pytest.mark.process

FIRST = plan(
    phase("1", steps=writes("1"), gates=("`test -f part-1.txt`",), title="First"),
    phase("2", needs="Phase 1", steps=writes("2"), gates=("`test -f part-2.txt`",), title="Second"),
    phase("3", needs="Phase 2", steps=writes("3"), title="Third"),
)
SECOND = plan(
    phase("2", steps=writes("2"), gates=("`test -f part-2.txt`", "`test -s part-2.txt`"), title="Second, now first"),
    phase("4", needs="Phase 2", steps=writes("4"), gates=("`test -f part-4.txt`",), title="Fourth"),
)


def edited(world: World, batch: Batch) -> None:
    import_plan(text=SECOND, file_name="plan.md", project=world.project, actor=ACTOR, edited=batch.plan)


def test_a_batch_is_made_anew_from_the_edited_plan_and_executed_as_that_says(world: World, client):
    batch = world.generated(FIRST)
    world.finish(review(batch=batch, actor=ACTOR, moment=ReviewTiming.BEFORE))
    old = world.git("rev-parse", batch.branch)
    kept = batch.phases.get(key="2").pk
    edited(world, batch)
    world.commit("LATER", "a commit of the base branch\n")
    client.force_login(make_user())
    assert "Regenerate…" in client.get("/batches/1/").text
    said = client.post("/batches/1/regenerate/", follow=True).text
    assert "from version 2 of the plan" in said
    run = world.finish(batch.runs.latest("number"))
    assert (run.number, run.operation, run.state) == (3, "generate", "succeeded")
    batch.refresh_from_db()
    assert batch.plan.version == 2
    assert list(batch.phases.values_list("key", "prp_id")) == [("2", "PRP-1.1.1"), ("4", "PRP-1.2.1")]
    assert batch.phases.get(key="2").pk == kept
    prps = {name for name in world.files_on(batch.branch) if name.startswith("PRPs/")}
    assert prps == {"PRPs/feature-requests/PRP-1.1.1-second-now-first.md", "PRPs/feature-requests/PRP-1.2.1-fourth.md"}
    assert "LATER" in world.files_on(batch.branch)
    assert world.git("rev-parse", "refs/ce/generated/batch-1/before-run-3") == old
    assert Review.objects.get().text, "what the old review said is still there"

    execution = world.finish(world.execute(batch))
    assert execution.state == "succeeded", execution.report
    assert {name: state for name, state in world.states(execution).items() if not name.startswith("stage")} == {
        "2": "succeeded",
        "4": "succeeded",
    }
    refused = client.post("/batches/1/regenerate/", follow=True).text
    assert "cannot be generated again: run 4 (execute) has started on it" in refused
    assert "Regenerate…" not in client.get("/batches/1/").text


def test_a_review_of_the_old_prps_lets_nothing_of_the_new_ones_through(world: World):
    update_project(project=world.project, changes={"require_review": True}, actor=ACTOR)
    gates = ("`test -f part-1.txt`", "`test -s part-1.txt`", "`grep -q done part-1.txt`")
    batch = world.generated(plan(phase("1", steps=writes("1"), gates=gates, title="Write the first part")))
    world.finish(review(batch=batch, actor=ACTOR, moment=ReviewTiming.BEFORE))
    assert Review.objects.get().passes
    world.finish(generation.regenerate(batch=batch, plan=batch.plan, actor=ACTOR))
    batch.project.refresh_from_db()
    with pytest.raises(ServiceError, match="has none yet"):
        world.execute(batch)


def test_the_command_overwrites_and_says_why_it_cannot(world: World, capsys):
    path = world.repository.parent / "plan.md"
    path.write_text(FIRST)
    with pytest.raises(CommandError, match="no batch called 'A small plan' to overwrite"):
        call_command("batch_gen_prp", str(path), "--overwrite")
    call_command("batch_gen_prp", str(path))
    path.write_text(SECOND)
    call_command("batch_gen_prp", str(path), "--overwrite")
    assert capsys.readouterr().out.split("Batch 1 Generated:")[2].split() == (
        ["Stage", "1:", "PRP-1.1.1", "Stage", "2:", "PRP-1.2.1", "Created", "2", "PRPs.", "Ready", "for", "execution."]
    )
    assert Batch.objects.count() == 1
    world.finish(world.execute(Batch.objects.get()))
    with pytest.raises(CommandError, match=r"run 3 \(execute\) has started on it"):
        call_command("batch_gen_prp", str(path), "--overwrite", "--batch", "1")
    with pytest.raises(CommandError, match="goes with --overwrite"):
        call_command("batch_gen_prp", str(path), "--batch", "1")
