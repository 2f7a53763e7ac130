"""The web server's worker: a request gets a thread when all of it has come (docs/decisions/whole-requests.md).

gunicorn's own threaded worker gives each new connection a thread. As many unfinished requests as there are threads then
keep everybody else out. Here the main loop collects the requests of all connections and waits for none: in memory, above
1 MB in a temporary file, each with a time limit. Threads see whole requests only.
"""

import re
import selectors
import socket
import struct
import tempfile
import time
from contextlib import suppress
from functools import partial
from typing import IO, Any

from gunicorn import http
from gunicorn.workers.gthread import TConn, ThreadWorker

HEAD_SECONDS = 10.0  # for a whole header, from when the connection is made or used again
BODY_SECONDS = 20.0  # for a body, and a second more for each
BODY_BYTES_A_SECOND = 20_000
HEAD_BYTES = 64 * 1024
MEMORY_BYTES = 1_000_000  # of a body; what is more of it is in a temporary file
MOST_OF_ADDRESS = 300  # unfinished requests of one address; one more closes the oldest
MOST = 900  # of all addresses
BUFFERED_BYTES = 512 * 1024 * 1024  # of all bodies; beyond it the connection with the largest is closed
SEND_SECONDS = 20  # a client that takes nothing of an answer for so long is gone
_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:[ \t]*(\d{1,15})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect[ \t]*:[ \t]*100-continue", re.IGNORECASE)


def most_body_bytes() -> int:
    """The largest body that is taken: 50 plans of the largest size, and the other fields of the form."""
    from django.conf import settings

    return int(settings.DATA_UPLOAD_MAX_NUMBER_FILES * settings.CE_UPLOAD_BYTES + settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


class Source:
    """What gunicorn's parser reads in place of the socket: the request that has come, then the end."""

    def __init__(self) -> None:
        self.whole: IO[bytes] | None = None

    def recv(self, size: int) -> bytes:
        return b"" if self.whole is None else self.whole.read(size)


class Arriving:
    """A request that is not complete; `lacking` bytes of its body are missing, None while its header is incomplete."""

    __slots__ = ("address", "conn", "deadline", "head", "lacking", "size", "whole")

    def __init__(self, conn: Any) -> None:
        self.conn = conn
        self.address = conn.client[0] if isinstance(conn.client, tuple) else ""
        self.deadline = time.monotonic() + HEAD_SECONDS
        self.head = bytearray()
        self.whole: IO[bytes] | None = None
        self.lacking: int | None = None
        self.size = 0

    def take(self, data: bytes) -> str:
        """Take what came: "" while more is to come, "whole", or the status line to refuse it with. What follows is left in `head`."""
        self.head += data
        if self.lacking is None:
            end = self.head.find(b"\r\n\r\n") + 4
            if end < 4:
                return "431 Request Header Fields Too Large" if len(self.head) > HEAD_BYTES else ""
            header = bytes(self.head[:end])
            if _CHUNKED.search(header):
                return "411 Length Required"
            found = _LENGTH.findall(header)
            self.lacking = int(found[0]) if len(found) == 1 else 0  # the parser refuses two lengths, and what is no length
            if self.lacking > most_body_bytes():
                return "413 Content Too Large"
            self.deadline = time.monotonic() + BODY_SECONDS + self.lacking / BODY_BYTES_A_SECOND
            self.whole = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115 -- the parser reads it later
            self.whole.write(header)
            del self.head[:end]
            if self.lacking > len(self.head) and _EXPECT.search(header):
                self.conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert self.whole is not None
        part = bytes(self.head[: self.lacking])
        self.whole.write(part)
        self.lacking -= len(part)
        self.size += len(part)
        del self.head[: len(part)]
        if self.lacking:
            return ""
        self.whole.seek(0)
        return "whole"


class WholeRequests(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's threaded worker, whose threads get requests only that have come whole."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.arriving: dict[int, Arriving] = {}  # the oldest first

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection and begin to read."""
        try:
            sock, client = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SEND_SECONDS, 0))
        conn = TConn(self.cfg, sock, client, listener.getsockname())
        conn.source, conn.rest = Source(), b""
        conn.parser = http.get_parser(self.cfg, conn.source, client)
        conn.initialized = conn.data_ready = True
        self._begin(conn)

    def on_client_socket_readable(self, conn: Any, client: socket.socket) -> None:
        """A kept connection is used again."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._begin(conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Keep or close the connection. When a part of the next request has come already, go on with it at once."""
        conn.source.whole.close()
        super().finish_request(conn, fs)
        if conn.rest and conn in self.keepalived_conns:
            self.on_client_socket_readable(conn, conn.sock)

    def murder_pending(self) -> None:
        """Close what did not come in time."""
        now = time.monotonic()
        for one in [one for one in self.arriving.values() if one.deadline < now or not self.alive]:
            self._refuse(one, "408 Request Timeout" if one.head or one.whole else "")

    def _begin(self, conn: Any) -> None:
        one = Arriving(conn)
        of_address = [other for other in self.arriving.values() if other.address == one.address]
        if len(of_address) >= MOST_OF_ADDRESS:
            self._refuse(of_address[0])
        elif len(self.arriving) >= MOST:
            self._refuse(next(iter(self.arriving.values())))
        conn.sock.setblocking(False)
        self.arriving[conn.sock.fileno()] = one
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._read, one))
        rest, conn.rest = conn.rest, b""
        self._took(one, rest) if rest else self._read(one, conn.sock)

    def _read(self, one: Arriving, sock: socket.socket) -> None:
        if self.arriving.get(sock.fileno()) is not one:
            return  # closed for another one in the same round
        try:
            data = sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._took(one, data)
        else:
            self._refuse(one)

    def _took(self, one: Arriving, data: bytes) -> None:
        try:
            said = one.take(data)
        except OSError:  # the disk is full, or the client is gone
            said = "507 Insufficient Storage"
        if said == "whole":
            self._forget(one)
            one.conn.source.whole, one.conn.rest = one.whole, bytes(one.head)
            self.enqueue_req(one.conn)
        elif said:
            self._refuse(one, said)
        elif one.size > MEMORY_BYTES and sum(other.size for other in self.arriving.values()) > BUFFERED_BYTES:
            self._refuse(max(self.arriving.values(), key=lambda other: other.size), "503 Service Unavailable")

    def _forget(self, one: Arriving) -> None:
        del self.arriving[one.conn.sock.fileno()]
        self.poller.unregister(one.conn.sock)

    def _refuse(self, one: Arriving, status: str = "") -> None:
        self._forget(one)
        if status:
            with suppress(OSError):  # it does not read either
                one.conn.sock.send(f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
        if one.whole is not None:
            one.whole.close()
        self.nr_conns -= 1
        one.conn.close()
