"""Faults of the machine: no space, no inodes, an I/O error, too many open files. They are not the work's fault, and pass.

Whoever meets one raises MachineFault, or lets the OSError through; the attempt is then put off, not failed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re

from subagents.files import MACHINE_ERRORS, SubagentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FULL_BYTES, FULL_INODES = 256 * 1024, 8  # with less, a program that just failed may well have failed for want of it
PROBE_BYTES = 64 * 1024
DIED = 128  # what git ends with when it gives up
SIGBUS = 7  # a page of a mapped file could not be read or written
# What the C library says, as the last words of a line: git's errors (we run it with LC_ALL=C) and a shell's end like this.
SPOKEN = re.compile(
    rb"[:(] ?(?P<words>" + b"|".join(re.escape(os.strerror(number)).encode() for number in sorted(MACHINE_ERRORS)) + rb")\.?\)?\s*$",
    re.MULTILINE,
)
LOADER = re.compile(rb"shared object file: Error (\d+)$", re.MULTILINE)  # the loader has no words for most errors
NUMBERS = {os.strerror(number).encode(): number for number in MACHINE_ERRORS}
OUT_OF_MEMORY = re.compile(rb"^(fatal|error): (out of memory|cannot fork|unable to create threaded)", re.MULTILINE | re.IGNORECASE)


class MachineFault(SubagentError):
    """The machine could not do it: `number` is the errno. The sentence names the file system as far as it can be told."""

    def __init__(self, number: int, paths: Iterable[str] = ()) -> None:
        self.number = number
        super().__init__(_sentence(number, tuple(paths)))


def fault_of(error: BaseException, paths: Iterable[str] = ()) -> MachineFault | None:
    """The fault of the machine that `error` is; None when it is none. `paths` are where the work was written."""
    if isinstance(error, MachineFault):
        return error
    if isinstance(error, MemoryError):
        return MachineFault(errno.ENOMEM)
    if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
        named = tuple(str(name) for name in (error.filename, error.filename2) if isinstance(name, str) and os.path.isabs(name))
        return MachineFault(error.errno, named or paths)
    return None


def fault_in(said: bytes, exit_code: int, paths: Sequence[str] = ()) -> MachineFault | None:
    """The fault of the machine of which a git that failed speaks, or that killed it; None when there is none."""
    if found := SPOKEN.search(said):
        return MachineFault(NUMBERS[found["words"]], paths)
    if (found := LOADER.search(said)) and int(found[1]) in MACHINE_ERRORS:
        return MachineFault(int(found[1]), paths)
    if OUT_OF_MEMORY.search(said):
        return MachineFault(errno.ENOMEM)
    if exit_code == -SIGBUS:
        return MachineFault(errno.EIO, paths)
    # git does not always say why it could not write.
    return full(paths) if exit_code == DIED else None


def full(paths: Iterable[str]) -> MachineFault | None:
    """Whether one of the file systems that hold `paths` has no room left, as a fault; None when all have."""
    for path in dict.fromkeys(paths):
        room = _room(path)
        if room is not None and (room[0] < FULL_BYTES or (room[2] and room[3] < FULL_INODES)):
            return MachineFault(errno.ENOSPC, (path,))
    return None


def filled_by(folders: Iterable[str]) -> bool:
    """Whether more than half of what is used on the file system of these folders is theirs: who fills it is no victim of it."""
    own: dict[int, int] = {}
    place: dict[int, str] = {}
    for folder in folders:
        for path, _, names in os.walk(folder):
            with contextlib.suppress(OSError):
                device = os.lstat(path).st_dev
                place[device] = path
                for name in names:
                    own[device] = own.get(device, 0) + os.lstat(os.path.join(path, name)).st_blocks * 512
    for device, size in own.items():
        room = _room(place[device])
        if room is not None and room[0] < FULL_BYTES and size > (room[1] - room[0]) / 2:
            return True
    return False


def probe(folders: Iterable[str]) -> MachineFault | None:
    """Try to write a file in each of the folders that exist; the fault that prevents it, None when it works everywhere."""
    for folder in folders:
        try:
            descriptor = _nameless(folder)
            try:
                view = memoryview(bytes(PROBE_BYTES))
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if fault := fault_of(error, (folder,)):
                return fault
    return None


def _nameless(folder: str) -> int:
    """A new file in the folder that nobody sees and that ends with this process, however that ends. Raises OSError."""
    try:
        return os.open(folder, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    # A file system without nameless files, such as NFS: the name is there for a moment.
    draft = os.path.join(folder, f".ce-probe-{os.getpid()}-{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(OSError):
        os.unlink(draft)
    return descriptor


def mount_point(path: str) -> str:
    """The folder at which the file system that holds `path` begins."""
    place = os.path.realpath(path)
    while place != "/" and not os.path.ismount(place):
        place = os.path.dirname(place)
    return place


def _room(path: str) -> tuple[int, int, int, int] | None:
    """(free bytes, all bytes, all inodes, free inodes) of the file system that holds `path`, or the nearest folder above it."""
    while path and path != "/" and not os.path.lexists(path):
        path = os.path.dirname(path)
    try:
        found = os.statvfs(path or "/")
    except OSError:
        return None
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, found.f_files, found.f_favail


def _sentence(number: int, paths: tuple[str, ...]) -> str:
    words = os.strerror(number)
    rooms = [(path, room) for path in paths if (room := _room(path)) is not None]
    if number == errno.ENOSPC:
        bare = [(path, room) for path, room in rooms if room[2] and room[3] < FULL_INODES]
        if bare:
            path, room = bare[0]
            return f"No inodes left: the file system at {mount_point(path)} can hold no more files ({room[3]} of {room[2]} inodes are free)"
    if not rooms:
        return words
    if number in (errno.ENOSPC, errno.EDQUOT):
        path, room = min(rooms, key=lambda pair: pair[1][0])
        return f"{words}: the file system at {mount_point(path)} has {room[0] / 1e6:.1f} of {room[1] / 1e6:.1f} MB free"
    if number == errno.EROFS:
        fixed = [path for path, _ in rooms if os.statvfs(path if os.path.lexists(path) else "/").f_flag & os.ST_RDONLY]
        return f"{words}: {mount_point((fixed or [rooms[0][0]])[0])}"
    if number in (errno.ENFILE, errno.EMFILE, errno.ENOMEM):
        return words
    mounts = sorted({mount_point(path) for path, _ in rooms})
    return f"{words}: on the file system at {' or '.join(mounts)}"
