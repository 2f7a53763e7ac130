"""Make a repository: from commits, as a draft that appears whole or not at all, or from a bundle."""

from __future__ import annotations

import contextlib
import os

from subagents.open_repository import open_repository
from subagents.workspace import BUNDLE_SECONDS, GitError, Repository, RepositoryProblem, branch_ref, run_git, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def create_repository(path: str | os.PathLike[str], commits: Sequence[tuple[str, Mapping[str, bytes]]], branch: str = "main") -> Repository:
    """Make a repository at `path` with these commits, oldest first: each a message and the files it adds.

    It appears whole or not at all. Raises RepositoryProblem (exists), GitError, OSError.
    """
    with draft_repository(path, branch) as made:
        parents: tuple[str, ...] = ()
        for message, files in commits:
            for name, content in files.items():
                os.makedirs(os.path.dirname(os.path.join(made.path, name)), exist_ok=True)
                with open(os.path.join(made.path, name), "wb") as file:
                    file.write(content)
            in_draft = {"GIT_WORK_TREE": made.path}
            made.git("add", "--all", environment=in_draft)
            commit = made.make_commit(text_of(made.git("write-tree", environment=in_draft).out), parents, message + "\n")
            made.move_ref(branch_ref(branch), commit, parents[0] if parents else None)
            parents = (commit,)
    return open_repository(path)


@contextlib.contextmanager
def draft_repository(path: str | os.PathLike[str], branch: str = "main") -> Iterator[Repository]:
    """An empty repository beside `path`, which becomes the one there at the end; after an error nothing of it is left.

    Raises RepositoryProblem (exists), GitError, OSError.
    """
    import shutil  # these two here: every attempt imports this module and would wait for them
    import tempfile

    top = os.path.abspath(os.fspath(path))
    if os.path.lexists(top):
        raise RepositoryProblem("exists", f"{top} exists already. Move it away, or choose another folder.")
    os.makedirs(os.path.dirname(top), exist_ok=True)
    draft = tempfile.mkdtemp(prefix=f".{os.path.basename(top)}.", dir=os.path.dirname(top))  # for this user alone
    before = os.umask(0o022)  # what is in it is read by commands in the sandbox, which may run as another user
    try:
        init = run_git(["init", "--quiet", "--template=", f"--initial-branch={branch}", "--end-of-options", draft], {})
        if init.exit_code:
            raise GitError("init", init.exit_code, text_of(init.err)[-500:])
        yield Repository(draft, os.path.join(draft, ".git"), os.path.join(draft, ".git"))  # nobody has configured it yet
        os.rename(draft, top)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    finally:
        os.umask(before)


def repository_from_bundle(path: str, bundle: str, branch: str) -> Repository:
    """A new repository at `path` with the branch of a bundle checked out. Raises GitError, OSError."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    finished = run_git(["clone", "--quiet", "--branch", branch, "--", bundle, path], {}, seconds=BUNDLE_SECONDS)
    if finished.exit_code:
        raise GitError("clone", finished.exit_code, text_of(finished.err)[-500:])
    found = open_repository(path)
    found.git("remote", "remove", "origin")
    return found
