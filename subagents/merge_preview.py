"""The merge preview: which running attempts would conflict if they were merged now. It writes nothing to the project.

All blobs, trees, commits and the index that it needs are in a temporary repository, which only reads the project's objects.
The agents' folders are read as files with our own index; their `.git` is not read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from itertools import combinations

from subagents.own_git import alternates, configuration, is_sha256, object_folders
from subagents.record import record
from subagents.workspace import GitError, MergeConflict, Repository

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from subagents.workspace import Changes

MERGES = 400  # a preview tries at most this many merges; attempts that share no file are not tried


@record
class RunningAttempt:
    """A running attempt: its base commit, its folder, the index of ours that filled the folder, and the reference of its commits."""

    name: str
    base: str
    checkout: str
    index: str
    ref: str


@record
class ConflictPreview:
    """`collisions` {(name, name) or (name,) with the branch: files}; `examined`: all keys that were tried; `changed` {name: Changes}."""

    collisions: Mapping[tuple[str, ...], tuple[str, ...]]
    examined: frozenset[tuple[str, ...]]
    changed: Mapping[str, Changes]


def preview_merges(
    repository: Repository, branch_commit: str, attempts: Sequence[RunningAttempt], scratch: str, seconds: float
) -> ConflictPreview:
    """Try to merge the attempts with each other and with the branch, for at most `seconds`.

    `scratch` is a folder of ours that is removed before and after. An attempt whose folder cannot be read now is
    represented by its last commit, or left out. Raises OSError, ProgramMissing.
    """
    deadline = time.monotonic() + seconds
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        return _Preview(repository, _temporary_repository(repository, scratch), scratch, deadline).run(branch_commit, attempts)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _temporary_repository(repository: Repository, folder: str) -> Repository:
    """A repository that reads the project's objects and stores its own in `folder`. It does not use the project's configuration."""
    git = os.path.join(folder, "git")
    for name in ("objects/info", "refs/heads", "info"):
        os.makedirs(os.path.join(git, name), mode=0o700, exist_ok=True)
    _write(os.path.join(git, "config"), configuration(is_sha256(repository.common_dir), bare=True))
    _write(os.path.join(git, "HEAD"), "ref: refs/heads/none\n")
    _write(os.path.join(git, "objects/info/alternates"), alternates(object_folders(repository.common_dir)))
    _write(os.path.join(git, "info/exclude"), "/.ce/orchestration/\n")
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(os.path.join(repository.common_dir, "shallow"), os.path.join(git, "shallow"))
    return Repository(folder, git, git)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


class _Preview:
    def __init__(self, project: Repository, private: Repository, scratch: str, deadline: float) -> None:
        self.project, self.private, self.scratch, self.deadline = project, private, scratch, deadline

    def run(self, tip: str, attempts: Sequence[RunningAttempt]) -> ConflictPreview:
        commits: dict[str, str] = {}
        changed: dict[str, Changes] = {}
        bases = {attempt.name: attempt.base for attempt in attempts}
        for attempt in attempts:
            with contextlib.suppress(GitError):
                commit = self._commit_of(attempt)
                if commit is not None:
                    changed[attempt.name] = self.private.changes(attempt.base, commit)
                    commits[attempt.name] = commit
        paths = {name: _paths(found) for name, found in changed.items()}
        collisions: dict[tuple[str, ...], tuple[str, ...]] = {}
        examined: set[tuple[str, ...]] = set()
        pairs: list[tuple[str, ...]] = [(name,) for name in commits]
        pairs += combinations(sorted(commits), 2)
        tries = 0
        for names in pairs:
            if self._seconds_left() <= 0 or tries >= MERGES:
                break
            with contextlib.suppress(GitError):
                ours = tip if len(names) == 1 else commits[names[1]]
                other_paths = self._between(bases[names[0]], tip) if len(names) == 1 else paths[names[1]]
                if _overlap(paths[names[0]], other_paths):
                    tries += 1
                    merged = self.private.merge_trees(ours, commits[names[0]])
                    if isinstance(merged, MergeConflict):
                        collisions[names] = merged.files
                examined.add(names)
        return ConflictPreview(collisions, frozenset(examined), changed)

    def _between(self, base: str, tip: str) -> set[str]:
        return _paths(self.private.changes(base, tip))

    def _commit_of(self, attempt: RunningAttempt) -> str | None:
        """A temporary commit of what is in the folder now, or the attempt's last commit when that fails."""
        index = os.path.join(self.scratch, "index")
        try:
            shutil.copyfile(attempt.index, index)
            environment = {"GIT_WORK_TREE": attempt.checkout, "GIT_INDEX_FILE": index}
            self._git("add", "--all", environment=environment)
            tree = self._git("write-tree", environment=environment).decode().strip()
            return self.private.make_commit(tree, (attempt.base,), "Current work\n")
        except (OSError, GitError):
            return self.project.find_commit(attempt.ref)

    def _git(self, *arguments: str, environment: Mapping[str, str]) -> bytes:
        return self.private.git(*arguments, environment=environment, accept=(0,), seconds=max(0.1, self._seconds_left())).out

    def _seconds_left(self) -> float:
        return self.deadline - time.monotonic()


def _paths(changes: Changes) -> set[str]:
    return {*changes.created, *changes.modified, *changes.deleted}


def _overlap(one: set[str], other: set[str]) -> bool:
    """Whether the sets share a path, or one has a file where the other has a folder."""
    return bool(one & other or one & _folders(other) or other & _folders(one))


def _folders(paths: set[str]) -> set[str]:
    found = set()
    for path in paths:
        while (path := os.path.dirname(path)) and path not in found:
            found.add(path)
    return found
