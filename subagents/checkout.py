"""An attempt's own files, and how they become commits. docs/decisions/plain-checkouts.md says why it is no `git worktree`."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import stat

from subagents.files import sha256_hex
from subagents.own_git import alternates, configuration, object_folders
from subagents.record import record
from subagents.submodules import found_at_hand
from subagents.workspace import (
    EXCLUDES,
    GITLINK,
    OUR_REFS,
    BlockedEntries,
    GitError,
    Repository,
    RepositoryProblem,
    first_line,
    name_of,
    text_of,
)

GITLINK_BYTES = b"\x00\x00\xe0\x00"  # the mode of a submodule as an index has it
SHOWN_REFS = ("refs/heads/", "refs/tags/")
NAMED = 20
NO_FILTER = (b"unspecified", b"unset", b"set", b"")
UNFILTERED = "which CE Web does not run (it is named in .gitattributes): change the file in a clone of your own"


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@record
class Checkout:
    """An attempt's own files: a plain folder, an index of ours outside it, and commits kept under the attempt's reference.

    `settings` are more arguments for git.
    """

    repository: Repository
    path: str
    index: str
    ref: str
    settings: tuple[str, ...] = ()
    provided: tuple[str, ...] = ()  # links into the project's environment: never part of a commit

    def create(self, base: str) -> None:
        """Fill the folder with commit `base`, and give it a throw-away .git of its own. Raises GitError, OSError."""
        self.fill(base)
        self.make_private_git(base)

    def fill(self, base: str) -> None:
        """Fill the folder with commit `base`, and with the submodules whose objects are here. Raises GitError, OSError."""
        os.makedirs(self.path, exist_ok=True)
        self._git("read-tree", "-m", "-u", "--end-of-options", base)
        for submodule in found_at_hand(self.repository, base, self._links()):
            if submodule.repository is not None:
                self._inner(submodule.path, submodule.repository).fill(submodule.commit)

    def has_submodules(self) -> bool:
        """Whether the index holds any. Raises GitError."""
        return os.path.exists(self.index) and bool(self._links())

    def move(self, commit: str) -> None:
        """Change files and index from those of one commit to those of `commit`. Raises GitError."""
        self.unlock()
        self._git("read-tree", "--reset", "-u", "--end-of-options", commit)
        if self.has_submodules():
            raise RepositoryProblem("submodules", "submodules are only filled when a checkout is made")

    def restore(self, paths: Sequence[str]) -> None:
        """Write those of the paths that are in the index and missing in the folder. Raises GitError."""
        self.unlock()
        known = {name_of(row) for row in self._git("ls-files", "-z").split(b"\0") if row}
        given = b"".join(os.fsencode(path) + b"\0" for path in dict.fromkeys(paths) if path in known)
        self._git("checkout-index", "--force", "-q", "-u", "-z", "--stdin", given=given)

    def unlock(self) -> None:
        """Remove the lock of a git that was killed: the index is nobody else's."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.index + ".lock")

    def _inner(self, path: str, repository: Repository) -> Checkout:
        """The checkout of a submodule within this one; its index lies beside ours."""
        return Checkout(repository, os.path.join(self.path, path), f"{self.index}.{sha256_hex(os.fsencode(path))[:16]}", "")

    def _links(self) -> dict[str, str]:
        """{path: commit} of the submodules in the index. A look at the bytes saves a process where there is none."""
        with open(self.index, "rb") as file:
            if GITLINK_BYTES not in file.read():
                return {}
        rows = (name_of(row).partition("\t") for row in self._git("ls-files", "--stage", "-z").split(b"\0"))
        return {path: meta.split(" ")[1] for meta, _, path in rows if meta.startswith(GITLINK)}

    def make_private_git(self, base: str) -> None:
        """A repository for the agent's own git: it reads the project's objects and reaches nothing else of the project."""
        git = os.path.join(self.path, ".git")
        for folder in ("objects/info", "refs/heads", "info"):
            os.makedirs(os.path.join(git, folder), exist_ok=True)
        _put(os.path.join(git, "config"), configuration(len(base) == 64))
        _put(os.path.join(git, "objects/info/alternates"), alternates(object_folders(self.repository.common_dir)))
        _put(os.path.join(git, "packed-refs"), self._references())
        _put(os.path.join(git, "HEAD"), base + "\n")
        shallow = os.path.join(self.repository.common_dir, "shallow")
        for source, name in ((self.index, "index"), (EXCLUDES, "info/exclude"), (shallow, "shallow")):
            with contextlib.suppress(FileNotFoundError), open(source, "rb") as given, open(os.path.join(git, name), "wb") as taken:
                taken.write(given.read())

    def _references(self) -> str:
        """The project's branches and tags, for `git describe` and `git log main`; not the branches of batches."""
        common = self.repository.common_dir
        found: dict[str, str] = {}
        with contextlib.suppress(FileNotFoundError), open(os.path.join(common, "packed-refs"), errors="surrogateescape") as file:
            found = {name: at for at, _, name in (line.rstrip("\n").partition(" ") for line in file) if name.startswith(SHOWN_REFS)}
        for kind in SHOWN_REFS:
            for folder, _, names in os.walk(os.path.join(common, kind)):
                for name in names:
                    place = os.path.join(folder, name)
                    at = first_line(place)
                    if not at.startswith("ref:") and not name.endswith(".lock"):
                        found[os.path.relpath(place, common)] = at
        kept = (f"{at} {name}\n" for name, at in sorted(found.items()) if at and not name.startswith(OUR_REFS))
        return "# pack-refs with: sorted \n" + "".join(kept)

    def files(self) -> list[str]:
        """The paths of all files in the index. Raises GitError."""
        return [name_of(row) for row in self._git("ls-files", "-z").split(b"\0") if row]

    def read_index(self, base: str) -> None:
        """Make the index anew from commit `base`; no file is touched. Raises GitError."""
        self._git("read-tree", "--end-of-options", base)

    def snapshot(self, parent: str) -> str:
        """Take the folder's files into a tree and return its id.

        Raises BlockedEntries when it holds what may not be committed, RepositoryProblem (vanished) when the folder is gone.
        """
        if not os.path.isdir(self.path):
            raise RepositoryProblem("vanished", f"the checkout {self.path} is gone; retry the phase to get a new one")
        below = self._changed_below()
        try:
            self._git("add", "--all")
        except GitError:
            if odd := (*self._special_files(), *self._empty_repositories()):
                raise BlockedEntries(odd) from None
            raise
        if links := [link for link in self.provided if os.path.islink(os.path.join(self.path, link))]:
            self._git("update-index", "--force-remove", "-z", "--stdin", given=b"".join(os.fsencode(link) + b"\0" for link in links))
        tree = text_of(self._git("write-tree"))
        blocked = (*self.repository.blocked_entries(parent, tree), *below, *self._changed_behind_filters(parent, tree))
        if blocked:
            raise BlockedEntries(blocked)
        return tree

    def _special_files(self) -> tuple[str, ...]:
        """Devices, pipes and sockets in the place of a file of the index, each as a sentence."""
        names = (name_of(row) for row in self._git("ls-files", "-z").split(b"\0") if row)
        kinds = ((name, _special(os.path.join(self.path, name))) for name in names)
        return tuple(f"{name} is now {kind}" for name, kind in kinds if kind)[:NAMED]

    def _empty_repositories(self) -> tuple[str, ...]:
        """Repositories without a commit inside the folder, each as a sentence: git cannot add them."""
        found = []
        for place, folders, _ in os.walk(self.path):
            if ".git" in folders and place != self.path:
                found.append(f"{os.path.relpath(place, self.path)} is another git repository, without a commit (remove its .git)")
                folders.clear()
        return tuple(found[:NAMED])

    def kept_out(self, paths: Sequence[str]) -> dict[str, str]:
        """{path: why} of the files, folders and globs that exist in the folder, but not in the last snapshot.

        Raises GitError.
        """
        wanted = [path.strip("/") for path in paths if path.strip("/")]
        globs = [path for path in wanted if any(letter in path for letter in "*?[")]
        plain = [path for path in wanted if path not in globs and os.path.lexists(os.path.join(self.path, path))]
        if not plain and not globs:
            return {}
        asked = () if globs else ("--", *(f":(top,literal){path}" for path in plain))
        names = {name_of(row) for row in self._git("ls-files", "-z", *asked).split(b"\0") if row}
        example = {path: path for path in plain if path not in names and not any(name.startswith(path + "/") for name in names)}
        for pattern in globs:
            if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
                found = next((name for name in _files_below(self.path) if fnmatch.fnmatchcase(name, pattern)), None)
                example |= {pattern: found} if found else {}
        return {path: self._why_not_kept(file) for path, file in example.items()}

    def _why_not_kept(self, path: str) -> str:
        whole = os.path.join(self.path, path)
        if kind := _special(whole):
            return f"{path} is {kind}, which git does not keep"
        file = path
        if os.path.isdir(whole) and not os.path.islink(whole):
            inside = next(iter(_files_below(whole)), None)
            if inside is None:
                return f"{path} is an empty folder, which git does not keep"
            file = f"{path}/{inside}"
        given = os.fsencode(file) + b"\0"
        answer = self._git("check-ignore", "--verbose", "--no-index", "-z", "--stdin", given=given, accept=(0, 1))
        source, line, pattern, *_ = (*(name_of(part) for part in answer.split(b"\0")), "", "", "")
        if not source:
            return f"{path} exists, but is not in the commit"
        where = "CE Web's list of what tools leave behind" if source == EXCLUDES else f"{source}:{line}"
        return f"{path} exists, but {where} `{pattern}` keeps it out of the commit"

    def left_over(self) -> list[str]:
        """What is in the folder and not in the last snapshot; a folder with nothing in it ends in a slash. Raises GitError."""
        asked = ("ls-files", "--others", "--directory", "-z")
        return sorted(name_of(row) for row in self._git(*asked).split(b"\0") if row)

    def _changed_below(self) -> list[str]:
        """What was changed inside submodules, each as a sentence: it would be in no commit of the project."""
        changed = []
        for path in self._links():
            inner, folder = self._inner(path, self.repository), os.path.join(self.path, path)
            if os.path.islink(folder) or not os.path.isdir(folder) or os.path.lexists(os.path.join(folder, ".git")):
                continue  # git sees these by itself
            if os.path.exists(inner.index):
                asked = ("ls-files", "--modified", "--deleted", "--others", "--exclude-standard", "-z")
                rows = sorted({name_of(row) for row in inner._git(*asked).split(b"\0") if row})
            else:
                rows = sorted(os.listdir(folder))
            changed += [f"{path}/{row} was changed, but {path} is a submodule: change it in its own repository" for row in rows[:NAMED]]
            changed += [f"{path}/{entry}" for entry in inner._changed_below()] if os.path.exists(inner.index) else []
        return changed

    def _changed_behind_filters(self, parent: str, tree: str) -> list[str]:
        """Changed files that go through a filter by the attributes of `parent`, each as a sentence.

        We run no filter: a large file would be committed in place of its pointer, a secret in place of its cipher.
        """
        with open(self.index, "rb") as file:
            if b".gitattributes" not in file.read():
                return []
        asked = ("diff-tree", "-r", "-z", "--name-only", "--no-renames", "--no-ext-diff", "--diff-filter=d")
        if not (changed := self._git(*asked, "--end-of-options", parent, tree)):
            return []
        found = filters_of(self.repository, parent, changed)
        return [f"{path} goes through the filter {name}, {UNFILTERED}" for path, name in found.items()]

    def with_file(self, base: str, path: str, data: bytes) -> str:
        """The tree of `base` with `data` at `path`, made in the index alone: no file is written, no link followed.

        Returns its id. Raises GitError, also when `path` leads through a file or a link.
        """
        if tree := self.repository.tree_with_content(base, path, data):
            return tree
        self._git("read-tree", "--end-of-options", base)
        blob = text_of(self._git("hash-object", "-w", "--stdin", "--no-filters", given=data))
        self._git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
        return text_of(self._git("write-tree"))

    def commit(self, tree: str, parent: str, message: str, *, first: bool) -> str:
        """Commit `tree` on `parent` and move the attempt's reference there. Raises GitError, RefMoved.

        `first`: the reference must not exist yet.
        """
        made = self.repository.make_commit(tree, (parent,), message)
        self.repository.move_ref(self.ref, made, None if first else parent)
        return made

    def _git(self, *arguments: str, given: bytes = b"", accept: tuple[int, ...] = (0,)) -> bytes:
        environment = {"GIT_WORK_TREE": self.path, "GIT_INDEX_FILE": self.index}
        return self.repository.git(*arguments, environment=environment, given=given, settings=self.settings, accept=accept).out


def filters_of(repository: Repository, commit: str, paths: bytes) -> dict[str, str]:
    """{path: filter} of those of the paths, each ended by NUL, that a commit's .gitattributes send through one.

    Raises GitError, OSError.
    """
    with repository.files_named(".gitattributes", commit) as folder:
        asked = ("check-attr", "-z", "--stdin", "filter")
        answer = repository.git(*asked, environment={"GIT_WORK_TREE": folder}, given=paths, accept=(0,), directory=folder)
    fields = answer.out.split(b"\0")
    rows = zip(fields[0::3], fields[2::3], strict=False)
    return {text_of(path, strip=False): text_of(value) for path, value in rows if value not in NO_FILTER}


def _put(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _special(path: str) -> str:
    """What kind of thing stands at `path` that is neither file, folder nor link; "" otherwise."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return ""
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return kinds.get(stat.S_IFMT(mode), "")


def _files_below(folder: str) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != ".git")
        yield from (os.path.relpath(os.path.join(place, name), folder) for name in sorted(files))
