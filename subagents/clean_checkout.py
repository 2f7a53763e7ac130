"""Where gates are judged: the files of a commit, with a HOME and TMPDIR that no step and no agent ever wrote to.

What one gate leaves there no other gate finds: a gate passes here if it passes in a fresh clone of the commit. Writing
files takes time, so a folder is kept and used again for the next commit of the project: only what differs from what we
noted of it (inode, size, times) is written anew.
"""

from __future__ import annotations

import fcntl
import marshal
import os

from subagents.built_environment import ProjectEnvironment
from subagents.checkout import Checkout
from subagents.files import SubagentError, write_atomic
from subagents.folders import remove, state_of
from subagents.sandbox import ISOLATING, hand_over

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from subagents.contract import TaskSpec
    from subagents.folders import State
    from subagents.workspace import Repository

FOLDER, LOCK = ".judge", "lock"  # beside the checkouts of the project's attempts
PLACES = 100  # more than attempts can run at once
NAMED = 5
# Files get another owner after git has written them, and we look at them more closely than git would.
HANDED_OVER = ("-c", "core.trustctime=false", "-c", "core.checkStat=minimal")


class CleanCheckout:
    """The files of `commit` at `path`, from the first `renew` on."""

    def __init__(self, spec: TaskSpec, repository: Repository, commit: str) -> None:
        self.spec, self.repository, self.commit = spec, repository, commit
        self.folder, self._lock = _take_place(os.path.join(os.path.dirname(spec.checkout), FOLDER))
        self.path = os.path.join(self.folder, "checkout")
        self._checkout = Checkout(repository, self.path, os.path.join(self.folder, "index"), "", HANDED_OVER)
        self._files: State | None = None
        self._git: State = {}

    def turn_to(self, commit: str) -> None:
        """Hold the files of another commit, from the next `renew` on."""
        self.commit, self._files = commit, None

    def release(self) -> None:
        """Let go of the place: another may take it now, and this one must not be used again."""
        os.close(self._lock)

    def renew(self) -> str:
        """Make the folder what the commit alone gives. Returns what gates had left there, in words; "" for nothing.

        Raises GitError, RepositoryProblem, OSError.
        """
        environment = ProjectEnvironment.of(self.spec)
        environment.take_out_of(self.path)
        left = self._renew()
        environment.put_into(self.path)
        return left

    def names(self) -> list[str]:
        """The paths of the files of the commit, as the file system takes them. Raises GitError."""
        return self._checkout.files()

    def _renew(self) -> str:
        new = self._files is None
        for name in ("tmp", "home", "bin"):
            folder = os.path.join(self.folder, name)
            if name == "bin" and not new and self.spec.sandbox in ISOLATING:
                continue  # the tools of commands, which can only read them there
            if os.path.lexists(folder):
                remove(folder)
            if name != "bin":
                os.mkdir(folder, 0o700)
        if new:
            self._begin()
            return ""
        left = self._put_right(self._files or {})
        if left or state_of(os.path.join(self.path, ".git")) != self._git:  # as `git status` changes it, too
            self._note()
        more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
        return ", ".join(left[:NAMED]) + more

    def _begin(self) -> None:
        """Start from the commit that was judged here last, if that leads to the same files as a new checkout."""
        for name in os.listdir(self.folder):  # where there is no sandbox a gate may have written beside the checkout
            if name not in ("checkout", LOCK, "state", "tmp", "home", "bin") and not name.startswith("index"):
                remove(os.path.join(self.folder, name))
        try:
            former = self._recorded()
            if former is None:
                self._make()
            else:
                self._put_right(former["files"])
                self._checkout.move(self.commit)
        except (SubagentError, OSError):
            self._make()
        self._note()
        record = {"repository": self.repository.common_dir, "commit": self.commit, "files": self._files}
        write_atomic(os.path.join(self.folder, "state"), marshal.dumps(record), durable=False, mode=0o600)

    def _recorded(self) -> dict[str, Any] | None:
        """What was noted of the last use; None where the files are to be made anew."""
        try:
            with open(os.path.join(self.folder, "state"), "rb") as file:
                former = marshal.load(file)  # noqa: S302 -- a file of ours; bad bytes cannot run code
        except (OSError, ValueError, EOFError, TypeError):
            return None
        if former["repository"] != self.repository.common_dir or self._checkout.has_submodules():
            return None
        # Attributes decide how files are written that themselves have not changed.
        changed = self.repository.changed_entries(former["commit"], self.commit)
        return None if any(os.path.basename(path) == ".gitattributes" for path in changed) else former

    def _make(self) -> None:
        if os.path.lexists(self.path):
            remove(self.path)
        for name in os.listdir(self.folder):
            if name.startswith(("index", "state")):
                os.unlink(os.path.join(self.folder, name))
        self._checkout.fill(self.commit)

    def _put_right(self, expected: State) -> list[str]:
        """Write anew what differs from `expected`; returns those paths."""
        found = state_of(self.path)
        odd = sorted(path for path in {*found, *expected} if found.get(path) != expected.get(path))
        if odd and (self._checkout.has_submodules() or not os.path.isdir(self.path) or "" in found):
            self._make()
        elif odd:
            for path in odd:
                whole = os.path.join(self.path, path)
                if os.path.lexists(whole):
                    remove(whole)
            folders = tuple(path + "/" for path in odd)
            self._checkout.restore([*odd, *(path for path in expected if path.startswith(folders))])
        return odd

    def _note(self) -> None:
        """Give the files a git of their own and the owner that gates run as; note how they look then."""
        private = os.path.join(self.path, ".git")
        if os.path.lexists(private):
            remove(private)
        self._checkout.make_private_git(self.commit)
        if not os.getuid():
            os.lchown(self.path, 0, 0)  # parts of it are root's: it is to be handed over as a whole
        hand_over(self.spec.sandbox, [self.path])
        self._files, self._git = state_of(self.path), state_of(private)


class NoFiles:
    """Stands for a CleanCheckout where no file is left changed: gates that look at changed files need none."""

    def __init__(self, folder: str, commit: str) -> None:
        self.folder, self.path, self.commit = folder, folder, commit

    def renew(self) -> str:
        """There is nothing to make, and nobody leaves anything."""
        return ""

    def names(self) -> list[str]:
        """The paths of the files: none."""
        return []


def _take_place(root: str) -> tuple[str, int]:
    """(a folder below `root` that nobody uses, its lock, held as long as this process lives). Raises OSError."""
    for number in range(1, PLACES + 1):
        folder = os.path.join(root, str(number))
        os.makedirs(folder, mode=0o700, exist_ok=True)
        lock = os.open(os.path.join(folder, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.utime(lock)  # idle_places.py removes what was not used for long
            return folder, lock
        except BlockingIOError:
            os.close(lock)
    raise OSError(f"all {PLACES} places under {root} are taken")
