"""The one door from an agent's sandbox to its API: answers on the sandbox's own loopback port, and holds the key.

The agent's program asks as if we were the API, with a password that is good for this attempt only; we ask the API with the
key. So the key is nowhere in the sandbox, nothing but the API is reached, and what the API says of its limits, which the
program does not pass on, is read here.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import secrets
import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PATHS = frozenset({"/v1/messages", "/v1/messages/count_tokens"})
HEAD_BYTES = 64 * 1024
BODY_BYTES = 64 * 1024 * 1024
CONNECT_SECONDS = 15.0
# Of one connection, or of a proxy's: not handed on. Ours are set instead, and no compression, which would only cost here.
OWN_HEADERS = frozenset(
    {"host", "connection", "keep-alive", "x-api-key", "authorization", "accept-encoding", "transfer-encoding", "content-length", "expect"}
)


class Refusal(Exception):
    """What we answer ourselves: an HTTP status, the API's word for the kind of error, and a sentence."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        self.status, self.kind = status, kind
        super().__init__(message)


class ApiProxy:
    """Opens once, for one program. `on_refused(status, reset)` is told of each 401, 403 and 429 as soon as the API says it;
    `reset` is when requests are taken again (seconds since the epoch), None when the API does not tell."""

    def __init__(self, base_url: str, key: str, on_refused: Callable[[int, float | None], None]) -> None:
        self._api, self._key, self._on_refused = urlsplit(base_url), key, on_refused
        self._password = secrets.token_urlsafe(32)
        self._path, self._server, self._welcoming = "", None, None
        self._waiting: socket.socket | None = None
        self._context = tls() if self._api.scheme == "https" else None
        self.answered = 0  # requests that the API took

    _server: asyncio.Server | None
    _welcoming: asyncio.Task[None] | None

    def open(self, folder: str) -> str:
        """Wait for the program's port at a socket in `folder`; returns the socket's path. Raises OSError."""
        self._path = os.path.join(folder, "door")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._waiting = socket.socket(socket.AF_UNIX)
        place = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        self._waiting.bind(f"/proc/self/fd/{place}/door")  # however long the path is
        os.close(place)
        self._waiting.listen(1)
        self._waiting.setblocking(False)
        self._welcoming = asyncio.create_task(self._welcome(self._waiting))
        return self._path

    async def close(self) -> None:
        """Answer no more."""
        if self._welcoming is not None:
            self._welcoming.cancel()
            await asyncio.wait({self._welcoming})
        if self._waiting is not None:
            self._waiting.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        if self._server is not None:
            self._server.close()

    async def _welcome(self, waiting: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        link, _ = await loop.sock_accept(waiting)
        with link:
            readable = asyncio.Event()
            loop.add_reader(link, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(link)
            _, descriptors, _, _ = socket.recv_fds(link, 16, 1)
            if not descriptors:
                return  # it ended before it was inside; the SDK says how
            port = socket.socket(fileno=descriptors[0])
            self._server = await asyncio.start_server(self._serve, sock=port, limit=HEAD_BYTES)
            await loop.sock_sendall(link, self._password.encode())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except Refusal as refusal:
            with contextlib.suppress(OSError):
                writer.write(_refused(refusal))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # either side is gone: the other sees a cut answer, which the program tries again
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand one request on, and its answer back as it comes. Raises Refusal, OSError, IncompleteReadError, LimitOverrunError."""
        line, headers = _head(await reader.readuntil(b"\r\n\r\n"))
        body = await self._admit(line, headers, reader)
        try:
            api_reader, api_writer = await asyncio.wait_for(self._connect(), CONNECT_SECONDS)
        except (OSError, TimeoutError) as error:
            raise Refusal(502, "api_error", f"{self._api.hostname} cannot be reached: {error or 'no answer'}") from None
        try:
            api_writer.write(self._request(line, headers, len(body)) + body)
            await api_writer.drain()
            status_line, answer = _head(await api_reader.readuntil(b"\r\n\r\n"))
            self._note(int(status_line.split()[1]), answer)
            writer.write(_joined(status_line, [header for header in answer if header[0].lower() not in ("connection", "keep-alive")]))
            gone = asyncio.create_task(reader.read(1))  # the program closes when it has all of it, or wants no more
            passing = asyncio.create_task(_pass_on(api_reader, writer))
            _, left = await asyncio.wait({gone, passing}, return_when=asyncio.FIRST_COMPLETED)
            for task in left:
                task.cancel()
            await asyncio.gather(gone, passing, return_exceptions=True)
        finally:
            api_writer.close()

    async def _admit(self, line: str, headers: list[tuple[str, str]], reader: asyncio.StreamReader) -> bytes:
        """The request's body, when it is one of the program's own to the API. Raises Refusal."""
        given = _value(headers, "x-api-key") or _value(headers, "authorization").removeprefix("Bearer ")
        method, target = line.split()[:2]
        if not hmac.compare_digest(given.encode(), self._password.encode()):
            raise Refusal(401, "authentication_error", "this port is the agent's alone")
        if method != "POST" or target.partition("?")[0] not in PATHS:
            raise Refusal(404, "not_found_error", f"{method} {target} is not handed on")
        length = _value(headers, "content-length")
        if not length.isdigit() or int(length) > BODY_BYTES:
            raise Refusal(413, "invalid_request_error", f"a request has a length, of {BODY_BYTES} bytes at most")
        return await reader.readexactly(int(length))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        port = self._api.port or (443 if self._context else 80)
        return await asyncio.open_connection(self._api.hostname, port, ssl=self._context, limit=HEAD_BYTES)

    def _request(self, line: str, headers: list[tuple[str, str]], length: int) -> bytes:
        method, target = line.split()[:2]
        kept = [(name, value) for name, value in headers if name.lower() not in OWN_HEADERS]
        ours = [("Host", self._api.netloc.rpartition("@")[2]), ("X-Api-Key", self._key), ("Content-Length", str(length))]
        return _joined(f"{method} {self._api.path.rstrip('/')}{target} HTTP/1.1", [*ours, *kept, ("Accept-Encoding", "identity")])

    def _note(self, status: int, headers: list[tuple[str, str]]) -> None:
        if 200 <= status < 300:
            self.answered += 1
        elif status in (401, 403):
            self._on_refused(status, None)
        elif status == 429:
            self._on_refused(status, reset_of(headers, time.time()))


def reset_of(headers: Iterable[tuple[str, str]], now: float) -> float | None:
    """When the API takes requests again (seconds since the epoch), as its refusal tells: "retry-after" in seconds or as a date,
    else the reset of the limit that is used up. None when it tells nothing that can be read.

    Source: the provider's documentation of rate limits, "Response headers".
    """
    values = {name.lower(): value.strip() for name, value in headers}
    if (after := values.get("retry-after", "")) and (at := _moment(after)) is not None:
        return now + at if at < 10**8 else at
    resets = [values.get("anthropic-ratelimit-unified-reset", "")]
    for name in ("requests", "tokens", "input-tokens", "output-tokens"):
        if values.get(f"anthropic-ratelimit-{name}-remaining") == "0":
            resets.append(values.get(f"anthropic-ratelimit-{name}-reset", ""))
    known = [at for text in resets if (at := _moment(text)) is not None]
    return max(known, default=None)


def _moment(text: str) -> float | None:
    """A number as it is; a date, of HTTP or ISO 8601, as seconds since the epoch."""
    from datetime import datetime

    for read in (float, lambda given: datetime.fromisoformat(given).timestamp(), lambda given: parsedate_to_datetime(given).timestamp()):
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            found = float(read(text))
            if 0 <= found < 10**11:
                return found
    return None


def tls() -> ssl.SSLContext:
    """The machine's certificates and, where the package certifi is there, its list: a container may have none of its own."""
    context = ssl.create_default_context()
    try:
        import certifi
    except ImportError:
        return context
    context.load_verify_locations(certifi.where())
    return context


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


def _head(data: bytes) -> tuple[str, list[tuple[str, str]]]:
    """The first line and the headers. Raises Refusal for what is no HTTP."""
    first, *lines = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    if len(first.split()) < 2:
        raise Refusal(400, "invalid_request_error", "this is not HTTP")
    pairs = [line.partition(":") for line in lines]
    return first, [(name, value.strip()) for name, _, value in pairs]


def _value(headers: list[tuple[str, str]], wanted: str) -> str:
    return next((value for name, value in headers if name.lower() == wanted), "")


def _joined(line: str, headers: list[tuple[str, str]]) -> bytes:
    """A head whose connection ends with its answer."""
    lines = [line, *(f"{name}: {value}" for name, value in headers), "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _refused(refusal: Refusal) -> bytes:
    body = json.dumps({"type": "error", "error": {"type": refusal.kind, "message": str(refusal)}}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return _joined(f"HTTP/1.1 {refusal.status} Refused", headers) + body
