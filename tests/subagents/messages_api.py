"""A stand-in for the Messages API, for tests only: answers the real agent's requests as a scenario says.

The key names the scenario (`x-api-key: fake-<scenario>`). What a scenario says next depends on how many answers there
were in the conversation so far, so it needs no state of its own and survives an agent's restart and resume. Requests
without tools are side calls of the agent, such as a title. What the provider would charge for is in `usage`: the
figures are made up but different from each other, so that a figure in the wrong column is seen.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.local_server import LocalServer, serving

MODELS = {"haiku": "claude-haiku-5-5", "sonnet": "claude-sonnet-5-5", "opus": "claude-opus-5-5"}
CUT, HANG, MALFORMED = "cut", "hang", "malformed"  # ways in which a stream goes wrong
EMPTY, BROKEN, SLOW = "empty", "broken", "slow"  # no event at all; an event that tells of an error; pings, and pauses between the events
PAUSE_SECONDS = 0.1  # of a slow stream


@dataclass(frozen=True)
class Text:
    """The model says something."""

    text: str


@dataclass(frozen=True)
class Thought:
    """The model thinks."""

    text: str


@dataclass(frozen=True)
class Tool:
    """The model calls a tool; the agent carries it out for real."""

    name: str
    input: dict[str, Any]


def bash(command: str) -> Tool:
    return Tool("Bash", {"command": command, "description": "Run a command"})


def write(path: str, content: str) -> Tool:
    return Tool("Write", {"file_path": path, "content": content})


def answer(**fields: Any) -> Tool:
    """The structured result, as the agent's command line asks the model for it."""
    return Tool("StructuredOutput", fields)


@dataclass(frozen=True)
class Reply:
    """One answer of the model; `fault` is how its stream goes wrong, `output_tokens` None counts its blocks."""

    blocks: tuple[Text | Thought | Tool, ...] = ()
    stop_reason: str = ""
    fault: str = ""
    output_tokens: int | None = None
    read_tokens: int | None = None  # of the prompt from the cache; None follows from the turn


@dataclass(frozen=True)
class Refused:
    """An HTTP error. Without a kind the message is the whole body, as a gateway's page is."""

    status: int
    kind: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()


def said(*blocks: Text | Thought | Tool) -> Reply:
    return Reply(tuple(blocks))


@dataclass
class Turn:
    """What a scenario is asked with: how many answers there were in the conversation, and how many requests before this one."""

    number: int
    requests: int
    body: dict[str, Any]
    api: "MessagesApi"

    @property
    def cwd(self) -> str:
        """The checkout, as the prompt tells it; of a conversation that was resumed the newest one."""
        found = re.findall(r"own checkout: ([^\s\"\\]+)", json.dumps(self.body["messages"]))
        return found[-1] if found else ""

    @property
    def prompt(self) -> str:
        """What the conversation began with."""
        return json.dumps(self.body["messages"][0]["content"])

    @property
    def last_result(self) -> str:
        """What the agent's last tool call gave back."""
        return json.dumps(self.body["messages"][-1]["content"])


Scenario = Callable[[Turn], Reply | Refused]


@dataclass
class MessagesApi:
    """A running stand-in: its address, what it was asked, and what the provider would have charged for."""

    scenarios: dict[str, Scenario]
    address: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    usages: list[dict[str, int]] = field(default_factory=list)
    broken: list[dict[str, int]] = field(default_factory=list)
    charged: dict[str, list[dict[str, int]]] = field(default_factory=dict)  # both, by scenario
    side_calls: int = 0
    met: set[str] = field(default_factory=set)  # what has gone wrong once
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopping: threading.Event = field(default_factory=threading.Event)

    def next_reply(self, key: str, body: dict[str, Any]) -> tuple[Reply | Refused, dict[str, int]]:
        with self.lock:
            if not body.get("tools"):
                self.side_calls += 1
                return said(Text("A side call")), usage_of(0, 5)
            number = sum(message["role"] == "assistant" for message in body["messages"])
            turn = Turn(number, len(self.bodies), body, self)
            self.bodies.append(body)
            scenario = self.scenarios.get(key.removeprefix("fake-"))
        if scenario is None:
            return Refused(401, "authentication_error", "invalid x-api-key"), {}
        reply = scenario(turn)
        if isinstance(reply, Refused):
            return reply, {}
        output = reply.output_tokens if reply.output_tokens is not None else 20 + 7 * len(reply.blocks)
        if output > body["max_tokens"]:  # as the API does, the answer is cut there
            output, reply = body["max_tokens"], replace(reply, stop_reason="max_tokens")
        usage = usage_of(number, output)
        if reply.read_tokens is not None:
            usage["cache_read_input_tokens"] = reply.read_tokens
        if reply.fault == EMPTY and body.get("stream"):
            return reply, usage  # nothing was produced
        if reply.fault in (CUT, HANG, BROKEN) and body.get("stream"):  # else it is whole, as `whole_message` writes it
            # What its first event told, and a third of the characters that arrived, which is how the agent's program guesses.
            arrived = sum(len(block.text) for block in reply.blocks if isinstance(block, Text)) if reply.fault != HANG else 0
            counted = {**usage, "output_tokens": max(1, round(arrived / 3))}
            self.broken.append(counted)
        else:
            counted = usage
            self.usages.append(usage)
        self.charged.setdefault(key.removeprefix("fake-"), []).append(counted)
        return reply, usage


def usage_of(turn: int, output: int) -> dict[str, int]:
    return {
        "input_tokens": 11 + turn,
        "cache_creation_input_tokens": 3000 if turn == 0 else 130,
        "cache_read_input_tokens": 0 if turn == 0 else 2870 + 130 * turn,
        "output_tokens": output,
    }


class Handler(BaseHTTPRequestHandler):
    api: MessagesApi
    protocol_version = "HTTP/1.0"  # each answer ends with its connection

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.path.startswith("/v1/messages?beta=true"):
            self.fail(Refused(404, "not_found_error", self.path))
            return
        key = self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")
        reply, usage = self.api.next_reply(key, body)
        if isinstance(reply, Refused):
            self.fail(reply)
            return
        if not body.get("stream"):  # what the agent falls back to after a broken stream
            self.send_json(200, whole_message(reply, usage, body["model"]))
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for name, data in events(reply, usage, body["model"]):
            if reply.fault == SLOW:
                self.api.stopping.wait(PAUSE_SECONDS)
                self.wfile.write(b'event: ping\ndata: {"type": "ping"}\n\n')
            self.wfile.write(f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode())
            self.wfile.flush()
        if reply.fault == HANG:
            self.api.stopping.wait(120)

    def fail(self, refused: Refused) -> None:
        data = {"type": "error", "error": {"type": refused.kind, "message": refused.message}}
        self.send_json(refused.status, data if refused.kind else refused.message, refused.headers)

    def send_json(self, status: int, value: dict[str, Any] | str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(value, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Silent."""


def message_of(model: str, usage: dict[str, int], **more: Any) -> dict[str, Any]:
    common = {"type": "message", "role": "assistant", "model": MODELS.get(model, model), "usage": usage}
    return {"id": f"msg_{time.monotonic_ns():x}", **common, "content": [], "stop_reason": None, "stop_sequence": None, **more}


def whole_message(reply: Reply, usage: dict[str, int], model: str) -> dict[str, Any]:
    """An answer that is not streamed."""
    content = [
        {"type": "text", "text": block.text}
        if isinstance(block, Text | Thought)
        else {"type": "tool_use", "id": f"toolu_{time.monotonic_ns():x}", "name": block.name, "input": block.input}
        for block in reply.blocks
    ]
    return message_of(model, usage, content=content, stop_reason=reason_of(reply))


def reason_of(reply: Reply) -> str:
    return reply.stop_reason or ("tool_use" if any(isinstance(block, Tool) for block in reply.blocks) else "end_turn")


def events(reply: Reply, usage: dict[str, int], model: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The server-sent events of one answer."""
    if reply.fault == EMPTY:
        return
    yield "message_start", {"message": message_of(model, {**usage, "output_tokens": 1})}
    if reply.fault == HANG:
        return
    for index, block in enumerate(reply.blocks):
        if isinstance(block, Text):
            yield "content_block_start", {"index": index, "content_block": {"type": "text", "text": ""}}
            yield "content_block_delta", {"index": index, "delta": {"type": "text_delta", "text": block.text}}
        elif isinstance(block, Thought):
            yield "content_block_start", {"index": index, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}
            yield "content_block_delta", {"index": index, "delta": {"type": "thinking_delta", "thinking": block.text}}
            yield "content_block_delta", {"index": index, "delta": {"type": "signature_delta", "signature": "c2lnbmVk"}}
        else:
            start = {"type": "tool_use", "id": f"toolu_{time.monotonic_ns():x}", "name": block.name, "input": {}}
            yield "content_block_start", {"index": index, "content_block": start}
            given = json.dumps(block.input)
            for part in (given[: len(given) // 2], "" if reply.fault == MALFORMED else given[len(given) // 2 :]):
                yield "content_block_delta", {"index": index, "delta": {"type": "input_json_delta", "partial_json": part}}
        if reply.fault == CUT:
            return
        if reply.fault == BROKEN:
            yield "error", {"error": {"type": "overloaded_error", "message": "Overloaded"}}
            return
        yield "content_block_stop", {"index": index}
    delta = {"stop_reason": reason_of(reply), "stop_sequence": None}
    yield "message_delta", {"delta": delta, "usage": {"output_tokens": usage["output_tokens"]}}
    yield "message_stop", {}


@contextmanager
def messages_api(scenarios: dict[str, Scenario]) -> Iterator[MessagesApi]:
    """A stand-in on a free port of the loopback address, for as long as the block lasts."""
    api = MessagesApi(scenarios)
    handler = type("BoundHandler", (Handler,), {"api": api})
    server = LocalServer(handler)
    api.address = server.url
    with serving(server):
        try:
            yield api
        finally:
            api.stopping.set()
