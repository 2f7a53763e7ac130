"""What a checkout holds and what becomes of it does not depend on how the person has set up their repository."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from subagents import own_git
from subagents.checkout import Checkout
from subagents.open_repository import open_repository
from subagents.own_git import alternates, object_folders
from subagents.submodules import submodules_of
from subagents.workspace import BlockedEntries, MergeConflict, Merged, RepositoryProblem
from tests.subagents.conftest import commit_files, user_git
from tests.subagents.test_workspace import BRANCH, checkout_of, work

pytestmark = pytest.mark.long


def kept(checkout: Checkout, base: str) -> str:
    return checkout.commit(checkout.snapshot(base), base, "Work", first=True)


def clone(project: Path, place: Path, *arguments: str) -> Path:
    user_git(project, "-c", "protocol.file.allow=always", "clone", "--quiet", *arguments, str(project), str(place))
    return place


@pytest.mark.parametrize("how", ["open to all", "of another user", "a link"])
def test_a_folder_that_somebody_put_in_the_place_of_our_temporary_one_is_not_used(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(own_git, "_folders", [])
    monkeypatch.setattr(own_git, "_temporary", set())
    first = Path(own_git.own_common_dir(str(project / ".git"))).parent
    assert first == Path(own_git.own_common_dir(str(project / ".git"))).parent, "as long as it is ours it stays"
    shutil.rmtree(first)  # as a machine does that tidies up
    if how == "a link":
        (tmp_path / "theirs").mkdir(mode=0o700)
        first.symlink_to(tmp_path / "theirs")
    else:
        first.mkdir()
        first.chmod(0o777 if how == "open to all" else 0o700)
        if how == "of another user":
            monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    second = Path(own_git.own_common_dir(str(project / ".git"))).parent
    assert second != first and not os.listdir(first)
    first.unlink() if how == "a link" else first.rmdir()


def test_a_sparse_working_tree_does_not_thin_out_the_checkout(project: Path, tmp_path: Path) -> None:
    base = commit_files(project, {"a/f": "1\n", "b/f": "1\n"})
    user_git(project, "sparse-checkout", "set", "--cone", "a")
    checkout = checkout_of(project, tmp_path, base)
    Path(checkout.path, "b/f").write_text("2\n")
    Path(checkout.path, "b/new").write_text("new\n")
    changes = checkout.repository.changes(base, kept(checkout, base))
    assert (changes.created, changes.modified) == (("b/new",), ("b/f",))


SETTINGS = {
    "core.fileMode": "false",
    "core.safecrlf": "true",
    "core.autocrlf": "true",
    "core.eol": "crlf",
    "core.symlinks": "false",
    "core.ignoreCase": "true",
    "core.bigFileThreshold": "1",
    "commit.gpgSign": "true",
    "core.excludesFile": "mine",
    "core.attributesFile": "mine",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_no_setting_of_the_person_reaches_a_checkout_or_its_commit(project: Path, tmp_path: Path, name: str) -> None:
    base = commit_files(project, {"lf.txt": "1\n2\n", "run.sh": "#!/bin/sh\n"})
    user_git(project, "config", name, str(tmp_path / "mine") if SETTINGS[name] == "mine" else SETTINGS[name])
    (tmp_path / "mine").write_text("* -text eol=crlf\n")
    (project / ".git/info").mkdir(exist_ok=True)
    (project / ".git/info/exclude").write_text("private/\n")
    (project / ".git/info/attributes").write_text("* text eol=crlf\n")
    checkout = checkout_of(project, tmp_path, base)
    inside = Path(checkout.path)
    assert (inside / "lf.txt").read_bytes() == b"1\n2\n"
    (inside / "run.sh").chmod(0o755)
    (inside / "lf.txt").write_bytes(b"1\r\n2\n")
    (inside / "mixed.txt").write_bytes(b"a\nb\r\n")
    (inside / "private").mkdir()
    (inside / "private/x").write_text("x\n")
    os.symlink("lf.txt", inside / "link")
    commit = kept(checkout, base)
    assert user_git(project, "ls-tree", "-r", "--format=%(objectmode) %(path)", commit).split("\n") == [
        "100644 README.md",
        "100644 lf.txt",
        "120000 link",
        "100644 mixed.txt",
        "100644 private/x",
        "100755 run.sh",
        "100644 src/app.py",
    ]
    assert checkout.repository.read_blobs([user_git(project, "rev-parse", f"{commit}:lf.txt").encode()]) == [b"1\r\n2\n"]


def test_line_ends_that_the_tree_itself_asks_for_are_as_git_makes_them(project: Path, tmp_path: Path) -> None:
    base = commit_files(project, {".gitattributes": "*.bat eol=crlf\n*.txt text\n", "a.bat": "1\n"})
    checkout = checkout_of(project, tmp_path, base)
    assert Path(checkout.path, "a.bat").read_bytes() == b"1\r\n"
    Path(checkout.path, "new.txt").write_bytes(b"1\r\n")
    commit = kept(checkout, base)
    assert user_git(project, "cat-file", "-s", f"{commit}:new.txt") == "2"


@pytest.mark.parametrize("place", [".gitattributes", "notes/.gitattributes"])
def test_a_built_in_merge_driver_of_the_tree_works_wherever_its_attributes_lie(project: Path, tmp_path: Path, place: str) -> None:
    base = commit_files(project, {place: "*.md merge=union\n*.txt merge=ours-own\n", "notes/n.md": "1\n", "notes/n.txt": "1\n"})
    user_git(project, "checkout", "--quiet", "--orphan", "elsewhere")  # what the person has checked out does not count
    user_git(project, "rm", "--quiet", "-r", "--cached", "notes")
    repository = open_repository(project)
    repository.ensure_branch(BRANCH, base)
    for number, text in enumerate(("1\nours\n", "1\ntheirs\n"), start=1):
        assert isinstance(repository.merge(BRANCH, work(project, tmp_path, base, {"notes/n.md": text}, number), "Merge"), Merged)
    assert user_git(project, "show", f"{BRANCH}:notes/n.md").split("\n") == ["1", "ours", "theirs"]
    # A driver that only a configuration could define is git's ordinary merge, as on a fresh clone.
    tip = repository.branch_commit(BRANCH)
    one = work(project, tmp_path, tip, {"notes/n.txt": "one\n"}, 3)
    other = work(project, tmp_path, tip, {"notes/n.txt": "other\n"}, 4)
    assert isinstance(repository.merge(BRANCH, one, "Merge"), Merged)
    assert repository.merge(BRANCH, other, "Merge") == MergeConflict(("notes/n.txt",))
    assert not [name for name in os.listdir(repository.ours) if name.startswith("files-")]


@pytest.mark.parametrize("how", ["--shared", "--reference"])
def test_borrowed_objects_are_read_and_seen_by_the_agents_git(project: Path, tmp_path: Path, how: str) -> None:
    middle = clone(project, tmp_path / "middle", "--shared")
    folder = clone(middle, tmp_path / "borrower", how, *([str(middle)] if how == "--reference" else []))
    base = user_git(folder, "rev-parse", "HEAD")
    checkout = checkout_of(folder, tmp_path, base)
    assert user_git(Path(checkout.path), "log", "--format=%s") == "First."
    repository = checkout.repository
    repository.ensure_branch(BRANCH, base)
    Path(checkout.path, "new").write_text("1\n")
    assert isinstance(repository.merge(BRANCH, kept(checkout, base), "Merge"), Merged)


@pytest.mark.parametrize("name", ["line\nbreak", 'quo"te \\\n', "#hash"])
def test_a_repository_whose_path_is_odd_is_read_by_the_agents_git_and_by_who_borrows(project: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    os.rename(project, folder)
    base = user_git(folder, "rev-parse", "HEAD")
    assert user_git(Path(checkout_of(folder, tmp_path, base).path), "log", "--format=%s") == "First."
    borrower = tmp_path / "borrower"
    user_git(tmp_path, "init", "-q", "-b", "main", str(borrower))
    (borrower / ".git/objects/info/alternates").write_text(alternates([str(folder / ".git/objects")]))
    user_git(borrower, "update-ref", "refs/heads/main", base)
    assert object_folders(str(borrower / ".git"))[1:] == (str(folder / ".git/objects"),)
    assert user_git(Path(checkout_of(borrower, tmp_path, base, 2).path), "log", "--format=%s") == "First."


def test_tags_and_branches_are_there_for_the_agents_git_and_stay_the_projects(project: Path, tmp_path: Path) -> None:
    user_git(project, "tag", "-a", "v1.2", "-m", "Version")
    user_git(project, "branch", "release/1")
    user_git(project, "pack-refs", "--all")
    user_git(project, "tag", "loose")
    base = commit_files(project, {"x": "1\n"})
    open_repository(project).ensure_branch(BRANCH, base)
    inside = Path(checkout_of(project, tmp_path, base).path)
    assert user_git(inside, "describe") == f"v1.2-1-g{base[:7]}"
    assert user_git(inside, "log", "-1", "--format=%H", "main") == base
    assert user_git(inside, "for-each-ref", "--format=%(refname)").split("\n") == [
        "refs/heads/main",
        "refs/heads/release/1",
        "refs/tags/loose",
        "refs/tags/v1.2",
    ]
    user_git(inside, "tag", "-d", "loose")
    assert user_git(project, "tag", "--list", "loose") == "loose"


@pytest.fixture
def outer(project: Path, tmp_path: Path) -> Path:
    """A repository with the submodule vendor/m, which has a submodule `deep` itself."""
    deep = tmp_path / "deep"
    deep.mkdir()
    user_git(deep, "init", "--quiet")
    commit_files(deep, {"d.txt": "deep\n"})
    module = tmp_path / "module"
    module.mkdir()
    user_git(module, "init", "--quiet")
    user_git(module, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(deep), "deep")
    commit_files(module, {"m.py": "x = 1\n", ".gitignore": "*.log\n"})
    user_git(project, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(module), "vendor/m")
    user_git(project, "-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", "--recursive")
    commit_files(project, {"y": "1\n"})
    return project


def test_submodules_are_filled_from_the_objects_at_hand(outer: Path, tmp_path: Path) -> None:
    base = user_git(outer, "rev-parse", "HEAD")
    checkout = checkout_of(outer, tmp_path, base)
    inside = Path(checkout.path, "vendor/m")
    assert (inside / "m.py").read_text() == "x = 1\n" and (inside / "deep/d.txt").read_text() == "deep\n"
    (inside / "left.log").write_text("ignored there\n")
    assert checkout.repository.changes(base, checkout.snapshot(base)).present == ()


def changed(inside: Path) -> str:
    (inside / "m.py").write_text("x = 2\n")
    return "vendor/m/m.py was changed, but vendor/m is a submodule"


def added(inside: Path) -> str:
    (inside / "new.py").write_text("x = 2\n")
    return "vendor/m/new.py was changed, but vendor/m is a submodule"


def changed_deeply(inside: Path) -> str:
    (inside / "deep/d.txt").write_text("x\n")
    return "vendor/m/deep/d.txt was changed, but deep is a submodule"


def replaced_by_a_repository(inside: Path) -> str:
    user_git(inside, "init", "--quiet")
    commit_files(inside, {"m.py": "x = 3\n"})
    return "vendor/m is another git repository"


@pytest.mark.parametrize("change", [changed, added, changed_deeply, replaced_by_a_repository], ids=lambda way: way.__name__)
def test_what_is_changed_below_a_submodule_is_refused_in_a_sentence(outer: Path, tmp_path: Path, change) -> None:
    base = user_git(outer, "rev-parse", "HEAD")
    checkout = checkout_of(outer, tmp_path, base)
    expected = change(Path(checkout.path, "vendor/m"))
    with pytest.raises(BlockedEntries, match=expected):
        checkout.snapshot(base)


def test_a_submodule_that_is_nowhere_stays_empty_and_nothing_written_there_is_lost_unseen(outer: Path, tmp_path: Path) -> None:
    folder = clone(outer, tmp_path / "without")
    base = user_git(folder, "rev-parse", "HEAD")
    repository = open_repository(folder)
    assert [(found.path, found.repository) for found in submodules_of(repository, base)] == [("vendor/m", None)]
    checkout = checkout_of(folder, tmp_path, base)
    assert os.listdir(Path(checkout.path, "vendor/m")) == []
    assert repository.changes(base, checkout.snapshot(base)).present == ()
    Path(checkout.path, "vendor/m/new").write_text("x\n")
    with pytest.raises(BlockedEntries, match="vendor/m/new was changed"):
        checkout.snapshot(base)


def test_a_repository_without_a_commit_inside_the_folder_is_refused_by_name(project: Path, tmp_path: Path) -> None:
    base = user_git(project, "rev-parse", "HEAD")
    checkout = checkout_of(project, tmp_path, base)
    user_git(Path(checkout.path), "init", "-q", "a/sub")
    Path(checkout.path, "a/sub/file").write_text("1\n")
    with pytest.raises(BlockedEntries, match="a/sub is another git repository, without a commit"):
        checkout.snapshot(base)


@pytest.mark.parametrize("rule", ["*.bin filter=lfs diff=lfs merge=lfs -text", "[attr]secret filter=git-crypt\n*.bin secret"])
def test_what_a_filter_would_have_turned_into_something_else_is_refused_in_a_sentence(project: Path, tmp_path: Path, rule: str) -> None:
    """A large file would be committed in place of its pointer, a secret in place of its cipher."""
    base = commit_files(project, {".gitattributes": rule + "\n", "kept.bin": "pointer\n", "gone.bin": "pointer\n"})
    checkout = checkout_of(project, tmp_path, base)
    Path(checkout.path, "gone.bin").unlink()
    Path(checkout.path, "plain.txt").write_text("1\n")
    assert checkout.repository.changes(base, checkout.snapshot(base)).present == ("plain.txt",)
    for name in ("kept.bin", "a/new.bin"):
        Path(checkout.path, name).parent.mkdir(exist_ok=True)
        Path(checkout.path, name).write_text("plain\n")
    with pytest.raises(BlockedEntries) as refused:
        checkout.snapshot(base)
    name = "lfs" if "lfs" in rule else "git-crypt"
    expected = [f"{path} goes through the filter {name}" for path in ("a/new.bin", "kept.bin")]
    assert [entry.split(",")[0] for entry in refused.value.entries] == expected


@pytest.mark.parametrize("kind", ["blob:none", "tree:0"])
def test_a_partial_clone_without_its_remote_is_told_in_a_sentence(project: Path, tmp_path: Path, kind: str) -> None:
    commit_files(project, {"old": "1\n"})
    base = commit_files(project, {"old": "2\n"})
    user_git(project, "config", "uploadpack.allowFilter", "true")
    folder = tmp_path / "partial"
    user_git(tmp_path, "clone", "--quiet", "--no-checkout", f"--filter={kind}", f"file://{project}", str(folder))
    os.rename(project, tmp_path / "away")
    with pytest.raises(RepositoryProblem, match="is a partial clone"):
        open_repository(folder).refuse_missing_objects(base)
    with pytest.raises(RepositoryProblem, match="is a partial clone") as refused:
        checkout_of(folder, tmp_path, base)
    assert refused.value.code == "partial" and "fetch" in str(refused.value)


def test_our_directory_is_ours_alone_and_follows_the_repository(project: Path, tmp_path: Path) -> None:
    ours = Path(open_repository(project).ours)
    assert stat.S_IMODE(ours.stat().st_mode) == 0o700
    (ours / "config").write_text("[core]\n\tfsmonitor = evil\n")
    assert open_repository(project).ours == str(ours) and "evil" not in (ours / "config").read_text()
    os.rename(project, tmp_path / "former")
    project.mkdir()
    user_git(project, "init", "--quiet", "--object-format", "sha256", "--initial-branch", "main")
    commit_files(project, {"x": "1\n"})
    assert len(open_repository(project).branch_commit("main")) == 64


@pytest.mark.parametrize(("rights", "files"), [(0o755, 0o444), (0o700, 0o400), (0o2775, 0o444), (0o750, 0o440)])
def test_git_adds_what_those_may_read_who_may_read_the_rest_whatever_our_umask(project: Path, rights: int, files: int) -> None:
    base = commit_files(project, {"x": "1\n"})
    objects = project / ".git" / "objects"
    there = {folder.name for folder in objects.iterdir()}
    objects.chmod(rights)
    repository = open_repository(project)
    before = os.umask(0o077)
    try:  # A commit's id is chance: only one whose folder git makes anew tells the folder's rights.
        commits = (repository.make_commit(repository.tree(base), (base,), f"Commit {number}\n") for number in range(20))
        made = next(commit for commit in commits if commit[:2] not in there)
    finally:
        os.umask(before)
    written = objects / made[:2] / made[2:]
    assert stat.S_IMODE(written.stat().st_mode) == files
    assert written.parent.stat().st_mode & 0o077 == rights & 0o077
