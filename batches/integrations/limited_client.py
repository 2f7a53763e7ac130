"""Answers of other servers within a time and a size, whatever those servers send.

httpx limits the wait for each packet only, and unpacks what is packed several times over: a server that sends a header line now and
then would hold the caller for hours, and one of 3 kB would fill the memory. So nothing packed is asked for or accepted, and when the
time is over the connection is cut. Redirects are not followed.
"""

import json
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from httpx import Response


class TooLarge(Exception):
    """An answer is larger than is allowed."""


class LimitedClient:
    """An HTTP client: each answer is there as a whole within `seconds`, and has at most `most` bytes. Close it at the end."""

    def __init__(self, *, seconds: float, most: int, **settings: Any) -> None:
        import httpx  # here: it brings a command line of its own, which takes a quarter of a command's start

        self._seconds, self._most = seconds, most
        self._client = httpx.Client(timeout=seconds, follow_redirects=False, headers={"Accept-Encoding": "identity"}, **settings)
        self._connections: list[socket.socket] = []
        self._late = threading.Event()

    def close(self) -> None:
        """Close the connections."""
        for one in self._connections:
            one.close()
        self._client.close()

    def ask(self, method: str, url: str, *, extensions: dict[str, Any] | None = None, **request: Any) -> "tuple[Response, bytes]":
        """The answer and its body. Raises TooLarge, httpx.HTTPError (httpx.TimeoutException: it took too long)."""
        import httpx

        self._late.clear()
        timer = threading.Timer(self._seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            with self._client.stream(method, url, extensions={**(extensions or {}), "trace": self._trace}, **request) as answer:
                if answer.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
                    raise httpx.DecodingError("the answer is packed, which was not asked for", request=answer.request)
                body = bytearray()
                for part in answer.iter_raw():
                    body += part
                    if len(body) > self._most:
                        raise TooLarge
                if self._late.is_set():  # the end of an answer that has no length
                    raise httpx.ReadTimeout("the answer took too long", request=answer.request)
                return answer, bytes(body)
        except (UnicodeEncodeError, httpx.InvalidURL):
            raise httpx.LocalProtocolError("a request cannot carry this") from None  # such as a token with a letter that none has
        except httpx.TransportError:
            if self._late.is_set():
                raise httpx.ReadTimeout("the answer took too long") from None
            raise
        finally:
            timer.cancel()

    def _trace(self, event: str, about: dict[str, Any]) -> None:
        if event.endswith(".connect_tcp.complete"):
            # TLS takes the socket itself over; the copy still ends the connection.
            self._connections.append(about["return_value"].get_extra_info("socket").dup())
            if self._late.is_set():
                self._cut()

    def _cut(self) -> None:
        self._late.set()
        for one in self._connections:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def read_json(body: bytes) -> Any:
    """The value of an answer in JSON, whose texts a database and a page can hold. Raises ValueError."""
    try:
        found = json.loads(body)
        return _storable(found) if b"\\u" in body else found
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _storable(found: Any) -> Any:
    """Without NUL, and without halves of a surrogate pair."""
    if isinstance(found, str):
        return found.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(found, list):
        return [_storable(one) for one in found]
    return {_storable(name): _storable(one) for name, one in found.items()} if isinstance(found, dict) else found
