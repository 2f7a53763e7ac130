"""Bringing a branch of ours into the user's own branch: the one place that moves it, and the folder where it is checked out.

Everything that could surprise is refused before anything is touched. Files and index come first and the reference last,
by compare-and-swap; what was interrupted between the two is put right by `settle`, forwards or backwards, never left half.
"""

from __future__ import annotations

import contextlib
import os

from subagents.record import record
from subagents.workspace import GitError, RefMoved, Repository, RepositoryProblem, branch_ref, first_line, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from subagents.workspace import Changes

NAMED = 10
IN_THE_MIDST = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "BISECT_LOG": "a bisection",
}


@record
class Place:
    """A folder of the user's in which a branch is checked out, with the git directory of that working tree."""

    folder: str
    git_dir: str


def find_place(repository: Repository, branch: str) -> Place | None:
    """Where `branch` is checked out; None: nowhere, so moving it changes no file.

    Raises RepositoryProblem (checked_out, busy) when it is checked out twice, or something is going on with it anywhere.
    """
    ref, found = branch_ref(branch), list[Place]()
    for place in _working_trees(repository):
        head = first_line(os.path.join(place.git_dir, "HEAD"))
        for folder in ("rebase-merge", "rebase-apply"):
            if first_line(os.path.join(place.git_dir, folder, "head-name")) == ref:
                message = f"{branch} is being rebased in {place.folder}. Finish that (or git rebase --abort), then merge."
                raise RepositoryProblem("busy", message)
        if first_line(os.path.join(place.git_dir, "BISECT_START")) == branch:
            raise RepositoryProblem("busy", f"{branch} is being bisected in {place.folder}. End that (git bisect reset), then merge.")
        if head == f"ref: {ref}":
            found.append(place)
    if len(found) > 1:
        folders = " and ".join(place.folder for place in found)
        raise RepositoryProblem("checked_out", f"{branch} is checked out in {folders}. Keep one of them, then merge.")
    return found[0] if found else None


def _working_trees(repository: Repository) -> Iterator[Place]:
    common = repository.common_dir
    yield Place(repository.path, repository.git_dir)
    if repository.git_dir != common and os.path.basename(common) == ".git" and not repository.is_bare():
        yield Place(os.path.dirname(common), common)
    linked = os.path.join(common, "worktrees")
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for name in sorted(os.listdir(linked)):
            own = os.path.join(linked, name)
            folder = os.path.dirname(first_line(os.path.join(own, "gitdir")))
            if folder and os.path.realpath(own) != os.path.realpath(repository.git_dir):
                yield Place(folder, own)


@record
class BranchMerge:
    """A move of the user's `branch` from commit `base` to commit `new`; `place` is where it is checked out, if anywhere.

    `scratch` is a folder of ours for an index. `new` must contain `base`.
    """

    repository: Repository
    branch: str
    base: str
    new: str
    place: Place | None
    scratch: str

    def check(self) -> None:
        """Raises RepositoryProblem with what would be lost or would surprise, and the way out; changes nothing."""
        blocked = self.repository.blocked_entries(self.base, self.new)
        if blocked:
            raise RepositoryProblem("blocked", f"Not merged: {'; '.join(blocked)}.")
        if self.place is not None:
            _Checkout(self, self.place).check()

    def carry_out(self) -> None:
        """Do it: files and index, then the branch. Raises RepositoryProblem as check does, GitError, RefMoved; then all is as before."""
        self.check()
        if self.place is None:
            self._move_ref()
            return
        checkout = _Checkout(self, self.place)
        try:
            checkout.move(self.base, self.new)
            self._move_ref()
        except (GitError, RefMoved, KeyboardInterrupt):
            checkout.put_back()
            raise

    def settle(self) -> bool:
        """Put right what was interrupted; True when the branch is merged now, False when all is as before.

        Raises RepositoryProblem (half) naming the files that are neither as before nor as after, GitError.
        """
        at = self.repository.branch_commit(self.branch)
        if at == self.new or self.repository.is_ancestor(self.new, at):
            return True
        if self.place is None or at != self.base:
            return False
        checkout = _Checkout(self, self.place)
        if checkout.index_is_at(self.new):
            self._move_ref()
            return True
        checkout.put_back()
        return False

    def _move_ref(self) -> None:
        """As the working tree sees the repository where there is one, so that the history of its HEAD notes the move too."""
        place, repository = self.place, self.repository
        seen = repository if place is None else Repository(place.folder, place.git_dir, repository.common_dir, repository.ours)
        seen.move_ref(branch_ref(self.branch), self.new, self.base, why=f"merge {self.new[:12]} by CE Web")


class _Checkout:
    """The user's working tree and index during a merge."""

    def __init__(self, merge: BranchMerge, place: Place) -> None:
        self.merge, self.place, self.repository = merge, place, merge.repository
        self.changes: Changes = merge.repository.changes(merge.base, merge.new)
        self.settings = merge.repository.persons_settings(place.git_dir)

    def check(self) -> None:
        folder, git_dir, branch = self.place.folder, self.place.git_dir, self.merge.branch
        if not os.path.isdir(folder):
            raise RepositoryProblem("missing", f"{branch} is checked out in {folder}, which is gone. Run: git worktree prune")
        for name, what in IN_THE_MIDST.items():
            if os.path.lexists(os.path.join(git_dir, name)):
                raise RepositoryProblem("busy", f"{folder} is in the midst of {what}. Finish or abort it, then merge.")
        if os.path.lexists(os.path.join(git_dir, "index.lock")):
            message = f"Another git is at work in {folder}, or was killed there. When none is, remove {git_dir}/index.lock, then merge."
            raise RepositoryProblem("busy", message)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise RepositoryProblem("not_ours", f"{folder} cannot be written to by the user that CE Web runs as. {self._by_hand()}")
        if any(setting.startswith("core.sparsecheckout=true") for setting in self.settings):
            raise RepositoryProblem("sparse", f"{folder} is a sparse checkout, which is left to you. {self._by_hand()}")
        dirty = self._dirty()
        if dirty:
            message = f"{folder} has changes that are not committed: {_named(dirty)}. Commit or stash them, then merge."
            raise RepositoryProblem("dirty", message)
        odd = [path for path in (*self.changes.present, *self.changes.deleted) if "\ufffd" in path]
        if odd:
            raise RepositoryProblem("odd_names", f"These names are not UTF-8: {_named(odd)}. {self._by_hand()}")
        self._check_hidden()
        self._check_filters()
        in_the_way = sorted(self._in_the_way())
        if in_the_way:
            message = f"Files in {folder} that git does not track are in the way: {_named(in_the_way)}. Move them away, then merge."
            raise RepositoryProblem("in_the_way", message)

    def _dirty(self) -> list[str]:
        asked = ("status", "--porcelain=v1", "-z", "--untracked-files=no", "--ignore-submodules=dirty", "--no-renames")
        found = [text_of(row[3:], strip=False) for row in self._git(*asked).split(b"\0") if row]
        # Whether a file that only the person's filter can read has changed we cannot tell; those that the merge touches are refused.
        unreadable = set(self._filtered(found)) - set(self.changes.present) - set(self.changes.deleted)
        return [path for path in found if path not in unreadable]

    def _check_hidden(self) -> None:
        """Files that git was told not to look at may differ unseen."""
        touched = {*self.changes.modified, *self.changes.deleted}
        rows = (text_of(row, strip=False) for row in self._git("ls-files", "-v", "-z").split(b"\0") if row)
        hidden = [row[2:] for row in rows if (row[0] == "S" or row[0].islower()) and row[2:] in touched]
        if hidden:
            message = f"git was told not to look at these files in {self.place.folder}: {_named(hidden)}. {self._by_hand()}"
            raise RepositoryProblem("hidden", message)

    def _check_filters(self) -> None:
        """Files that only the user's own filters (git-lfs and the like) can write are not ours to write."""
        with self._index_at(self.merge.new) as index:
            filtered = self._filtered(self.changes.present, index)
        if filtered:
            message = f"These files go through a filter of yours (such as git-lfs): {_named(filtered)}. {self._by_hand()}"
            raise RepositoryProblem("filtered", message)

    def _filtered(self, paths: Sequence[str], index: str = "") -> list[str]:
        """Those of the paths that the attributes send through a filter."""
        given = b"".join(os.fsencode(path) + b"\0" for path in paths)
        answer = self._git("check-attr", "--cached", "-z", "--stdin", "filter", given=given, index=index) if given else b""
        fields = [text_of(field, strip=False) for field in answer.split(b"\0")]
        rows = zip(fields[0::3], fields[2::3], strict=False)
        return [path for path, value in rows if value not in ("unspecified", "unset", "")]

    def _in_the_way(self) -> Iterator[str]:
        gone = set(self.changes.deleted)
        for path in self.changes.created:
            full = os.path.join(self.place.folder, path)
            if os.path.isdir(full) and not os.path.islink(full):
                for above, _, names in os.walk(full):
                    inside = (os.path.relpath(os.path.join(above, name), self.place.folder) for name in names)
                    yield from (name for name in inside if name not in gone)
            elif os.path.lexists(full):
                yield path
            for parent in _parents(path):
                there = os.path.join(self.place.folder, parent)
                if parent not in gone and os.path.lexists(there) and (os.path.islink(there) or not os.path.isdir(there)):
                    yield parent

    def move(self, old: str, new: str) -> None:
        """Files and index from `old` to `new`; git itself refuses, before it writes, what would lose anything. Raises GitError."""
        self._git("update-index", "-q", "--refresh", any_code=True)
        self._git("read-tree", "-m", "-u", "--end-of-options", old, new)

    def index_is_at(self, commit: str) -> bool:
        return not self._git("diff-index", "--cached", "--name-only", "-z", "--no-ext-diff", "--end-of-options", commit)

    def put_back(self) -> None:
        """Files and index as `base` has them, of the paths between base and new. Raises RepositoryProblem (half), GitError."""
        base, new = self.merge.base, self.merge.new
        if self.index_is_at(new):
            self.move(new, base)
            return
        with self._index_at(base) as index:
            not_base = self._differing(index)
        with self._index_at(new) as index:
            not_new = self._differing(index)
        created = [path for path in self.changes.created if os.path.lexists(os.path.join(self.place.folder, path))]
        torn = sorted({path for path in (*self.changes.modified, *self.changes.deleted) if path in not_base and path in not_new}
                      | {path for path in created if path in not_new})  # fmt: skip
        if torn:
            folder, branch = self.place.folder, self.merge.branch
            message = f"A merge into {branch} was interrupted in {folder}; these files are neither as before nor as after: {_named(torn)}."
            message += f" Look at them; git -C {folder} checkout {branch} -- FILE brings back the former one."
            raise RepositoryProblem("half", message)
        for path in created:
            os.unlink(os.path.join(self.place.folder, path))
            for parent in _parents(path, nearest_first=True):
                with contextlib.suppress(OSError):  # something else is in it
                    os.rmdir(os.path.join(self.place.folder, parent))
        lost = [path for path in (*self.changes.modified, *self.changes.deleted) if path in not_base]
        if lost:
            given = b"".join(os.fsencode(path) + b"\0" for path in lost)
            self._git("checkout-index", "--force", "-u", "-z", "--stdin", given=given)

    def _differing(self, index: str) -> set[str]:
        """Paths of that index whose file in the folder is another one, or gone."""
        self._git("update-index", "-q", "--refresh", index=index, any_code=True)
        asked = ("diff-files", "--name-only", "-z", "--no-ext-diff", "--ignore-submodules=all")
        return {text_of(row, strip=False) for row in self._git(*asked, index=index).split(b"\0") if row}

    @contextlib.contextmanager
    def _index_at(self, commit: str) -> Iterator[str]:
        os.makedirs(self.merge.scratch, exist_ok=True)
        index = os.path.join(self.merge.scratch, f"merge-{os.getpid()}.index")
        try:
            self._git("read-tree", "--end-of-options", commit, index=index)
            yield index
        finally:
            for leftover in (index, index + ".lock"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(leftover)

    def _by_hand(self) -> str:
        return f"Merge by hand: git -C {self.place.folder} merge {self.merge.new[:12]}"

    def _git(self, *arguments: str, given: bytes = b"", index: str = "", any_code: bool = False) -> bytes:
        environment = {"GIT_DIR": self.place.git_dir, "GIT_WORK_TREE": self.place.folder} | ({"GIT_INDEX_FILE": index} if index else {})
        accept = None if any_code else (0,)
        return self.repository.git(*arguments, environment=environment, given=given, settings=self.settings, accept=accept).out


def _parents(path: str, *, nearest_first: bool = False) -> Iterable[str]:
    parts = path.split("/")[:-1]
    found = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return reversed(found) if nearest_first else found


def _named(paths: Sequence[str]) -> str:
    return ", ".join(paths[:NAMED]) + (f" and {len(paths) - NAMED} more" if len(paths) > NAMED else "")
