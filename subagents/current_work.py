"""The work of running attempts as it lies in their folders now, as commits of a temporary repository. Nothing is written to the project.

All blobs, trees, commits and the index that this needs are in that repository, which only reads the project's objects. The
agents' folders are read as files with our own index; their `.git` is not read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time

from subagents.own_git import alternates, configuration, is_sha256, object_folders
from subagents.record import record
from subagents.workspace import GitError, Repository

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from subagents.workspace import Diff


@record
class RunningAttempt:
    """A running attempt: its base commit, its folder, the index of ours that filled the folder, and the reference of its commits."""

    name: str
    base: str
    checkout: str
    index: str
    ref: str


class CurrentWork:
    """Makes commits of what lies in folders, until `deadline` (monotonic); from `current_work`."""

    def __init__(self, project: Repository, private: Repository, scratch: str, deadline: float) -> None:
        self.project, self.private, self.scratch, self.deadline = project, private, scratch, deadline

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def commit_of(self, attempt: RunningAttempt) -> str | None:
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
        return self.private.git(*arguments, environment=environment, accept=(0,), seconds=max(0.1, self.seconds_left)).out


@contextlib.contextmanager
def current_work(repository: Repository, scratch: str, seconds: float) -> Iterator[CurrentWork]:
    """For at most `seconds`. `scratch` is a folder of ours that is removed before and after. Raises OSError, ProgramMissing."""
    deadline = time.monotonic() + seconds
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        yield CurrentWork(repository, _temporary_repository(repository, scratch), scratch, deadline)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def running_diffs(
    repository: Repository, attempts: Sequence[RunningAttempt], scratch: str, seconds: float, limit: int
) -> dict[str, Diff]:
    """{name: what the attempt has changed so far, at most `limit` bytes} of those that can be read in `seconds`.

    Raises OSError, ProgramMissing.
    """
    found: dict[str, Diff] = {}
    with current_work(repository, scratch, seconds) as work:
        for attempt in attempts:
            if work.seconds_left <= 0:
                break
            with contextlib.suppress(GitError):
                if (commit := work.commit_of(attempt)) is not None:
                    found[attempt.name] = work.private.diff(attempt.base, commit, limit)
    return found


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
