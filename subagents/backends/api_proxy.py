"""The API proxy: the only way from an agent's sandbox to its API. It answers on the sandbox's loopback port and holds the key.

The agent's program sends its requests to the proxy, with a password that is valid for this attempt only. The proxy sends them
to the API with the key. So the key is not in the sandbox, and the program reaches nothing but the API. The proxy also reads
the API's rate limits, which the program does not report. A request that may cost more than is left is refused at its door (door.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import secrets
import socket
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from subagents.backends.door import TooExpensive
from subagents.credentials import signed
from subagents.files import ContractError
from subagents.http_heads import HEAD_BYTES, NotHttp, closing_head, read_head, value_of
from subagents.unix_sockets import listen_in
from subagents.ways_out import tls, tunnel_through, way_out_to

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from subagents.backends.door import Door, Passing

MESSAGES = "/v1/messages"
PATHS = frozenset({MESSAGES, f"{MESSAGES}/count_tokens"})
SOCKET_NAME = "api"
BODY_BYTES = 64 * 1024 * 1024
CONNECT_SECONDS = 15.0
# Headers of one connection or of a proxy: replaced by our own. Compression would only cost time here.
CONNECTION_HEADERS = frozenset(
    {"host", "connection", "keep-alive", "x-api-key", "authorization", "accept-encoding", "transfer-encoding", "content-length", "expect"}
)


class Refusal(Exception):
    """An error that the proxy answers itself: an HTTP status, the API's name for the kind of error, and a sentence."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        self.status, self.kind = status, kind
        super().__init__(message)


class ApiProxy:
    """Serves one program, once. Calls `on_refused(status, reset)` for each 401, 403 and 429 of the API as soon as it arrives;
    `reset` is when the API accepts requests again (seconds since the epoch), None when it does not say. Calls `on_too_dear` when the
    door lets a request not through."""

    def __init__(
        self, base_url: str, key: str, on_refused: Callable[[int, float | None], None], door: Door, on_too_dear: Callable[[], None]
    ) -> None:
        self._api, self._key, self._on_refused = urlsplit(base_url), key, on_refused
        self._door, self._on_too_dear = door, on_too_dear
        self._way_out = way_out_to(self._api.scheme, self._api.hostname or "")
        self.password = secrets.token_urlsafe(32)
        self._path = ""
        self._server: asyncio.Server | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._listener: socket.socket | None = None
        self._context = tls() if self._api.scheme == "https" else None
        self.unreachable = ""  # why the API could not be reached when it was asked last; "" when it could

    def open(self, folder: str) -> str:
        """Listen on a socket in `folder`, over which the sandbox passes its port; returns the socket's path. Raises OSError."""
        self._path = os.path.join(folder, SOCKET_NAME)
        self._listener = listen_in(folder, SOCKET_NAME)
        self._listener.setblocking(False)
        self._accepting = asyncio.create_task(self._accept_port(self._listener))
        return self._path

    async def close(self) -> None:
        """Stop answering."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait({self._accepting})
        if self._listener is not None:
            self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        if self._server is not None:
            self._server.close()
        self._door.close()

    async def _accept_port(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        link, _ = await loop.sock_accept(listener)
        with link:
            readable = asyncio.Event()
            loop.add_reader(link, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(link)
            _, descriptors, _, _ = socket.recv_fds(link, 16, 1)
            if not descriptors:
                return  # it ended before it was in the sandbox; the SDK reports why
            port = socket.socket(fileno=descriptors[0])
            self._server = await asyncio.start_server(self.serve, sock=port, limit=HEAD_BYTES)
            await loop.sock_sendall(link, self.password.encode())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection of the program, which must give `password`."""
        try:
            await self._answer(reader, writer)
        except (Refusal, NotHttp) as problem:
            refusal = problem if isinstance(problem, Refusal) else Refusal(400, "invalid_request_error", "this is not HTTP")
            with contextlib.suppress(OSError):
                writer.write(_refused(refusal))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # one side is gone: the other sees a cut answer, and the program tries again
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one request and stream back its answer. Raises Refusal, NotHttp, OSError, IncompleteReadError, LimitOverrunError."""
        line, headers = read_head(await reader.readuntil(b"\r\n\r\n"))
        body = await self._checked_body(line, headers, reader)
        passing = None
        if line.split()[1].partition("?")[0] == MESSAGES:
            body, passing = self._admitted(body)
        try:
            await self._forward(line, headers, body, passing, reader, writer)
        finally:
            if passing is not None:
                passing.end()

    def _admitted(self, body: bytes) -> tuple[bytes, Passing]:
        """The request as it may be sent, booked. Raises Refusal."""
        try:
            return self._door.admit(body)
        except TooExpensive:
            self._on_too_dear()
            raise Refusal(400, "invalid_request_error", "what is left of the budget does not hold another request") from None
        except ValueError as error:
            raise Refusal(400, "invalid_request_error", f"this is no request for a message: {error}") from None
        except ContractError as error:
            raise Refusal(500, "api_error", f"what is spent cannot be booked: {error}") from None

    async def _forward(
        self,
        line: str,
        headers: list[tuple[str, str]],
        body: bytes,
        passing: Passing | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        try:
            api_reader, api_writer = await asyncio.wait_for(self._connect(), CONNECT_SECONDS)
        except (OSError, TimeoutError) as error:
            self.unreachable = f"{self._api.hostname} cannot be reached: {error or 'no answer'}"
            raise Refusal(502, "api_error", self.unreachable) from None
        self.unreachable = ""
        try:
            api_writer.write(self._request(line, headers, len(body)) + body)
            if passing is not None:
                passing.sent = True
            await api_writer.drain()
            status_line, answer = read_head(await api_reader.readuntil(b"\r\n\r\n"))
            status = int(status_line.split()[1])
            self._note_status(status, answer)
            if passing is not None and 200 <= status < 300:
                passing.begin(answer)
            elif passing is not None:
                passing.refuse()
            writer.write(closing_head(status_line, [header for header in answer if header[0].lower() not in ("connection", "keep-alive")]))
            gone = asyncio.create_task(reader.read(1))  # the program closes when it has the whole answer, or wants no more
            answering = asyncio.create_task(_pass_on(api_reader, writer, passing))
            _, left = await asyncio.wait({gone, answering}, return_when=asyncio.FIRST_COMPLETED)
            for task in left:
                task.cancel()
            await asyncio.gather(gone, answering, return_exceptions=True)
        finally:
            api_writer.close()

    async def _checked_body(self, line: str, headers: list[tuple[str, str]], reader: asyncio.StreamReader) -> bytes:
        """The body of a request that the proxy may forward. Raises Refusal for any other."""
        given = value_of(headers, "x-api-key") or value_of(headers, "authorization").removeprefix("Bearer ")
        method, target = line.split()[:2]
        if not hmac.compare_digest(given.encode(), self.password.encode()):
            raise Refusal(401, "authentication_error", "only the agent may use this port")
        if method != "POST" or target.partition("?")[0] not in PATHS:
            raise Refusal(404, "not_found_error", f"{method} {target} is not forwarded")
        length = value_of(headers, "content-length")
        if not length.isdigit() or int(length) > BODY_BYTES:
            raise Refusal(413, "invalid_request_error", f"a request needs a Content-Length of at most {BODY_BYTES} bytes")
        return await reader.readexactly(int(length))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        port = self._api.port or (443 if self._context else 80)
        if not self._way_out:
            return await asyncio.open_connection(self._api.hostname, port, ssl=self._context, limit=HEAD_BYTES)
        reader, writer = await tunnel_through(self._way_out, f"{self._api.hostname}:{port}")
        if self._context is not None:
            await writer.start_tls(self._context, server_hostname=self._api.hostname)
        return reader, writer

    def _request(self, line: str, headers: list[tuple[str, str]], length: int) -> bytes:
        method, target = line.split()[:2]
        kept = [(name, value) for name, value in headers if name.lower() not in CONNECTION_HEADERS]
        ours = [("Host", self._api.netloc.rpartition("@")[2]), ("Content-Length", str(length))]
        all_headers = [*ours, *signed(self._key, kept), ("Accept-Encoding", "identity")]
        return closing_head(f"{method} {self._api.path.rstrip('/')}{target} HTTP/1.1", all_headers)

    def _note_status(self, status: int, headers: list[tuple[str, str]]) -> None:
        if status in (401, 403):
            self._on_refused(status, None)
        elif status == 429:
            self._on_refused(status, reset_of(headers, time.time()))


def reset_of(headers: Iterable[tuple[str, str]], now: float) -> float | None:
    """When the API accepts requests again (seconds since the epoch): from "retry-after" (seconds or a date), else from the reset
    of the limit that is used up. None when the headers do not say.

    Source: the provider's documentation of rate limits, "Response headers".
    """
    values = {name.lower(): value.strip() for name, value in headers}
    if (after := values.get("retry-after", "")) and (at := _timestamp(after)) is not None:
        return now + at if at < 10**8 else at
    resets = [values.get("anthropic-ratelimit-unified-reset", "")]
    for name in ("requests", "tokens", "input-tokens", "output-tokens"):
        if values.get(f"anthropic-ratelimit-{name}-remaining") == "0":
            resets.append(values.get(f"anthropic-ratelimit-{name}-reset", ""))
    known = [at for text in resets if (at := _timestamp(text)) is not None]
    return max(known, default=None)


def _timestamp(text: str) -> float | None:
    """A number, or an HTTP or ISO 8601 date as seconds since the epoch; None for anything else."""
    from datetime import datetime

    for read in (float, lambda given: datetime.fromisoformat(given).timestamp(), lambda given: parsedate_to_datetime(given).timestamp()):
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            found = float(read(text))
            if 0 <= found < 10**11:
                return found
    return None


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passing: Passing | None) -> None:
    while data := await reader.read(1 << 16):
        if passing is not None:
            passing.feed(data)
        writer.write(data)
        await writer.drain()


def _refused(refusal: Refusal) -> bytes:
    body = json.dumps({"type": "error", "error": {"type": refusal.kind, "message": str(refusal)}}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return closing_head(f"HTTP/1.1 {refusal.status} Refused", headers) + body
