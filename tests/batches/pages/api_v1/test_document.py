"""docs/api.md: each call of it, as pasted into a shell, is a request that the server understands."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from batches.models import Batch, Gate, Idea, Membership, Plan
from batches.pages.api_v1.urls import urlpatterns
from batches.plans.versions import import_plan
from batches.projects.add_project import create_project
from tests.batches import builders
from tests.batches.pages.api_v1.program import Program
from tests.batches.world import ACTOR
from tests.installation import ROOT

TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```bash\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
CALLS = [line for fence in FENCES for line in fence.splitlines() if line.startswith(("api ", "curl "))]
# What is asked for is not possible in the state of these objects; it is understood all the same.
UNDERSTOOD = ("200", "201", "202", "409")


def test_the_document_names_every_address():
    for pattern in urlpatterns:
        route = re.sub(r"<int:number>", "44", pattern.pattern._route).replace("<int:run>", "1").replace("<slug>", "shop")
        route = route.replace("<int:pk>", "7").replace("<int:gate>", "12").replace("<int:member>", "5").replace("<key>", r"(?:1|2a)")
        assert re.search(rf"/api/v1/{route}", TEXT), f"docs/api.md does not name {pattern.pattern._route}"


@pytest.mark.long
def test_every_call_can_be_pasted_as_it_is(live_server, repository: Path, tmp_path: Path):
    project = create_project(name="Shop", repository=str(repository), actor=ACTOR)
    batch = builders.failed_batch(project=project)  # 2a failed, so that it can be retried
    Batch.objects.filter(pk=batch.pk).update(number=44)
    if batch.plan_id != 7:
        plan = import_plan(text=builders.PLAN_TEXT, file_name="plan.md", project=project, actor=ACTOR)
        Plan.objects.filter(pk=plan.pk).update(id=7)
    Idea.objects.filter(pk=builders.make_idea(project).pk).update(id=7)
    if not Gate.objects.filter(pk=12).exists():
        gate = Gate.objects.filter(phase__batch=batch, phase__key="1").first()
        Gate.objects.create(pk=12, phase=gate.phase, position=99, text=gate.text, kind=gate.kind, spec=gate.spec)
    builders.make_user("ada", admin=False)
    Membership.objects.create(pk=5, project=project, user=builders.make_user("bob", admin=False), role="viewer")
    (tmp_path / "plan.md").write_text(builders.PLAN_TEXT)
    environment = os.environ | {"CE": live_server.url, "CE_TOKEN": Program(builders.make_user("root")).token}
    function = next(line for fence in FENCES for line in fence.splitlines() if line.startswith("api()"))
    script = [function.replace("-fsS", "-sS --max-time 5 -o /dev/null -w '%{http_code}\\n'"), *CALLS]
    script = [line.replace("curl -fsS $CE", "curl -sS -o /dev/null -w '%{http_code}\\n' $CE") for line in script]
    done = subprocess.run(["bash", "-c", "\n".join(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=480)
    codes = done.stdout.split()
    assert len(codes) == len(CALLS), done.stderr
    wrong = [f"{code} {call}" for code, call in zip(codes, CALLS, strict=True) if code not in UNDERSTOOD]
    assert not wrong, "\n".join(wrong)
    assert codes.count("409") < len(CALLS) / 2
