"""Moves references of ours without starting git, by git's own protocol: a lock file beside each, checked, written, renamed.

Only where that is plain: loose references, loose commits, nothing in the way. Else nothing is done and git is asked, which
says in its own words what is wrong.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

from subagents.objects import read_commit, read_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LOGGED = ("refs/heads/", "refs/notes/")  # the references of ours that git keeps a history of
PACKED_BYTES = 1 << 20


def move_plainly(git_dir: str, common_dir: str, moves: Sequence[tuple[str, str, str | None]], who: str) -> bool:
    """Move references (name, new, old; None: it must not exist) all or none, as `who` ("Name <address>").

    False where git has to be asked; nothing has moved then. Raises OSError for a fault of the machine.
    """
    if not all(read_commit(common_dir, new) for _, new, _ in moves):
        return False
    try:
        with open(os.path.join(git_dir, "HEAD"), "rb") as file:
            head = file.read(1000)
        if any(head.strip() == b"ref: " + os.fsencode(name) for name, _, _ in moves):
            return False  # the history of HEAD would note it, too
        packed = _packed(common_dir)
    except OSError:
        return False
    if packed is None or any(not _is_plain(common_dir, packed, name, old) for name, _, old in moves):
        return False
    rights = os.stat(os.path.join(common_dir, "objects")).st_mode & 0o666
    with contextlib.ExitStack() as held:
        locks: list[int] = []
        for name, new, _ in moves:
            path = os.path.join(common_dir, name)
            try:
                locks.append(_locked(path, new, rights))
            except OSError:  # another git is at work on it, something is in the way, or the disk is full
                return False
            held.callback(_unlock, path + ".lock", locks[-1])
        if any(not _is_at(common_dir, name, old) for name, _, old in moves):
            return False
        for name, new, old in moves:
            if name.startswith(LOGGED):
                _note(os.path.join(common_dir, "logs", name), f"{old or '0' * len(new)} {new} {who} {int(time.time())} +0000\n", rights)
        for (name, _, _), lock in zip(moves, locks, strict=True):
            path = os.path.join(common_dir, name)
            os.utime(lock)
            os.rename(path + ".lock", path)
    return True


def is_dead(lock: str) -> bool:
    """Whether the process that made this lock file of ours is gone; the file is removed then. Raises OSError."""
    descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    try:
        seen = os.fstat(descriptor)
        if seen.st_mtime:
            return False  # it is about to become the reference
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(lock).st_ino == seen.st_ino:  # nobody but us may remove it now
            os.unlink(lock)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)


def _packed(common_dir: str) -> bytes | None:
    """The text of packed-refs; None for one that is too long to read here."""
    try:
        with open(os.path.join(common_dir, "packed-refs"), "rb") as file:
            text = file.read(PACKED_BYTES)
    except FileNotFoundError:
        return b""
    return text if len(text) < PACKED_BYTES else None


def _is_plain(common_dir: str, packed: bytes, name: str, old: str | None) -> bool:
    """Whether the reference is a file of its own, or a new one whose name no packed reference has a part of."""
    if old is not None:
        return read_reference(common_dir, name) == old
    parts = name.split("/")
    above = ("/".join(parts[:count]) for count in range(2, len(parts) + 1))
    taken = (f" {other}\n" for other in above)
    return not any(other.encode() in packed for other in (*taken, f" {name}/"))


def _is_at(common_dir: str, name: str, old: str | None) -> bool:
    return read_reference(common_dir, name) == old if old is not None else not os.path.lexists(os.path.join(common_dir, name))


def _locked(path: str, new: str, rights: int) -> int:
    """The descriptor of a new lock file with this content.

    A time of 0 says that it is ours, and it is locked itself as long as we live: so whoever comes after we were killed need not
    wait until it looks old, as for a lock of git.
    """
    lock = path + ".lock"
    _make_folder(os.path.dirname(path), rights)
    descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, new.encode() + b"\n")
        os.fchmod(descriptor, rights)
        os.utime(descriptor, (0, 0))
    except OSError:
        _unlock(lock, descriptor)
        raise
    return descriptor


def _unlock(lock: str, descriptor: int) -> None:
    with contextlib.suppress(FileNotFoundError):  # it became the reference
        if os.stat(lock).st_ino == os.fstat(descriptor).st_ino:
            os.unlink(lock)
    os.close(descriptor)


def _note(path: str, line: str, rights: int) -> None:
    """Add a line to the history of a reference."""
    _make_folder(os.path.dirname(path), rights)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, rights)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def _make_folder(path: str, rights: int) -> None:
    """Make a folder and those above it for those who may read the objects, whatever this process's umask is."""
    if os.path.isdir(path):
        return
    _make_folder(os.path.dirname(path), rights)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)
        os.chmod(path, rights | (rights & 0o444) >> 2)
