"""How the API proxy reads the API's rate limits, and what it refuses itself (test_claude.py has the rest)."""

import asyncio
import socket
from pathlib import Path

import pytest

from subagents.backends.api_proxy import ApiProxy, reset_of
from subagents.backends.door import Door
from subagents.credentials import signed
from subagents.purse import Purse
from subagents.spending import UsageMeter
from subagents.ways_out import way_out_to

NOW = 1_790_000_000.0
USED_UP = ("anthropic-ratelimit-tokens-remaining", "0")


@pytest.mark.parametrize(
    ("headers", "reset"),
    [
        ((), None),
        ((("Retry-After", "30"),), NOW + 30),
        ((("retry-after", "Mon, 21 Sep 2026 14:13:20 GMT"),), NOW),
        ((("retry-after", "soon"),), None),
        ((("retry-after", "nan"),), None),
        ((("retry-after", "30"), ("anthropic-ratelimit-unified-reset", "1790000900")), NOW + 30),
        ((("anthropic-ratelimit-unified-reset", "1790000900"),), NOW + 900),
        ((USED_UP, ("anthropic-ratelimit-tokens-reset", "2026-09-21T14:13:50Z")), NOW + 30),
        ((("anthropic-ratelimit-tokens-remaining", "9"), ("anthropic-ratelimit-tokens-reset", "2026-09-21T14:13:50Z")), None),
    ],
)
def test_reset_is_what_the_refusal_tells(headers: tuple[tuple[str, str], ...], reset: float | None) -> None:
    assert reset_of(headers, NOW) == reset


COUNT = "/v1/messages/count_tokens"
HEAD = "Host: x\r\nContent-Length: 2\r\n"
ANSWERS = {
    "another's": (f"POST /v1/messages HTTP/1.1\r\n{HEAD}x-api-key: guessed\r\n\r\n{{}}", "401", "only the agent may use this port"),
    "another path": (f"POST /v1/files HTTP/1.1\r\n{HEAD}x-api-key: PASSWORD\r\n\r\n{{}}", "404", "POST /v1/files is not forwarded"),
    "no length": ("POST /v1/messages HTTP/1.1\r\nx-api-key: PASSWORD\r\n\r\n", "413", "a request needs a Content-Length"),
    "no HTTP": ("hello\r\n\r\n", "400", "this is not HTTP"),
    "no message": (f"POST /v1/messages HTTP/1.1\r\n{HEAD}x-api-key: PASSWORD\r\n\r\n{{}}", "400", "this is no request for a message"),
    "no API": (f"POST {COUNT} HTTP/1.1\r\n{HEAD}x-api-key: PASSWORD\r\n\r\n{{}}", "502", "127.0.0.1 cannot be reached"),
}


@pytest.mark.parametrize("asked", ANSWERS)
def test_proxy_answers_itself_what_it_does_not_forward(asked: str, tmp_path: Path) -> None:
    request, status, words = ANSWERS[asked]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    door = Door(Purse(str(tmp_path / "purse.json"), "a"), UsageMeter(), lambda: None)
    proxy = ApiProxy(f"http://127.0.0.1:{closed}", "the-key", lambda status, reset: None, door, lambda: None)

    async def ask() -> str:
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(request.replace("PASSWORD", proxy.password).encode())
        said = (await reader.read()).decode()
        writer.close()
        server.close()
        return said

    said = asyncio.run(ask())
    assert said.startswith(f"HTTP/1.1 {status} ") and words in said and "the-key" not in said


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("sk-ant-api-1", [("X-Api-Key", "sk-ant-api-1"), ("anthropic-beta", "a")]),
        ("Bearer gateway-1", [("Authorization", "Bearer gateway-1"), ("anthropic-beta", "a")]),
        ("Bearer sk-ant-oat-1", [("Authorization", "Bearer sk-ant-oat-1"), ("anthropic-beta", "a,oauth-2025-04-20")]),
    ],
)
def test_key_is_sent_as_what_it_is(key: str, sent: list[tuple[str, str]]) -> None:
    assert signed(key, [("anthropic-beta", "a")]) == sent


@pytest.mark.parametrize(
    ("environment", "scheme", "way"),
    [
        ({}, "https", ""),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "https", "http://proxy:3128"),
        ({"https_proxy": "proxy:3128"}, "https", "http://proxy:3128"),
        ({"ALL_PROXY": "http://proxy:3128"}, "https", "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "example.org"}, "https", ""),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http", ""),
    ],
)
def test_way_to_the_api_is_that_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], scheme: str, way: str
) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert way_out_to(scheme, "api.example.org") == way


@pytest.mark.parametrize(("answer", "said"), [("200 OK", "200 OK"), ("407 Sign in", "proxy 127.0.0.1 answered 407 Sign in")])
def test_api_is_reached_through_a_proxy_and_its_refusal_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str, said: str
) -> None:
    asked: list[str] = []

    async def way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 {answer}\r\n\r\n".encode())
        if answer.startswith("200"):
            asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async def ask() -> str:
        proxy_server = await asyncio.start_server(way, "127.0.0.1", 0)
        monkeypatch.setenv("HTTPS_PROXY", "http://me:pass@127.0.0.1:{1}".format(*proxy_server.sockets[0].getsockname()))
        door = Door(Purse(str(tmp_path / "purse.json"), "a"), UsageMeter(), lambda: None)
        proxy = ApiProxy("https://api.example.org", "the-key", lambda status, reset: None, door, lambda: None)
        proxy._context = None  # what the tunnel carries is not encrypted here: there is no certificate for it
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(f"POST {COUNT} HTTP/1.1\r\n{HEAD}x-api-key: {proxy.password}\r\n\r\n{{}}".encode())
        found = (await reader.read()).decode()
        writer.close()
        server.close()
        proxy_server.close()
        return found

    assert said in asyncio.run(ask())
    assert asked[0].startswith("CONNECT api.example.org:80 HTTP/1.1\r\n") and "Proxy-Authorization: Basic bWU6cGFzcw==" in asked[0]
    assert "the-key" not in asked[0]
