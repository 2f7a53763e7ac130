"""MCP servers, denied tools, skills and subagents with the real SDK and its program, against a stand-in for the Messages API.

The servers are of the official SDK for MCP: one is started in the sandbox, one is asked over http.
"""

import gzip
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import uvicorn
from mcp.server import MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from subagents import launcher
from subagents.contract import Failure, StepPlan, TaskResult, TaskSpec
from tests.local_server import LocalServer, serving
from tests.patience import PATIENCE
from tests.subagents.conftest import World, commit_files
from tests.subagents.messages_api import MessagesApi, Reply, Scenario, Tool, Turn, bash, messages_api, said
from tests.subagents.scenarios import done, finished
from tests.subagents.test_sandbox import HERE

pytestmark = pytest.mark.process

SECRET = "sesame-open-8731"
SERVER = """
import os, sys
from mcp.server import MCPServer

server = MCPServer("tracker")

@server.tool()
def whoami() -> str:
    '''Who the token belongs to.'''
    return f"token of {len(os.environ['TRACKER_TOKEN'])} characters: {os.environ['TRACKER_TOKEN']}"

@server.tool()
def write_note(text: str) -> str:
    '''Write a note into the repository.'''
    open("note.txt", "w").write(text)
    try:
        open("/etc/ce-note", "w")
    except OSError as error:
        return f"written; /etc: {type(error).__name__}"
    return "written everywhere"

@server.tool()
def close_all() -> str:
    '''Close every ticket.'''
    open("closed.txt", "w").write("all")
    return "closed"

print("tracker is up", file=sys.stderr)
server.run("stdio")
"""


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    assert launcher.agent_fork_server.warm(120)


def calls(*tools: Tool) -> Scenario:
    """The model calls these tools, one an answer, and then is done."""

    def next_reply(turn: Turn) -> Reply:
        replies = [*(said(tool) for tool in tools), said(done(1)), said(finished(steps=(1,)))]
        return replies[min(turn.number, len(replies) - 1)]

    return next_reply


def carried_out(
    world: World, scenario: Scenario, options: dict[str, object], **changes: object
) -> tuple[MessagesApi, TaskSpec, TaskResult]:
    """What the stand-in was asked, the spec and the result of an attempt with the project's secret for servers."""
    with messages_api({"tools": scenario}) as api:
        told = {"base_url": api.address, "max_retries": 2, **options}
        values = {"backend": "claude", "model": "haiku", "sandbox": HERE[0], "steps": (StepPlan(1, "Do it"),), "options": told}
        spec = world.spec(**{**values, **changes})
        secrets = [{"name": "TRACKER_TOKEN", "value": SECRET, "uses": ["servers"]}]
        launcher.launch(spec.attempt_dir, "fake-tools", secrets)
        result = world.ended(spec, 120).result
    assert result is not None, Path(spec.attempt_dir, "wrapper.err").read_text()
    return api, spec, result


def heard(api: MessagesApi) -> str:
    return json.dumps(api.bodies)


def everything_written(world: World, spec: TaskSpec) -> Iterator[Path]:
    for top in (Path(spec.attempt_dir), world.project / ".ce"):
        yield from (path for path in top.rglob("*") if path.is_file())


def test_stdio_server_works_in_the_sandbox_with_its_secret_which_nobody_else_sees(world: World, tmp_path: Path) -> None:
    program = tmp_path / "tracker.py"
    program.write_text(SERVER)
    server = {"command": [sys.executable, str(program)], "env": {"TRACKER_TOKEN": "${TRACKER_TOKEN}"}, "required": True}
    tools = {"servers": {"tracker": server}, "denied": ["mcp__tracker__close_all", "Bash(git push:*)", "Glob"]}
    look = "env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'; ls $CE_ATTEMPT/servers"
    scenario = calls(
        Tool("mcp__tracker__whoami", {}),
        Tool("mcp__tracker__write_note", {"text": "noted"}),
        Tool("mcp__tracker__close_all", {}),
        Tool("Glob", {"pattern": "*"}),
        bash("git push origin main"),
        bash(look),
    )
    api, spec, result = carried_out(world, scenario, {"tools": tools}, policy={"paths": [str(tmp_path / "tracker.py")]})
    assert (result.failure_reason, result.errors) == ("", ())
    assert set(result.files_created) == {"note.txt"}, "the denied tool did nothing"
    told = heard(api)
    assert f"token of {len(SECRET)} characters: [secret]" in told and "written; /etc: " in told
    assert "Permission to use Bash with command git push origin main has been denied" in told
    offered = {tool["name"] for tool in api.bodies[0]["tools"]}
    assert {"mcp__tracker__whoami", "mcp__tracker__write_note", "Bash"} <= offered
    assert not {"mcp__tracker__close_all", "Glob", "WebSearch", "WebFetch", "Skill", "Agent"} & offered
    assert SECRET not in told
    assert not [path for path in everything_written(world, spec) if SECRET.encode() in path.read_bytes()]
    assert result.tools["servers"] == [
        {
            "name": "tracker",
            "at": f"{sys.executable} {program}",
            "problem": "",
            "tools": ["whoami", "write_note"],
            "kept_back": ["close_all"],
        }
    ]
    assert result.tools["denied"] == tools["denied"] and "Bash" in result.tools["tools"] and "Glob" not in result.tools["tools"]
    assert "tracker: tracker is up" in [line["message"] for line in world.log(spec)]
    assert [entry for entry in world.transcript(spec) if entry.get("tool") == "mcp__tracker__whoami"]


@contextmanager
def http_server(asked: list[dict[str, str]]) -> Iterator[str]:
    """A server of the official SDK on a port of the loopback address; it tells what it was asked with."""
    server = MCPServer("search")

    @server.tool()
    def find(words: str) -> str:
        """Find a ticket."""
        return f"ticket 17 has {words}"

    app: Starlette = server.streamable_http_app()

    async def noted(scope, receive, send) -> None:  # type: ignore[no-untyped-def]  # ASGI
        if scope["type"] == "http":
            request = Request(scope)
            asked.append(dict(request.headers))
            if request.headers.get("authorization") != f"Bearer {SECRET}":
                await Response("no", 401)(scope, receive, send)
                return
        await app(scope, receive, send)

    running = uvicorn.Server(uvicorn.Config(noted, port=0, log_level="error", lifespan="on"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 20 * PATIENCE
        while not running.started:
            assert time.monotonic() < deadline and thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}/mcp"
    finally:
        running.should_exit = True
        thread.join(20)


def test_http_server_is_asked_from_outside_the_sandbox_with_its_secret_and_only_where_it_may_be(world: World) -> None:
    asked: list[dict[str, str]] = []
    scenario = calls(Tool("mcp__search__find", {"words": "login"}))
    with http_server(asked) as url:
        servers = {"search": {"url": url, "headers": {"Authorization": "Bearer ${TRACKER_TOKEN}"}, "required": True}}
        options = {"tools": {"servers": servers}, "private_networks": ["127.0.0.0/8"]}
        api, spec, result = carried_out(world, scenario, options)
        assert (result.failure_reason, result.errors) == ("", ())
        assert "ticket 17 has login" in heard(api) and asked
        assert result.tools["servers"][0]["tools"] == ["find"]
        assert not [path for path in everything_written(world, spec) if SECRET.encode() in path.read_bytes()]
        before = len(asked)
        _, _, refused = carried_out(world, scenario, {"tools": {"servers": servers}})
        assert refused.failure_reason == Failure.AGENT_ERROR
        assert refused.errors[0].startswith("the MCP server search does not work: ")
        assert "127.0.0.1, which is not in the public network" in refused.errors[0]
        elsewhere = {"hosts": ["example.org"], "private": ["127.0.0.0/8"]}
        _, _, refused = carried_out(world, scenario, options, policy=elsewhere)
        assert "is not among the hosts that the project allows" in refused.errors[0]
        assert len(asked) == before, "nobody asked it"


def test_a_packed_answer_of_an_http_server_is_not_taken(world: World) -> None:
    """2.6 kB, packed twice, may fill 3 GB."""
    asked = []

    class Packs(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.headers["Accept-Encoding"])
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            about = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
            body = gzip.compress(json.dumps({"jsonrpc": "2.0", "id": sent.get("id"), "result": about}).encode())
            self.send_response(200)
            for name, value in {"Content-Type": "application/json", "Content-Encoding": "gzip", "Content-Length": len(body)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = LocalServer(Packs)
    with serving(server):
        servers = {"search": {"url": f"{server.url}/mcp", "required": True}}
        _, _, result = carried_out(world, calls(), {"tools": {"servers": servers}, "private_networks": ["127.0.0.0/8"]})
    assert result.failure_reason == Failure.AGENT_ERROR and "MCP server search does not work" in result.errors[0]
    assert set(asked) == {"identity"}


def test_server_that_does_not_start_ends_the_attempt_and_says_why_unless_it_may_be_missing(world: World) -> None:
    broken = {"command": [sys.executable, "-c", "import sys; sys.exit('no such database')"], "required": True}
    _, _, result = carried_out(world, calls(), {"tools": {"servers": {"tracker": broken}}})
    assert result.failure_reason == Failure.AGENT_ERROR
    assert "the MCP server tracker does not work" in result.errors[0] and "no such database" in result.errors[0]
    _, _, result = carried_out(world, calls(), {"tools": {"servers": {"tracker": {**broken, "required": False}}}})
    assert result.errors == () and "no such database" in result.tools["servers"][0]["problem"]
    asks = {"command": ["/usr/bin/true"], "env": {"KEY": "${NOT_GIVEN}"}}
    api, _, result = carried_out(world, calls(), {"tools": {"servers": {"tracker": asks}}})
    assert result.failure_reason == Failure.NEEDS_AGENT and "NOT_GIVEN" in result.errors[0]
    assert api.bodies == [], "nothing is paid for"


SKILL = "---\nname: greet\ndescription: Greets people\nhooks:\n  PreToolUse: evil\nallowed-tools: Bash\n---\nSay hello from the skill.\n"
AGENT = "---\nname: tester\ndescription: Tests what was written\ntools: Read, Bash\n---\nYou test.\n"


def test_skills_and_subagents_of_the_repository_are_given_when_they_are_on(world: World) -> None:
    commit_files(world.project, {".claude/skills/greet/SKILL.md": SKILL, ".claude/agents/tester.md": AGENT})
    scenario = calls(Tool("Skill", {"skill": "greet"}))
    api, spec, result = carried_out(world, scenario, {"tools": {"skills": True, "subagents": True}})
    assert (result.failure_reason, result.errors) == ("", ())
    told = heard(api)
    assert "Say hello from the skill." in told and "Tests what was written" in told
    assert result.tools["skills"] == ["greet"] and result.tools["subagents"] == ["tester"]
    given = Path(spec.attempt_dir, "claude/skills/greet/SKILL.md").read_text()
    assert "hooks" not in given and "allowed-tools" not in given
    api, _, result = carried_out(world, scenario, {})
    assert "Say hello from the skill." not in heard(api) and "Tests what was written" not in heard(api)
    assert not {"Skill", "Agent"} & {tool["name"] for tool in api.bodies[0]["tools"]}
