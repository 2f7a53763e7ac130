import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from subagents import workspace
from subagents.checkout import Checkout
from subagents.open_repository import open_repository
from subagents.workspace import AlreadyMerged, BlockedEntries, MergeConflict, Merged, RefMoved, RepositoryProblem
from tests.subagents.conftest import commit_files, user_git

BRANCH = "ce/batch-44"


def everything_in(folder: Path) -> dict[str, bytes]:
    """Each file of the user's working tree and index, byte for byte."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and (relative.parts[0] != ".git" or relative.parts == (".git", "index")):
            found[str(relative)] = path.read_bytes()
    return found


def checkout_of(project: Path, tmp_path: Path, base: str, number: int = 1) -> Checkout:
    folder = tmp_path / f"attempt-{number}"
    folder.mkdir()
    made = Checkout(open_repository(project), str(folder / "checkout"), str(folder / "index"), f"refs/ce/attempts/batch-44/1/{number}")
    made.create(base)
    return made


def work(project: Path, tmp_path: Path, base: str, files: dict[str, str], number: int = 1) -> str:
    checkout = checkout_of(project, tmp_path, base, number)
    for name, text in files.items():
        path = Path(checkout.path, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return checkout.commit(checkout.snapshot(base), base, "Work", first=True)


def test_missing_folder_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(RepositoryProblem, match="change the project's path") as refused:
        open_repository(tmp_path / "nowhere")
    assert refused.value.code == "missing"


def test_folder_without_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RepositoryProblem) as refused:
        open_repository(tmp_path)
    assert refused.value.code == "not_a_repository"


def test_folder_inside_a_repository_is_refused_naming_the_top(project: Path) -> None:
    with pytest.raises(RepositoryProblem, match=str(project)) as refused:
        open_repository(project / "src")
    assert refused.value.code == "not_the_top"


def test_bare_repository_is_refused(tmp_path: Path) -> None:
    user_git(tmp_path, "init", "--quiet", "--bare", "bare")
    with pytest.raises(RepositoryProblem) as refused:
        open_repository(tmp_path / "bare")
    assert refused.value.code == "bare"


def test_repository_without_commits_is_refused(tmp_path: Path) -> None:
    user_git(tmp_path, "init", "--quiet")
    with pytest.raises(RepositoryProblem) as refused:
        open_repository(tmp_path)
    assert refused.value.code == "no_commits"


def test_unknown_branch_lists_the_branches(project: Path) -> None:
    with pytest.raises(RepositoryProblem, match=r"Branches there: main\. If it was renamed, set Base branch") as refused:
        open_repository(project).branch_commit("trunk")
    assert refused.value.code == "unknown_branch"
    with pytest.raises(RepositoryProblem, match=r"Branches there: main\.$"):  # no setting names it
        open_repository(project).branch_commit("ce/batch-1")


@pytest.mark.parametrize("name", ["", "-x", "a..b", "a b", "a~1", "x.lock", "a//b", ".a", "a@{1}", "a\x7f", "a:b", "x/"])
def test_name_that_is_no_branch_name_is_refused(project: Path, name: str) -> None:
    with pytest.raises(RepositoryProblem) as refused:
        open_repository(project).branch_commit(name)
    assert refused.value.code == "bad_branch"


@pytest.mark.parametrize("kind", ["worktree", "submodule", "sha256", "shallow"])
def test_repositories_of_every_kind_serve_as_projects(project: Path, tmp_path: Path, kind: str) -> None:
    if kind == "sha256":
        folder = tmp_path / "sha256"
        folder.mkdir()
        user_git(folder, "init", "--quiet", "--object-format", "sha256")
        commit_files(folder, {"src/app.py": "1\n"})
    elif kind == "shallow":
        commit_files(project, {"src/app.py": "2\n"})
        folder = tmp_path / "shallow"
        user_git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{project}", str(folder))
    elif kind == "worktree":
        user_git(project, "worktree", "add", "--quiet", str(tmp_path / "other"), "-b", "other")
        folder = tmp_path / "other"
    else:
        outer = tmp_path / "outer"
        outer.mkdir()
        user_git(outer, "init", "--quiet")
        user_git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(project), "inner")
        folder = outer / "inner"
    repository = open_repository(folder)
    base = repository.branch_commit(repository.default_branch())
    repository.ensure_branch(BRANCH, base)
    commit = work(folder, tmp_path, base, {"new.txt": "1\n"})
    assert user_git(tmp_path / "attempt-1/checkout", "log", "--format=%H") == base
    assert isinstance(repository.merge(BRANCH, commit, "Merge 1"), Merged)
    assert user_git(folder, "show", f"{BRANCH}:new.txt") == "1"
    assert user_git(folder, "status", "--porcelain") == ""


def test_checkout_is_the_commit_and_the_agents_git_cannot_reach_the_project(project: Path, tmp_path: Path) -> None:
    base = user_git(project, "rev-parse", "HEAD")
    checkout = checkout_of(project, tmp_path, base)
    inside = Path(checkout.path)
    assert (inside / "src/app.py").read_text() == "print('hello')\n"
    assert user_git(inside, "status", "--porcelain") == ""
    assert user_git(inside, "log", "--format=%s") == "First."
    before = user_git(project, "for-each-ref")
    (inside / "x").write_text("x")
    user_git(inside, "add", "x")
    user_git(inside, "commit", "--quiet", "-m", "By the agent")
    user_git(inside, "branch", "-f", "main")
    assert user_git(project, "for-each-ref") == before
    # Whatever the agent committed there, its files are what counts.
    commit = checkout.commit(checkout.snapshot(base), base, "Ours", first=True)
    assert open_repository(project).changes(base, commit).created == ("x",)


def test_agents_git_configuration_and_hooks_never_run_in_ours(project: Path, tmp_path: Path) -> None:
    base = user_git(project, "rev-parse", "HEAD")
    checkout = checkout_of(project, tmp_path, base)
    Path(checkout.path, ".gitattributes").write_text("*.txt filter=evil diff=evil\n")
    canary = tmp_path / "canary"
    script = tmp_path / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch {canary}\ncat\n")
    script.chmod(0o755)
    private = Path(checkout.path, ".git")
    private.joinpath("config").write_text(
        f"[core]\n\tfsmonitor = {script}\n\thooksPath = {tmp_path}\n"
        f"[filter \"evil\"]\n\tclean = {script}\n\tsmudge = {script}\n[diff \"evil\"]\n\ttextconv = {script}\n"
        f"[gpg]\n\tprogram = {script}\n[commit]\n\tgpgSign = true\n"
    )
    for hook in ("pre-commit", "post-commit", "reference-transaction", "post-index-change"):
        os.symlink(script, tmp_path / hook)
        os.makedirs(project / ".git/hooks", exist_ok=True)
        (project / ".git/hooks" / hook).unlink(missing_ok=True)
        os.symlink(script, project / ".git/hooks" / hook)
    Path(checkout.path, "a.txt").write_text("a\n")
    repository = checkout.repository
    commit = checkout.commit(checkout.snapshot(base), base, "Ours", first=True)
    repository.ensure_branch(BRANCH, base)
    repository.merge(BRANCH, commit, "Merge")
    repository.diff(base, commit)
    repository.dirty_summary()
    assert not canary.exists()


def test_users_dirty_tree_index_and_branches_stay_byte_for_byte(project: Path, tmp_path: Path) -> None:
    (project / "src/app.py").write_text("half done\n")
    (project / "staged.txt").write_text("staged\n")
    user_git(project, "add", "staged.txt")
    (project / "untracked.txt").write_text("untracked\n")
    before, refs = everything_in(project), user_git(project, "rev-parse", "main", "HEAD")
    repository = open_repository(project)
    assert repository.dirty_summary() == 3
    base = repository.branch_commit("main")
    repository.ensure_branch(BRANCH, base)
    commit = work(project, tmp_path, base, {"src/app.py": "print('bye')\n"})
    assert isinstance(repository.merge(BRANCH, commit, "Merge"), Merged)
    repository.bring_in(BRANCH, "main")
    assert everything_in(project) == before
    assert user_git(project, "rev-parse", "main", "HEAD") == refs
    assert "error" not in user_git(project, "fsck", "--full", "--strict")


def test_clean_tree_counts_no_changes_and_our_own_files_do_not_count(project: Path) -> None:
    (project / ".ce/orchestration").mkdir(parents=True)
    (project / ".ce/orchestration/x").write_text("x")
    assert open_repository(project).dirty_summary() == 0


def test_exclude_is_written_once_and_keeps_what_was_there(project: Path) -> None:
    exclude = project / ".git/info/exclude"
    exclude.write_text("*.swp")
    repository = open_repository(project)
    repository.exclude()
    repository.exclude()
    assert exclude.read_text() == "*.swp\n/.ce/orchestration/\n"


def test_merge_happens_once_however_often_it_is_asked(project: Path, tmp_path: Path) -> None:
    repository = open_repository(project)
    base = repository.branch_commit("main")
    repository.ensure_branch(BRANCH, base)
    commit = work(project, tmp_path, base, {"a": "1\n"})
    first = repository.merge(BRANCH, commit, "Merge PRP-44.1.1", {"CE-Attempt": "1"})
    assert isinstance(first, Merged)
    assert repository.merge(BRANCH, commit, "Merge PRP-44.1.1") == AlreadyMerged(first.commit)
    assert repository.tree(first.commit) == first.tree == repository.tree(commit)
    assert user_git(project, "log", "-1", "--format=%P%n%an%n%(trailers:key=CE-Attempt,valueonly)", BRANCH) == f"{base} {commit}\nCE Web\n1"


def test_parallel_merges_of_different_work_all_land(project: Path, tmp_path: Path) -> None:
    repository = open_repository(project)
    base = repository.branch_commit("main")
    repository.ensure_branch(BRANCH, base)
    commits = [work(project, tmp_path, base, {f"f{number}": "1\n"}, number) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda commit: repository.merge(BRANCH, commit, "Merge"), commits))
    assert all(isinstance(outcome, Merged) for outcome in outcomes)
    assert set(repository.changes(base, repository.branch_commit(BRANCH)).created) == {f"f{number}" for number in range(4)}


def test_conflict_names_its_files_and_leaves_the_branch(project: Path, tmp_path: Path) -> None:
    repository = open_repository(project)
    base = repository.branch_commit("main")
    repository.ensure_branch(BRANCH, base)
    ours = repository.merge(BRANCH, work(project, tmp_path, base, {"src/app.py": "a\n", "ü x.txt": "a\n"}, 1), "Merge")
    assert isinstance(ours, Merged)
    theirs = work(project, tmp_path, base, {"src/app.py": "b\n", "ü x.txt": "b\n", "free": "1\n"}, 2)
    assert repository.merge(BRANCH, theirs, "Merge") == MergeConflict(("src/app.py", "ü x.txt"))
    assert repository.branch_commit(BRANCH) == ours.commit


def test_merge_into_a_branch_that_the_user_has_checked_out_is_refused(project: Path, tmp_path: Path) -> None:
    repository = open_repository(project)
    base = repository.branch_commit("main")
    repository.ensure_branch(BRANCH, base)
    commit = work(project, tmp_path, base, {"a": "1\n"})
    user_git(project, "worktree", "add", "--quiet", str(tmp_path / "look"), BRANCH)
    with pytest.raises(RepositoryProblem, match="Check out another branch") as refused:
        repository.merge(BRANCH, commit, "Merge")
    assert refused.value.code == "checked_out"
    assert str(tmp_path / "look") in str(refused.value)
    user_git(tmp_path / "look", "checkout", "--quiet", "--detach")
    assert isinstance(repository.merge(BRANCH, commit, "Merge"), Merged)


def test_new_commits_of_the_users_branch_are_brought_in(project: Path, tmp_path: Path) -> None:
    repository = open_repository(project)
    base = repository.branch_commit("main")
    repository.ensure_branch(BRANCH, base)
    ahead = commit_files(project, {"fix": "1\n"})
    assert repository.bring_in(BRANCH, "main") == Merged(ahead, repository.tree(ahead))  # nothing of its own: straight ahead
    repository.merge(BRANCH, work(project, tmp_path, ahead, {"ours": "1\n"}), "Merge")
    newer = commit_files(project, {"fix": "2\n"})
    assert isinstance(repository.bring_in(BRANCH, "main"), Merged)
    assert repository.is_ancestor(newer, repository.branch_commit(BRANCH))
    assert isinstance(repository.bring_in(BRANCH, "main"), AlreadyMerged)


def test_links_that_leave_the_tree_and_nested_repositories_are_refused_by_name(project: Path, tmp_path: Path) -> None:
    base = user_git(project, "rev-parse", "HEAD")
    checkout = checkout_of(project, tmp_path, base)
    inside = Path(checkout.path)
    os.symlink("/etc/passwd", inside / "absolute")
    os.symlink("../../x", inside / "src/climbing")
    os.symlink("../.git/config", inside / "src/into-git")
    os.symlink("app.py", inside / "src/fine")
    (inside / "nested").mkdir()
    user_git(inside / "nested", "init", "--quiet")
    commit_files(inside / "nested", {"x": "1"})
    with pytest.raises(BlockedEntries) as refused:
        checkout.snapshot(base)
    assert [entry.split(" ")[0] for entry in refused.value.entries] == ["absolute", "nested", "src/climbing", "src/into-git"]


def test_vanished_checkout_is_said_so(project: Path, tmp_path: Path) -> None:
    base = user_git(project, "rev-parse", "HEAD")
    checkout = checkout_of(project, tmp_path, base)
    os.rename(checkout.path, tmp_path / "elsewhere")
    with pytest.raises(RepositoryProblem) as refused:
        checkout.snapshot(base)
    assert refused.value.code == "vanished"


def test_attempt_reference_is_never_overwritten(project: Path, tmp_path: Path) -> None:
    repository = open_repository(project)
    base = repository.branch_commit("main")
    checkout = checkout_of(project, tmp_path, base)
    first = checkout.commit(repository.tree(base), base, "One", first=True)
    with pytest.raises(RefMoved):
        checkout.commit(repository.tree(base), base, "Again", first=True)
    second = checkout.commit(repository.tree(base), first, "Two", first=False)
    assert [commit.subject for commit in repository.commits(base, second)] == ["One", "Two"]


def test_changes_come_from_git_with_renames_told(project: Path, tmp_path: Path) -> None:
    base = commit_files(project, {"long.txt": "".join(f"line {number}\n" for number in range(50)), "gone": "1\n"})
    checkout = checkout_of(project, tmp_path, base)
    inside = Path(checkout.path)
    (inside / "long.txt").rename(inside / "moved.txt")
    (inside / "gone").unlink()
    (inside / "README.md").write_text("# New\n")
    (inside / "new").write_text("something else\n")
    changes = checkout.repository.changes(base, checkout.snapshot(base))
    assert changes.created == ("moved.txt", "new")
    assert changes.modified == ("README.md",)
    assert changes.deleted == ("gone", "long.txt")
    assert changes.renamed == (("long.txt", "moved.txt"),)


def test_diff_stops_at_its_limit_and_says_so(project: Path, tmp_path: Path) -> None:
    repository = open_repository(project)
    base = repository.branch_commit("main")
    head = work(project, tmp_path, base, {"big": "x" * 79 + "\n" * 1, "more": "y\n" * 200_000})
    short = repository.diff(base, head, limit=1000)
    assert short.truncated and len(short.text) <= 1000
    whole = repository.diff(base, head, limit=10_000_000, paths=["big"])
    assert not whole.truncated and "more" not in whole.text and "+" + "x" * 79 in whole.text


def test_what_tools_leave_behind_is_not_committed_but_tracked_files_stay(project: Path, tmp_path: Path) -> None:
    base = user_git(project, "rev-parse", "HEAD")
    checkout = checkout_of(project, tmp_path, base)
    for name in ("src/__pycache__/app.pyc", ".pytest_cache/x", ".coverage"):
        path = Path(checkout.path, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    assert checkout.snapshot(base) == checkout.repository.tree(base)


@pytest.mark.long
def test_lock_that_a_killed_git_left_is_broken_but_a_fresh_one_is_respected(project: Path, tmp_path: Path) -> None:
    repository = open_repository(project)
    base = repository.branch_commit("main")
    repository.ensure_branch(BRANCH, base)
    commit = work(project, tmp_path, base, {"a": "1\n"})
    lock = project / ".git/refs/heads/ce/batch-44.lock"
    lock.touch()
    with pytest.raises(RefMoved):
        repository.merge(BRANCH, commit, "Merge")
    os.utime(lock, (1, 1))
    assert isinstance(repository.merge(BRANCH, commit, "Merge"), Merged)
    assert not lock.exists()


def test_branch_whose_name_is_in_the_way_is_named(project: Path) -> None:
    user_git(project, "branch", "ce")
    repository = open_repository(project)
    with pytest.raises(RepositoryProblem, match="refs/heads/ce'") as refused:
        repository.ensure_branch(BRANCH, repository.branch_commit("main"))
    assert refused.value.code == "name_taken"


def test_git_is_recent_enough_for_merges_without_a_working_tree() -> None:
    assert workspace.git_version() >= (2, 38)
