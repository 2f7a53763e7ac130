"""What is written and read without git is what git writes and reads."""

import os
import random
from pathlib import Path

import pytest

from subagents import references, workspace
from subagents.objects import CommitObject, ObjectWriter, read_commit, read_reference, read_tree
from subagents.open_repository import open_repository
from subagents.workspace import Merged, RefMove, RefMoved, Repository, RepositoryProblem
from tests.subagents.conftest import commit_files, user_git

WHO = "Ada Löwe <ada@example.org>"


@pytest.mark.parametrize("format", ["sha1", "sha256"])
def test_git_finds_no_fault_in_what_is_written_and_names_it_alike(tmp_path: Path, format: str) -> None:
    user_git(tmp_path, "init", "--quiet", "--object-format", format)
    writer = ObjectWriter(str(tmp_path / ".git"))
    blob = writer.write(b"blob", b"x\n\0y")
    tree = writer.write_tree({b"b": ("100644", blob), b"a": ("100644", blob)})
    first = writer.write_commit(tree, [], WHO, 1_700_000_000, "One\n\nwhy – so\n".encode())
    second = writer.write_commit(tree, [first, first], WHO, 1_700_000_001, b"Two")
    (tmp_path / "file").write_bytes(b"x\n\0y")
    assert user_git(tmp_path, "hash-object", "file") == blob
    user_git(tmp_path, "update-ref", "refs/heads/main", second)
    user_git(tmp_path, "fsck", "--strict", "--full")
    assert user_git(tmp_path, "log", "--format=%an <%ae> %at %P %s%n%b", "refs/heads/main").split("\n") == [
        f"{WHO} 1700000001 {first} Two", "", f"{WHO} 1700000000  One", "why – so",
    ]  # fmt: skip


def test_a_commit_is_read_as_git_reads_it_and_what_is_not_plainly_there_is_left_to_git(project: Path) -> None:
    common = str(project / ".git")
    base = commit_files(project, {"x": "1\n"})
    user_git(project, "checkout", "--quiet", "-b", "side")
    side = commit_files(project, {"y": "1\n"})
    user_git(project, "checkout", "--quiet", "main")
    user_git(project, "merge", "--quiet", "--no-ff", "--no-edit", "side")
    merge = user_git(project, "rev-parse", "HEAD")
    assert read_commit(common, merge) == CommitObject(user_git(project, "rev-parse", "HEAD^{tree}"), (base, side))
    assert read_reference(common, "refs/heads/main") == merge
    for none in (user_git(project, "rev-parse", "HEAD^{tree}"), "0" * 40, "HEAD", "", "../" * 13 + "x"):
        assert read_commit(common, none) is None
    broken = project / ".git/objects" / base[:2] / base[2:]
    broken.chmod(0o644)
    broken.write_bytes(b"no object")
    assert read_commit(common, base) is None
    broken.write_bytes((project / ".git/objects" / side[:2] / side[2:]).read_bytes())
    assert read_commit(common, base) is None, "an object is what its id says, or it is not read"


@pytest.mark.parametrize(
    "entries",
    [
        [(b"100644", b"a"), (b"100644", b"a")],
        [(b"100644", b"a"), (b"40000", b"a")],
        [(b"100644", b"b"), (b"100644", b"a")],
        [(b"100644", b"a/b")],
        [(b"40000", b".GIT")],
        [(b"40000", b"..")],
    ],
)
def test_a_tree_that_git_would_not_write_is_left_to_git(tmp_path: Path, entries: list[tuple[bytes, bytes]]) -> None:
    user_git(tmp_path, "init", "--quiet")
    writer, common = ObjectWriter(str(tmp_path / ".git")), str(tmp_path / ".git")
    blob = bytes.fromhex(writer.write(b"blob", b"x"))
    assert read_tree(common, writer.write(b"tree", b"".join(b"%s %s\0%s" % (mode, name, blob) for mode, name in entries))) is None
    sound = [(b"100644", b"a.b"), (b"40000", b"a"), (b"100644", b"a0")]  # a folder is ordered as if its name ended with a slash
    assert read_tree(common, writer.write(b"tree", b"".join(b"%s %s\0%s" % (mode, name, blob) for mode, name in sound)))


def test_a_shallow_clone_and_packed_objects_are_left_to_git(project: Path, tmp_path: Path) -> None:
    commit_files(project, {"x": "1\n"})
    tip = commit_files(project, {"x": "2\n"})
    user_git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{project}", "clone")
    clone = tmp_path / "clone"
    user_git(clone, "commit", "--quiet", "--allow-empty", "--message", "On top")
    on_top = user_git(clone, "rev-parse", "HEAD")
    assert (clone / ".git/objects" / on_top[:2] / on_top[2:]).exists() and read_commit(str(clone / ".git"), on_top) is None
    user_git(project, "gc", "--quiet")
    assert read_commit(str(project / ".git"), tip) is None and read_reference(str(project / ".git"), "refs/heads/main") is None
    assert open_repository(project).find_commit("refs/heads/main") == tip


def test_where_branch_and_work_meet_is_told_as_git_tells_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way without git, and git itself, on straight work, on work beside the branch, and on work that the branch has."""
    base = commit_files(project, {"x": "1\n"})
    repository = open_repository(project)
    tree = repository.tree(base)
    straight = repository.make_commit(tree, (repository.make_commit(tree, (base,), "Step\n"),), "Closing\n")
    beside = repository.make_commit(tree, (base,), "Beside\n")
    merge = repository.make_commit(tree, (base, beside), "Merge\n")  # as the batch branch grows while others are at work
    later = repository.make_commit(tree, (merge, repository.make_commit(tree, (merge,), "More\n")), "Merge\n")
    partly = repository.make_commit(tree, (beside,), "Goes on from what is merged\n")
    crossed = repository.make_commit(tree, (straight, merge), "Crossed\n")
    cases = ((base, straight), (beside, straight), (straight, base), (straight, straight), (base, base))
    cases += ((merge, straight), (later, straight), (later, beside), (later, partly), (crossed, later), (later, crossed))
    answers = []
    for head, commit in cases:
        user_git(project, "update-ref", "refs/heads/ce/batch-1", head)
        answers.append(repository._meet("ce/batch-1", commit))
    monkeypatch.setattr(workspace, "read_reference", lambda *_: None)
    assert answers[5][1] == answers[6][1] == (base,)
    for (head, commit), answer in zip(cases, answers, strict=True):
        user_git(project, "update-ref", "refs/heads/ce/batch-1", head)
        assert repository._meet("ce/batch-1", commit) == answer


def test_no_process_is_started_for_a_merge_in_which_no_file_needs_merging(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = commit_files(project, {"x": "1\n"})
    repository = open_repository(project)
    repository.ensure_branch("ce/batch-1", base)
    work = repository.make_commit(repository.tree_with_content(base, "a/new", b"1"), (base,), "Work\n")
    beside = repository.make_commit(repository.tree_with_content(base, "b/new", b"2"), (base,), "Beside\n")
    asked: list[str] = []
    git = Repository.git
    monkeypatch.setattr(Repository, "git", lambda self, *words, **more: asked.append(words[0]) or git(self, *words, **more))
    repository.merge("ce/batch-1", work, "Merge")
    merged = repository.merge("ce/batch-1", beside, "Merge")
    assert isinstance(merged, Merged) and repository.blocked_entries(base, merged.commit) == ()
    assert repository.changes(base, merged.commit).created == ("a/new", "b/new") and not asked
    user_git(project, "fsck", "--strict")
    assert len(user_git(project, "reflog", "show", "ce/batch-1").split("\n")) == 3, "the history of a branch is kept as git keeps it"


@pytest.mark.parametrize("seed", range(12))
def test_trees_differ_and_are_joined_as_git_says(project: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    names = [f"{folder}{name}" for folder in ("", "a/", "a/b/", "a.b/", "c/") for name in ("x", "y", "z")]
    commit_files(project, {name: f"{name}\n" * 9 for name in chance.sample(names, 9)})
    base = user_git(project, "rev-parse", "HEAD")
    tips = []
    for side in ("one", "other"):
        user_git(project, "checkout", "--quiet", "--detach", base)
        for name in chance.sample(names, 3):
            if (project / name).exists() and chance.random() < 0.2:
                user_git(project, "rm", "--quiet", name)
            else:
                commit_files(project, {name: chance.choice(("same\n", f"{side}\n"))})
        user_git(project, "commit", "--quiet", "--allow-empty", "--message", side)
        tips.append(user_git(project, "rev-parse", "HEAD"))
    repository = open_repository(project)
    found = [repository.changed_entries(base, tip) for tip in tips], [repository.changes(base, tip) for tip in tips]
    plainly = repository._joined((base,), *tips)
    monkeypatch.setattr(Repository, "_differences", lambda *_: None)
    assert found == ([repository.changed_entries(base, tip) for tip in tips], [repository.changes(base, tip) for tip in tips])
    assert list(found[0][0]) == list(repository.changed_entries(base, tips[0])), "in git's order"
    assert plainly in ("", repository.merge_trees(*tips))


def test_what_may_be_a_rename_is_joined_by_git(project: Path) -> None:
    base = commit_files(project, {"old": "text\n" * 9})
    user_git(project, "mv", "old", "new")
    renamed = commit_files(project, {"z": "1\n"})
    user_git(project, "checkout", "--quiet", base)
    edited = commit_files(project, {"old": "text\n" * 9 + "more\n"})
    repository = open_repository(project)
    assert repository._joined((base,), renamed, edited) == "" and isinstance(repository.merge_trees(renamed, edited), str)


def test_references_are_moved_by_gits_own_protocol(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = commit_files(project, {"x": "1\n"})
    repository = open_repository(project)
    more = repository.make_commit(repository.tree(base), (base,), "More\n")
    one, other = "refs/ce/attempts/one", "refs/heads/ce/batch-1"
    repository.move_refs([RefMove(one, base, None), RefMove(other, base, None)])
    with pytest.raises(RefMoved):
        repository.move_refs([RefMove(one, more, base), RefMove(other, more, more)])
    lock = project / ".git" / f"{other}.lock"
    lock.touch()
    with pytest.raises(RefMoved):
        repository.move_refs([RefMove(one, more, base), RefMove(other, more, base)])
    lock.unlink()
    assert user_git(project, "rev-parse", one) == user_git(project, "rev-parse", other) == base, "all or none"
    with pytest.raises(RefMoved):
        repository.move_ref(one, base, None)
    with pytest.raises(RepositoryProblem):
        repository.move_ref(other + "/below", base, None)
    user_git(project, "pack-refs", "--all")
    with pytest.raises(RefMoved):
        repository.move_ref(one, base, None)
    with pytest.raises(RepositoryProblem):
        repository.move_ref(other + "/below", base, None)
    repository.move_refs([RefMove(one, more, base), RefMove(other, more, base)])
    assert not list((project / ".git/refs").rglob("*.lock"))
    asked: list[str] = []
    git = Repository.git
    monkeypatch.setattr(Repository, "git", lambda self, *words, **more: asked.append(words[0]) or git(self, *words, **more))
    repository.move_ref(other, base, more)
    assert not asked and user_git(project, "reflog", "-1", "--format=%H", "ce/batch-1") == base


def test_lock_of_a_process_that_was_killed_is_broken_at_once_and_that_of_a_live_one_is_not(project: Path) -> None:
    base = commit_files(project, {"x": "1\n"})
    repository, ref = open_repository(project), "refs/heads/ce/batch-1"
    descriptor = references._locked(str(project / ".git" / ref), base, 0o644)
    with pytest.raises(RefMoved):
        repository.move_ref(ref, base, None)
    os.close(descriptor)  # as the kernel does for a process that is killed
    repository.move_ref(ref, base, None)
    assert user_git(project, "rev-parse", ref) == base and (project / ".git" / ref).stat().st_mtime > 1
