"""Git notes of ours: what is known of a commit's gates, in `refs/notes/ce`, so that it travels with the commits.

A note only grows. Its objects are written here, as git's formats have them: git's own importer takes longer than the merge
that a note is about. Whoever moves NOTES does so together with the branch that the note is about.
"""

from __future__ import annotations

import os
import time

from subagents.objects import FOLDER, ObjectWriter
from subagents.record import record
from subagents.workspace import AUTHOR, RefMove, Repository, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NOTES = "refs/notes/ce"


@record
class Known:
    """The notes at `commit`: {about: blob}, and the trees of their folders {first two letters: tree}."""

    commit: str
    notes: dict[str, str]
    folders: dict[str, str]


_known: dict[str, Known] = {}  # by repository: what was written last, so that the next one reads nothing


def read_notes(repository: Repository, commits: Sequence[str] = ()) -> dict[str, str]:
    """{commit: its note}, of these commits, or of all that have one. Raises GitError."""
    at = repository.find_commit(NOTES)
    blobs = _listed(repository, at) if at else {}
    wanted = {commit: blob for commit, blob in blobs.items() if not commits or commit in commits}
    contents = repository.read_blobs([blob.encode() for blob in wanted.values()])
    return {commit: text_of(data, strip=False) for commit, data in zip(wanted, contents, strict=True)}


def _listed(repository: Repository, at: str) -> dict[str, str]:
    """{commit: the blob of its note} in the notes' commit `at`, in whichever folders they lie. Raises GitError."""
    rows = repository.git("ls-tree", "-r", "-z", "--full-tree", "--end-of-options", at, accept=(0,)).out.split(b"\0")
    found = {}
    for meta, _, path in (row.partition(b"\t") for row in rows if row):
        commit = path.replace(b"/", b"").decode("ascii", "replace")
        if meta.startswith(b"100") and len(commit) == len(at) and not commit.strip("0123456789abcdef"):
            found[commit] = meta.split(b" ")[2].decode()
    return found


def drafted(repository: Repository, commit: str, section: str, before: str = "") -> list[RefMove]:
    """The moves of references that add `section` to the note of `commit`, which is `before` now. Raises GitError, OSError."""
    old = repository.find_commit(NOTES)
    key = os.path.realpath(repository.common_dir)
    known = _known.get(key)
    if known is None or known.commit != old:
        known = Known(old or "", _listed(repository, old) if old else {}, {})
    objects = ObjectWriter(repository.common_dir)
    blob = objects.write(b"blob", (f"{before.rstrip()}\n\n{section}" if before else section).encode("utf-8", "replace"))
    notes = {**known.notes, commit: blob}
    by_folder: dict[str, list[tuple[str, str]]] = {}
    for about, of in notes.items():
        if about[:2] == commit[:2] or about[:2] not in known.folders:
            by_folder.setdefault(about[:2], []).append((about[2:], of))
    made = {name: objects.write_tree({rest.encode(): ("100644", of) for rest, of in entries}) for name, entries in by_folder.items()}
    folders = {**known.folders, **made}
    tree = objects.write_tree({name.encode(): (FOLDER, of) for name, of in folders.items()})
    written = objects.write_commit(tree, [old] if old else [], AUTHOR, int(time.time()), f"Gates of {commit}\n".encode())
    _known[key] = Known(written, notes, folders)
    return [RefMove(NOTES, written, old)]


def add_section(repository: Repository, commit: str, section: str, before: str) -> None:
    """Add `section` to the note of `commit`, which is `before` now.

    Raises RefMoved (try again), RepositoryProblem, GitError, OSError.
    """
    repository.move_refs(drafted(repository, commit, section, before))
