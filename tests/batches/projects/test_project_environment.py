"""The settings of a project's environment: checked, proposed, and handed to its attempts."""

import pytest
from django.urls import reverse

from batches.engine.task_specs import environment_of
from subagents.built_environment import EnvironmentSettings
from tests.batches.builders import make_project, make_user
from tests.subagents.conftest import commit_files, user_git

pytestmark = pytest.mark.django_db
EMPTY = {"setup_command": "", "setup_inputs": "", "bring_along": "", "environment_path": "", "environment_variables": ""}


@pytest.fixture
def project():
    return make_project()


def address(project):
    return reverse("batches:project_environment", args=[project.slug])


@pytest.fixture
def root(client):
    client.force_login(make_user("root"))
    return client


def test_what_an_administrator_saves_reaches_attempts(root, project):
    data = EMPTY | {"setup_command": "npm ci\r\n", "setup_network": "on", "bring_along": ".env"}
    data["environment_variables"] = "CI_CACHE={environment}/c"
    assert root.post(address(project), data).status_code == 302
    project.refresh_from_db()
    settings = EnvironmentSettings.of(environment_of(project))
    assert (settings.setup, settings.network, settings.bring_along) == ("npm ci", True, (".env",))
    assert settings.variables == (("CI_CACHE", "{environment}/c"),) and settings.folder.endswith(project.slug)


def test_a_project_without_settings_has_no_environment(project):
    assert environment_of(project) == {}
    assert EnvironmentSettings.of({}).is_empty


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("bring_along", "../secrets", "is not a path inside the repository"),
        ("bring_along", "/etc/passwd", "is not a path inside the repository"),
        ("environment_path", "a/.git/hooks", "is not a path inside the repository"),
        ("environment_variables", "no equals sign", "is not of the form NAME=VALUE"),
        ("bring_along", ".ce/orchestration/tasks/phase-1.json", "belongs to CE Web"),
        ("environment_variables", "HOME=/root", "HOME is set by CE Web"),
        ("environment_variables", "LD_PRELOAD=/srv/code.so", "would load code into the programs that make the sandbox"),
        ("environment_variables", "LD_LIBRARY_PATH={environment}/lib", "would load code into the programs that make the sandbox"),
    ],
)
def test_wrong_values_are_refused_with_the_reason(root, project, field, value, said):
    response = root.post(address(project), EMPTY | {field: value})
    assert response.status_code == 400 and said in response.text


def test_ce_webs_data_is_not_brought_along_where_it_lies_in_the_repository(root, project, settings):
    project.repository = str(settings.CE_DATA_DIR.parent)
    project.save()
    for path in (settings.CE_DATA_DIR.name, f"./{settings.CE_DATA_DIR.name}//secret_key"):
        response = root.post(address(project), EMPTY | {"bring_along": path})
        assert response.status_code == 400 and "belongs to CE Web" in response.text


def test_looking_at_the_repository_fills_the_form_and_saves_nothing(root, project, tmp_path, monkeypatch):
    user_git(tmp_path, "init", "-q", "-b", "main")
    commit_files(tmp_path, {"package.json": "{}", "package-lock.json": "{}", "Cargo.toml": ""})
    rust = tmp_path / "rust"
    (rust / "bin").mkdir(parents=True)
    (rust / "bin/rustup").touch(mode=0o755)
    (rust / "bin/cargo").symlink_to("rustup")
    monkeypatch.setenv("PATH", f"{rust}/bin", prepend=":")
    monkeypatch.setenv("RUSTUP_HOME", str(rust))
    project.repository = str(tmp_path)
    project.save()
    response = root.post(address(project), EMPTY | {"look": "1"})
    assert "npm ci" in response.text and "package-lock.json" in response.text
    assert f"RUSTUP_HOME={rust}" in response.text and f"{rust}/bin and {rust}" in response.text
    project.refresh_from_db()
    assert project.setup_command == ""


def test_only_who_may_change_a_project_sees_the_page(client, project):
    client.force_login(make_user("vera", admin=False))
    assert client.get(address(project)).status_code == 403
