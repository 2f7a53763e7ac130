"""The MCP servers of a project, for one attempt: between the agent's program, which asks, and a server, which answers.

The SDK passes each message of the program to the runner, as it does for tools of our own. A stdio server runs in a sandbox of the
attempt beside that of the agent, and the runner itself talks to an http server. So a server's secrets are in no place where the
agent can look, tools that the project denies cannot be called by any way, and answers are masked before the agent reads them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import signal
import socket

from subagents.allowed_hosts import allowed_host, is_allowed, plain_host
from subagents.mcp_servers import SECRET
from subagents.network_access import variables
from subagents.processes import PR_SET_PDEATHSIG, SIGKILL, load_prctl
from subagents.public_addresses import is_public
from subagents.redaction import redact, redact_value
from subagents.sandbox import command_environment, confine, policy_for
from subagents.ways_out import tls, way_out_to

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from typing import Any

    from subagents.agent_tools import ToolPolicy
    from subagents.contract import TaskSpec
    from subagents.mcp_servers import ToolServer
    from subagents.reporting import Reporter

MESSAGE_BYTES = 8 * 1024 * 1024  # of one message of a server
CONNECT_SECONDS, ANSWER_SECONDS, END_SECONDS = 15.0, 600.0, 2.0
STDERR_LINES, STDERR_CHARACTERS = 200, 500


class Unavailable(Exception):
    """Why a server cannot be used."""


class Relay:
    """One server. The SDK takes it for a server of its own: it calls `run` with the streams of the agent's program.

    `problem` says why the server does not work, "" while nothing is known against it; `offered` are the tools that the agent sees.
    """

    def __init__(self, server: ToolServer, tools: ToolPolicy, connect: Callable[[Relay], Any], reporter: Reporter) -> None:
        self.server, self.tools, self.reporter = server, tools, reporter
        self.name, self.problem = server.name, ""
        self.offered: list[str] = []
        self.kept_back: list[str] = []
        self._connect = connect
        self._asked: dict[Any, tuple[str, Any]] = {}  # requests of the program: method, and its metadata

    def create_initialization_options(self) -> None:
        """What the SDK hands to `run`: nothing, for the server says itself what it can do."""

    async def run(self, read: Any, write: Any, options: object = None, **_: object) -> None:
        """Pass messages in both directions until one side ends. Raises Unavailable."""
        try:
            async with self._connect(self) as (send, received):
                tasks = [asyncio.create_task(self._to_server(read, write, send)), asyncio.create_task(self._from_server(received, write))]
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in tasks:
                        task.cancel()
                    ends = await asyncio.gather(*tasks, return_exceptions=True)
                for end in ends:
                    if isinstance(end, Exception):
                        raise Unavailable(str(end)) from end
        except (OSError, ValueError, Unavailable) as problem:
            self.problem = self.problem or redact(str(problem)) or "it did not start"
            raise Unavailable(self.problem) from None
        except BaseExceptionGroup as group:
            self.problem = self.problem or redact(str(group.exceptions[0])) or "it did not answer"
            raise Unavailable(self.problem) from None

    async def _to_server(self, read: Any, write: Any, send: Callable[[dict[str, Any]], Any]) -> None:
        async for item in read:
            if isinstance(item, Exception):
                continue
            message, metadata = _plain(item), getattr(item, "metadata", None)
            method, ident = message.get("method", ""), message.get("id")
            params: dict[str, Any] = message.get("params") or {}
            if method == "tools/call" and not self.permits(str(params.get("name", ""))):
                said = f"the project does not allow the tool {params.get('name', '')} of {self.name}"
                self.reporter.note("warning", "tool_refused", f"mcp__{self.name}__{params.get('name', '')}: {said}")
                await write.send(_message({"jsonrpc": "2.0", "id": ident, "result": _refusal(said)}))
                continue
            if method and ident is not None:
                self._asked[ident] = (method, metadata)
            await send(message)
            if method == "notifications/cancelled":
                _, unanswered = self._asked.pop(params.get("requestId"), ("", None))
                if (end := getattr(unanswered, "on_request_unanswered", None)) is not None:
                    await end()

    async def _from_server(self, received: AsyncIterator[dict[str, Any]], write: Any) -> None:
        async for message in received:
            message = redact_value(message)
            if "method" not in message:
                method, _ = self._asked.pop(message.get("id"), ("", None))
                if not method:
                    continue  # an answer that nobody waits for
                if method == "tools/list" and isinstance(message.get("result"), dict):
                    message["result"] = self._offer(message["result"])
                elif method == "initialize" and isinstance(message.get("error"), dict):
                    self.problem = str(message["error"].get("message", "")) or "it refused to begin"
            await write.send(_message(message))

    def permits(self, tool: str) -> bool:
        return self.tools.permits(f"mcp__{self.name}__{tool}")

    def _offer(self, result: dict[str, Any]) -> dict[str, Any]:
        listed = [tool for tool in result.get("tools") or () if isinstance(tool, dict) and isinstance(tool.get("name"), str)]
        offered = [tool for tool in listed if self.permits(tool["name"])]
        self.offered = list(dict.fromkeys((*self.offered, *(tool["name"] for tool in offered))))
        self.kept_back = list(dict.fromkeys((*self.kept_back, *(tool["name"] for tool in listed if tool not in offered))))
        return {**result, "tools": offered}


class ToolServers:
    """The servers of one attempt. `values` are the project's secrets for servers."""

    def __init__(
        self, spec: TaskSpec, checkout: str, tools: ToolPolicy, reporter: Reporter, values: Mapping[str, str], network: bool
    ) -> None:
        self._spec, self._checkout, self._reporter, self._values, self._network = spec, checkout, reporter, values, network
        self.relays = [Relay(server, tools, self._program if server.command else self._address, reporter) for server in tools.servers]

    def lacking(self) -> str:
        """Which secret a server asks for and was not given; "" for none."""
        for relay in self.relays:
            for name in relay.server.secrets:
                if name not in self._values:
                    return f"the MCP server {relay.name} asks for the secret {name}, which the project does not give to MCP servers"
        return ""

    def in_force(self) -> list[dict[str, Any]]:
        """What became of each server: its name, how it is reached, why it does not work, the tools that are offered and kept back."""
        return [
            {
                "name": relay.name,
                "at": redact(relay.server.url or " ".join(relay.server.command)),
                "problem": relay.problem,
                "tools": relay.offered,
                "kept_back": relay.kept_back,
            }
            for relay in self.relays
        ]

    def _filled(self, texts: Mapping[str, str]) -> dict[str, str]:
        return {name: SECRET.sub(lambda found: self._values.get(found[1], ""), text) for name, text in texts.items()}

    @contextlib.asynccontextmanager
    async def _program(self, relay: Relay) -> AsyncIterator[tuple[Any, Any]]:
        """Start a stdio server in a sandbox like the agent's, with a home of its own. Raises OSError, GitError, Unavailable."""
        spec, server = self._spec, relay.server
        own = os.path.join(spec.attempt_dir, "servers", server.name)
        os.makedirs(own, mode=0o700, exist_ok=True)
        environment = command_environment(spec, self._checkout, own)
        if self._network:
            environment = {**variables(spec), **environment}
        environment |= self._filled(server.env)
        policy = policy_for(spec, self._checkout, network=self._network, own=own)
        argv, prepare = confine(spec.sandbox or "rlimit", policy, server.command, self._checkout)
        prctl, parent = load_prctl(), os.getpid()

        def enter() -> None:
            os.setpgid(0, 0)
            prctl(PR_SET_PDEATHSIG, SIGKILL)
            if os.getppid() != parent:
                os._exit(125)
            prepare()

        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, cwd=self._checkout, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, limit=MESSAGE_BYTES, preexec_fn=enter
            )
        except (OSError, ValueError) as problem:
            raise Unavailable(f"{server.command[0]} cannot be started: {getattr(problem, 'strerror', '') or problem}") from None
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        heard = _Stderr(relay, self._reporter)
        listening = asyncio.create_task(heard.read(process.stderr))
        self._reporter.note("info", "mcp_server", f"MCP server {server.name}: {redact(' '.join(server.command))}")

        async def send(message: dict[str, Any]) -> None:
            process.stdin.write(json.dumps(message).encode() + b"\n")  # type: ignore[union-attr]  # asserted above
            with contextlib.suppress(ConnectionError):
                await process.stdin.drain()  # type: ignore[union-attr]

        async def received() -> AsyncIterator[dict[str, Any]]:
            async for line in process.stdout:  # type: ignore[union-attr]
                with contextlib.suppress(ValueError):  # what is no message is no part of the protocol
                    found = json.loads(line)
                    if isinstance(found, dict):
                        yield found
            code = await process.wait()
            await asyncio.wait({listening}, timeout=END_SECONDS)
            relay.problem = relay.problem or _ended(server.command[0], code, heard.last)
            raise Unavailable(relay.problem)

        try:
            yield send, received()
        finally:
            process.stdin.close()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            listening.cancel()
            await asyncio.wait({listening}, timeout=END_SECONDS)

    @contextlib.asynccontextmanager
    async def _address(self, relay: Relay) -> AsyncIterator[tuple[Any, Any]]:
        """Talk to an http server from here. Raises Unavailable."""
        import httpcore2
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        server = relay.server
        scheme, (host, port) = server.url.partition(":")[0], server.host
        if hosts := self._spec.policy.get("hosts"):
            lines = [allowed_host(str(line)) for line in hosts]
            if not is_allowed(plain_host(host) or host, port, lines):
                raise Unavailable(f"{host}:{port} is not among the hosts that the project allows")
        private = [ipaddress.ip_network(str(text)) for text in self._spec.options.get("private_networks", ())]

        class Checked(httpcore2.AsyncNetworkBackend):
            """Connects to the address that was checked, so that a second answer of the name server changes nothing."""

            async def connect_tcp(self, host: str, port: int, *more: Any, **named: Any) -> Any:
                address = await _checked_address(host, port, private, plain=scheme == "http")
                return await httpcore2.AnyIOBackend().connect_tcp(address, port, *more, **named)

            async def sleep(self, seconds: float) -> None:
                await asyncio.sleep(seconds)

        class Plain(httpx2.AsyncHTTPTransport):
            """Takes nothing packed: 3 kB may unpack to gigabytes."""

            async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
                request.headers["Accept-Encoding"] = "identity"
                answer = await super().handle_async_request(request)
                if answer.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
                    await answer.aclose()
                    raise httpx2.DecodingError("the answer is packed, which was not asked for")
                return answer

        way = way_out_to(scheme, host)
        transport = Plain(verify=tls(), proxy=way or None)
        if way:  # the proxy looks the name up; where we can, too, it leads to nothing inside
            with contextlib.suppress(socket.gaierror):
                await _checked_address(host, port, private, plain=False)
        else:
            transport._pool = httpcore2.AsyncConnectionPool(ssl_context=tls(), network_backend=Checked())
        timeout = httpx2.Timeout(CONNECT_SECONDS, read=ANSWER_SECONDS)
        headers = self._filled(server.headers)
        self._reporter.note("info", "mcp_server", f"MCP server {server.name}: {server.url}")
        async with (
            httpx2.AsyncClient(transport=transport, headers=headers, timeout=timeout, trust_env=False) as client,
            streamable_http_client(server.url, http_client=client) as (there, back, *_),
        ):

            async def send(message: dict[str, Any]) -> None:
                await back.send(_message(message))

            async def received() -> AsyncIterator[dict[str, Any]]:
                async for item in there:
                    if not isinstance(item, Exception):
                        yield _plain(item)

            yield send, received()


async def _checked_address(host: str, port: int, private: list[Any], *, plain: bool) -> str:
    """An address of a host, if all of them may be reached: public ones, and those of the installation's private networks.

    Without encryption only the latter. Raises OSError.
    """
    loop = asyncio.get_running_loop()
    found = await asyncio.wait_for(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM), CONNECT_SECONDS)
    addresses = sorted({str(entry[4][0]).partition("%")[0] for entry in found}, key=lambda one: (":" in one, one))
    for text in addresses:
        address = ipaddress.ip_address(text)
        inside = any(address in network for network in private)
        if not inside and not is_public(address):
            raise OSError(f"{host} leads to {text}, which is not in the public network")
        if plain and not inside:
            raise OSError(f"{host} is asked without encryption (http), which only CE_PRIVATE_NETWORKS allows")
    return addresses[0]


class _Stderr:
    """What a server says on its standard error: in the log, up to a number of lines; `last` is its last line."""

    def __init__(self, relay: Relay, reporter: Reporter) -> None:
        self._name, self._reporter, self._lines, self.last = relay.name, reporter, 0, ""

    async def read(self, stream: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # longer than the limit
                continue
            if not line:
                return
            text = redact(line.decode("utf-8", "replace").strip())[:STDERR_CHARACTERS]
            self.last, self._lines = text or self.last, self._lines + 1
            if text and self._lines <= STDERR_LINES:
                self._reporter.note("info", "mcp_server", f"{self._name}: {text}")


def _ended(program: str, code: int, last: str) -> str:
    if code in (126, 127):
        return f"{program} cannot be run in the sandbox: is it installed in /usr or under the project's additional readable paths?"
    return f"{program} ended with exit code {code}" + (f": {last}" if last else "")


def _refusal(said: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}], "isError": True}


def _plain(item: Any) -> dict[str, Any]:
    """A message of the package mcp as JSON has it."""
    found: dict[str, Any] = item.message.model_dump(by_alias=True, mode="json", exclude_none=True)
    return found


def _message(message: dict[str, Any]) -> Any:
    """A message as the package mcp passes it on."""
    from mcp.shared.message import SessionMessage
    from mcp.types import jsonrpc_message_adapter

    return SessionMessage(jsonrpc_message_adapter.validate_python(message, by_name=False))
