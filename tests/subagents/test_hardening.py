"""Whatever an agent leaves in its folder, or somebody in the environment, our git runs none of it (docs/security.md).

Each plant is shown to be alive first: plain git, as a person would type it there, does run it.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from subagents.current_work import RunningAttempt
from subagents.merge_preview import preview_merges
from subagents.merges import BranchMerge, find_place
from subagents.open_repository import open_repository
from subagents.workspace import BlockedEntries, Merged, Repository, RepositoryProblem
from tests.subagents.conftest import commit_files, user_git
from tests.subagents.test_workspace import BRANCH, checkout_of

pytestmark = pytest.mark.long

HOOKS = ("pre-commit", "post-commit", "post-checkout", "post-index-change", "reference-transaction", "pre-merge-commit", "post-merge")


class Trap:
    """A script that leaves a mark when it runs, and the places where it can be put."""

    def __init__(self, folder: Path) -> None:
        self.mark, self.script = folder / "sprung", folder / "trap.sh"
        self.script.write_text(f"#!/bin/sh\ntouch {self.mark}\ncat\n")
        self.script.chmod(0o755)

    def config(self) -> str:
        """Everything that a repository's configuration can make git run."""
        run = self.script
        return (
            f"[core]\n\trepositoryformatversion = 0\n\tfsmonitor = {run}\n\thooksPath = {self.script.parent / 'hooks'}\n"
            f"\tpager = {run}\n\teditor = {run}\n\tsshCommand = {run}\n"
            f'[filter "trap"]\n\tclean = {run}\n\tsmudge = {run}\n\trequired = true\n'
            f'[filter "process"]\n\tprocess = {run}\n\trequired = true\n'
            f'[diff "trap"]\n\ttextconv = {run}\n\tcommand = {run}\n[diff]\n\texternal = {run}\n'
            f'[merge "trap"]\n\tdriver = {run}\n[gpg]\n\tprogram = {run}\n[commit]\n\tgpgSign = true\n[log]\n\tshowSignature = true\n'
        )

    def hooks(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in HOOKS:
            (folder / name).unlink(missing_ok=True)
            os.symlink(self.script, folder / name)

    def sprung(self) -> bool:
        there = self.mark.exists()
        self.mark.unlink(missing_ok=True)
        return there


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    folder = tmp_path / "trap"
    folder.mkdir()
    made = Trap(folder)
    made.hooks(folder / "hooks")
    return made


def plain_git(folder: Path, *arguments: str) -> None:
    """As a person would type it there; how it ends does not matter."""
    identity = ("-c", "user.name=x", "-c", "user.email=x@localhost")
    subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, check=False)


def own_configuration(inside: Path, trap: Trap) -> None:
    (inside / ".git/config").write_text(trap.config())
    (inside / ".gitattributes").write_text("* filter=trap diff=trap merge=trap\n")


def own_hooks(inside: Path, trap: Trap) -> None:
    trap.hooks(inside / ".git/hooks")


def _elsewhere(inside: Path, trap: Trap) -> Path:
    other = trap.script.parent / "replaced"
    shutil.move(inside / ".git", other)
    (other / "config").write_text(trap.config() + f"[core]\n\tworktree = {inside}\n")
    return other


def replaced_by_a_file(inside: Path, trap: Trap) -> None:
    (inside / ".git").write_text(f"gitdir: {_elsewhere(inside, trap)}\n")


def replaced_by_a_link(inside: Path, trap: Trap) -> None:
    os.symlink(_elsewhere(inside, trap), inside / ".git")


PLANTS: dict[Callable[[Path, Trap], None], tuple[str, ...]] = {
    own_configuration: ("status",),
    own_hooks: ("commit", "--allow-empty", "-m", "x"),
    replaced_by_a_file: ("status",),
    replaced_by_a_link: ("status",),
}


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_nothing_that_lies_in_an_agents_folder_is_run_by_any_of_our_operations(project: Path, tmp_path: Path, trap: Trap, plant) -> None:
    repository = open_repository(project)
    base = repository.branch_commit("main")
    checkout = checkout_of(project, tmp_path, base)
    inside = Path(checkout.path)
    (inside / "a.txt").write_text("a\n")
    plant(inside, trap)
    plain_git(inside, *PLANTS[plant])
    assert trap.sprung(), "the plant is dead, so this test would prove nothing"

    work = RunningAttempt("1", base, checkout.path, checkout.index, checkout.ref)
    assert preview_merges(repository, base, [work], str(tmp_path / "scratch"), 30).changed["1"].created[-1] == "a.txt"
    commit = checkout.commit(checkout.snapshot(base), base, "Ours", first=True)
    repository.ensure_branch(BRANCH, base)
    repository.merge(BRANCH, commit, "Merge")
    assert "+a" in repository.diff(base, commit).text
    repository.changes(base, commit)
    repository.commits(base, commit)
    repository.blocked_entries(base, commit)
    merge = BranchMerge(repository, "main", base, commit, find_place(repository, "main"), str(tmp_path / "merge"))
    if plant is own_configuration:  # its attributes name a filter: such files are left to the user's own git
        with pytest.raises(RepositoryProblem, match="go through a filter"):
            merge.carry_out()
    else:
        merge.carry_out()
        assert (project / "a.txt").read_text() == "a\n"
    repository.dirty_summary()
    assert not trap.sprung()


def test_hooks_and_monitors_of_the_project_itself_are_not_run_by_a_merge(project: Path, tmp_path: Path, trap: Trap) -> None:
    checkout = checkout_of(project, tmp_path, user_git(project, "rev-parse", "HEAD"))
    Path(checkout.path, "a.txt").write_text("a\n")
    repository = open_repository(project)
    base = repository.branch_commit("main")
    commit = checkout.commit(checkout.snapshot(base), base, "Ours", first=True)
    trap.hooks(project / ".git/hooks")
    user_git(project, "config", "core.fsmonitor", str(trap.script))
    plain_git(project, "status")
    assert trap.sprung()
    BranchMerge(repository, "main", base, commit, find_place(repository, "main"), str(tmp_path / "merge")).carry_out()
    assert (project / "a.txt").exists() and not trap.sprung()


def configured(project: Path, trap: Trap) -> None:
    (project / ".git/config").write_text(trap.config())


def configured_elsewhere(project: Path, trap: Trap) -> None:
    """By an include, as the trap of a repository that somebody sent."""
    (trap.script.parent / "included").write_text(trap.config())
    (project / ".git/config").write_text(f"[core]\n\trepositoryformatversion = 0\n[include]\n\tpath = {trap.script.parent}/included\n")


def configured_for_the_working_tree(project: Path, trap: Trap) -> None:
    (project / ".git/config").write_text("[core]\n\trepositoryformatversion = 1\n[extensions]\n\tworktreeConfig = true\n")
    (project / ".git/config.worktree").write_text(trap.config().replace("repositoryformatversion = 0", "bare = false"))


WAYS = (configured, configured_elsewhere, configured_for_the_working_tree)


@pytest.mark.parametrize("configure", WAYS, ids=lambda way: way.__name__)
def test_nothing_that_the_project_itself_configures_is_run_on_an_attempts_files(project, tmp_path, trap: Trap, configure) -> None:
    base = commit_files(project, {"a.txt": "1\n", "b.md": "1\n2\n3\n"})
    configure(project, trap)
    trap.hooks(project / ".git/hooks")
    (project / ".git/info/attributes").write_text("* filter=trap diff=trap merge=trap\n")
    (project / "a.txt").write_text("other\n")
    plain_git(project, "status")
    assert trap.sprung(), "the plant is dead, so this test would prove nothing"
    (project / "a.txt").write_text("1\n")

    repository = open_repository(project)
    repository.ensure_branch(BRANCH, base)
    commits = []
    for number, text in enumerate(("x\n2\n3\n", "1\n2\ny\n"), start=1):
        checkout = checkout_of(project, tmp_path, base, number)
        Path(checkout.path, ".gitattributes").write_text("* filter=trap diff=trap merge=trap\n*.bin filter=process\n")
        Path(checkout.path, "b.md").write_text(text)
        Path(checkout.path, "c.bin").write_text("c\n")
        work = RunningAttempt("1", base, checkout.path, checkout.index, checkout.ref)
        assert preview_merges(repository, base, [work], str(tmp_path / "scratch"), 30).changed["1"].created == (".gitattributes", "c.bin")
        commits.append(checkout.commit(checkout.snapshot(base), base, "Ours", first=True))
        checkout_of(project, tmp_path, commits[-1], number + 10)
    merged = [repository.merge(BRANCH, commit, "Merge") for commit in commits]
    assert all(isinstance(outcome, Merged) for outcome in merged)
    assert user_git(project, "show", f"{BRANCH}:b.md") == "x\n2\ny"
    assert "+c" in repository.diff(base, commits[0]).text
    repository.commits(base, commits[0])
    repository.dirty_summary()
    with pytest.raises(RepositoryProblem):
        BranchMerge(repository, "main", base, commits[0], find_place(repository, "main"), str(tmp_path / "merge")).carry_out()
    assert not trap.sprung()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to somebody else")
def test_a_repository_of_another_user_is_refused_unless_that_is_allowed_as_for_git(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("SUDO_UID", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    shutil.chown(project / ".git", 12345)
    with pytest.raises(RepositoryProblem, match="belongs to another user") as refused:
        open_repository(project)
    assert refused.value.code == "not_ours" and f"safe.directory {project}" in str(refused.value)
    (tmp_path / ".gitconfig").write_text(f"[safe]\n\tdirectory = {project}\n")
    assert open_repository(project).branches() == ("main",)


def submodule(project: Path, tmp_path: Path) -> Path:
    """A submodule `inner` in the project; returns the repository it comes from."""
    source = tmp_path / "source"
    source.mkdir()
    user_git(source, "init", "--quiet")
    commit_files(source, {"x": "1\n"})
    user_git(project, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(source), "inner")
    commit_files(project, {"y": "1\n"})
    return source


def test_a_repository_that_an_agent_puts_into_a_submodules_place_runs_nothing(project: Path, tmp_path: Path, trap: Trap) -> None:
    source = submodule(project, tmp_path)
    repository = open_repository(project)
    base = repository.branch_commit("main")
    checkout = checkout_of(project, tmp_path, base)
    inside = Path(checkout.path)
    shutil.rmtree(inside / "inner", ignore_errors=True)
    shutil.copytree(source, inside / "inner")
    (inside / "inner/.git/config").write_text(trap.config())
    plain_git(inside / "inner", "status")
    assert trap.sprung()
    attempt = RunningAttempt("1", base, checkout.path, checkout.index, checkout.ref)
    preview_merges(repository, base, [attempt], str(tmp_path / "scratch"), 30)
    with contextlib.suppress(BlockedEntries):  # refused by name is as good
        checkout.snapshot(base)
    assert not trap.sprung()


def test_a_nested_repository_runs_nothing_and_is_refused_by_name(project: Path, tmp_path: Path, trap: Trap) -> None:
    base = user_git(project, "rev-parse", "HEAD")
    checkout = checkout_of(project, tmp_path, base)
    nested = Path(checkout.path, "deep/nested")
    nested.mkdir(parents=True)
    user_git(nested, "init", "--quiet")
    commit_files(nested, {"x": "1\n"})
    (nested / ".git/config").write_text(trap.config())
    plain_git(nested, "status")
    assert trap.sprung()
    with pytest.raises(BlockedEntries, match="deep/nested is another git repository"):
        checkout.snapshot(base)
    assert not trap.sprung()


def test_the_environment_and_the_servers_own_configuration_do_not_reach_our_git(
    project: Path, tmp_path: Path, trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(trap.config())
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(trap.script))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(trap.script))
    plain_git(project, "status")
    assert trap.sprung()
    repository: Repository = open_repository(project)
    base = repository.branch_commit("main")
    checkout = checkout_of(project, tmp_path, base)
    Path(checkout.path, "a.txt").write_text("a\n")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "nowhere"))
    commit = checkout.commit(checkout.snapshot(base), base, "Ours", first=True)
    assert "+a" in repository.diff(base, commit).text
    assert not trap.sprung()
