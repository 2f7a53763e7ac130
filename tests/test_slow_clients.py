"""Slow and half-open clients hold no thread of the web server: requests are whole before they get one, and have a deadline."""

import contextlib
import socket
import subprocess
import sys
import time

import pytest

from batches.management.commands.up import web_command
from ce_web import web_worker
from ce_web.web_worker import Arriving
from tests.installation import ROOT, Installation, free_port
from tests.patience import PATIENCE

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The web server alone, with one worker, two threads and short times."""
    made = Installation(tmp_path_factory.mktemp("slow") / "installation")
    made.bootstrap("--no-sample")
    number = free_port()
    command = [*web_command("127.0.0.1", number)]
    command[command.index("--workers") + 1], command[command.index("--threads") + 1] = "1", "2"
    start = "from ce_web import web_worker as w; w.HEAD_SECONDS = 10.0; w.BODY_SECONDS = 10.0; w.MOST_OF_ADDRESS = 40; "
    start += f"import sys; sys.argv = ['gunicorn', *{command[3:]!r}]; from gunicorn.app.wsgiapp import run; run()"
    with subprocess.Popen([sys.executable, "-c", start], cwd=ROOT, env=made.environment) as server:
        try:
            made.port = number
            made.wait(made.answers, 30, "the site answers")
            yield number
        finally:
            server.terminate()
            server.wait(10 * PATIENCE)
            made.remove()


GET = b"GET /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
POST = b"POST /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n"


def connect(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), 10)
    made.settimeout(60)
    return made


def answer(sock: socket.socket) -> bytes:
    """The status line and headers of the next answer; b"" when the connection was closed."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while b"\r\n\r\n" not in data:
            if not (part := sock.recv(4096)):
                return data
            data += part
    return data


def ask(port: int, request: bytes = GET) -> bytes:
    with connect(port) as sock:
        sock.sendall(request)
        return answer(sock)


@pytest.mark.parametrize("first", [b"", b"GET /sign-in/ HTTP/1.1\r\nX-Slow: ", POST % 1000 + b"a"], ids=["nothing", "header", "body"])
def test_many_unfinished_requests_keep_nobody_waiting_and_are_closed_in_time(port, first):
    began = time.monotonic()
    slow = [connect(port) for _ in range(30)]
    for sock in slow:
        sock.sendall(first)
    asked = time.monotonic()
    assert ask(port).startswith(b"HTTP/1.1 200") and time.monotonic() - asked < 9
    for sock in slow:
        assert answer(sock).startswith(b"HTTP/1.1 408" if first else b"")
        sock.close()
    assert time.monotonic() - began < 60


def test_one_address_has_so_many_unfinished_requests_and_then_the_oldest_go(port):
    slow = [connect(port) for _ in range(60)]
    for sock in slow:
        sock.sendall(b"G")
    assert ask(port).startswith(b"HTTP/1.1 200")
    slow[0].settimeout(4)
    assert slow[0].recv(100) == b"", "closed at once, without an answer"
    for sock in slow:
        sock.close()


def test_whole_requests_are_answered_however_they_come(port):
    with connect(port) as sock:
        for byte in GET:
            sock.sendall(bytes([byte]))
        assert answer(sock).startswith(b"HTTP/1.1 200")
    body = b"username=a&password=" + b"b" * 200_000
    with connect(port) as sock:
        sock.sendall(POST % len(body) + body[:1000])
        sock.sendall(body[1000:])
        assert answer(sock).startswith(b"HTTP/1.1 403"), "no CSRF token, but read"
    with connect(port) as sock:  # two at once on a kept connection, and then one more
        sock.sendall(GET + GET)
        text = b""
        while text.count(b"HTTP/1.1 200") < 2:
            text += sock.recv(1 << 16)
        assert text.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"GET /sign-in/ HTTP/1.1\r\nX: " + b"a" * 70_000, b"431"),
        (b"POST /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (POST % 10**12, b"413"),
        (b"POST /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", b"400"),
        (b"POST /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\na", b"400"),
        (b"rubbish\r\n\r\n", b"400"),
    ],
)
def test_what_no_request_is_is_refused_at_once(port, request_text, status):
    assert ask(port, request_text).startswith(b"HTTP/1.1 " + status)


def test_who_waits_for_leave_to_send_a_body_gets_it(port):
    with connect(port) as sock:
        sock.sendall(POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n") % 3)
        assert answer(sock).startswith(b"HTTP/1.1 100")
        sock.sendall(b"a=b")
        text = b""  # leave may be given twice, and come in one piece with the answer
        while b"HTTP/1.1 403" not in text and (part := answer(sock)):
            text += part
        assert b"HTTP/1.1 403" in text


def test_a_large_body_goes_to_a_file():
    class Conn:
        client = ("127.0.0.1", 1)

    one = Arriving(Conn())
    assert one.take(POST % 3_000_000) == ""
    assert one.take(b"a" * 2_999_999) == "" and one.whole._rolled
    assert one.take(b"aGET") == "whole" and bytes(one.head) == b"GET"
    with one.whole:
        assert len(one.whole.read()) == len(POST % 3_000_000) + 3_000_000
    assert web_worker.most_body_bytes() > 50_000_000
