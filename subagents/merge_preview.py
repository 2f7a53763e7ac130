"""The merge preview: which running attempts would conflict if they were merged now. It writes nothing to the project."""

from __future__ import annotations

import contextlib
import os
from itertools import combinations

from subagents.current_work import current_work
from subagents.record import record
from subagents.workspace import GitError, MergeConflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from subagents.current_work import CurrentWork, RunningAttempt
    from subagents.workspace import Changes, Repository

MERGES = 400  # a preview tries at most this many merges; attempts that share no file are not tried


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
    with current_work(repository, scratch, seconds) as work:
        return _Preview(work).run(branch_commit, attempts)


class _Preview:
    def __init__(self, work: CurrentWork) -> None:
        self.work, self.private = work, work.private

    def run(self, tip: str, attempts: Sequence[RunningAttempt]) -> ConflictPreview:
        commits: dict[str, str] = {}
        changed: dict[str, Changes] = {}
        bases = {attempt.name: attempt.base for attempt in attempts}
        for attempt in attempts:
            with contextlib.suppress(GitError):
                commit = self.work.commit_of(attempt)
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
            if self.work.seconds_left <= 0 or tries >= MERGES:
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
