"""How the API proxy reads the API's rate limits, and what it refuses itself (test_claude.py has the rest)."""

import asyncio
import socket
from pathlib import Path

import pytest

from subagents.backends.api_proxy import ApiProxy, reset_of
from subagents.backends.door import Door
from subagents.purse import Purse
from subagents.spending import UsageMeter

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
