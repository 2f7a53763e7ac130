"""An attempt's own files, and how they become commits. docs/decisions/plain-checkouts.md says why it is no `git worktree`."""

from __future__ import annotations

import contextlib
import os

from subagents.own_git import configuration
from subagents.record import record
from subagents.workspace import EXCLUDES, BlockedEntries, Repository, RepositoryProblem, text_of


@record
class Checkout:
    """An attempt's own files: a plain folder, an index of ours outside it, and commits kept under the attempt's reference."""

    repository: Repository
    path: str
    index: str
    ref: str

    def create(self, base: str) -> None:
        """Fill the folder with commit `base`, and give it a throw-away .git of its own. Raises GitError, OSError."""
        os.makedirs(self.path, exist_ok=True)
        self._git("read-tree", "-m", "-u", "--end-of-options", base)
        self._make_private_git(base)

    def _make_private_git(self, base: str) -> None:
        """A repository for the agent's own git: it reads the project's objects and can reach nothing else of the project."""
        git = os.path.join(self.path, ".git")
        for folder in ("objects/info", "refs/heads", "info"):
            os.makedirs(os.path.join(git, folder), exist_ok=True)
        _put(os.path.join(git, "config"), configuration(len(base) == 64))
        _put(os.path.join(git, "objects/info/alternates"), os.path.join(self.repository.common_dir, "objects") + "\n")
        _put(os.path.join(git, "HEAD"), base + "\n")
        shallow = os.path.join(self.repository.common_dir, "shallow")
        for source, name in ((self.index, "index"), (EXCLUDES, "info/exclude"), (shallow, "shallow")):
            with contextlib.suppress(FileNotFoundError), open(source, "rb") as given, open(os.path.join(git, name), "wb") as taken:
                taken.write(given.read())

    def read_index(self, base: str) -> None:
        """Make the index anew from commit `base`; no file is touched. Raises GitError."""
        self._git("read-tree", "--end-of-options", base)

    def snapshot(self, parent: str) -> str:
        """Take the folder's files into a tree and return its id.

        Raises BlockedEntries when it holds what may not be committed, RepositoryProblem (vanished) when the folder is gone.
        """
        if not os.path.isdir(self.path):
            raise RepositoryProblem("vanished", f"the checkout {self.path} is gone; retry the phase to get a new one")
        self._git("add", "--all")
        tree = text_of(self._git("write-tree"))
        blocked = self.repository.blocked_entries(parent, tree)
        if blocked:
            raise BlockedEntries(blocked)
        return tree

    def with_file(self, base: str, path: str, data: bytes) -> str:
        """The tree of `base` with `data` at `path`, made in the index alone: no file is written, no link followed.

        Returns its id. Raises GitError, also when `path` leads through a file or a link.
        """
        self._git("read-tree", "--end-of-options", base)
        blob = text_of(self._git("hash-object", "-w", "--stdin", "--no-filters", given=data))
        self._git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
        return text_of(self._git("write-tree"))

    def commit(self, tree: str, parent: str, message: str, *, first: bool) -> str:
        """Commit `tree` on `parent` and move the attempt's reference there; `first`: it must not exist yet. Raises GitError, RefMoved."""
        made = self.repository.make_commit(tree, (parent,), message)
        self.repository.move_ref(self.ref, made, None if first else parent)
        return made

    def _git(self, *arguments: str, given: bytes = b"") -> bytes:
        environment = {"GIT_WORK_TREE": self.path, "GIT_INDEX_FILE": self.index}
        return self.repository.git(*arguments, environment=environment, given=given, accept=(0,)).out


def _put(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
