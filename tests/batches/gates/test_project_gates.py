"""The project's gates on their page: proposed from what is committed, kept only by Save, listed before anything runs."""

import io

import pytest
from django.core.management import call_command

from batches.core.errors import ServiceError
from batches.models import Project
from batches.projects.change_settings import update_project
from tests.batches import builders
from tests.batches.world import ACTOR, World, phase, plan, writes

pytestmark = pytest.mark.django_db
FORM = {
    "lint_command": "", "lint_when": "phase", "test_command": "", "test_when": "phase", "coverage_command": "", "coverage_when": "stage",
    "standard_gates": ["markers", "declared"], "largest_file_mb": "3",
}  # fmt: skip


@pytest.fixture
def ada(client):
    user = builders.make_user()
    client.force_login(user)
    return user


def test_looking_fills_the_form_from_the_base_branch_and_keeps_nothing(client, ada, world: World):
    world.commit("pyproject.toml", "[tool.ruff]\n[tool.coverage.report]\nfail_under = 90\n")
    world.commit("tests/test_a.py", "def test_a():\n    pass\n")
    (world.repository / "go.mod").write_text("not committed\n")
    address = f"/projects/{world.project.slug}/gates/"
    text = client.post(address, FORM | {"look": "1", "lint_command": "typed"}).text
    assert 'value="ruff check ."' in text and 'value="python -m pytest -q"' in text and "fail_under in pyproject.toml" in text
    assert "go test" not in text
    world.project.refresh_from_db()
    assert world.project.lint_command == "", "only Save keeps anything"


def test_a_repository_that_says_nothing_or_is_gone_is_said(client, ada, world: World):
    address = f"/projects/{world.project.slug}/gates/"
    assert "suggests a command" in client.post(address, FORM | {"look": "1"}).text
    world.repository.rename(world.repository.parent / "moved")
    assert "does not exist" in client.post(address, FORM | {"look": "1"}).text


def test_saved_gates_are_listed_before_anything_runs_on_page_and_command_line(client, ada, world: World):
    batch = world.generated(plan(phase("1", steps=writes("1"))))
    kept = client.post(f"/projects/{world.project.slug}/gates/", FORM | {"lint_command": "make lint-quickly"}, follow=True).text
    assert "They apply from the next run" in kept
    project = Project.objects.get()
    assert (project.standard_gates, project.largest_file_mb, project.rerun_gates) == (["markers", "declared"], 3, False)
    for address in (f"/batches/{batch.number}/execute/", f"/plans/{batch.plan_id}/execute/", f"/projects/{project.slug}/?tab=settings"):
        text = client.get(address).text
        assert "make lint-quickly" in text and "Declared files exist" in text, address
    out = io.StringIO()
    call_command("batch_exe_prp", batch=batch.number, dry_run=True, stdout=out)
    assert "Gate of the project: make lint-quickly (Lint of the project, after every phase)" in out.getvalue()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lint_command": "ruff check .\nrm -rf x"}, "one line"),
        ({"standard_gates": ["markers", "none such"]}, "Unknown standard gate. Choose some of: markers, size, parse, declared"),
        ({"standard_gates": "markers"}, "some of"),
    ],
)
def test_what_is_no_gate_is_refused(changes, said):
    project = builders.make_project()
    with pytest.raises(ServiceError, match=said):
        update_project(project=project, changes=changes, actor=ACTOR)


def test_changing_the_gates_takes_the_right_to_change_a_project(client):
    project = builders.make_project()
    client.force_login(builders.make_user("bob", admin=False))
    assert client.get(f"/projects/{project.slug}/").status_code == 200
    assert client.get(f"/projects/{project.slug}/gates/").status_code == 403
    assert client.post(f"/projects/{project.slug}/gates/", FORM | {"look": "1"}).status_code == 403
