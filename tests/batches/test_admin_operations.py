"""The four operations from the admin, over real processes."""

import pytest

from batches.models import Batch
from batches.plans.versions import import_plan
from tests.batches.builders import make_user
from tests.batches.world import ACTOR, World, phase, plan, writes

pytestmark = pytest.mark.process


def test_every_operation_is_started_from_the_admin_too(client, world: World):
    client.force_login(make_user("grace"))

    def press(model: str, action: str, pk: int) -> str:
        return client.post(f"/admin/batches/{model}/", {"action": action, "_selected_action": [pk]}, follow=True).text

    text = plan(phase("1", steps=writes("1"), gates=("`test -f part-1.txt`",)))
    made = import_plan(text=text, file_name="plan.md", project=world.project, actor=ACTOR)
    assert "Batch 1 is being generated." in press("plan", "generate_selected", made.pk)
    batch = Batch.objects.get()
    assert world.finish(batch.runs.get()).state == "succeeded"
    for action, operation, said in (
        ("review_selected", "review", "run 2 reviews it."),
        ("execute_selected", "execute", "run 3 executes it."),
        ("update_context_of_selected", "update_context", "run 4 proposes an update on"),
    ):
        assert said in press("batch", action, batch.pk)
        run = batch.runs.latest("number")
        assert run.operation == operation
        assert world.finish(run).state == "succeeded", run.report
    assert "Batch 1: refused. " in press("batch", "execute_selected", batch.pk)
