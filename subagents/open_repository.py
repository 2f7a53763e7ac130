"""Open a repository, or say what is wrong with the place and what to do about it."""

from __future__ import annotations

import os

from subagents.own_git import extension_of, own_common_dir
from subagents.workspace import PERSONS, Repository, RepositoryProblem, run_git, text_of


def open_repository(path: str | os.PathLike[str]) -> Repository:
    """The git repository whose top folder is `path`.

    Raises RepositoryProblem (missing, not_a_repository, not_the_top, bare, no_commits) with what to do about it.
    """
    top = os.path.abspath(os.fspath(path))
    if not os.path.isdir(top):
        raise RepositoryProblem("missing", f"{top} does not exist or is no folder. Move the repository back or change the project's path.")
    found = _plain_repository(top) or _asked_repository(top)
    if not found.has_commits():
        raise RepositoryProblem("no_commits", f"{top} has no commit yet. Commit something first: work starts from a commit.")
    return found


def attached_repository(path: str) -> Repository:
    """As open_repository, without the look for commits: for an attempt, whose base commit is known. Raises RepositoryProblem."""
    return _plain_repository(path) or _asked_repository(path)


def repository_at(top: str, git_dir: str) -> Repository:
    """The repository whose git directory is known: a submodule's. Raises RepositoryProblem (not_ours)."""
    return _ours(top, git_dir, git_dir)


def _plain_repository(top: str) -> Repository | None:
    git_dir = os.path.join(top, ".git")
    if os.path.isdir(os.path.join(git_dir, "objects")) and os.path.isfile(os.path.join(git_dir, "HEAD")):
        return _ours(top, git_dir, git_dir)
    return None


def _asked_repository(top: str) -> Repository:
    asked = ["rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir", "--is-bare-repository"]
    answer = run_git(asked, {"GIT_CEILING_DIRECTORIES": os.path.dirname(top)}, directory=top)
    if "dubious ownership" in text_of(answer.err):
        answer = run_git(asked, {"GIT_CEILING_DIRECTORIES": os.path.dirname(top), **PERSONS}, directory=top)
        if "dubious ownership" in text_of(answer.err):
            raise _not_ours(top)
    if "\n" in top:
        raise RepositoryProblem("bad_path", f"{top!r} has a line break in its name, and is no repository of its own. Rename the folder.")
    lines = text_of(answer.out).split("\n")
    if answer.exit_code or len(lines) < 3:
        above = run_git(["rev-parse", "--show-toplevel"], {}, directory=top)
        if above.exit_code == 0:
            raise RepositoryProblem("not_the_top", f"{top} is inside the repository {text_of(above.out)}. Give the project that folder.")
        raise RepositoryProblem("not_a_repository", f"{top} is not a git repository. Make it one: git init, then commit.")
    if lines[2] == "true":
        raise RepositoryProblem("bare", f"{top} is a bare repository. Give the project an ordinary clone of it.")
    return _ours(top, lines[0], lines[1])


def _ours(top: str, git_dir: str, common_dir: str) -> Repository:
    """The repository with our common directory, when it is this user's as git asks it. Raises RepositoryProblem."""
    # An explicit GIT_DIR passes over git's own check: a configuration and hooks of somebody else's are not ours to trust.
    if any(_is_foreign(path) for path in {top, git_dir, common_dir}):
        answer = run_git(["rev-parse", "--git-dir"], {"GIT_CEILING_DIRECTORIES": os.path.dirname(top), **PERSONS}, directory=top)
        if answer.exit_code:
            raise _not_ours(top)
    if (format := extension_of(common_dir, "refstorage")) not in ("", "files"):
        message = f"{top} keeps its references as {format}, which CE Web cannot read. Run there: git refs migrate --ref-format=files"
        raise RepositoryProblem("reference_format", message)
    return Repository(top, git_dir, common_dir, own_common_dir(common_dir))


def _is_foreign(path: str) -> bool:
    try:
        return os.stat(path).st_uid != os.geteuid()
    except OSError:
        return False  # said better by whoever needs it


def _not_ours(top: str) -> RepositoryProblem:
    message = f"{top} belongs to another user, so git refuses it. Change its owner, run CE Web as that user, or allow it as the user that"
    return RepositoryProblem("not_ours", f"{message} CE Web runs as: git config --global --add safe.directory {top}")
