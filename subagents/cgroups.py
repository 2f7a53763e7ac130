"""A cgroup of version 2 for each attempt, where the machine lets CE Web make some: the kernel keeps it to memory and processes.

The server's processes stand in a group beside those of the attempts, since a group with processes of its own has no limits for
the groups in it. Sources: Linux, admin-guide/cgroup-v2.rst; systemd.resource-control(5), Delegate= and DelegateSubgroup=.
docs/decisions/memory-in-use.md.
"""

from __future__ import annotations

import contextlib
import errno
import os

OWN = "/proc/self/cgroup"
ROOTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")  # the second where version 1 is mounted, too
OURS = "ce-web"  # the group of the server's processes, where nobody else has made one
PREFIX = "attempt-"
DELEGATED = ("user.delegate", "trusted.delegate")  # systemd's marks
NO_ROOM = "no cgroup of version 2 with a memory controller is delegated to CE Web"


def place_of() -> tuple[str, str]:
    """(the folder of this process's cgroup, the folder of the uppermost one); two times "" where there is none."""
    with contextlib.suppress(OSError):
        with open(OWN, encoding="utf-8", errors="surrogateescape") as file:
            path = next((line[3:].rstrip("\n") for line in file if line.startswith("0::")), "")
        for root in ROOTS:
            folder = os.path.join(root, path.lstrip("/")).rstrip("/")
            if path and os.path.exists(os.path.join(folder, "cgroup.subtree_control")):
                return folder, root
    return "", ""


def room_in(folder: str, root: str) -> bool:
    """Whether groups can be made in `folder`: it is ours to divide, and the kernel counts memory there.

    Ours is what systemd has marked so, and the uppermost group of a container, which unlike the machine's has a limit itself.
    """
    counted = "memory" in _read(folder, "cgroup.controllers").split()
    if not counted or not os.access(os.path.join(folder, "cgroup.subtree_control"), os.W_OK):
        return False
    if folder == root:
        return os.path.exists(os.path.join(folder, "memory.max"))
    for mark in DELEGATED:
        with contextlib.suppress(OSError):
            if os.getxattr(folder, mark) == b"1":
                return True
    return False


def prepare() -> str:
    """Make room for groups of attempts, before the server starts others; returns in words how memory is limited here.

    Does nothing where it is made already. Never raises: then memory is watched.
    """
    own, root = place_of()
    try:
        room = next((folder for folder in (own, os.path.dirname(own)) if own and root in f"{folder}/" and room_in(folder, root)), "")
        if not room:
            return f"watched, {NO_ROOM}"
        if room == own:
            if room.endswith(".service"):  # systemd could not start the service again while attempts go on in it
                return "watched, the service needs DelegateSubgroup= beside Delegate= (systemd 254)"
            os.makedirs(os.path.join(room, OURS), exist_ok=True)
            for pid in _read(room, "cgroup.procs").split():
                with contextlib.suppress(ProcessLookupError):
                    _write(os.path.join(room, OURS), "cgroup.procs", pid)
        _write(room, "cgroup.subtree_control", "+memory")
        with contextlib.suppress(OSError):
            _write(room, "cgroup.subtree_control", "+pids")
        for name in os.listdir(room):
            if name.startswith(PREFIX):
                with contextlib.suppress(OSError):  # an attempt is in it
                    os.rmdir(os.path.join(room, name))
    except OSError as error:
        return f"watched, {room} cannot be divided ({error.strerror})"
    return f"by a cgroup for each attempt, in {room}"


class AttemptGroup:
    """The group of one attempt: what is in it is killed as a whole where it would use more memory than it may."""

    def __init__(self, path: str, memory: int, processes: int) -> None:
        """Make it, with limits in bytes and processes (0: none). Raises OSError."""
        self.path, self.memory = path, memory
        os.mkdir(path)
        _write(path, "memory.max", str(memory))
        _write(path, "memory.oom.group", "1")
        for name, value in (("memory.swap.max", "0"), ("pids.max", str(processes) if processes else "max")):
            with contextlib.suppress(OSError):  # no swap space, no controller of processes
                _write(path, name, value)

    @staticmethod
    def of(memory: int, processes: int) -> AttemptGroup | None:
        """The group for the attempt of this process; None where `prepare` has made no room for it."""
        own, root = place_of() if memory else ("", "")
        room = os.path.dirname(own)
        if not own or own == root or "memory" not in _read(room, "cgroup.subtree_control").split() or not room_in(room, root):
            return None
        try:
            return AttemptGroup(os.path.join(room, f"{PREFIX}{os.getpid()}"), memory, processes)
        except OSError:
            return None

    def take(self, pid: int) -> bool:
        """Put process `pid` into it, and so all that it starts; False, and the group is gone, where the kernel refuses that."""
        try:
            _write(self.path, "cgroup.procs", str(pid))
        except OSError:
            self.remove()
            return False
        return True

    def killed(self) -> int:
        """How many bytes were in use when the kernel killed it for that; 0 when it did not."""
        events = dict(line.split() for line in _read(self.path, "memory.events").splitlines())
        return max(int(_read(self.path, "memory.peak") or 0), self.memory) if int(events.get("oom_kill", 0)) else 0

    def remove(self) -> None:
        """Remove it, once all that was in it has ended; one that cannot be is removed by the next start."""
        with contextlib.suppress(OSError):
            os.rmdir(self.path)


def _read(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="ascii") as file:
            return file.read()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENODEV, errno.EOPNOTSUPP):
            return ""
        raise


def _write(folder: str, name: str, text: str) -> None:
    descriptor = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)
