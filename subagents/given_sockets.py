"""Gives a sandbox without a network of its own the only sockets that it can have: connected with the network proxy.

Landlock knows ports, not addresses: whoever may connect to one port may do so on every machine. So the filter of system calls
(landlock.py) hands each socket(2) for a stream to the network proxy, which answers with a socket that is connected already, and
lets connect(2) do nothing. Only numbers are looked at, no memory of the program, so that nothing can be changed meanwhile.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# linux/seccomp.h: struct seccomp_notif (80 bytes), _notif_resp and _notif_addfd (24 each)
NOTIF_RECV, NOTIF_SEND, NOTIF_ADDFD = 0xC0502100, 0xC0182101, 0x40182103
NOTIF_BYTES, ARGUMENTS_AT = 80, 32
ADDFD_FLAG_SEND = 2  # the number of the new descriptor is what socket(2) returns
SOCK_NONBLOCK, SOCK_CLOEXEC = 0o4000, 0o2000000
CONNECT_SECONDS = 5.0


class Sockets:
    """Answers the calls that a filter reports on the descriptor `listener`, with sockets that are connected with `server`."""

    def __init__(self, listener: int, server: tuple[str, int]) -> None:
        self._listener, self._server = listener, server

    def give(self, known: Callable[[tuple[str, int]], object]) -> bool:
        """Answer a call that waits; `known` is told the address of the new socket. False, and closed, when nobody is left inside."""
        events = dict(_poll(self._listener)).get(self._listener, 0)
        if not events & select.POLLIN:
            if events & (select.POLLHUP | select.POLLERR):
                os.close(self._listener)
                return False
            return True
        call = bytearray(NOTIF_BYTES)
        try:
            fcntl.ioctl(self._listener, NOTIF_RECV, call)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):  # it was killed meanwhile
                return True
            raise
        number, kind = struct.unpack_from("=Q", call)[0], struct.unpack_from("=Q", call, ARGUMENTS_AT + 8)[0]
        try:
            with socket.create_connection(self._server, timeout=CONNECT_SECONDS) as made:
                made.setblocking(not kind & SOCK_NONBLOCK)
                known(made.getsockname())
                flags = os.O_CLOEXEC if kind & SOCK_CLOEXEC else 0
                self._control(NOTIF_ADDFD, struct.pack("=QIIII", number, ADDFD_FLAG_SEND, made.fileno(), 0, flags))
        except OSError as error:
            self._control(NOTIF_SEND, struct.pack("=QqiI", number, 0, -(error.errno or errno.EACCES), 0))
        return True

    def _control(self, request: int, data: bytes) -> None:
        try:
            fcntl.ioctl(self._listener, request, data)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise


def _poll(descriptor: int) -> list[tuple[int, int]]:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return poll.poll(0)
