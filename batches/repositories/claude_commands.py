"""The framework's commands and documents in a project's repository: installed, renewed and removed as one commit that can be reviewed.

Each file that was written is noted with its digest in MANIFEST. So a file that somebody has changed since is never touched, and one
that somebody has removed stays away.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from batches.core.errors import ServiceError
from batches.core.text.words import counted
from subagents.contract import SubagentError
from subagents.documents import read_document
from subagents.merges import BranchMerge, find_place
from subagents.trees import Entry
from subagents.workspace import GitError, Repository, RepositoryProblem

FILES = Path(__file__).resolve().parent / "claude_command_files"
# The folders of FILES, and where their files go.
PLACES = {
    "commands": ".claude/commands",
    "subagents": ".claude/subagents",
    "orchestrators": ".claude/orchestrators",
    "orchestration": ".ce/orchestration",
}
MANIFEST = ".claude/ce-web.json"
REGULAR, EXECUTABLE = "100644", "100755"


@dataclass(frozen=True, slots=True)
class CommandsChange:
    """What an installation or removal did. `kept` are files that are somebody else's by now; `commit` is "" if nothing changed."""

    branch: str
    commit: str
    written: tuple[str, ...]
    removed: tuple[str, ...]
    kept: tuple[str, ...]

    @property
    def words(self) -> str:
        """In sentences, for the person who asked for it."""
        said = []
        if self.commit:
            counts = ((self.written, "written"), (self.removed, "removed"))
            what = " and ".join(f"{counted(len(paths), 'file')} {word}" for paths, word in counts if paths) or "its note is renewed"
            said.append(f"{self.branch} is at {self.commit[:12]} now: {what}. Look at it: git show {self.commit[:12]}")
        else:
            said.append("Nothing to do: the files are as they should be.")
        if self.kept:
            said.append(f"Left as they are, because they were changed or removed since: {', '.join(self.kept)}.")
        return " ".join(said)


def command_files() -> dict[str, bytes]:
    """{path in the repository: content} of all that is installed."""
    found = {}
    for folder, place in PLACES.items():
        for path in sorted((FILES / folder).iterdir()):
            # Programs are kept as .txt: they are for old Pythons and other people's linters, not modules of ours.
            found[f"{place}/{path.name.removesuffix('.txt')}"] = path.read_bytes()
    return found


def install(repository: Repository, branch: str, scratch: str) -> CommandsChange:
    """Write the files to `branch`, and renew those that nobody has changed. `scratch` is a folder of ours for git's index.

    A folder that has the branch checked out follows, as at a merge. Raises ServiceError with what is in the way.
    """
    return _change(repository, branch, scratch, command_files(), "Add CE Web's commands for Claude Code")


def remove(repository: Repository, branch: str, scratch: str) -> CommandsChange:
    """Take away what `install` wrote and nobody has changed. Raises ServiceError with what is in the way."""
    return _change(repository, branch, scratch, {}, "Remove CE Web's commands for Claude Code")


def _change(repository: Repository, branch: str, scratch: str, wanted: Mapping[str, bytes], subject: str) -> CommandsChange:
    try:
        base = repository.branch_commit(branch)
        _refuse_in_the_way(repository, base, [*wanted, MANIFEST])
        noted = _noted(read_document(repository, base, MANIFEST))
        written: dict[str, bytes] = {}
        removed, kept = [], []
        for path in sorted({*wanted, *noted}):
            there = read_document(repository, base, path)
            new = wanted.get(path)
            if there == new:
                continue
            if (there is None and path in noted) or (there is not None and _digest(there) != noted.get(path)):
                kept.append(path)
            elif new is None:
                removed.append(path)
            else:
                written[path] = new
        commit = _commit(repository, branch, base, scratch, _entries(repository, wanted, written, removed, kept, noted), subject)
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    return CommandsChange(branch, commit, tuple(written), tuple(removed), tuple(kept))


def _refuse_in_the_way(repository: Repository, base: str, paths: Iterable[str]) -> None:
    """Raises ServiceError when one of the folders that are needed is a file or a link there: it would be replaced."""
    folders = {"/".join(parts[:count]) for parts in (path.split("/") for path in paths) for count in range(1, len(parts))}
    for path in sorted(folders & set(repository.file_names(base))):
        raise ServiceError(f"{path} is a file or a link in the repository, and a folder is needed there. Move it away first.")


def _entries(
    repository: Repository,
    wanted: Mapping[str, bytes],
    written: Mapping[str, bytes],
    removed: list[str],
    kept: list[str],
    noted: Mapping[str, str],
) -> dict[str, Entry | None]:
    """What changes in the tree, the note of all files included."""
    entries: dict[str, Entry | None] = dict.fromkeys(removed)
    for path, content in written.items():
        mode = EXECUTABLE if content.startswith(b"#!") else REGULAR
        entries[path] = Entry(mode, repository.write_text(content.decode()))
    digests = {path: _digest(content) for path, content in wanted.items() if path not in kept}
    digests |= {path: noted[path] for path in kept if path in noted and wanted}
    if digests != noted:
        note = json.dumps({"files": dict(sorted(digests.items()))}, indent=2) + "\n"
        entries[MANIFEST] = Entry(REGULAR, repository.write_text(note)) if digests else None
    return entries


def _commit(
    repository: Repository, branch: str, base: str, scratch: str, entries: Mapping[str, Entry | None], subject: str
) -> str:
    """Move the branch, and the folder that has it checked out; returns the new commit, "" if nothing changes."""
    if not entries:
        return ""
    os.makedirs(scratch, mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as own:  # two people may ask at the same time
        tree = repository.tree_with(base, entries, os.path.join(own, "index"))
    message = f"{subject}\n\nWhat they call is the command ce; see .claude/orchestrators/README.md.\n"
    commit = repository.make_commit(tree, (base,), message)
    move = BranchMerge(repository, branch, base, commit, find_place(repository, branch), scratch)
    if not _settled(move):
        move.carry_out()
    return commit


def _settled(move: BranchMerge) -> bool:
    """Whether a call that was killed had brought files and index this far, so that only the branch had to follow.

    What it had half written is put back. Nothing is done where a person's files differ; the move then says what is in the way.
    """
    try:
        return move.settle()
    except (GitError, RepositoryProblem):
        return False


def _noted(manifest: bytes | None) -> dict[str, str]:
    """{path: digest} of the files that were written. Raises ServiceError for a note that is none."""
    if manifest is None:
        return {}
    try:
        files = json.loads(manifest)["files"]
        return {str(path): str(digest) for path, digest in files.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as fault:
        raise ServiceError(f"{MANIFEST} is damaged. Restore it from git, or remove it: then files that exist are left alone.") from fault


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()
