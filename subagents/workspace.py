"""The only place that runs git: commits, merges, references (checkout.py does an attempt's own through it).

Every call has explicit directories and a configuration of ours (own_git.py): nothing that the repository, the person or
the machine configures is in force, so no program that it names runs. Nothing here ever touches the user's branches, index
or working tree (merges.py alone does, when a person asks); branches that CE Web owns move by compare-and-swap.
"""

from __future__ import annotations

import contextlib
import os
import time

from subagents.files import MACHINE_ERRORS, SubagentError
from subagents.machine_faults import fault_in, fault_of
from subagents.objects import ObjectWriter, is_id, read_commit, read_object, read_reference, read_tree
from subagents.processes import Finished, run
from subagents.record import record
from subagents.references import is_dead, move_plainly
from subagents.trees import Entry, differences, joined, with_content

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

AUTHOR_NAME, AUTHOR_EMAIL = "CE Web", "ce-web@localhost"
AUTHOR = f"{AUTHOR_NAME} <{AUTHOR_EMAIL}>"
EXCLUDES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "excludes")
SYMLINK, GITLINK = "120000", "160000"
CAS_TRIES = 5
BUNDLE_SECONDS = 3600.0  # for git to write or read all objects of a repository
STRAIGHT = 100  # commits of an attempt on top of one another that are looked at without git
PATHS_GIVEN = 300  # as arguments of one git; with more, it is cheaper to look at all
OUR_REFS = ("refs/heads/ce/", "refs/ce/", "refs/notes/ce")
# Values that say how a working tree's files stand for what git keeps; none of them names a program or a file.
PERSONS_SETTINGS = (
    r"^(core\.(filemode|autocrlf|eol|ignorecase|symlinks|precomposeunicode|checkstat|trustctime|sparsecheckout|sparsecheckoutcone)"
    r"|index\.sparse)$"
)
PERSONS_FILES = {"excludesFile": "exclude", "attributesFile": "attributes"}
MISSING_OBJECT = ("unable to read", "invalid object", "missing", "bad object", "could not read", "not found", "unpack tree")
STALE_LOCK_SECONDS = 10.0  # git holds one for milliseconds

_OPTIONS = (
    "--no-optional-locks",
    "--no-replace-objects",
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "core.untrackedCache=false",
    "-c", "core.attributesFile=/dev/null",
    "-c", f"core.excludesFile={EXCLUDES}",
    "-c", "core.quotePath=false",
    "-c", "core.pager=cat",
    "-c", "commit.gpgSign=false",
    "-c", "submodule.recurse=false",
    "-c", "gc.auto=0",
    "-c", "maintenance.auto=false",
    "-c", "diff.renames=true",
    "-c", "merge.renames=true",
    "-c", "advice.addEmbeddedRepo=false",
)  # fmt: skip


class RepositoryProblem(SubagentError):
    """The repository cannot be used this way. `code` is a stable word, the message says what to do next."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class GitError(SubagentError):
    """git refused something that it should not have: `command` and the last of what it said."""

    def __init__(self, command: str, exit_code: int, said: str) -> None:
        self.command, self.exit_code, self.said = command, exit_code, said
        super().__init__(f"git {command} ended with {exit_code}: {said or 'no message'}")


class BlockedEntries(SubagentError):
    """The work holds entries that are never committed: links that leave the tree, other repositories. `entries` says which."""

    def __init__(self, entries: tuple[str, ...]) -> None:
        self.entries = entries
        super().__init__("not committed: " + "; ".join(entries))


class RefMoved(SubagentError):
    """A reference was not where we last saw it: another process was first."""


@record
class Merged:
    """A new merge commit on the branch, and its tree."""

    commit: str
    tree: str


@record
class MergeConflict:
    """Nothing was merged: these files collide."""

    files: tuple[str, ...]


@record
class AlreadyMerged:
    """There was nothing to do: the branch, now at `commit`, holds it all already."""

    commit: str


@record
class Changes:
    """Files that differ between two commits; a rename counts as one created and one deleted, and is named in `renamed` (old, new)."""

    created: tuple[str, ...]
    modified: tuple[str, ...]
    deleted: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]

    @property
    def present(self) -> tuple[str, ...]:
        """The changed files that are still there."""
        return tuple(sorted((*self.created, *self.modified)))


@record
class BroughtIn:
    """A merge on a branch: by which attempt's reference ("" for none of ours), and {path: (entry before, entry after)}."""

    attempt_ref: str
    changed: dict[str, tuple[Entry | None, Entry | None]]


@record
class RefMove:
    """A reference of ours that is to move from `old` (None: it must not exist) to `new`."""

    ref: str
    new: str
    old: str | None


@record
class Commit:
    """One line of history; `at` is ISO 8601."""

    id: str
    subject: str
    at: str


@record
class Diff:
    """A unified diff; `truncated` when it went on beyond the limit."""

    text: str
    truncated: bool


@record
class Repository:
    """A project's repository: its top folder, its git directory, and the common one where branches and objects are.

    `ours` is what git is given as common directory; "" for a repository that we made ourselves and nobody has configured.
    """

    path: str
    git_dir: str
    common_dir: str
    ours: str = ""

    # What is there

    def has_commits(self) -> bool:
        return self.git("rev-parse", "--verify", "--quiet", "HEAD^{commit}").exit_code == 0 or bool(self.branches())

    def branches(self) -> tuple[str, ...]:
        """Local branches by name."""
        return tuple(self._lines("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/"))

    def default_branch(self) -> str:
        """The branch the user works on: what HEAD names, else main or master. Raises RepositoryProblem (detached)."""
        named = self.git("symbolic-ref", "--quiet", "HEAD")  # --short would tell a branch from a tag of its name
        if named.exit_code == 0:
            return text_of(named.out).removeprefix("refs/heads/")
        for name in ("main", "master"):
            if name in self.branches():
                return name
        raise RepositoryProblem("detached", f"{self.path} is on no branch. Check one out, or name the branch in the project's settings.")

    def branch_commit(self, branch: str) -> str:
        """The commit a branch is at. Raises RepositoryProblem (unknown_branch, bad_branch)."""
        found = self.find_commit(branch_ref(branch))
        if found is None:
            known = ", ".join(self.branches()[:10]) or "none"
            message = f"{self.path} has no branch {branch}. Branches there: {known}."
            if not branch_ref(branch).startswith(OUR_REFS):
                message += " If it was renamed, set Base branch in the project's settings."
            raise RepositoryProblem("unknown_branch", message)
        return found

    def find_commit(self, name: str) -> str | None:
        """The commit that a full reference name or an id stands for, or None."""
        known = name if is_id(name) else read_reference(self.common_dir, name) if name.startswith("refs/") else None
        if known and read_commit(self.common_dir, known):
            return known
        found = self.git("rev-parse", "--verify", "--quiet", "--end-of-options", name + "^{commit}")
        return text_of(found.out) if found.exit_code == 0 else None

    def reference(self, name: str) -> str:
        """The id that a full reference name holds, "" for none; in most repositories without running git. Raises GitError."""
        if found := read_reference(self.common_dir, name):
            return found
        if os.path.isdir(os.path.join(self.common_dir, "reftable")):
            answer = self.git("rev-parse", "--verify", "--quiet", "--end-of-options", name)
            return text_of(answer.out) if answer.exit_code == 0 else ""
        with contextlib.suppress(FileNotFoundError), open(os.path.join(self.common_dir, "packed-refs"), "rb") as file:
            before, there, _ = file.read().partition(b" " + os.fsencode(name) + b"\n")
            return before.rpartition(b"\n")[2].decode("ascii", "replace") if there else ""
        return ""

    def references(self, prefix: str) -> dict[str, str]:
        """{full name: id} of the references under a prefix such as "refs/ce/attempts/". Raises GitError."""
        lines = self._lines("for-each-ref", "--format=%(objectname) %(refname)", prefix)
        return {name: commit for commit, _, name in (line.partition(" ") for line in lines)}

    def write_bundle(self, path: str, names: Sequence[str]) -> None:
        """Write these references with all their commits and files into a new file, which git can clone from. Raises GitError."""
        asked = ["bundle", "create", "--quiet", path, "--stdin"]
        self.git(*asked, given="".join(f"{name}\n" for name in names).encode(), accept=(0,), seconds=BUNDLE_SECONDS)

    def take_from_bundle(self, path: str, names: Mapping[str, str]) -> int:
        """Fetch the objects of a bundle and make those references that are missing; returns how many. Raises GitError, RefMoved."""
        self.git("bundle", "unbundle", path, accept=(0,), seconds=BUNDLE_SECONDS)
        missing = {name: commit for name, commit in names.items() if not self.reference(name)}
        for name, commit in missing.items():
            self.move_ref(name, commit, None)
        return len(missing)

    def text_of_object(self, name: str) -> str:
        """A content of git as text. Raises GitError."""
        return text_of(self._out("cat-file", "blob", name), strip=False)

    def merges_with(self, branch: str, trailer: str) -> Iterator[tuple[str, str, str, str]]:
        """(value, merge commit, tree, merged commit) of each merge into a branch with the trailer, newest first. Raises GitError."""
        shown = f"--format=%H %T %P %(trailers:key={trailer},valueonly,separator=%x20)"
        for line in self._lines("log", "--first-parent", "--merges", shown, "--end-of-options", branch_ref(branch)):
            merge, tree, *more = line.split()
            if len(more) == 3:
                yield more[2], merge, tree, more[1]

    def tree(self, commit: str) -> str:
        """The id of a commit's tree. Raises GitError."""
        known = read_commit(self.common_dir, commit)
        return known.tree if known else self._line("rev-parse", "--verify", "--end-of-options", commit + "^{tree}")

    def same_files(self, one: str, other: str) -> bool:
        """Whether a commit is known to have the tree of another, or `other` is that tree; False where that would have to be asked."""
        first, second = read_commit(self.common_dir, one), read_commit(self.common_dir, other)
        return first is not None and first.tree == (second.tree if second is not None else other)

    def is_ancestor(self, commit: str, of: str) -> bool:
        """Whether `of` contains `commit`. Raises GitError."""
        at = of
        for _ in range(STRAIGHT):  # down the first parents, as a batch's branch grows
            if at == commit:
                return True
            found = read_commit(self.common_dir, at)
            if found is None or not found.parents:
                break
            at = found.parents[0]
        return self.git("merge-base", "--is-ancestor", commit, of, accept=(0, 1)).exit_code == 0

    def merge_base(self, one: str, other: str) -> str | None:
        """A best commit that both contain; None when they share no history. Raises GitError."""
        answer = self.git("merge-base", "--end-of-options", one, other, accept=(0, 1))
        return text_of(answer.out).split("\n")[0] or None

    def existing(self, commits: Sequence[str]) -> list[str]:
        """Those of these ids that are commits of the repository, in order. Raises GitError."""
        answer = self._out("cat-file", "--batch-check=%(objectname) %(objecttype)", given="\n".join(commits).encode() + b"\n")
        return [name for name, _, kind in (line.partition(" ") for line in text_of(answer).split("\n")) if kind == "commit"]

    def independent(self, commits: Sequence[str]) -> frozenset[str]:
        """Those of these commits that no other of them contains. Raises GitError."""
        return frozenset(self._lines("merge-base", "--independent", *commits)) if commits else frozenset()

    def dirty_summary(self) -> int:
        """How many files of the user's working tree differ from its last commit or are new: for a warning; nothing is touched."""
        environment = {"GIT_WORK_TREE": self.path}
        asked = ["status", "--porcelain=v1", "-z", "--untracked-files=normal", "--ignore-submodules=all", "--no-renames"]
        settings = self.persons_settings(self.git_dir)
        answer = self.git(*asked, "--", ":/", ":(exclude,top).ce/orchestration", environment=environment, settings=settings, accept=(0,))
        return answer.out.count(b"\0")

    def checked_out_at(self, branch: str) -> str | None:
        """The folder of the user's in which `branch` is checked out, or None."""
        wanted = f"ref: {branch_ref(branch)}"
        heads = [(os.path.join(self.common_dir, "HEAD"), self.common_dir)]
        linked = os.path.join(self.common_dir, "worktrees")
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            heads += [(os.path.join(linked, name, "HEAD"), os.path.join(linked, name)) for name in os.listdir(linked)]
        for head, folder in heads:
            if first_line(head) == wanted:
                gitdir = first_line(os.path.join(folder, "gitdir"))
                return os.path.dirname(gitdir or self.common_dir)
        return None

    # What CE Web adds

    def exclude(self) -> None:
        """Keep `/.ce/orchestration/` out of git by .git/info/exclude, once; the user's .gitignore is not ours. Raises OSError."""
        path, line = os.path.join(self.common_dir, "info", "exclude"), "/.ce/orchestration/"
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                text = file.read()
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            text = ""
        if line not in (row.strip() for row in text.split("\n")):
            with open(path, "a", encoding="utf-8") as file:
                file.write(("" if not text or text.endswith("\n") else "\n") + line + "\n")

    def ensure_branch(self, branch: str, at: str) -> str:
        """Make `branch` at commit `at` unless it exists; returns the commit it is at.

        Raises RefMoved (another git is at work on it, or was killed there: try again), RepositoryProblem, GitError.
        """
        ref = branch_ref(branch)
        if (found := self.find_commit(ref)) is not None:
            return found
        try:
            self.move_ref(ref, at, None)
        except RefMoved:
            if (found := self.find_commit(ref)) is None:
                raise
            return found
        return at

    def merge(
        self,
        branch: str,
        commit: str,
        message: str,
        trailers: Mapping[str, str] | None = None,
        beside: Callable[[str], Sequence[RefMove]] | None = None,
    ) -> Merged | MergeConflict | AlreadyMerged:
        """Merge `commit` into `branch`, always with a merge commit, without any working tree.

        `beside` tells, of the new merge commit, which other references move in the same transaction. Repeating it is harmless:
        what the branch holds already is not merged again. Raises RepositoryProblem (unknown_branch, checked_out), GitError,
        RefMoved (only when others moved the references over and over).
        """
        self.refuse_checked_out(branch)
        for _ in range(CAS_TRIES):
            head, bases, tree = self._meet(branch, commit)
            if commit in bases:
                return AlreadyMerged(head)
            if head not in bases:
                whole = self._joined(bases, head, commit) or self.merge_trees(head, commit)
                if isinstance(whole, MergeConflict):
                    return whole
                tree = whole
            made = self.make_commit(tree, (head, commit), _with_trailers(message, trailers or {}))
            moves = (RefMove(branch_ref(branch), made, head), *(beside(made) if beside else ()))
            with contextlib.suppress(RefMoved):
                self.move_refs(moves)
                return Merged(made, tree)
        raise RefMoved(f"{branch} was moved by others {CAS_TRIES} times while {commit[:12]} was being merged")

    def merge_of(self, branch: str, commit: str) -> tuple[str, str]:
        """(commit, tree) of the merge that brought `commit` into `branch`; `commit` itself when somebody brought it in without one."""
        for line in self._lines("log", "--first-parent", "--merges", "--format=%H %T %P", "--end-of-options", branch_ref(branch)):
            merge, tree, *parents = line.split()
            if parents[1:] == [commit]:
                return merge, tree
        return commit, self.tree(commit)

    def bring_in(self, branch: str, base_branch: str) -> Merged | MergeConflict | AlreadyMerged:
        """Merge what is new on the user's `base_branch` into our `branch`; moves straight ahead when ours has nothing of its own.

        Raises as merge does.
        """
        commit = self.branch_commit(base_branch)
        self.refuse_checked_out(branch)
        head, bases, tree = self._meet(branch, commit)
        if head in bases and head != commit:
            with contextlib.suppress(RefMoved):
                self.move_ref(branch_ref(branch), commit, head)
                return Merged(commit, tree)
        return self.merge(branch, commit, f"Merge {base_branch} into {branch}")

    def on_no_branch(self, commits: Sequence[str]) -> frozenset[str]:
        """Those of these commits that no branch contains. Raises GitError."""
        if not commits:
            return frozenset()
        given = "".join(f"{commit}\n" for commit in dict.fromkeys(commits)).encode()
        return frozenset(commits) & frozenset(text_of(self._out("rev-list", "--stdin", "--not", "--branches", given=given)).split())

    def delete_ref(self, ref: str, old: str) -> None:
        """Remove a reference of ours that is still at `old`. Raises RefMoved, GitError."""
        answer = self.git("update-ref", "-d", ref, old)
        if answer.exit_code:
            raise RefMoved(f"{ref} is not at {old[:12]} any more")

    # What lies between two commits

    def changes(self, base: str, head: str) -> Changes:
        """The files that differ from `base` to `head`. Raises GitError."""
        if base == head or self.same_files(base, head):
            return Changes((), (), (), ())
        if (entries := self._differences(base, head)) is not None:
            made, gone = ([path for path, entry in entries.items() if entry[side] is None] for side in (0, 1))
            if not (made and gone):  # else git looks for renames
                kept = sorted(path for path, (before, after) in entries.items() if before and after)
                return Changes(tuple(sorted(made)), tuple(kept), tuple(sorted(gone)), ())
        asked = ("diff-tree", "-r", "-z", "-M", "--name-status", "--no-ext-diff", "--no-textconv", "--end-of-options", base, head)
        fields = iter(self._out(*asked).split(b"\0"))
        created: list[str] = []
        modified: list[str] = []
        deleted: list[str] = []
        renamed: list[tuple[str, str]] = []
        for status in fields:
            if not status:
                break
            path = text_of(next(fields), strip=False)
            if status.startswith(b"A"):
                created.append(path)
            elif status.startswith(b"D"):
                deleted.append(path)
            elif status.startswith(b"R"):
                renamed.append((path, text_of(next(fields), strip=False)))
            else:
                modified.append(path)
        created += [new for _, new in renamed]
        deleted += [old for old, _ in renamed]
        return Changes(tuple(sorted(created)), tuple(sorted(modified)), tuple(sorted(deleted)), tuple(sorted(renamed)))

    def changed_visibly(self, base: str, head: str, *, indentation: bool) -> bool:
        """Whether anything but white space differs between two commits; with `indentation` that counts. Raises GitError."""
        ignored = "--ignore-space-at-eol" if indentation else "--ignore-all-space"
        asked = ("diff-tree", "-r", "--numstat", ignored, "--ignore-blank-lines", "--no-renames", "--no-ext-diff", "--no-textconv")
        return bool(self._out(*asked, "--end-of-options", base, head))

    def changed_entries(self, base: str, head: str) -> dict[str, tuple[Entry | None, Entry | None]]:
        """{path: (in `base`, in `head`)} of the files that differ; None where there is none. Raises GitError."""
        if (found := self._differences(base, head)) is not None:
            return found
        asked = ("diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-ext-diff", "--end-of-options", base, head)
        return _raw_entries(self._out(*asked).split(b"\0"))

    def _differences(self, base: str, head: str) -> dict[str, tuple[Entry | None, Entry | None]] | None:
        """As changed_entries, of commits or trees, without git; None where git has to be asked."""
        if base == head or self.same_files(base, head):
            return {}
        trees = [read_commit(self.common_dir, name) for name in (base, head)]
        names = [commit.tree if commit else name for commit, name in zip(trees, (base, head), strict=True)]
        if any(read_tree(self.common_dir, name) is None for name in names):
            return None
        found = differences(self.common_dir, *names)
        return None if found is None else {text_of(path, strip=False): entries for path, entries in found.items()}

    def merges_between(self, base: str, head: str, paths: Sequence[str]) -> list[BroughtIn]:
        """What each merge on the way from `base` to `head` brought in at these paths, the newest first. Raises GitError."""
        if base == head or not paths:
            return []
        asked = ["log", "--first-parent", "--diff-merges=first-parent", "--merges", "-z", "--raw", "--no-abbrev", "--no-renames"]
        asked += ["--no-ext-diff", "--format=%x01%(trailers:key=CE-Attempt,valueonly,separator=%x20)"]
        limited = [f":(top,literal){path}" for path in paths] if len(paths) <= PATHS_GIVEN else []
        parts = self._out(*asked, "--end-of-options", f"{base}..{head}", "--", *limited).split(b"\x01")[1:]
        found = []
        for part in parts:
            ref, *rows = part.split(b"\0")
            entries = _raw_entries([rows[0].lstrip(b"\n"), *rows[1:]] if rows else [])
            found.append(BroughtIn(text_of(ref), entries))
        return found

    def read_texts(self, names: Sequence[str]) -> dict[str, str]:
        """{name: text} of the files among these names ("COMMIT:PATH", or the id of a content). Raises GitError."""
        if not names:
            return {}
        answer, found = self._out("cat-file", "--batch", "-z", given=b"".join(os.fsencode(name) + b"\0" for name in names)), {}
        for name in names:
            head, _, answer = answer.partition(b"\n")
            if head.endswith((b" missing", b" ambiguous")):
                continue
            kind, size = head.rsplit(b" ", 2)[1:]
            if kind == b"blob":
                found[name] = text_of(answer[: int(size)], strip=False)
            answer = answer[int(size) + 1 :]
        return found

    def _content(self, blob: str) -> bytes:
        known = read_object(self.common_dir, blob, b"blob")
        return self._out("cat-file", "blob", blob) if known is None else known

    def tree_with_content(self, commit: str, path: str, data: bytes) -> str:
        """The tree of `commit` with a file of this content at `path`; "" where it takes an index. Raises OSError."""
        known = read_commit(self.common_dir, commit)
        if known is None:
            return ""
        blob = ObjectWriter(self.common_dir).write(b"blob", data)
        return with_content(self.common_dir, known.tree, os.fsencode(path), Entry("100644", blob)) or ""

    def file_names(self, commit: str) -> list[str]:
        """The paths of all files of a commit. Raises GitError."""
        rows = self._out("ls-tree", "-r", "-z", "--name-only", "--full-tree", "--end-of-options", commit).split(b"\0")
        return [text_of(row, strip=False) for row in rows if row]

    def tree_with(self, commit: str, entries: Mapping[str, Entry | None], index: str) -> str:
        """The tree of `commit` with these entries in place of its own (None: without the file). Raises GitError."""
        in_index = {"GIT_INDEX_FILE": index}
        self._out("read-tree", "--end-of-options", commit, environment=in_index)
        gone = [path for path, entry in entries.items() if entry is None]
        rows = b"".join(f"0 {'0' * len(commit)}\t".encode() + os.fsencode(path) + b"\0" for path in gone)
        rows += b"".join(f"{entry.mode} {entry.blob}\t".encode() + os.fsencode(path) + b"\0" for path, entry in entries.items() if entry)
        self._out("update-index", "--add", "--replace", "-z", "--index-info", given=rows, environment=in_index)
        return self._line("write-tree", environment=in_index)

    def write_text(self, text: str) -> str:
        """Keep a text as a content of git; returns its id. Raises GitError."""
        return self._line("hash-object", "-w", "--stdin", "--no-filters", given=text.encode("utf-8", "surrogateescape"))

    def diff(self, base: str, head: str, limit: int = 1_000_000, paths: Sequence[str] = ()) -> Diff:
        """The unified diff from `base` to `head`, at most `limit` bytes. Raises GitError."""
        if self.same_files(base, head):
            return Diff("", False)
        asked = ["diff-tree", "-r", "-p", "-M", "--no-color", "--no-ext-diff", "--no-textconv", "--end-of-options", base, head, "--"]
        answer = self.git(*asked, *(f":(top,literal){path}" for path in paths), accept=(0, -9), limit=limit)
        return Diff(text_of(answer.out, strip=False), answer.truncated)

    def commits_diff(self, base: str, head: str, limit: int) -> Diff:
        """What each commit from `base` to `head` changes, as `git log -p -U0` writes it, at most `limit` bytes. Raises GitError.

        All files count as text: attributes of the tree do not hide one.
        """
        walked, end = self._line_down(head, (base,))
        if end == base and all(self.same_files(base, commit) for commit in walked):
            return Diff("", False)
        asked = ("log", "--topo-order", "--no-show-signature", "--no-notes", "--format=commit %H", "--diff-merges=first-parent")
        more = ("-p", "-U0", "-M", "--text", "--no-color", "--no-ext-diff", "--no-textconv", "--end-of-options", f"{base}..{head}")
        answer = self.git(*asked, *more, accept=(0, -9), limit=limit)
        return Diff(text_of(answer.out, strip=False), answer.truncated)

    def commits(self, base: str, head: str, limit: int = 1000) -> tuple[Commit, ...]:
        """What `head` has beyond `base`, oldest first, at most `limit`. Raises GitError."""
        if base == head:
            return ()
        asked = ("log", "--topo-order", "--reverse", "-z", f"--max-count={limit:d}", "--no-show-signature", "--format=%H%n%cI%n%s")
        rows = [row.split("\n", 2) for row in text_of(self._out(*asked, "--end-of-options", f"{base}..{head}")).split("\0") if row]
        return tuple(Commit(row[0], row[2], row[1]) for row in rows)

    def blocked_entries(self, base: str, head: str) -> tuple[str, ...]:
        """Entries new in `head` that may not be committed or merged, each as a sentence: links that leave the tree, other repositories."""
        if self.same_files(base, head):
            return ()
        found = []
        for path, (_, entry) in self.changed_entries(base, head).items():
            if entry is not None and entry.mode == GITLINK:
                found.append(f"{path} is another git repository (a gitlink)")
            elif entry is not None and entry.mode == SYMLINK:
                target = text_of(self._content(entry.blob), strip=False)
                if _leaves(path, target):
                    found.append(f"{path} is a symbolic link that leaves the tree: {target[:200]}")
        return tuple(found)

    # Making commits

    def make_commit(self, tree: str, parents: Sequence[str], message: str) -> str:
        """Write a commit object by CE Web; nothing refers to it yet. Raises GitError, MachineFault."""
        try:
            return ObjectWriter(self.common_dir).write_commit(tree, parents, AUTHOR, int(time.time()), message.encode("utf-8", "replace"))
        except OSError as error:
            raise fault_of(error, (self.common_dir,)) or GitError("commit-tree", 128, str(error)) from None

    def move_ref(self, ref: str, new: str, old: str | None, *, why: str = "") -> None:
        """Move `ref`, one of ours, from `old` (None: it must not exist) to `new`; `why` goes into its reflog.

        Raises RefMoved, RepositoryProblem (name_taken), GitError.
        """
        if not why and self._moved_plainly([RefMove(ref, new, old)]):
            return
        for last in (False, True):
            note = ("-m", why) if why else ()
            answer = self.git("update-ref", "--no-deref", *note, "--end-of-options", ref, new, old or "0" * len(new))
            if answer.exit_code == 0:
                return
            said = text_of(answer.err)[-500:]
            if "File exists" in said and not last and self._break_lock(ref):
                continue
            if "cannot create" in said:
                short = ref.removeprefix("refs/heads/")
                raise RepositoryProblem("name_taken", f"{short} cannot be made: a branch has part of its name; rename that one ({said})")
            if "cannot lock ref" in said or "reference already exists" in said:
                raise RefMoved(said)
            raise GitError("update-ref", answer.exit_code, said)

    def move_refs(self, moves: Sequence[RefMove]) -> None:
        """Move several references of ours in one transaction: all or none. Raises RefMoved, RepositoryProblem, GitError."""
        if len(moves) == 1:
            self.move_ref(moves[0].ref, moves[0].new, moves[0].old)
            return
        if self._moved_plainly(moves):
            return
        lines = "".join(f"update {move.ref} {move.new} {move.old or '0' * len(move.new)}\n" for move in moves)
        for last in (False, True):
            answer = self.git("update-ref", "--no-deref", "--stdin", given=f"start\n{lines}prepare\ncommit\n".encode())
            if answer.exit_code == 0:
                return
            said = text_of(answer.err)[-500:]
            if "File exists" in said and not last and all(self._break_lock(move.ref) for move in moves):
                continue
            if "cannot lock ref" in said or "reference already exists" in said:
                raise RefMoved(said)
            raise GitError("update-ref", answer.exit_code, said)

    def _moved_plainly(self, moves: Sequence[RefMove]) -> bool:
        """Whether that needed no git."""
        ours = all(move.ref.startswith(OUR_REFS) for move in moves)
        return ours and move_plainly(self.git_dir, self.common_dir, [(move.ref, move.new, move.old) for move in moves], AUTHOR)

    def _break_lock(self, ref: str) -> bool:
        """Remove the lock that a killed git left on a reference of ours; False while it may still be at work."""
        lock = os.path.join(self.common_dir, ref + ".lock")
        try:
            if not ref.startswith(OUR_REFS):
                return False
            made_at = os.stat(lock).st_mtime
            if not made_at:
                return is_dead(lock)
            if time.time() - made_at < STALE_LOCK_SECONDS:
                return False
            os.unlink(lock)
        except FileNotFoundError:
            pass  # it was let go meanwhile
        return True

    # Inside

    def refuse_checked_out(self, branch: str) -> None:
        """Raises RepositoryProblem (checked_out) when the user has `branch` checked out, where moving it would surprise."""
        place = self.checked_out_at(branch)
        if place is not None:
            message = f"{branch} is checked out in {place}, and a merge would leave your files there behind."
            raise RepositoryProblem("checked_out", message + " Check out another branch there, then retry.")

    def _meet(self, branch: str, commit: str) -> tuple[str, tuple[str, ...], str]:
        """(the branch's commit, the merge bases, the tree of `commit`), by one process at most."""
        ref = branch_ref(branch)
        if (head := read_reference(self.common_dir, ref)) and (met := self._meet_plainly(head, commit)):
            return head, (met[0],), met[1]
        answer = self.git("rev-parse", "--revs-only", f"{ref}...{commit}", commit + "^{tree}")
        lines = text_of(answer.out).split("\n")
        if answer.exit_code or len(lines) < 3:
            self.branch_commit(branch)  # says which branches there are
            raise GitError("rev-parse", answer.exit_code, f"{commit} is not a commit of {self.path}")
        return lines[1], tuple(line[1:] for line in lines if line.startswith("^")), lines[-1]

    def _meet_plainly(self, head: str, commit: str) -> tuple[str, str] | None:
        """(the one merge base, the tree of `commit`) where the history between them is plain; None where git is to be asked.

        Plain is what attempts and their merges make: commits with one parent that begin on the branch's own line.
        """
        last = read_commit(self.common_dir, commit)
        if last is None:
            return None
        own, own_end = self._line_down(commit)
        line: dict[str, None] = {}  # the first parents of `head`, the newest first
        sides: list[str] = []
        at = head
        while at not in own and at != own_end:
            found = read_commit(self.common_dir, at)
            if found is None or len(line) > STRAIGHT or not found.parents:
                return None
            line[at] = None
            sides += found.parents[1:]
            at = found.parents[0]
        base, line[base] = at, None
        above = set(own) if base == own_end else set(own[: own.index(base)])
        while len(line) < 2 * STRAIGHT and (found := read_commit(self.common_dir, at)) and found.parents:
            at = found.parents[0]  # what others began with may lie further down
            line[at] = None
        for side in sides:
            walked, end = self._line_down(side, line)
            if end not in line or not above.isdisjoint((*walked, end)):
                return None
        return base, last.tree

    def _line_down(self, commit: str, until: Collection[str] = ()) -> tuple[list[str], str]:
        """(commits with one parent each, from `commit` down, what comes after them), at most STRAIGHT."""
        walked: list[str] = []
        while commit not in until and len(walked) < STRAIGHT:
            found = read_commit(self.common_dir, commit)
            if found is None or len(found.parents) != 1:
                break
            walked.append(commit)
            commit = found.parents[0]
        return walked, commit

    def _joined(self, bases: Sequence[str], ours: str, theirs: str) -> str:
        """The tree of a merge in which no file needs merging; "" where git is to be asked. Raises OSError."""
        known = [read_commit(self.common_dir, name) for name in (*bases, ours, theirs)]
        trees = [commit.tree for commit in known if commit is not None]
        return (len(trees) == 3 and len(bases) == 1 and joined(self.common_dir, *trees)) or ""

    def merge_trees(self, ours: str, theirs: str) -> str | MergeConflict:
        """The tree that merging these commits gives, or the files that collide; nothing is committed.

        The attributes of `ours` decide as in a checkout of it (merge=union). Raises GitError, OSError.
        """
        tree, names = self._merged_tree(ours, theirs)
        return MergeConflict(names) if names else tree

    def joined_tree(self, ours: str, theirs: str) -> str:
        """The tree with both sides; files that collide have git's marks around what differs. Raises GitError, OSError."""
        return self._merged_tree(ours, theirs)[0]

    def _merged_tree(self, ours: str, theirs: str) -> tuple[str, tuple[str, ...]]:
        asked = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs)
        with self.files_named(".gitattributes", ours) as folder:
            answer = self.git(*asked, environment={"GIT_WORK_TREE": folder}, accept=(0, 1), directory=folder)
        rows = answer.out.split(b"\0")
        names = {text_of(row, strip=False) for row in rows[1:] if row} if answer.exit_code else set()
        return text_of(rows[0]), tuple(sorted(names))

    @contextlib.contextmanager
    def files_named(self, name: str, commit: str) -> Iterator[str]:
        """A folder, for as long as it is needed, that holds of a commit's files only those with this name. Raises GitError, OSError."""
        folder = os.path.join(self.ours or self.git_dir, f"files-{os.getpid()}-{os.urandom(6).hex()}")
        os.mkdir(folder, 0o700)
        try:
            for path, data in self.read_named(name, commit).items():
                target = os.path.join(os.fsencode(folder), path)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target, "xb") as file:
                    file.write(data)
            yield folder
        finally:
            import shutil  # here: every attempt imports this module, and few merge

            shutil.rmtree(folder, ignore_errors=True)

    def read_named(self, name: str, commit: str) -> dict[bytes, bytes]:
        """{path: content} of the regular files of a commit with this name, in whichever folder. Raises GitError."""
        wanted = name.encode()
        rows = (row.partition(b"\t") for row in self._out("ls-tree", "-r", "-z", "--full-tree", "--end-of-options", commit).split(b"\0"))
        found = {path: meta.split(b" ")[2] for meta, _, path in rows if path.rpartition(b"/")[2] == wanted and meta.startswith(b"100")}
        return dict(zip(found, self.read_blobs(list(found.values())), strict=True))

    def read_blobs(self, blobs: Sequence[bytes]) -> list[bytes]:
        """The contents of these objects, in order. Raises GitError."""
        if not blobs:
            return []
        answer, contents = self._out("cat-file", "--batch", given=b"\n".join(blobs) + b"\n"), []
        for blob in blobs:
            head, _, answer = answer.partition(b"\n")
            if not head.startswith(blob + b" blob "):
                raise GitError("cat-file", 0, text_of(head))
            size = int(head.rsplit(b" ", 1)[1])
            contents.append(answer[:size])
            answer = answer[size + 1 :]
        return contents

    def git(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        given: bytes = b"",
        accept: tuple[int, ...] | None = None,
        limit: int = 64 * 1024 * 1024,
        seconds: float = 120,
        directory: str = "/",
        settings: Sequence[str] = (),
    ) -> Finished:
        """Run git on this repository, hardened, in `directory`; `settings` are arguments that stand before the others.

        Raises GitError for an exit code other than those in `accept` (None: any will do), RepositoryProblem (partial), and
        MachineFault whatever is accepted: git could not answer.
        """
        common = {"GIT_COMMON_DIR": self.ours} if self.ours else {}
        told = {"GIT_DIR": self.git_dir, **common, **(environment or {})}
        answer = run_git([*settings, *arguments], told, directory=directory, given=given, limit=limit, seconds=seconds)
        if answer.exit_code:
            places = [told[name] for name in ("GIT_WORK_TREE", "GIT_INDEX_FILE") if name in told]
            if fault := fault_in(answer.err, answer.exit_code, (*places, os.path.realpath(self.common_dir))):
                raise fault
        if accept is not None and answer.exit_code not in accept:
            said = text_of(answer.err)[-500:]
            if any(words in said.lower() for words in MISSING_OBJECT) and self._is_partial():
                raise self._partial(said)
            raise GitError(arguments[0], answer.exit_code, said)
        return answer

    def refuse_missing_objects(self, commit: str) -> None:
        """Raises RepositoryProblem (partial) when objects of the commit's files are not here: our git fetches nothing. GitError."""
        if not self._is_partial():
            return
        asked = ("rev-list", "--objects", "--no-walk", "--missing=print", "--end-of-options", commit)
        if missing := sum(line.startswith("?") for line in self._lines(*asked)):
            raise self._partial(f"{missing} of {commit[:12]} are missing")

    def _partial(self, said: str) -> RepositoryProblem:
        message = f"{self.path} is a partial clone, and objects that are needed are not in it. Fetch them: "
        import shlex

        return RepositoryProblem("partial", f"{message}git -C {shlex.quote(self.path)} fetch --refetch --no-filter ({said})")

    def _is_partial(self) -> bool:
        with contextlib.suppress(OSError):
            return any(name.endswith(".promisor") for name in os.listdir(os.path.join(self.common_dir, "objects/pack")))
        return False

    def is_bare(self) -> bool:
        """Whether the person's configuration says that there is no working tree beside the common directory."""
        return text_of(run_git(["config", "--type=bool", "--get", "core.bare"], {"GIT_DIR": self.common_dir}).out) == "true"

    def persons_settings(self, git_dir: str) -> tuple[str, ...]:
        """What of the person's own settings decides how their working tree is read and written, as arguments of git.

        `git_dir` is that working tree's. Values, and two files that name no program themselves: attributes name drivers, which
        only the configuration that we leave out would tie to programs. Reading it runs nothing.
        """
        answer = run_git(["config", "-z", "--get-regexp", PERSONS_SETTINGS], {"GIT_DIR": git_dir})
        rows = (row.partition("\n") for row in text_of(answer.out, strip=False).split("\0") if row)
        values = (f"{key}={value}" if equals else key for key, equals, value in rows)
        files = (f"core.{key}={os.path.join(self.common_dir, 'info', name)}" for key, name in PERSONS_FILES.items())
        return tuple(part for setting in (*values, *files) for part in ("-c", setting))

    def _out(self, *arguments: str, given: bytes = b"", environment: Mapping[str, str] | None = None) -> bytes:
        return self.git(*arguments, given=given, environment=environment, accept=(0,)).out

    def _line(self, *arguments: str, given: bytes = b"", environment: Mapping[str, str] | None = None) -> str:
        return text_of(self._out(*arguments, given=given, environment=environment))

    def _lines(self, *arguments: str) -> list[str]:
        return [line for line in self._line(*arguments).split("\n") if line]


def _raw_entries(fields: Sequence[bytes]) -> dict[str, tuple[Entry | None, Entry | None]]:
    """What git prints with --raw -z --no-abbrev --no-renames: pairs of a description and a path."""
    found = {}
    for meta, name in zip(fields[::2], fields[1::2], strict=False):
        old_mode, mode, old_blob, blob, _ = text_of(meta).lstrip(":").split(" ")
        before = None if not old_mode.strip("0") else Entry(old_mode, old_blob)
        found[text_of(name, strip=False)] = (before, None if not mode.strip("0") else Entry(mode, blob))
    return found


def branch_ref(branch: str) -> str:
    """The full name of a branch. Raises RepositoryProblem (bad_branch) for what git would not take as one."""
    parts = branch.split("/")
    plain = all(ord(letter) > 32 and letter not in '~^:?*[\\\x7f' for letter in branch)
    named = all(part and not part.startswith(".") and not part.endswith((".", ".lock")) for part in parts)
    if not plain or not named or ".." in branch or "@{" in branch or branch.startswith("-") or len(branch) > 200:
        raise RepositoryProblem("bad_branch", f"{branch!r} cannot be the name of a branch")
    return f"refs/heads/{branch}"


def git_version() -> tuple[int, ...]:
    """The version of the installed git, (2, 39, 5). Raises ProgramMissing."""
    words = text_of(run_git(["version"], {}).out).split(" ")
    number = words[2] if len(words) > 2 else "0"
    return tuple(int(part) for part in number.split(".")[:3] if part.isdigit())


def run_git(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    directory: str = "/",
    given: bytes = b"",
    limit: int = 64 * 1024 * 1024,
    seconds: float = 120,
) -> Finished:
    argv = ["git", "-C", directory, *_OPTIONS, *arguments]
    told = {name: value for name, value in {**_environment(), **environment}.items() if value}
    return run(argv, told, given=given, limit=limit, seconds=seconds)


# The person's and the machine's configuration, for the one question that they answer: safe.directory.
PERSONS = {"GIT_CONFIG_NOSYSTEM": "", "GIT_CONFIG_GLOBAL": ""}


def _environment() -> dict[str, str]:
    marker = {"CE_ATTEMPT": os.environ["CE_ATTEMPT"]} if "CE_ATTEMPT" in os.environ else {}
    return {
        **marker,
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",  # a clone has none of the person's refs/replace/
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_AUTHOR_NAME": AUTHOR_NAME,
        "GIT_AUTHOR_EMAIL": AUTHOR_EMAIL,
        "GIT_COMMITTER_NAME": AUTHOR_NAME,
        "GIT_COMMITTER_EMAIL": AUTHOR_EMAIL,
    }


def _leaves(path: str, target: str) -> bool:
    """Whether a link at `path` to `target` points out of the tree, or into a .git."""
    reached = os.path.normpath(os.path.join(os.path.dirname(path), target))
    parts = reached.split("/")
    return os.path.isabs(target) or parts[0] == ".." or any(part.lower() == ".git" for part in parts)


def _with_trailers(message: str, trailers: Mapping[str, str]) -> str:
    lines = [f"{name}: {' '.join(value.split())}" for name, value in trailers.items()]
    return message.rstrip() + ("\n\n" + "\n".join(lines) if lines else "") + "\n"


def text_of(data: bytes, *, strip: bool = True) -> str:
    """What git printed, as text; `strip=False` for names and contents, where spaces count. A file to open is for `name_of`."""
    text = data.decode("utf-8", "replace")
    return text.strip() if strip else text


def name_of(data: bytes) -> str:
    """A path that git printed, as the file system takes it: bytes that are no UTF-8 stay what they are."""
    return data.decode("utf-8", "surrogateescape")


def first_line(path: str) -> str:
    """The first line of a small file of git's, stripped; "" when it cannot be read. Raises OSError for a fault of the machine."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip()
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        return ""
