"""The confirmation of an execution: what can be chosen there, on a real repository."""

from uuid import uuid4

import pytest

from batches.core.errors import MadeMeanwhile
from batches.engine import generation
from batches.plans.versions import import_plan
from tests.batches.builders import make_plan, make_user
from tests.batches.world import ACTOR, World, phase, plan

pytestmark = pytest.mark.process


def test_the_confirmation_previews_a_choice_and_changes_nothing(world: World, client):
    """What the command's --stage, --phase, --retry-phase, --resume and --dry-run ask for can be asked for here."""
    first = phase("1", steps=("echo done > part-1.txt",), gates=("`test -f part-1.txt`",))
    broken = plan(first, phase("2", needs="Phase 1", steps=("test -f NEVER",)))
    batch = world.generated(broken)
    client.force_login(make_user())
    page = client.get("/batches/1/execute/")
    offered = [value for value, _label in page.context["form"].fields["what"].choices]
    assert offered == ["", "stage:1", "stage:2", "phase:1", "phase:2"]
    assert "either way" in page.text, "a chain takes as long either way"

    listed = page.text[page.text.index('id="gates-list"') :].partition("</details>")[0]
    assert "runs <code" in listed and "test -f part-1.txt" in listed, "what each gate of the batch runs"
    assert "is of version" not in page.text
    assert page.context["plan_review"].new_files == ("part-1.txt", "part-2.txt") and 'id="review-box"' in page.text
    make_plan(project=world.project, first_version=batch.plan, version=2)
    said = "The plan has a version 2; the batch, with its phases and gates, is of version 1."
    assert said in client.get("/batches/1/execute/").text

    alone = client.post("/batches/1/execute/", {"what": "phase:1", "dry_run": "1"})
    assert alone.status_code == 200 and "Nothing was changed" in alone.text
    assert [phase.key for phase in alone.context["plan_of_run"].phases] == ["1"]
    too_early = client.post("/batches/1/execute/", {"what": "stage:2", "dry_run": "1"})
    assert too_early.status_code == 400 and "Phase 1 must be done first" in too_early.text
    assert batch.runs.count() == 1

    client.post("/batches/1/execute/", {"what": "stage:1"})
    assert world.finish(batch.runs.latest("number")).selection == "stage 1"
    assert "plan_review" not in client.get("/batches/1/execute/").context
    client.post("/batches/1/execute/", {})
    run = world.finish(batch.runs.latest("number"))
    assert run.state == "failed"
    again = client.post("/batches/1/execute/", {"what": "retry:2", "dry_run": "1"})
    assert "Execute would retry: 2." in again.text
    assert len(world.attempts(run, "2")) == 1

    world.commit("NEVER", "now\n")
    client.post("/batches/1/execute/", {"what": "retry:2", "timeout_minutes": "5"})
    assert world.finish(run).state == "succeeded"
    assert run.phase_limit_seconds == 300


def test_a_form_that_is_sent_twice_makes_one_batch_and_another_form_another(world: World, client):
    kept = import_plan(text=plan(phase("1")), file_name="plan.md", project=world.project, actor=ACTOR)
    client.force_login(make_user())
    address = f"/plans/{kept.pk}/execute/"

    def send(form) -> str:
        data = {"project": form.initial["project"].pk, "on_conflict": "warn", "sent": form["sent"].value()}
        return client.post(address, data, follow=True).redirect_chain[-1][0]

    form = client.get(address).context["form"]
    assert str(form["sent"].value()) in str(form["sent"])
    assert [send(form), send(form), send(client.get(address).context["form"])] == ["/batches/1/", "/batches/1/", "/batches/2/"]


def test_a_second_tab_that_executes_the_same_plan_is_told_of_the_first(world: World, client):
    """Nothing starts twice unseen: the person reads which batch began meanwhile, and sends the form again if another is meant."""
    kept = import_plan(text=plan(phase("1")), file_name="plan.md", project=world.project, actor=ACTOR)
    client.force_login(make_user())
    address = f"/plans/{kept.pk}/execute/"

    def filled(page) -> dict[str, object]:
        form = page.context["form"]
        return {"project": world.project.pk, "on_conflict": "warn", "sent": form["sent"].value(), "newest": page.context["newest"]}

    one, other = client.get(address), client.get(address)
    assert client.post(address, filled(one)).status_code == 302
    told = client.post(address, filled(other))
    assert (told.status_code, kept.batches.count()) == (409, 1)
    assert "nothing was started now" in told.text and 'href="/batches/1/"' in told.text
    assert client.post(address, filled(one)).url == "/batches/1/", "the first form, sent again, leads to its batch"
    assert 'name="newest" value="1"' in told.text and client.post(address, filled(told)).url == "/batches/2/"
    assert "has not ended" in client.get(address).text


def test_a_form_that_was_opened_before_another_batch_of_its_plan_makes_none(world: World):
    """Also where both are sent at the same moment: the later one waits for the rows of the first."""
    kept = import_plan(text=plan(phase("1")), file_name="plan.md", project=world.project, actor=ACTOR)
    made = generation.generate(plan=kept, project=world.project, actor=ACTOR, newest=0, asked_by=uuid4())
    with pytest.raises(MadeMeanwhile, match=f"Batch {made.number} of this plan"):
        generation.generate(plan=kept, project=world.project, actor=ACTOR, newest=0, asked_by=uuid4())
    again = generation.generate(plan=kept, project=world.project, actor=ACTOR, newest=0, asked_by=made.asked_by)
    assert (again, kept.batches.count()) == (made, 1)
    assert generation.generate(plan=kept, project=world.project, actor=ACTOR, newest=made.number) != made
