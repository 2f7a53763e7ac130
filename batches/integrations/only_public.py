"""A block in which foreign code may post to public addresses and do nothing else to this machine.

It is told of what Python is about to do in the block's thread by an audit hook (PEP 578), and refuses: connections to addresses that
are not public, or not given as an address; other sockets; files outside of Python's own; changes of files; processes; and every
connection after the time limit. It does not see threads that are started in it. It is for libraries that mean well and are given
addresses by people; it holds back no hostile code.
"""

import ipaddress
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from subagents.public_addresses import is_public

_READ = ("/usr/share/", "/usr/lib/", "/etc/ssl/", "/etc/mime.types")
_OWN = tuple({f"{os.path.realpath(place)}/" for place in (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__))} - {"//"})
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_REFUSED = (
    *("subprocess.", "shutil.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.kill", "pty."),
    *("socket.bind", "socket.sendto", "socket.sendmsg", "ctypes.", "sqlite3.", "os.putenv", "os.unsetenv"),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown"),
)


class Refused(PermissionError):
    """What was not let through. An OSError, since libraries expect one where they open and connect."""


class Block:
    """One use of `only_public`: when it ends, its connections, and the first thing that was refused."""

    def __init__(self, seconds: float, private: bool) -> None:
        self.ends = time.monotonic() + seconds
        self.private = private
        self.refused = ""
        self.late = False
        self._connections: list[socket.socket] = []

    def look(self, event: str, arguments: tuple[object, ...]) -> None:
        """Raises Refused."""
        if event == "open":
            self._open(*arguments[:3])
        elif event == "socket.connect":
            self._connect(*arguments[:2])
        elif event.startswith(_REFUSED):
            self._refuse(f"It tried what is not allowed ({event}).")

    def cut(self) -> None:
        """End all connections, from another thread."""
        self.late = True
        for one in self._connections:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for one in self._connections:
            one.close()

    def _connect(self, sock: object, address: object) -> None:
        if time.monotonic() > self.ends:
            self.late = True
            self._refuse("It took too long.")
        if not isinstance(sock, socket.socket) or sock.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
            self._refuse("It tried to connect to a program of this machine.")
        try:
            found = ipaddress.ip_address(str(address[0]).partition("%")[0])
        except ValueError:
            self._refuse("It connects to a name that was not looked up first.")
        if not self.private and not is_public(found):
            self._refuse("Its address is not in the public network (setting CE_WEBHOOK_PRIVATE).")
        self._connections.append(sock.dup())  # TLS takes the socket itself over; the copy still ends the connection

    def _open(self, path: object, mode: object = None, flags: object = 0) -> None:
        place = os.path.realpath(os.fsdecode(path)) if isinstance(path, str | bytes | os.PathLike) else ""
        writes = (isinstance(mode, str) and bool(set(mode) & set("wax+"))) or (isinstance(flags, int) and bool(flags & _WRITES))
        if writes or not (place.startswith(_OWN) or place.startswith(_READ)):
            self._refuse("It tried to use a file of this server.", quiet=writes)

    def _refuse(self, why: str, *, quiet: bool = False) -> NoReturn:
        if not quiet:  # Python itself tries to keep what it has compiled
            self.refused = self.refused or why
        raise Refused(why)


_here = threading.local()
_lock = threading.Lock()
_watching = False


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    block = getattr(_here, "block", None)
    if block is not None:
        _here.block = None  # what `look` itself does is not looked at
        try:
            block.look(event, arguments)
        finally:
            _here.block = block


@contextmanager
def only_public(seconds: float, *, private: bool = False) -> Iterator[Block]:
    """`private` allows connections to addresses that are not public. What is refused raises Refused where it is tried."""
    global _watching
    with _lock:
        if not _watching:
            sys.addaudithook(_hook)  # for good: Python removes none
            _watching = True
    block = Block(seconds, private)
    timer = threading.Timer(seconds, block.cut)
    timer.daemon = True
    timer.start()
    _here.block = block
    try:
        yield block
    finally:
        _here.block = None
        timer.cancel()
        block.close()
