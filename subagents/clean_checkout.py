"""Where gates are judged: the files of a commit, with a HOME and TMPDIR that no step and no agent ever wrote to.

What one gate leaves there no other gate finds: a gate passes here if it passes in a fresh clone of the commit.
"""

from __future__ import annotations

import os
import shutil
import stat

from subagents.checkout import Checkout
from subagents.sandbox import hand_over

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subagents.contract import TaskSpec
    from subagents.workspace import Repository

    State = dict[str, tuple[int, ...]]

FOLDER = "judge"  # in the attempt's directory
NAMED = 5


class CleanCheckout:
    """The files of `commit` at `path`, made when they are asked for the first time."""

    def __init__(self, spec: TaskSpec, repository: Repository, commit: str) -> None:
        self.spec, self.commit = spec, commit
        self.folder = os.path.join(spec.attempt_dir, FOLDER)
        self.path = os.path.join(self.folder, "checkout")
        self._checkout = Checkout(repository, self.path, os.path.join(self.folder, "index"), "")
        self._files: State | None = None
        self._git: State = {}

    def renew(self) -> str:
        """Make all as the commit alone makes it; tells in words what had been left there since, "" for nothing.

        Raises GitError, RepositoryProblem, OSError.
        """
        for name in ("tmp", "home"):
            folder = os.path.join(self.folder, name)
            if os.path.lexists(folder) and os.listdir(folder):
                remove(folder)
            os.makedirs(folder, mode=0o700, exist_ok=True)
        if self._files is None:
            self._make()
            return ""
        files, git = _state(self.path), _state(os.path.join(self.path, ".git"))
        left = sorted(path for path in {*files, *self._files} if path != ".git" and files.get(path) != self._files.get(path))
        if left:
            self._make()
            more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
            return ", ".join(left[:NAMED]) + more
        if git != self._git:  # as `git status` does, which keeps what it saw in the index
            remove(os.path.join(self.path, ".git"))
            self._checkout.make_private_git(self.commit)
            self._note()
        return ""

    def _make(self) -> None:
        if os.path.lexists(self.path):
            remove(self.path)
        for name in os.listdir(self.folder):
            if name.startswith("index"):
                os.unlink(os.path.join(self.folder, name))
        self._checkout.create(self.commit)
        self._note()

    def _note(self) -> None:
        """What it looks like, once it belongs to whom the gates' commands run as."""
        hand_over(self.spec.sandbox, [self.path, os.path.join(self.path, ".git")])
        self._files, self._git = _state(self.path), _state(os.path.join(self.path, ".git"))


def remove(folder: str) -> None:
    """Remove a folder whatever rights a program has left there; never follows a link. Raises OSError."""

    def make_way(function: object, path: str, error: object) -> None:
        above = os.path.dirname(path)
        for place in (above, path):
            if not os.path.islink(place) and os.path.isdir(place):
                os.chmod(place, 0o700)
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)

    if os.path.islink(folder) or not os.path.isdir(folder):
        os.unlink(folder)
    else:
        shutil.rmtree(folder, onerror=make_way)


def _state(folder: str) -> State:
    """{path: what tells a file from another} of all that is below, without the .git of the folder itself.

    The time of a change of state (ctime) cannot be set by who writes a file. Of folders only that they are there counts.
    """
    found: State = {}
    waiting = [""]
    while waiting:
        place = waiting.pop()
        try:
            entries = list(os.scandir(os.path.join(folder, place)))
        except OSError:
            found[place] = ()  # gone, or closed to us
            continue
        for entry in entries:
            path = os.path.join(place, entry.name)
            if path == ".git":
                continue
            seen = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(seen.st_mode):
                found[path] = (seen.st_mode,)
                waiting.append(path)
            else:
                found[path] = (seen.st_mode, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
    return found
