"""The network proxy: the only way from an attempt's sandbox to the hosts that its project allows.

`python -I -S network_proxy.py ATTEMPT_DIR`, with an end to wait for on standard input and a Unix socket that listens as the
descriptor LISTENER_FD. Over that socket each sandbox passes what its programs connect to: the port of its own loopback
(bwrap), or its sockets themselves (landlock, given_sockets.py). The proxy speaks CONNECT and plain HTTP. It resolves names itself,
refuses addresses that are not public, and connects to the address that it has checked. Where this machine reaches others through
a proxy only, that one is asked to connect: it looks the names up once more, or alone.

The name that a tunnel asks for is all that it knows: what is said inside, such as another Host or SNI, it cannot see.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time

if __name__ == "__main__":
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import ipaddress
from urllib.parse import urlsplit

from subagents.allowed_hosts import allowed_host, is_allowed, plain_host
from subagents.contract import SPEC_BYTES, Connection, TaskSpec, dump_json, read_json_file, write_atomic
from subagents.given_sockets import Sockets
from subagents.http_heads import HEAD_BYTES, NotHttp, closing_head, read_head
from subagents.journal import Journal
from subagents.network_access import LISTENER_FD, NOTES
from subagents.public_addresses import is_public
from subagents.record import replace
from subagents.ways_out import authorization, connect_to_proxy, proxy_for, tunnel_through

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from subagents.allowed_hosts import AllowedHost

HEAD_SECONDS, CONNECT_SECONDS, END_SECONDS, NOTE_SECONDS = 120.0, 15.0, 2.0, 0.5
MOST_AT_ONCE, MOST_HOSTS, MOST_LINES = 256, 300, 1_000
OTHERS = "other hosts"
NOT_ALLOWED = "is not among the hosts that the project allows"
# Headers of one connection or of a proxy: they end here.
HOP_HEADERS = frozenset(
    {
        *("host", "connection", "keep-alive", "te", "upgrade", "expect", "http2-settings"),
        *("proxy-connection", "proxy-authorization", "proxy-authenticate"),
    }
)


class Refusal(Exception):
    """Why the proxy does not connect: an HTTP status, and the reason, which follows on host and port."""

    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason
        super().__init__(reason)


class Notes:
    """Counts connections by host, port and reason, in a file of the attempt, and says each in its log, up to a number of lines."""

    def __init__(self, path: str, journal: Journal) -> None:
        self._path, self._journal, self._lines, self._written_at = path, journal, 0, 0.0
        self._rows: dict[tuple[str, int, str], Connection] = {}

    def began(self, host: str, port: int, refused: str) -> tuple[str, int, str]:
        """Count a connection, or one that was refused; the key by which `passed` finds it."""
        key = (host[:253], port, refused)
        if key not in self._rows and len(self._rows) >= MOST_HOSTS:
            key = (OTHERS, 0, "refused" if refused else "")
        row = self._rows.get(key) or Connection(key[0], key[1], 0, 0, 0, key[2])
        self._rows[key] = replace(row, count=row.count + 1)
        self._lines += 1
        if self._lines <= MOST_LINES:
            said = f"{host}:{port} {refused}" if refused else f"connected with {host}:{port}"
            self._journal.event("warning" if refused else "info", "network", said)
        elif self._lines == MOST_LINES + 1:
            self._journal.event("warning", "network", f"more than {MOST_LINES} connections: the rest is counted only")
        self.write(in_time=row.count > 0)
        return key

    def passed(self, key: tuple[str, int, str], sent: int, received: int) -> None:
        """Add the bytes of a connection that has ended."""
        row = self._rows[key]
        self._rows[key] = replace(row, sent=(row.sent or 0) + sent, received=(row.received or 0) + received)
        self.write(in_time=True)

    def write(self, *, in_time: bool = False) -> None:
        """Write the file; with `in_time` only if it is old. What cannot be written stays in the counts."""
        if in_time and time.monotonic() < self._written_at + NOTE_SECONDS:
            return
        self._written_at = time.monotonic()
        with contextlib.suppress(OSError):
            write_atomic(self._path, dump_json([row.to_json() for row in self._rows.values()]), durable=False)


class NetworkProxy:
    """Serves the sandboxes of one attempt. `private` are networks that are not public and may be reached all the same."""

    def __init__(self, allowed: Sequence[AllowedHost], private: Sequence[str], notes: Notes) -> None:
        self._allowed, self._notes = allowed, notes
        self._private = [ipaddress.ip_network(text, strict=False) for text in private]
        self._open: set[asyncio.Task[None]] = set()
        self._kept: list[object] = []  # servers and sockets: what nobody holds is closed

    async def accept(self, listener: socket.socket) -> None:
        """Take what each sandbox passes, until cancelled."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        while True:
            link, _ = await loop.sock_accept(listener)
            self._kept.append(asyncio.create_task(self._take(link)))

    async def _take(self, link: socket.socket) -> None:
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        with link:
            loop.add_reader(link, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(link)
            kind, descriptors, _, _ = socket.recv_fds(link, 16, 1)
        if not descriptors:
            return  # it ended before it was in the sandbox
        if kind == b"sockets":
            await self._answer_calls(descriptors[0])
            return
        port = socket.socket(fileno=descriptors[0])
        self._kept.append(await asyncio.start_server(self._begin, sock=port, limit=HEAD_BYTES))

    async def _answer_calls(self, listener: int) -> None:
        """Give a sandbox without a network of its own sockets that are connected with us, and nothing else (Landlock)."""
        ours: set[tuple[str, int]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if (name := writer.get_extra_info("peername")) in ours:  # else it is some other program of this machine
                ours.discard(name)  # when it has ended, others may get its port
                await self._begin(reader, writer)
            else:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=HEAD_BYTES)
        sockets = Sockets(listener, server.sockets[0].getsockname())
        loop = asyncio.get_running_loop()

        def give() -> None:
            if not sockets.give(ours.add):
                loop.remove_reader(listener)
                server.close()

        loop.add_reader(listener, give)
        self._kept += [server, sockets]

    async def end(self) -> None:
        """Close what is open and write the counts."""
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=END_SECONDS)
        self._notes.write()

    async def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if len(self._open) > MOST_AT_ONCE:
                writer.write(_answer(503, f"more than {MOST_AT_ONCE} connections at once"))
            else:
                await self._serve(reader, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ValueError, NotHttp):
            pass  # one side is gone, or says nothing that a proxy is told
        except asyncio.CancelledError:
            pass  # the end: it is counted
        finally:
            self._open.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection. Raises OSError, IncompleteReadError, LimitOverrunError, TimeoutError, ValueError, NotHttp."""
        line, headers = read_head(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_SECONDS))
        method, target = line.split()[:2]
        tunnel = method == "CONNECT"
        parts = urlsplit(f"//{target}" if tunnel else target)
        if not parts.hostname or (parts.scheme != "http" and not tunnel):
            said = "this is a proxy: it takes CONNECT, and requests with a whole http:// address. Only HTTP and HTTPS get out of here"
            writer.write(_answer(400, said))
            return
        host, port = plain_host(parts.hostname) or parts.hostname, parts.port or (443 if tunnel else 80)
        try:
            there, back, way = await self._connect(host, port, "https" if tunnel else "http")
        except Refusal as refusal:
            self._notes.began(host, port, refusal.reason)
            writer.write(_answer(refusal.status, f"{host}:{port} {refusal.reason}"))
            return
        counted = [0, 0]
        key = self._notes.began(host, port, "")
        try:
            if tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _both_ways(reader, writer, there, back, counted)
            else:
                path = parts._replace(scheme="", netloc="").geturl() or "/"
                kept = [(name, value) for name, value in headers if name.lower() not in HOP_HEADERS]
                netloc = parts.netloc.rpartition("@")[2]
                if way:
                    path, kept = f"http://{netloc}{path}", [*kept, *authorization(way)]
                request = closing_head(f"{method} {path} HTTP/1.1", [("Host", netloc), *kept])
                back.write(request)
                counted[0] += len(request)
                await _both_ways(reader, writer, there, back, counted, head=True)
        finally:
            back.close()
            self._notes.passed(key, counted[0], counted[1])

    async def _connect(self, host: str, port: int, scheme: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
        """Connect with a host of the list, at an address that was checked; where there is a proxy for it, through that one, which is
        named then: with the proxy itself for http. Raises Refusal."""
        if not is_allowed(host, port, self._allowed):
            raise Refusal(403, NOT_ALLOWED)
        loop, way, found = asyncio.get_running_loop(), proxy_for(scheme, host), []
        try:
            found = await asyncio.wait_for(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM), CONNECT_SECONDS)
        except (OSError, UnicodeError, TimeoutError):
            if not way:
                raise Refusal(502, "has no address that can be found") from None
        addresses = sorted({str(entry[4][0]).partition("%")[0] for entry in found}, key=lambda one: (":" in one, one))
        for address in addresses:
            if not self._may_reach(address):
                raise Refusal(403, f"leads to {address}, which is not in the public network")
        name = f"[{host}]" if ":" in host else host
        through = [tunnel_through(way, f"{name}:{port}") if scheme == "https" else connect_to_proxy(way)] if way else []
        problem = "no answer"
        for connecting in through or (asyncio.open_connection(address, port, limit=HEAD_BYTES) for address in addresses):
            try:
                return *await asyncio.wait_for(connecting, CONNECT_SECONDS), way
            except (OSError, TimeoutError) as error:
                problem = getattr(error, "strerror", None) or str(error) or "no answer"
        raise Refusal(502, f"cannot be reached: {problem}")

    def _may_reach(self, address: str) -> bool:
        read = ipaddress.ip_address(address)
        return is_public(read) or any(read in network for network in self._private)


async def _both_ways(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    there: asyncio.StreamReader,
    back: asyncio.StreamWriter,
    counted: list[int],
    *,
    head: bool = False,
) -> None:
    """Pass on both directions until the host has said all; with `head` its answer is made to close the connection.

    `counted` gets the bytes to the host and from it. Raises OSError, IncompleteReadError, LimitOverrunError, NotHttp.
    """
    if head:
        sending = asyncio.create_task(_pass_on(reader, back, counted, 0))
        try:
            data = await there.readuntil(b"\r\n\r\n")
            counted[1] += len(data)
            line, headers = read_head(data)
            writer.write(closing_head(line, [pair for pair in headers if pair[0].lower() not in ("connection", "keep-alive")]))
            await _pass_on(there, writer, counted, 1)
        finally:
            sending.cancel()
        return
    sending = asyncio.create_task(_pass_on(reader, back, counted, 0))
    answering = asyncio.create_task(_pass_on(there, writer, counted, 1))
    try:
        await asyncio.gather(sending, answering)
    finally:
        sending.cancel()
        answering.cancel()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counted: list[int], place: int) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
        counted[place] += len(data)
    if writer.can_write_eof():
        writer.write_eof()


def _answer(status: int, sentence: str) -> bytes:
    body = f"CE Web: {sentence}.\n".encode()
    return closing_head(f"HTTP/1.1 {status} Refused", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]) + body


async def _main(attempt_dir: str) -> None:
    spec = TaskSpec.from_json(read_json_file(os.path.join(attempt_dir, "spec.json"), SPEC_BYTES), "spec.json")
    allowed = [allowed_host(str(line)) for line in spec.policy.get("hosts", ())]
    notes = Notes(os.path.join(attempt_dir, NOTES), Journal(spec.files.log, spec.output_limit_bytes))
    proxy = NetworkProxy(allowed, [str(network) for network in spec.policy.get("private", ())], notes)
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(0, ended.set)  # the runner closes it, or is gone
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    with socket.socket(fileno=LISTENER_FD) as listener:
        accepting = asyncio.create_task(proxy.accept(listener))
        await ended.wait()
        accepting.cancel()
    await proxy.end()


if __name__ == "__main__":
    try:
        asyncio.run(_main(sys.argv[1]))
    finally:
        os._exit(0)  # threads that still resolve names are not waited for
