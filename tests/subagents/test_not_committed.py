"""What git would lose of a plan's work is said before anything is spent."""

from pathlib import Path

import pytest

from subagents.not_committed import filtered_files, filters_in_use, filters_named, ignored_files, missing_submodules, submodule_of
from subagents.open_repository import open_repository
from subagents.workspace import Repository
from tests.subagents.conftest import commit_files, user_git

pytestmark = pytest.mark.process


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    user_git(made, "init", "-q", "-b", "main")
    return made


def opened(folder: Path) -> tuple[Repository, str]:
    return open_repository(str(folder)), user_git(folder, "rev-parse", "HEAD")


def test_a_declared_file_that_gitignore_covers_is_named_with_its_line(folder: Path) -> None:
    commit_files(folder, {".gitignore": "# built\nlib/\n*.log\n!keep.log\n", "docs/.gitignore": "draft.md\n", "src/a.py": ""})
    paths = ["lib/util.js", "src/a.py", "src/b.py", "keep.log", "docs/draft.md", "lib/", "logs/*.log"]
    assert ignored_files(*opened(folder), paths) == {
        "docs/draft.md": "docs/.gitignore:1 `draft.md`",
        "lib/": ".gitignore:2 `lib/`",
        "lib/util.js": ".gitignore:2 `lib/`",
    }


def test_a_file_that_is_in_the_commit_is_kept_whatever_is_ignored(folder: Path) -> None:
    commit_files(folder, {"lib/util.js": "1"})
    commit_files(folder, {".gitignore": "lib/\n"})
    assert ignored_files(*opened(folder), ["lib/util.js", "lib"]) == {}


def test_filters_are_named_with_their_file_and_comments_are_not(folder: Path) -> None:
    commit_files(folder, {".gitattributes": "# filter=none\n*.psd filter=lfs diff=lfs\n", "secrets/.gitattributes": "* filter=git-crypt\n"})
    lfs, crypt = ".gitattributes:2 `*.psd filter=lfs diff=lfs`", "secrets/.gitattributes:1 `* filter=git-crypt`"
    assert filters_named(*opened(folder)) == {"lfs": lfs, "git-crypt": crypt}
    assert filters_in_use(*opened(folder)) == {"git-crypt": crypt}, "of the attributes themselves; no .psd is there"
    declared = ["a/new.psd", "secrets/key", "plain.txt", "*.psd"]
    assert filtered_files(*opened(folder), declared) == {"a/new.psd": "lfs", "secrets/key": "git-crypt"}


def test_a_filter_that_no_file_goes_through_does_no_harm(folder: Path) -> None:
    commit_files(folder, {"a.txt": "a\n", ".gitattributes": "*.bin filter=lfs\n*.txt text\n"})
    for key, value in (("lfs.clean", "git-lfs clean"), ("lfs.required", "true"), ("x.clean", "cat")):
        user_git(folder, "config", f"filter.{key}", value)
    assert filters_in_use(*opened(folder)) == {} and filtered_files(*opened(folder), ["a.txt", "b.txt"]) == {}


def test_a_file_below_a_submodule_is_named_and_a_submodule_that_is_not_here_too(folder: Path, tmp_path: Path) -> None:
    commit_files(folder, {"a.txt": "a"})
    inner = user_git(folder, "rev-parse", "HEAD")
    user_git(folder, "update-index", "--add", "--cacheinfo", f"160000,{inner[::-1]},vendor/m")
    user_git(folder, "commit", "-q", "-m", "link")
    repository, commit = opened(folder)
    assert missing_submodules(repository, commit) == ["vendor/m"]
    assert submodule_of(repository, commit, ["vendor/m/x.py", "vendor/mine.py"]) == {"vendor/m/x.py": "vendor/m"}
