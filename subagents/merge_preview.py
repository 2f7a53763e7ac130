"""What would collide if the work that is still going on were merged now: nothing is committed, nothing of the project is written.

Everything that is made for the look (blobs, trees, commits, an index) lies in a throw-away repository of ours that only
reads the project's objects. The agents' folders are read as files, by an index of ours; their `.git` is not looked at.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from itertools import combinations

from subagents.own_git import configuration, is_sha256, object_folders
from subagents.record import record
from subagents.workspace import GitError, MergeConflict, Repository

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from subagents.workspace import Changes

MERGES = 400  # a look tries at most this many; those that share no file are not tried


@record
class Work:
    """An attempt that goes on: where it began, its folder, the index of ours that filled it, and where its commits are kept."""

    name: str
    base: str
    checkout: str
    index: str
    ref: str


@record
class ConflictPreview:
    """`collisions` {names of one or two: files}, one name: with the branch. `examined` are all that were looked at, `changed` by name."""

    collisions: Mapping[tuple[str, ...], tuple[str, ...]]
    examined: frozenset[tuple[str, ...]]
    changed: Mapping[str, Changes]


def look_ahead(repository: Repository, branch_commit: str, works: Sequence[Work], scratch: str, seconds: float) -> ConflictPreview:
    """Compare the works with each other and with the branch, as far as `seconds` reach.

    `scratch` is a folder of ours that is removed before and after. Work that cannot be read right now counts by its
    last commit, or not at all. Raises OSError, ProgramMissing.
    """
    deadline = time.monotonic() + seconds
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        return _Look(repository, _private(repository, scratch), scratch, deadline).look(branch_commit, works)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _private(repository: Repository, folder: str) -> Repository:
    """A repository that reads the project's objects and keeps its own to itself; the project's configuration is not part of it."""
    git = os.path.join(folder, "git")
    for name in ("objects/info", "refs/heads", "info"):
        os.makedirs(os.path.join(git, name), mode=0o700, exist_ok=True)
    _put(os.path.join(git, "config"), configuration(is_sha256(repository.common_dir), bare=True))
    _put(os.path.join(git, "HEAD"), "ref: refs/heads/none\n")
    _put(os.path.join(git, "objects/info/alternates"), "\n".join(object_folders(repository.common_dir)) + "\n")
    _put(os.path.join(git, "info/exclude"), "/.ce/orchestration/\n")
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(os.path.join(repository.common_dir, "shallow"), os.path.join(git, "shallow"))
    return Repository(folder, git, git)


def _put(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


class _Look:
    def __init__(self, project: Repository, private: Repository, scratch: str, deadline: float) -> None:
        self.project, self.private, self.scratch, self.deadline = project, private, scratch, deadline

    def look(self, tip: str, works: Sequence[Work]) -> ConflictPreview:
        commits: dict[str, str] = {}
        changed: dict[str, Changes] = {}
        bases = {work.name: work.base for work in works}
        for work in works:
            with contextlib.suppress(GitError):
                commit = self._commit_of(work)
                if commit is not None:
                    changed[work.name] = self.private.changes(work.base, commit)
                    commits[work.name] = commit
        paths = {name: _paths(found) for name, found in changed.items()}
        collisions: dict[tuple[str, ...], tuple[str, ...]] = {}
        examined: set[tuple[str, ...]] = set()
        pairs: list[tuple[str, ...]] = [(name,) for name in commits]
        pairs += combinations(sorted(commits), 2)
        tries = 0
        for names in pairs:
            if self._left() <= 0 or tries >= MERGES:
                break
            with contextlib.suppress(GitError):
                ours = tip if len(names) == 1 else commits[names[1]]
                beside = self._between(bases[names[0]], tip) if len(names) == 1 else paths[names[1]]
                if _meet(paths[names[0]], beside):
                    tries += 1
                    joined = self.private.merge_trees(ours, commits[names[0]])
                    if isinstance(joined, MergeConflict):
                        collisions[names] = joined.files
                examined.add(names)
        return ConflictPreview(collisions, frozenset(examined), changed)

    def _between(self, base: str, tip: str) -> set[str]:
        return _paths(self.private.changes(base, tip))

    def _commit_of(self, work: Work) -> str | None:
        """A commit, known to nobody else, of what is in the folder now; its last own commit when that cannot be had."""
        index = os.path.join(self.scratch, "index")
        try:
            shutil.copyfile(work.index, index)
            environment = {"GIT_WORK_TREE": work.checkout, "GIT_INDEX_FILE": index}
            self._git("add", "--all", environment=environment)
            tree = self._git("write-tree", environment=environment).decode().strip()
            return self.private.make_commit(tree, (work.base,), "What is there now\n")
        except (OSError, GitError):
            return self.project.find_commit(work.ref)

    def _git(self, *arguments: str, environment: Mapping[str, str]) -> bytes:
        return self.private.git(*arguments, environment=environment, accept=(0,), seconds=max(0.1, self._left())).out

    def _left(self) -> float:
        return self.deadline - time.monotonic()


def _paths(changes: Changes) -> set[str]:
    return {*changes.created, *changes.modified, *changes.deleted}


def _meet(one: set[str], other: set[str]) -> bool:
    """Whether they share a path, or one has a file where the other has a folder."""
    return bool(one & other or one & _folders(other) or other & _folders(one))


def _folders(paths: set[str]) -> set[str]:
    found = set()
    for path in paths:
        while (path := os.path.dirname(path)) and path not in found:
            found.add(path)
    return found
