"""Answers within a time and a size, from servers on real sockets that mean ill."""

import gzip
import re
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from batches.integrations.limited_client import LimitedClient, TooLarge
from tests.local_server import serving

Say = Callable[[Callable[[bytes], None]], None]
SECONDS = 0.3


@contextmanager
def server(say: Say) -> Iterator[str]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.recv(65536)
                say(self.request.sendall)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with serving(made := Server(("127.0.0.1", 0), Handler)):
        yield f"http://127.0.0.1:{made.server_address[1]}/"


def ask(address: str) -> tuple[httpx.Response, bytes]:
    with closing(LimitedClient(seconds=SECONDS, most=100_000, trust_env=False)) as client:
        return client.ask("GET", address)


def drips(part: bytes) -> Say:
    """Sends the begin of an answer, then `part` again and again, each well within the time limit."""

    def say(send: Callable[[bytes], None]) -> None:
        send(b"HTTP/1.1 200 OK\r\n" if part.startswith(b"X") else b"")
        end = threading.Event()
        until = time.monotonic() + 20 * SECONDS
        while time.monotonic() < until:
            send(part)
            end.wait(SECONDS / 10)

    return say


def test_an_answer_is_there_as_a_whole():
    with server(lambda send: send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")) as address:
        answer, body = ask(address)
    assert (answer.status_code, body) == (200, b"{}")


@pytest.mark.parametrize("part", [b"X-More: 1\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["headers", "interim answers"])
def test_a_server_that_sends_a_little_now_and_then_is_left_after_the_time_limit(part):
    with server(drips(part)) as address:
        begun = time.monotonic()
        with pytest.raises(httpx.TimeoutException):
            ask(address)
        assert time.monotonic() - begun < 10 * SECONDS


def test_an_answer_without_a_length_that_was_cut_is_not_taken_for_a_whole_one():
    def say(send: Callable[[bytes], None]) -> None:
        send(b"HTTP/1.1 200 OK\r\n\r\n")
        drips(b" ")(send)

    with server(say) as address, pytest.raises(httpx.TimeoutException):
        ask(address)


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip", "deflate", "br"])
def test_a_packed_answer_is_not_unpacked(coding):
    body = gzip.compress(gzip.compress(bytes(1_000_000)))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    with server(lambda send: send(head.encode() + body)) as address, pytest.raises(httpx.DecodingError):
        ask(address)


def test_an_answer_over_the_limit_is_not_read_to_its_end():
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + bytes(200_000)
    with server(lambda send: send(said)) as address, pytest.raises(TooLarge):
        ask(address)


def test_whoever_asks_another_server_by_httpx_asks_within_these_limits():
    asking = re.compile(r"httpx\.(?:Async)?Client\(|httpx\.(?:get|post|put|request|stream)\(")
    found = {path.name for path in Path("batches").rglob("*.py") if asking.search(path.read_text())}
    assert found == {"limited_client.py"}
