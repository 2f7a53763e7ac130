"""Reads and writes single objects and references of a repository without starting git, where git's formats are plain.

A process of git takes longer than most of what it is asked for. What is not plainly there (packed objects, packed references, a
shallow clone) is None here, and git is asked.
"""

from __future__ import annotations

import contextlib
import os
import zlib

try:  # hashlib loads OpenSSL, which takes an attempt 8 ms; from Python 3.12 on the second module is called _sha2
    from _sha1 import sha1  # type: ignore[import-not-found]  # CPython's own, in no stub
    from _sha256 import sha256  # type: ignore[import-not-found]  # as above
except ImportError:
    from hashlib import sha1, sha256

from subagents.own_git import is_sha256
from subagents.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeVar

    Key = TypeVar("Key")
    Value = TypeVar("Value")

OBJECT_BYTES = 1 << 20  # a larger one is left to git
ID_LENGTHS = (40, 64)
MODES = {b"100644": "100644", b"100755": "100755", b"120000": "120000", b"160000": "160000", b"40000": "040000"}
FOLDER = "040000"  # the mode of a tree within a tree
NO_NAMES = (b".", b"..", b".git")
COMMITS_KNOWN, TREES_KNOWN = 2_000, 64  # what has an id never changes


@record
class CommitObject:
    """What a commit says of others: the id of its tree, and those of its parents."""

    tree: str
    parents: tuple[str, ...]


def is_id(text: str) -> bool:
    """Whether a text is a whole id of an object."""
    return len(text) in ID_LENGTHS and not text.strip("0123456789abcdef")


def read_reference(common_dir: str, name: str) -> str | None:
    """The id that a reference of the repository holds; None where git has to be asked. Raises nothing."""
    with contextlib.suppress(OSError), open(os.path.join(common_dir, name), encoding="ascii", errors="replace") as file:
        found = file.read(100).strip()
        return found if is_id(found) else None
    return None


def _id_of(whole: bytes, length: int) -> str:
    """The id of an object, of this many hexadecimal digits."""
    return str((sha256 if length == 64 else sha1)(whole).hexdigest())


def read_object(common_dir: str, name: str, kind: bytes) -> bytes | None:
    """The content of a loose object of this kind; None where git has to be asked, also when there is no such object."""
    if not is_id(name):
        return None
    try:
        with open(os.path.join(common_dir, "objects", name[:2], name[2:]), "rb") as file:
            data = zlib.decompressobj().decompress(file.read(OBJECT_BYTES), OBJECT_BYTES)
    except (OSError, zlib.error):
        return None
    head, _, content = data.partition(b"\0")
    # A forged one is for git to refuse.
    return content if head == b"%s %d" % (kind, len(content)) and _id_of(data, len(name)) == name else None


_commits: dict[tuple[str, str], CommitObject] = {}
_trees: dict[tuple[str, str], dict[bytes, tuple[str, str]]] = {}


def read_commit(common_dir: str, name: str) -> CommitObject | None:
    """The commit with this id; None where git has to be asked, also when there is no such commit."""
    if not is_id(name) or os.path.exists(os.path.join(common_dir, "shallow")):  # there git sees fewer parents than are written
        return None
    known = _commits.get((common_dir, name))
    if known is not None and os.path.exists(os.path.join(common_dir, "objects", name[:2], name[2:])):
        return known
    content = read_object(common_dir, name, b"commit")
    head, separator, _ = (content or b"").partition(b"\n\n")
    if not separator:
        return None
    rows = [line.decode("ascii", "replace").partition(" ") for line in head.split(b"\n")]
    named = [(key, value) for key, _, value in rows if key in ("tree", "parent")]
    if not named or named[0][0] != "tree" or not all(is_id(value) for _, value in named):
        return None
    return _keep(_commits, COMMITS_KNOWN, (common_dir, name), CommitObject(named[0][1], tuple(value for _, value in named[1:])))


def read_tree(common_dir: str, name: str) -> dict[bytes, tuple[str, str]] | None:
    """{name: (mode, id)} of a tree, in git's order; None where git has to be asked, also for a tree that git would not write."""
    if (known := _trees.get((common_dir, name))) is not None:
        return known
    content = read_object(common_dir, name, b"tree")
    if content is None:
        return None
    found: dict[bytes, tuple[str, str]] = {}
    at, size, before = 0, len(name) // 2, b""
    while at < len(content):
        end = content.find(b"\0", at)
        mode, _, entry = content[at:end].partition(b" ")
        if end < 0 or mode not in MODES or not entry or len(content) < end + 1 + size:
            return None
        order = entry + b"/" if MODES[mode] == FOLDER else entry
        if order <= before or entry in found or b"/" in entry or entry.lower() in NO_NAMES:
            return None  # no tree that git writes: a name that is there twice would hide one of the two files
        before = order
        found[entry] = (MODES[mode], content[end + 1 : end + 1 + size].hex())
        at = end + 1 + size
    return _keep(_trees, TREES_KNOWN, (common_dir, name), found)


def _keep(known: dict[Key, Value], most: int, key: Key, value: Value) -> Value:
    if len(known) >= most:
        known.clear()
    known[key] = value
    return value


class ObjectWriter:
    """Writes loose objects of a repository: whole or not at all, and nothing that is there already.

    They have the rights of the folder of the objects, whatever this process's umask is.
    """

    def __init__(self, common_dir: str) -> None:
        self.folder = os.path.join(common_dir, "objects")
        self.id_length = 64 if is_sha256(common_dir) else 40

    def write(self, kind: bytes, data: bytes) -> str:
        """The id of this object. Raises OSError."""
        whole = b"%s %d\0%s" % (kind, len(data), data)
        name = _id_of(whole, self.id_length)
        folder = os.path.join(self.folder, name[:2])
        path = os.path.join(folder, name[2:])
        if os.path.exists(path):
            return name
        rights = os.stat(self.folder).st_mode & 0o7777
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
            os.chmod(folder, rights)
        draft = os.path.join(folder, f"tmp_obj_{os.getpid()}_{os.urandom(4).hex()}")  # as git names them, which removes those left over
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(zlib.compress(whole, 1))  # not synced, as git by default does not sync loose objects either
                os.fchmod(descriptor, 0o400 | (rights & 0o044))
            os.rename(draft, path)
        except BaseException:
            os.unlink(draft)
            raise
        return name

    def write_tree(self, entries: Mapping[bytes, tuple[str, str]]) -> str:
        """The id of a tree of {name: (mode, id)}. Raises OSError."""
        ordered = sorted(entries.items(), key=lambda entry: entry[0] + (b"/" if entry[1][0] == FOLDER else b""))
        rows = (b"%s %s\0%s" % (mode.lstrip("0").encode(), name, bytes.fromhex(about)) for name, (mode, about) in ordered)
        return self.write(b"tree", b"".join(rows))

    def write_commit(self, tree: str, parents: Sequence[str], who: str, at: int, message: bytes) -> str:
        """The id of a commit by `who`, "Name <address>", at this time, in seconds since the epoch. Raises OSError."""
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in dict.fromkeys(parents))]
        lines += [f"author {who} {at} +0000", f"committer {who} {at} +0000", "", ""]
        return self.write(b"commit", "\n".join(lines).encode() + (message if message.endswith(b"\n") else message + b"\n"))
