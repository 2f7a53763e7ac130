"""Git notes of ours: what is known of a commit's gates, in `refs/notes/ce`, so that it travels with the commits.

A note only grows. Its objects are written here, as git's formats have them: git's own importer takes longer than the merge
that a note is about. Whoever moves NOTES does so together with the branch that the note is about.
"""

from __future__ import annotations

import hashlib
import os
import time
import zlib

from subagents.own_git import is_sha256
from subagents.workspace import AUTHOR_EMAIL, AUTHOR_NAME, RefMove, Repository, first_line, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NOTES = "refs/notes/ce"

# The notes at the commit that was written last, so that the next one reads nothing: {repository: (commit, {about: blob})}.
_known: dict[str, tuple[str, dict[str, str]]] = {}


def read_notes(repository: Repository, commits: Sequence[str] = ()) -> dict[str, str]:
    """{commit: its note}, of these commits, or of all that have one. Raises GitError."""
    at = repository.find_commit(NOTES)
    blobs = _listed(repository, at) if at else {}
    wanted = {commit: blob for commit, blob in blobs.items() if not commits or commit in commits}
    contents = repository.read_blobs([blob.encode() for blob in wanted.values()])
    return {commit: text_of(data, strip=False) for commit, data in zip(wanted, contents, strict=True)}


def _listed(repository: Repository, at: str) -> dict[str, str]:
    """{commit: the blob of its note} as the notes' commit `at` has them, whatever folders they lie in. Raises GitError."""
    rows = repository.git("ls-tree", "-r", "-z", "--full-tree", "--end-of-options", at, accept=(0,)).out.split(b"\0")
    found = {}
    for meta, _, path in (row.partition(b"\t") for row in rows if row):
        commit = path.replace(b"/", b"").decode("ascii", "replace")
        if meta.startswith(b"100") and len(commit) == len(at) and not commit.strip("0123456789abcdef"):
            found[commit] = meta.split(b" ")[2].decode()
    return found


def drafted(repository: Repository, commit: str, section: str, before: str = "") -> list[RefMove]:
    """What adds `section` to the note of `commit`, which is `before` by now, once these moves are made. Raises GitError, OSError."""
    old = _loose(repository) or repository.find_commit(NOTES)
    key = os.path.realpath(repository.common_dir)
    known = _known.get(key)
    notes = dict(known[1]) if known is not None and known[0] == old else _listed(repository, old) if old else {}
    objects = _Objects(repository)
    notes[commit] = objects.write(b"blob", (f"{before.rstrip()}\n\n{section}" if before else section).encode("utf-8", "replace"))
    by_folder: dict[str, list[tuple[str, str]]] = {}
    for about, blob in notes.items():
        by_folder.setdefault(about[:2], []).append((about[2:], blob))
    # Only the folder of this note is new; writing the others again finds that they are there.
    folders = [(name, objects.write_tree(b"100644", entries)) for name, entries in by_folder.items()]
    tree = objects.write_tree(b"40000", folders)
    who = f"{AUTHOR_NAME} <{AUTHOR_EMAIL}> {int(time.time())} +0000"
    parent = f"parent {old}\n" if old else ""
    made = objects.write(b"commit", f"tree {tree}\n{parent}author {who}\ncommitter {who}\n\nGates of {commit}\n".encode())
    _known[key] = (made, notes)
    return [RefMove(NOTES, made, old)]


def _loose(repository: Repository) -> str:
    """Where NOTES is, read without a process, as it nearly always can be; "" otherwise."""
    found = first_line(os.path.join(repository.common_dir, NOTES))
    return found if len(found) in (40, 64) and not found.strip("0123456789abcdef") else ""


def add_section(repository: Repository, commit: str, section: str, before: str) -> None:
    """Add `section` to the note of `commit`, which is `before` by now.

    Raises RefMoved (try again), RepositoryProblem, GitError, OSError.
    """
    repository.move_refs(drafted(repository, commit, section, before))


class _Objects:
    """Writes loose objects of a repository: whole or not at all, and nothing that is there already."""

    def __init__(self, repository: Repository) -> None:
        self.folder = os.path.join(repository.common_dir, "objects")
        self.sha256 = is_sha256(repository.common_dir)

    def write(self, kind: bytes, data: bytes) -> str:
        """The id of this object. Raises OSError."""
        whole = b"%s %d\0%s" % (kind, len(data), data)
        name = (hashlib.sha256 if self.sha256 else hashlib.sha1)(whole).hexdigest()
        folder = os.path.join(self.folder, name[:2])
        path = os.path.join(folder, name[2:])
        if os.path.exists(path):
            return name
        os.makedirs(folder, exist_ok=True)
        draft = os.path.join(folder, f"tmp_obj_{os.getpid()}_{os.urandom(4).hex()}")  # as git names them, which removes those left over
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(zlib.compress(whole, 1))  # not synced, as git by default does not sync loose objects either
            os.rename(draft, path)
        except BaseException:
            os.unlink(draft)
            raise
        return name

    def write_tree(self, mode: bytes, entries: Sequence[tuple[str, str]]) -> str:
        """The id of a tree of (name, object), all of this mode. Raises OSError."""
        rows = (b"%s %s\0%s" % (mode, name.encode(), bytes.fromhex(about)) for name, about in sorted(entries))
        return self.write(b"tree", b"".join(rows))
