"""The set-up of a new project: filled in from its repository, saved by one button."""

import subprocess

import pytest

from batches.models import Project
from tests.batches import builders
from tests.batches.world import World

pytestmark = pytest.mark.django_db


def test_adding_a_repository_leads_to_a_form_filled_in_from_its_files_and_one_button_saves_it(client, world: World):
    world.commit("pyproject.toml", "[tool.ruff]\n")
    world.commit("requirements.txt", "attrs\n")
    world.commit("tests/test_a.py", "def test_a():\n    pass\n")
    other = world.repository.parent / "other"
    subprocess.run(["git", "clone", "--quiet", str(world.repository), str(other)], check=True)
    client.force_login(builders.make_user())
    added = client.post("/new-project/", {"name": "Other", "repository": str(other)})
    page = client.get(added.url)
    assert added.url == "/projects/other/set-up/" and "Because of requirements.txt." in page.text
    project = Project.objects.get(slug="other")
    assert (project.setup_command, project.test_command) == ("", ""), "looking saves nothing"

    form = page.context["form"]
    sent = {name: form[name].value() or "" for name in form.fields}
    assert client.post(added.url, sent).url == "/projects/other/"
    project.refresh_from_db()
    assert "-r requirements.txt" in project.setup_command and project.setup_command.endswith("pytest ruff"), "what the gates start, too"
    assert (project.lint_command, project.test_command, project.backend) == ("ruff check .", "python -m pytest -q", "steps")
    Project.objects.filter(pk=project.pk).update(backend="command")
    again = client.get(added.url)
    assert again.context["form"]["setup_command"].value() == project.setup_command and "Because of" not in again.text
    assert "What the project has now." in again.text
    assert ("command", "command") in again.context["form"].fields["backend"].choices, "what a project has is never changed unseen"
    refused = client.post(added.url, sent | {"environment_variables": "HOME=/x"})
    assert refused.status_code == 400 and "is set by CE Web" in refused.text


def test_a_repository_without_hints_and_one_that_is_gone_are_said(client, world: World):
    client.force_login(builders.make_user())
    address = f"/projects/{world.project.slug}/set-up/"
    assert "speaks for a command" in client.get(address).text
    world.repository.rename(world.repository.parent / "moved")
    assert "does not exist" in client.get(address).text
