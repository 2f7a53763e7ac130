"""The framework's commands in a repository: one commit, renewed, never over what somebody has changed, and taken away again."""

import json
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from batches.core.errors import ServiceError
from batches.projects.add_project import create_project
from batches.repositories import claude_commands
from subagents.open_repository import open_repository
from tests.batches import builders
from tests.batches.world import ACTOR

EXPECTED = {
    *(f".claude/commands/batch-{name}.md" for name in ("gen-prp", "exe-prp", "peer-review", "update-context")),
    *(f".claude/subagents/{name}-subagent.md" for name in ("generator", "executor", "reviewer", "context-updater")),
    ".claude/orchestrators/base-orchestrator.md",
    ".claude/orchestrators/README.md",
    ".ce/orchestration/dependency_analyzer.py",
    ".ce/orchestration/test_dependency_analyzer.py",
}
COMMAND = ".claude/commands/batch-gen-prp.md"
pytestmark = pytest.mark.long


def git(repository: Path, *arguments: str) -> str:
    asked = ["git", "-C", str(repository), "-c", "user.name=A Person", "-c", "user.email=person@localhost", *arguments]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def installed(repository: Path, tmp_path: Path) -> claude_commands.CommandsChange:
    return claude_commands.install(open_repository(str(repository)), "main", str(tmp_path / "scratch"))


def again(repository: Path, tmp_path: Path, do=claude_commands.install) -> claude_commands.CommandsChange:
    return do(open_repository(str(repository)), "main", str(tmp_path / "scratch"))


def test_all_files_come_as_one_commit_and_into_the_folder_that_has_the_branch(repository: Path, tmp_path: Path, installed):
    assert set(installed.written) == EXPECTED and not installed.kept
    assert git(repository, "rev-parse", "HEAD") == installed.commit and git(repository, "rev-list", "--count", "HEAD") == "2"
    assert not git(repository, "status", "--porcelain")
    assert set(git(repository, "show", "--format=", "--name-only").splitlines()) == EXPECTED | {claude_commands.MANIFEST}
    assert os.stat(repository / ".ce/orchestration/dependency_analyzer.py").st_mode & stat.S_IXUSR
    assert f"main is at {installed.commit[:12]} now: 12 files written." in installed.words
    second = again(repository, tmp_path)
    assert not second.commit and second.words == "Nothing to do: the files are as they should be."


@pytest.mark.parametrize("index_followed", [True, False])
def test_a_kill_before_the_branch_followed_is_made_good_by_the_next_call(repository: Path, tmp_path: Path, installed, index_followed):
    git(repository, "update-ref", "refs/heads/main", "HEAD~1")
    if not index_followed:  # git itself was killed: some files are there, the index is as before
        git(repository, "read-tree", "HEAD")
        (repository / COMMAND).unlink()
    assert git(repository, "status", "--porcelain")
    assert set(again(repository, tmp_path).written) == EXPECTED
    assert not git(repository, "status", "--porcelain") and git(repository, "rev-list", "--count", "HEAD") == "2"


def test_what_somebody_has_changed_or_removed_is_left_alone(repository: Path, tmp_path: Path, installed, monkeypatch):
    (repository / COMMAND).write_text("Mine.\n")
    removed = repository / ".claude/subagents/reviewer-subagent.md"
    removed.unlink()
    git(repository, "commit", "-qam", "Change them")
    newer = {path: content + b"\nNewer.\n" for path, content in claude_commands.command_files().items()}
    monkeypatch.setattr(claude_commands, "command_files", lambda: newer)
    renewed = again(repository, tmp_path)
    assert set(renewed.kept) == {COMMAND, ".claude/subagents/reviewer-subagent.md"}
    assert set(renewed.written) == EXPECTED - set(renewed.kept) and COMMAND in renewed.words
    assert (repository / COMMAND).read_text() == "Mine.\n" and not removed.exists()
    assert (repository / ".claude/orchestrators/README.md").read_bytes().endswith(b"Newer.\n")
    assert not again(repository, tmp_path).commit

    gone = again(repository, tmp_path, claude_commands.remove)
    assert set(gone.removed) == set(renewed.written) and (repository / COMMAND).exists()
    left = set(git(repository, "ls-files").splitlines())
    assert left == {"README.md", COMMAND}


def test_a_file_that_was_there_before_is_not_ours(repository: Path, tmp_path: Path):
    (repository / COMMAND).parent.mkdir(parents=True)
    (repository / COMMAND).write_text("There before.\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "A command")
    assert again(repository, tmp_path).kept == (COMMAND,)
    assert COMMAND not in json.loads((repository / claude_commands.MANIFEST).read_text())["files"]


def test_uncommitted_work_in_the_way_refuses_and_changes_nothing(repository: Path, tmp_path: Path):
    (repository / COMMAND).parent.mkdir(parents=True)
    (repository / COMMAND).write_text("Not committed.\n")
    before = git(repository, "rev-parse", "HEAD")
    with pytest.raises(ServiceError, match=r"batch-gen-prp\.md"):
        again(repository, tmp_path)
    assert git(repository, "rev-parse", "HEAD") == before and (repository / COMMAND).read_text() == "Not committed.\n"


@pytest.mark.parametrize("in_the_way", [".claude", ".ce", ".claude/commands"])
@pytest.mark.parametrize("link", [True, False])
def test_a_file_or_link_in_place_of_a_folder_is_never_replaced(repository: Path, tmp_path: Path, in_the_way: str, link: bool):
    path = repository / in_the_way
    path.parent.mkdir(exist_ok=True)
    path.symlink_to("elsewhere") if link else path.write_text("Mine.\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "In the way")
    before = git(repository, "rev-parse", "HEAD")
    with pytest.raises(ServiceError, match=rf"^{re.escape(in_the_way)} is a file or a link in the repository"):
        again(repository, tmp_path)
    assert git(repository, "rev-parse", "HEAD") == before and path.is_symlink() == link


def test_a_damaged_note_is_told(repository: Path, tmp_path: Path, installed):
    (repository / claude_commands.MANIFEST).write_text("[]")
    git(repository, "commit", "-qam", "Break it")
    with pytest.raises(ServiceError, match=r"ce-web\.json is damaged\. Restore it"):
        again(repository, tmp_path)


@pytest.mark.django_db
def test_the_button_on_the_projects_page_installs_and_removes(repository: Path, client, settings, tmp_path: Path):
    settings.CE_DATA_DIR = tmp_path / "data"
    project = create_project(name="Shop", repository=str(repository), actor=ACTOR)
    client.force_login(builders.make_user())
    page = f"/projects/{project.slug}/"
    assert "Install or renew" in client.get(page, {"tab": "settings"}).text
    assert "12 files written" in client.post(f"{page}commands/", {"do": "install"}, follow=True).text
    assert (repository / COMMAND).exists()
    assert "12 files removed" in client.post(f"{page}commands/", {"do": "remove"}, follow=True).text
    assert git(repository, "ls-files") == "README.md"
