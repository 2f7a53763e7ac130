"""A stand-in for the APIs of other agents' models, for tests only: OpenAI's Responses and Chat Completions, Google's Gemini API.

The Messages API of opencode's provider is spoken too. Each agent is asked to write a file: the model first calls the agent's own
shell tool (aider has none: it is given an edit), and when it sees the result it says that it is done.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.local_server import LocalServer, serving
from tests.subagents.messages_api import Text, Tool, events, said, whole_message

COMMAND = "echo made > made.txt"
DONE = "I wrote made.txt."
SHELLS = ("exec_command", "shell", "shell_command", "local_shell", "bash", "run_shell_command")


@dataclass
class OtherApis:
    """A running stand-in: its address, the requests (path, body) that it got, and whether it refuses them as a used-up limit."""

    address: str = ""
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    limited: bool = False


class Handler(BaseHTTPRequestHandler):
    apis: OtherApis
    protocol_version = "HTTP/1.0"  # each answer ends with its connection

    def do_GET(self) -> None:
        self.answer(404, {"error": {"message": "not here"}})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        path = self.path.partition("?")[0]
        self.apis.asked.append((self.path, body))
        if self.apis.limited:
            self.answer(429, limit_of(path))
        elif path.endswith("/responses"):
            self.stream(responses(body))
        elif path.endswith("/chat/completions"):
            self.answer(200, completion(body))
        elif "generatecontent" in path.lower():
            one = gemini(body)
            self.stream([("", one)]) if "stream" in path else self.answer(200, one)
        elif path.endswith("/messages"):
            reply, usage = messages(body)
            if body.get("stream"):
                self.stream((name, {"type": name, **data}) for name, data in events(reply, usage, body["model"]))
            else:
                self.answer(200, whole_message(reply, usage, body["model"]))
        else:
            self.answer(404, {"error": {"message": f"{path} is not known"}})

    def stream(self, found: Any) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for name, data in found:
            head = f"event: {name}\n" if name else ""
            self.wfile.write(f"{head}data: {json.dumps(data)}\n\n".encode())
            self.wfile.flush()

    def answer(self, status: int, value: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Silent."""


def limit_of(path: str) -> dict[str, Any]:
    """What each API says when nothing is left for a while."""
    if "generateContent" in path or "GenerateContent" in path:
        violation = {"quotaMetric": "generate_requests_per_model_per_day", "quotaId": "GenerateRequestsPerDayPerProjectPerModel"}
        failure = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}
        error = {"code": 429, "message": "You exceeded your current quota.", "status": "RESOURCE_EXHAUSTED", "details": [failure]}
        return {"error": error}
    if path.endswith("/responses"):
        told = {"message": "The usage limit has been reached", "plan_type": "plus", "resets_in_seconds": 3600}
        return {"error": {"type": "usage_limit_reached", **told}}
    if path.endswith("/messages"):
        return {"type": "error", "error": {"type": "rate_limit_error", "message": "This request would exceed your rate limit."}}
    return {"error": {"message": "You exceeded your current quota.", "type": "insufficient_quota", "code": "insufficient_quota"}}


def shell_of(names: list[str]) -> str:
    """The agent's tool for commands."""
    return next((name for name in SHELLS if name in names), "")


def responses(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """OpenAI's Responses API, as events."""
    answered = any(str(item.get("type", "")).endswith("_call_output") for item in body.get("input", ()) if isinstance(item, dict))
    name = shell_of([str(tool.get("name") or tool.get("type")) for tool in body.get("tools", ())])
    common = {"id": "resp_1", "object": "response", "model": body["model"], "status": "in_progress", "output": []}
    yield "response.created", {"type": "response.created", "response": common}
    if answered or not name:
        content = [{"type": "output_text", "text": DONE, "annotations": []}]
        item: dict[str, Any] = {"type": "message", "id": "msg_1", "role": "assistant", "content": content}
    else:
        given = {"cmd": COMMAND} if name == "exec_command" else {"command": ["bash", "-lc", COMMAND] if name == "shell" else COMMAND}
        item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": name, "arguments": json.dumps(given)}
    item |= {"status": "completed"}
    yield "response.output_item.added", {"type": "response.output_item.added", "output_index": 0, "item": item}
    yield "response.output_item.done", {"type": "response.output_item.done", "output_index": 0, "item": item}
    usage = {
        "input_tokens": 1200,
        "input_tokens_details": {"cached_tokens": 1000 if answered else 0},
        "output_tokens": 30,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 1230,
    }
    ended = {**common, "status": "completed", "output": [item], "usage": usage}
    yield "response.completed", {"type": "response.completed", "response": ended}


def completion(body: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's Chat Completions, not streamed: an edit in the form that aider asks an unknown model for."""
    text = "made.txt\n```\nmade\n```\n" if "made.txt" in json.dumps(body) else DONE
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 900, "completion_tokens": 20, "total_tokens": 920}
    common = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"], "usage": usage}
    return {**common, "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}


def gemini(body: dict[str, Any]) -> dict[str, Any]:
    """Google's Gemini API: one answer, which is also the only event of its stream."""
    parts = [part for content in body.get("contents", ()) for part in content.get("parts", ())]
    answered = any("functionResponse" in part for part in parts)
    names = [str(one.get("name")) for tool in body.get("tools", ()) for one in tool.get("functionDeclarations", ())]
    name = shell_of(names)
    if answered or not name:
        said_part: dict[str, Any] = {"text": DONE}
    else:
        said_part = {"functionCall": {"id": "call_1", "name": name, "args": {"command": COMMAND, "description": "Write the file"}}}
    usage = {"promptTokenCount": 1200, "candidatesTokenCount": 30, "totalTokenCount": 1230}
    usage |= {"cachedContentTokenCount": 1000 if answered else 0}
    candidate = {"index": 0, "content": {"role": "model", "parts": [said_part]}, "finishReason": "STOP"}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-pro"}


def messages(body: dict[str, Any]) -> tuple[Any, dict[str, int]]:
    """The Messages API."""
    answered = "tool_result" in json.dumps(body["messages"])
    name = shell_of([str(tool.get("name")) for tool in body.get("tools") or ()])
    usage = {"input_tokens": 200, "cache_creation_input_tokens": 0, "output_tokens": 30}
    usage |= {"cache_read_input_tokens": 1000 if answered else 0}
    if answered or not name:
        return said(Text(DONE)), usage
    return said(Tool(name, {"command": COMMAND, "description": "Write the file"})), usage


@contextmanager
def other_apis() -> Iterator[OtherApis]:
    """A stand-in on a free port of the loopback address, for as long as the block lasts."""
    apis = OtherApis()
    server = LocalServer(type("BoundHandler", (Handler,), {"apis": apis}))
    apis.address = server.url
    with serving(server):
        yield apis
