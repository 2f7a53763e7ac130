"""Bringing a branch of ours into the user's own: refused where it would surprise, whole where it is done, put right where it was cut."""

import os
from pathlib import Path

import pytest

from subagents.merges import BranchMerge, find_place
from subagents.open_repository import open_repository
from subagents.workspace import RefMoved, Repository, RepositoryProblem
from tests.subagents.conftest import commit_files, user_git
from tests.subagents.test_workspace import checkout_of, everything_in

BRANCH = "ce/batch-44"


@pytest.fixture
def new(project: Path, tmp_path: Path) -> str:
    """A commit on the project's main that creates, modifies and deletes; nothing refers to it but an attempt's reference."""
    base = commit_files(project, {"old/gone.txt": "gone\n", "kept.txt": "kept\n", "turned": "a file\n"})
    checkout = checkout_of(project, tmp_path, base)
    inside = Path(checkout.path)
    (inside / "old/gone.txt").unlink()
    (inside / "turned").unlink()
    (inside / "turned").mkdir()
    (inside / "turned/into.txt").write_text("a folder\n")
    (inside / "src/app.py").write_text("print('bye')\n")
    (inside / "fresh").mkdir()
    (inside / "fresh/a.txt").write_text("a\n")
    return checkout.commit(checkout.snapshot(base), base, "Work", first=True)


def branch_merge(project: Path, tmp_path: Path, new: str) -> BranchMerge:
    repository = open_repository(project)
    place = find_place(repository, "main")
    return BranchMerge(repository, "main", repository.branch_commit("main"), new, place, str(tmp_path / "scratch"))


def is_whole(folder: Path, commit: str) -> bool:
    """Branch, index and files agree, and nothing of the former is left."""
    clean = user_git(folder, "status", "--porcelain", "--untracked-files=all") == ""
    return clean and user_git(folder, "rev-parse", "HEAD") == commit


def test_branch_index_and_files_move_together(project: Path, tmp_path: Path, new: str) -> None:
    (project / "mine.txt").write_text("not git's\n")
    branch_merge(project, tmp_path, new).carry_out()
    (project / "mine.txt").unlink()
    assert is_whole(project, new)
    assert (project / "turned/into.txt").read_text() == "a folder\n" and not (project / "old").exists()
    assert "by CE Web" in user_git(project, "reflog", "-1")
    assert user_git(project, "fsck", "--strict") == ""


def test_a_branch_that_is_checked_out_nowhere_moves_alone(project: Path, tmp_path: Path, new: str) -> None:
    user_git(project, "checkout", "--quiet", "-b", "other")
    before = everything_in(project)
    branch_merge(project, tmp_path, new).carry_out()
    assert user_git(project, "rev-parse", "main") == new
    assert everything_in(project) == before


def test_a_branch_in_a_linked_worktree_moves_there_and_the_main_one_stays(project: Path, tmp_path: Path, new: str) -> None:
    user_git(project, "checkout", "--quiet", "-b", "other")
    user_git(project, "worktree", "add", "--quiet", str(tmp_path / "linked"), "main")
    before = everything_in(project)
    branch_merge(project, tmp_path, new).carry_out()
    assert is_whole(tmp_path / "linked", new)
    assert everything_in(project) == before


def dirty(project: Path) -> None:
    (project / "kept.txt").write_text("half done\n")


def staged(project: Path) -> None:
    (project / "extra.txt").write_text("x\n")
    user_git(project, "add", "extra.txt")


def in_the_way(project: Path) -> None:
    (project / "fresh").mkdir()
    (project / "fresh/a.txt").write_text("mine\n")


def ignored_in_the_way(project: Path) -> None:
    (project / ".git/info/exclude").write_text("fresh\n")
    in_the_way(project)


def file_for_folder(project: Path) -> None:
    (project / "fresh").write_text("mine\n")


def link_for_folder(project: Path) -> None:
    (project.parent / "elsewhere").mkdir()
    os.symlink(project.parent / "elsewhere", project / "fresh")


def merging(project: Path) -> None:
    (project / ".git/MERGE_HEAD").write_text(user_git(project, "rev-parse", "HEAD") + "\n")


def locked(project: Path) -> None:
    (project / ".git/index.lock").touch()


def hidden(project: Path) -> None:
    user_git(project, "update-index", "--assume-unchanged", "src/app.py")
    (project / "src/app.py").write_text("mine, unseen\n")


def sparse(project: Path) -> None:
    user_git(project, "config", "core.sparseCheckout", "true")


def filtered(project: Path) -> None:
    (project / ".git/info/attributes").write_text("*.py filter=lfs\n")


REFUSALS = {
    dirty: ("dirty", "kept.txt"),
    staged: ("dirty", "extra.txt"),
    in_the_way: ("in_the_way", "fresh/a.txt"),
    ignored_in_the_way: ("in_the_way", "fresh/a.txt"),
    file_for_folder: ("in_the_way", "fresh"),
    link_for_folder: ("in_the_way", "fresh"),
    merging: ("busy", "a merge"),
    locked: ("busy", "index.lock"),
    hidden: ("hidden", "src/app.py"),
    sparse: ("sparse", "sparse checkout"),
    filtered: ("filtered", "src/app.py"),
}


@pytest.mark.parametrize("spoil", REFUSALS, ids=lambda spoil: spoil.__name__)
def test_what_would_surprise_is_refused_by_name_and_nothing_is_touched(project: Path, tmp_path: Path, new: str, spoil) -> None:
    spoil(project)
    before, refs = everything_in(project), user_git(project, "for-each-ref")
    code, named = REFUSALS[spoil]
    with pytest.raises(RepositoryProblem) as refused:
        branch_merge(project, tmp_path, new).carry_out()
    assert refused.value.code == code and named in str(refused.value)
    assert (everything_in(project), user_git(project, "for-each-ref")) == (before, refs)


def test_a_branch_checked_out_twice_or_being_rebased_is_refused(project: Path, tmp_path: Path, new: str) -> None:
    user_git(project, "worktree", "add", "--quiet", "--force", str(tmp_path / "linked"), "main")
    with pytest.raises(RepositoryProblem, match="Keep one of them"):
        branch_merge(project, tmp_path, new)
    user_git(tmp_path / "linked", "checkout", "--quiet", "--detach")
    folder = project / ".git/worktrees/linked/rebase-merge"
    folder.mkdir()
    (folder / "head-name").write_text("refs/heads/main\n")
    with pytest.raises(RepositoryProblem, match="is being rebased in"):
        branch_merge(project, tmp_path, new)


def test_a_branch_that_somebody_moved_meanwhile_stays_theirs_and_the_files_are_as_before(project: Path, tmp_path: Path, new: str) -> None:
    made = branch_merge(project, tmp_path, new)
    made.check()
    theirs = user_git(project, "commit-tree", "-p", made.base, "-m", "Theirs", made.base + "^{tree}")
    user_git(project, "update-ref", "refs/heads/main", theirs)
    before = everything_in(project)
    with pytest.raises(RefMoved):
        made.carry_out()
    after = everything_in(project)
    assert {name: data for name, data in after.items() if name != ".git/index"} == {
        name: data for name, data in before.items() if name != ".git/index"
    }
    assert is_whole(project, theirs)


class Killed(Exception):
    pass


@pytest.mark.parametrize("last", ["update-index", "read-tree"])
def test_a_merge_that_is_killed_between_two_steps_is_put_right(project: Path, tmp_path: Path, new: str, monkeypatch, last: str) -> None:
    made = branch_merge(project, tmp_path, new)
    plain = Repository.git

    def killed_after(self, *arguments, **options):
        answer = plain(self, *arguments, **options)
        if arguments[0] == last and "GIT_INDEX_FILE" not in (options.get("environment") or {}):
            raise Killed
        return answer

    monkeypatch.setattr(Repository, "git", killed_after)
    with pytest.raises(Killed):
        made.carry_out()
    monkeypatch.undo()
    merged = made.settle()
    assert merged is (last == "read-tree")
    assert is_whole(project, new if merged else made.base)
    made.carry_out() if not merged else None
    assert is_whole(project, new)
    assert made.settle() is True


def test_files_that_a_killed_git_had_half_written_are_put_back_and_a_torn_one_is_named(project: Path, tmp_path: Path, new: str) -> None:
    made = branch_merge(project, tmp_path, new)
    (project / "src/app.py").write_text("print('bye')\n")
    (project / "old/gone.txt").unlink()
    (project / "fresh").mkdir()
    (project / "fresh/a.txt").write_text("a\n")
    assert made.settle() is False
    assert is_whole(project, made.base)
    (project / "src/app.py").write_text("print(")
    with pytest.raises(RepositoryProblem, match=r"neither as before nor as after: src/app\.py") as refused:
        made.settle()
    assert refused.value.code == "half"
    assert (project / "src/app.py").read_text() == "print("
