"""The MCP server: every tool called by the SDK's client over HTTP, by `ce mcp`, and by the real Claude Code."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from batches.pages.api_v1.application import document
from batches.plans.versions import import_plan
from batches.projects.add_project import create_project
from ce_web.mcp.tools import BY_NAME, PROMPTS, RESOURCES, TOOLS
from tests.batches import builders
from tests.batches.pages.api_v1.program import Program
from tests.batches.world import ACTOR
from tests.installation import ROOT
from tests.patience import PATIENCE
from tests.subagents.messages_api import Text, Tool, messages_api, said

mcp = pytest.importorskip("mcp")
pytestmark = pytest.mark.long
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from ce_web.command_line.main import main; main()"
CE = (sys.executable, "-c", START, str(ROOT))


@pytest.fixture
def server(live_server, tmp_path):
    """A server with a batch whose phase 2a failed, a saved plan, and the tokens of an executor and of one who only reads."""
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", "-b", "main", str(repository)], check=True)
    git = ["git", "-C", str(repository), "-c", "user.name=A", "-c", "user.email=a@localhost"]
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "Start"], check=True)
    project = create_project(name="Shop", repository=str(repository), actor=ACTOR)
    live_server.plan = import_plan(text=builders.PLAN_TEXT, file_name="plan.md", project=project, actor=ACTOR)
    live_server.batch = builders.failed_batch(project=project)
    user = builders.make_user("root")
    live_server.token = Program(user).token
    live_server.reader = Program(user, scope="read").token
    return live_server


def run(talk):
    """What `talk` returns, in a thread of its own: this one may have the event loop of a browser's test."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(anyio.run, talk).result()


@asynccontextmanager
async def over_http(server, token: str):
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30 * PATIENCE)
    async with http, Client(streamable_http_client(f"{server.url}/mcp", http_client=http)) as client:
        yield client


def arguments(server) -> dict[str, dict[str, object]]:
    """What each tool is called with."""
    values = {"number": server.batch.number, "key": "2a", "slug": "shop", "plan": server.plan.pk, "run": 1}
    more = {name: {"text": builders.PLAN_TEXT} for name in ("validate_plan", "analyze_plan")}
    more |= {"import_plan": {"text": builders.PLAN_TEXT, "project": "shop"}, "make_batch": {"plan": server.plan.pk}}
    more |= {"answer_question": {"text": "Yes."}, "say": {"text": "Use the old name."}, "list_batches": {"view": "failed", "limit": 5}}
    more |= {"read_log": {"limit": 5}, "list_gates": {"state": "failed"}, "retry_phases": {"phases": ["2a"]}}
    return {one.name: {name: values[name] for name in one.in_path} | more.get(one.name, {}) for one in TOOLS}


# What these ask for is not possible in the state of the batch; the answer is the API's sentence.
REFUSED = {"execute_batch", "stop_batch", "stop_phase", "answer_question", "review_batch", "preview_merge", "say", "retry_phases"}


@pytest.mark.django_db(transaction=True)
def test_every_tool_is_answered_over_http_as_the_api_answers(server):
    async def talk():
        answers = {}
        async with over_http(server, server.token) as client:
            listed = (await client.list_tools()).tools
            assert {one.name for one in listed} == set(BY_NAME)
            for name, given in arguments(server).items():
                answers[name] = await client.call_tool(name, given)
            unknown = await client.call_tool("read_batch", {"number": 1, "page": 2})
            missing = await client.call_tool("read_batch", {"number": 999})
        return answers, unknown, missing

    answers, unknown, missing = run(talk)
    refused = {name: one.content[0].text for name, one in answers.items() if one.is_error}
    assert set(refused) <= REFUSED, refused
    assert all(len(words) > 15 and "Traceback" not in words for words in refused.values())
    assert answers["read_batch"].structured_content["batch_id"] == server.batch.number
    assert answers["validate_plan"].structured_content["valid"] and answers["list_gates"].structured_content["gates"]
    assert unknown.is_error and "Unknown arguments: page" in unknown.content[0].text
    assert missing.is_error and missing.content[0].text.startswith("Not found.")


@pytest.mark.django_db(transaction=True)
def test_a_token_that_may_only_read_changes_nothing_and_none_is_answered_nothing(server, client):
    async def talk():
        async with over_http(server, server.reader) as program:
            return await program.call_tool("read_batch", {"number": 1}), await program.call_tool("stop_batch", {"number": 1})

    read, stopped = run(talk)
    assert not read.is_error and stopped.is_error and "scope is read" in stopped.content[0].text
    assert client.post("/mcp/", b"{}", content_type="application/json").status_code == 401
    sent = {"Authorization": f"Bearer {server.token}"}
    assert client.get("/mcp", headers=sent).status_code == 405


@pytest.mark.django_db(transaction=True)
def test_resources_and_prompts_are_there(server):
    async def talk():
        async with over_http(server, server.token) as client:
            named = {str(one.uri) for one in (await client.list_resources()).resources}
            named |= {one.uri_template for one in (await client.list_resource_templates()).resource_templates}
            read = [await client.read_resource(uri.format(number=1, plan=server.plan.pk)) for uri in RESOURCES]
            prompts = {one.name for one in (await client.list_prompts()).prompts}
            got = await client.get_prompt("follow_batch", {"number": "44"})
        return named, read, prompts, got

    named, read, prompts, got = run(talk)
    assert named == set(RESOURCES) and prompts == set(PROMPTS)
    assert json.loads(read[2].contents[0].text)["batch_id"] == 1
    assert "Read batch 44" in got.messages[0].content.text


@pytest.mark.django_db(transaction=True)
def test_ce_mcp_serves_the_same_over_standard_input(server, tmp_path: Path):
    from mcp import Client, StdioServerParameters

    environment = {**os.environ, "CE_SERVER": server.url, "CE_TOKEN": server.token, "HOME": str(tmp_path)}
    started = StdioServerParameters(command=CE[0], args=[*CE[1:], "mcp"], env=environment)

    async def talk():
        async with Client(started) as client:
            return (await client.list_tools()).tools, await client.call_tool("read_batch", {"number": 1})

    tools, read = run(talk)
    assert {one.name for one in tools} == set(BY_NAME) and read.structured_content["batch_id"] == 1


def test_every_tool_is_a_call_of_the_document():
    """The same address, and no argument that the address does not know."""
    for one in TOOLS:
        path = one.path.replace("{plan}", "{pk}") if one.name == "read_plan" else one.path
        described = document()["paths"][f"/api/v1/{path}"][one.method.lower()]
        known = {parameter["name"] for parameter in described["parameters"]} | {"text"} | ({"plan"} if "{plan}" in one.path else set())
        if "requestBody" in described:
            shape = described["requestBody"]["content"].get("application/json", {}).get("schema", {})
            known |= set(document()["components"]["schemas"].get(shape.get("$ref", "/").rpartition("/")[2], {}).get("properties", {}))
        assert set(one.members) <= known, one.name


@pytest.mark.engine
@pytest.mark.django_db(transaction=True)
def test_the_real_claude_code_reads_a_batch_by_its_tools(server, tmp_path: Path):
    claude_agent_sdk = pytest.importorskip("claude_agent_sdk")
    program = Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"
    entry = {"type": "http", "url": f"{server.url}/mcp", "headers": {"Authorization": f"Bearer {server.token}"}}
    local = {"type": "stdio", "command": CE[0], "args": [*CE[1:], "mcp"], "env": {"CE_SERVER": server.url, "CE_TOKEN": server.token}}
    config = tmp_path / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"ce": entry, "ce-here": local}}))

    def asks_the_tools(turn):
        if turn.number == 0:
            return said(Tool("mcp__ce__read_batch", {"number": 1}))
        if turn.number == 1:
            return said(Tool("mcp__ce-here__list_gates", {"number": 1, "state": "failed"}))
        return said(Text(json.dumps(turn.body["messages"])))

    with messages_api({"tools": asks_the_tools}) as api:
        done = subprocess.run(
            [
                *(str(program), "-p", "How is batch 1?", "--mcp-config", str(config), "--strict-mcp-config"),
                *("--model", "claude-haiku-5-5", "--allowedTools", "mcp__ce__read_batch,mcp__ce-here__list_gates"),
            ],
            cwd=tmp_path,
            env={**os.environ, "ANTHROPIC_BASE_URL": api.address, "ANTHROPIC_API_KEY": "fake-tools", "HOME": str(tmp_path)}
            | {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120 * PATIENCE,
        )
    assert done.returncode == 0, done.stderr
    assert '\\"batch_id\\":1' in done.stdout.replace(" ", "").replace('\\\\\\"', '\\"'), done.stdout[-3000:]
    assert "in_phase" in done.stdout
