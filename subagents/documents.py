"""Reads documents from commits and writes them as one commit on a branch of ours, without a checkout."""

from __future__ import annotations

import contextlib
import json
import os

from subagents.workspace import CAS_TRIES, RefMoved, Repository, RepositoryProblem, branch_ref, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

REGULAR, EXECUTABLE = "100644", "100755"
FENCE = b"---"


class NotADocument(RepositoryProblem):
    """`path` is a link, a folder or another repository: it is neither read nor replaced."""

    def __init__(self, path: str, kind: str) -> None:
        self.path = path
        super().__init__("not_a_document", f"{path} is {kind}, not a file; it is left unchanged")


def check_document_path(path: str) -> None:
    """Raises RepositoryProblem (bad_path) when `path` is not a plain path inside a repository."""
    parts = path.split("/")
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts) or "\0" in path or "\\" in path:
        raise RepositoryProblem("bad_path", f"{path!r} is not a plain path inside the repository")


def read_document(repository: Repository, commit: str, path: str) -> bytes | None:
    """The bytes of the file at `path` in `commit`; None when there is none. Raises NotADocument, GitError."""
    found = _entry(repository, commit, path)
    return None if found is None else repository.git("cat-file", "blob", found[1], accept=(0,)).out


def _entry(repository: Repository, commit: str, path: str) -> tuple[str, str] | None:
    """(mode, blob) of the file at `path`, or None."""
    check_document_path(path)
    # Without -t and -r a folder is listed as itself, and nothing behind a link is listed.
    asked = ("ls-tree", "-z", "--full-tree", "--end-of-options", commit, path)
    row = text_of(repository.git(*asked, accept=(0,)).out.split(b"\0")[0], strip=False)
    if not row:
        return None
    mode, kind, blob = row.partition("\t")[0].split(" ")
    if mode not in (REGULAR, EXECUTABLE):
        raise NotADocument(path, {"120000": "a symbolic link", "160000": "another repository"}.get(mode, f"a {kind}"))
    return mode, blob


def list_files(repository: Repository, commit: str, limit: int = 16 * 1024 * 1024) -> list[str]:
    """The paths of the regular files in `commit`, from at most the first `limit` bytes of the listing. Raises GitError."""
    answer = repository.git("ls-tree", "-r", "-z", "--full-tree", "--end-of-options", commit, accept=(0, -9), limit=limit)
    rows = (text_of(row, strip=False).partition("\t") for row in answer.out.split(b"\0")[:-1])
    return [path for meta, _, path in rows if meta.split(" ")[0] in (REGULAR, EXECUTABLE)]


def read_start(repository: Repository, commit: str, path: str, limit: int) -> bytes:
    """At most `limit` bytes of the file at `path` in `commit`; b"" when there is none. Raises NotADocument, GitError."""
    found = _entry(repository, commit, path)
    return b"" if found is None else repository.git("cat-file", "blob", found[1], accept=(0, -9), limit=limit).out[:limit]


def write_documents(repository: Repository, parent: str, files: Mapping[str, bytes], message: str, scratch: str) -> str | None:
    """Make a commit on `parent` with `files` {path: content}; None when `parent` has them already. No reference is moved.

    `scratch` is a folder of ours for git's index. No working tree is touched and no link is followed.
    Raises NotADocument, GitError, OSError.
    """
    changed = {path: data for path, data in files.items() if read_document(repository, parent, path) != data}
    if not changed:
        return None
    os.makedirs(scratch, exist_ok=True)
    index = os.path.join(scratch, f"documents-{os.getpid()}.index")
    environment = {"GIT_INDEX_FILE": index, "GIT_WORK_TREE": scratch}
    try:
        repository.git("read-tree", "--end-of-options", parent, environment=environment, accept=(0,))
        for path, data in changed.items():
            blob = text_of(repository.git("hash-object", "-w", "--stdin", "--no-filters", given=data, accept=(0,)).out)
            found = _entry(repository, parent, path)
            entry = f"{found[0] if found else REGULAR},{blob},{path}"
            repository.git("update-index", "--add", "--cacheinfo", entry, environment=environment, accept=(0,))
        tree = text_of(repository.git("write-tree", environment=environment, accept=(0,)).out)
    finally:
        for leftover in (index, index + ".lock"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(leftover)
    return repository.make_commit(tree, (parent,), message)


def commit_documents(repository: Repository, branch: str, files: Mapping[str, bytes], message: str, scratch: str) -> str | None:
    """Commit `files` to `branch`, one of ours; None when they are there already, so it is safe to repeat.

    Raises RepositoryProblem (unknown_branch, checked_out, not_a_document), GitError, RefMoved, OSError.
    """
    repository.refuse_checked_out(branch)
    for _ in range(CAS_TRIES):
        head = repository.branch_commit(branch)
        made = write_documents(repository, head, files, message, scratch)
        if made is None:
            return None
        with contextlib.suppress(RefMoved):
            repository.move_ref(branch_ref(branch), made, head)
            return made
    raise RefMoved(f"{branch} was moved by others {CAS_TRIES} times")


def with_front_matter(text: bytes, fields: dict[str, str]) -> bytes | None:
    """`text` with these fields set in its front matter: known ones in place, new ones at its end. None when it has no front matter."""
    lines = text.split(b"\n")
    end = next((number for number, line in enumerate(lines[1:], start=1) if line.rstrip(b"\r") == FENCE), None)
    if lines[0].rstrip(b"\r") != FENCE or end is None:
        return None
    carriage = b"\r" if lines[0].endswith(b"\r") else b""
    front = lines[1:end]
    for name, value in fields.items():
        row = f"{name}: {json.dumps(value, ensure_ascii=False)}".encode("utf-8", "replace") + carriage
        places = [number for number, line in enumerate(front) if line.startswith(f"{name}:".encode())]
        if places:
            front[places[0]] = row
        else:
            front.append(row)
    return b"\n".join([lines[0], *front, *lines[end:]])
