"""What a project may write about the tools of its agents, and what follows from it."""

import json
import re

import pytest

from subagents.agent_tools import ToolPolicy, fault_of_rule
from subagents.backends.repository_tools import front_of
from subagents.mcp_servers import read_servers
from subagents.spending import Request

SERVERS = {
    "tracker": {"url": "https://tracker.example.org/mcp", "headers": {"Authorization": "Bearer ${TRACKER_TOKEN}"}},
    "browser": {"command": "/opt/mcp/browser", "args": ["--headless"], "env": {"KEY": "${BROWSER_KEY}"}, "required": False},
}


@pytest.mark.parametrize("text", [json.dumps(SERVERS), json.dumps({"mcpServers": SERVERS})])
def test_servers_are_read_as_in_mcp_json_and_survive_a_spec(text: str) -> None:
    tracker, browser = read_servers(text)
    assert (tracker.host, tracker.secrets) == (("tracker.example.org", 443), ["TRACKER_TOKEN"])
    assert (browser.command, browser.secrets, browser.required) == (("/opt/mcp/browser", "--headless"), ["BROWSER_KEY"], False)
    policy = ToolPolicy((tracker, browser), allowed=("Read",), denied=("Bash",), skills=True)
    again = ToolPolicy.of(json.loads(json.dumps(policy.to_json())))
    assert again.to_json() == policy.to_json() and again.servers[1].command == browser.command
    assert read_servers("  ") == [] and ToolPolicy.of({}).to_json() == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON: line 1"),
        ("[]", "Write an object"),
        ('{"a": {"command": "x"}, "a": {"command": "y"}}', "a stands there twice"),
        ('{"ce": {"command": "x"}}', "CE Web's own server"),
        ('{"a b": {"command": "x"}}', "no name of a server"),
        ('{"a__b": {"command": "x"}}', "no name of a server"),
        ('{"a": {"type": "sse", "url": "https://x.example"}}', "stdio or http, not sse"),
        ('{"a": {"command": "x", "cwd": "/"}}', "cwd is not known"),
        ('{"a": {"args": []}}', "the command is missing"),
        ('{"a": {"command": "x", "args": ["${KEY}"]}}', "a secret stands in env"),
        ('{"a": {"command": "x", "env": {"PATH": "/x"}}}', "PATH is set by CE Web"),
        ('{"a": {"command": "x", "env": {"LD_LIBRARY_PATH": "."}}}', "LD_LIBRARY_PATH would load code"),
        ('{"a": {"command": "x", "env": {"K": "${a b}"}}}', "names no secret"),
        ('{"a": {"command": "x", "env": {"K": 1}}}', "env is an object of texts"),
        ('{"a": {"url": "ftp://x.example"}}', "such as https://"),
        ('{"a": {"url": "https://me:pw@x.example"}}', "a user, a password"),
        ('{"a": {"url": "https://x.example/?k=${KEY}"}}', "without a secret"),
        ('{"a": {"url": "https://x.example", "headers": {"A B": "x"}}}', "no name of a header"),
        ('{"a": {"url": "https://x.example", "headers": {"A": "x\\ny"}}}', "line break"),
        ('{"a": {"url": "https://x.example", "headers": {"A": "lin_api_' + "a" * 40 + '"}}}', "looks like a Linear key"),
        ('{"a": {"url": "https://x.example", "required": "no"}}', "required is true or false"),
        ("{" + ",".join(f'"s{number}": {{"command": "x"}}' for number in range(11)) + "}", "at most 10"),
    ],
)
def test_what_cannot_be_a_server_is_refused_with_its_name_and_the_reason(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        read_servers(text)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Bash", ""),
        ("Task", ""),
        ("mcp__tracker__search", ""),
        ("mcp__tracker__delete_*", ""),
        ("mcp__tracker", ""),
        ("mcp__other__x", "no MCP server other"),
        ("Bash(git push:*)", "can only be denied"),
        ("Shell", "not a tool"),
    ],
)
def test_lines_of_allowed_tools_name_tools_that_there_are(line: str, said: str) -> None:
    fault = fault_of_rule(line, ["tracker"], patterns=False)
    assert said in fault if said else not fault
    assert not fault_of_rule("Bash(git push:*)", [], patterns=True)


def test_a_denial_wins_and_allowed_tools_limit_only_what_they_name() -> None:
    policy = ToolPolicy(allowed=("mcp__tracker__search",), denied=("Glob", "mcp__wiki__delete_*", "Bash(rm:*)"), subagents=True)
    assert policy.permits("Bash") and policy.permits("Task") and not policy.permits("Glob")
    assert policy.permits("mcp__tracker__search") and not policy.permits("mcp__tracker__close")
    assert policy.permits("mcp__wiki__read") and not policy.permits("mcp__wiki__delete_all")
    assert policy.permits("mcp__ce__step_done") and policy.denied_parts() == ["Bash(rm:*)"]
    assert ToolPolicy(allowed=("Read", "Grep")).builtin() == ["Read", "Grep"]
    assert not ToolPolicy(denied=("Agent",), subagents=True).permits("Task")


def test_only_fields_at_the_top_of_a_skill_are_read() -> None:
    fields, body = front_of("---\nname: x\ndescription: >\n  two\n  lines\ntools:\n  - Read\n  - Bash\n---\nBody\n---\n")
    assert fields == {"name": "x", "description": "two lines", "tools": "Read Bash"} and body == "Body\n---\n"
    assert front_of("no front matter") == ({}, "no front matter")


def test_searches_of_the_provider_belong_to_the_worst_case_of_a_request() -> None:
    pytest.importorskip("genai_prices")
    plain = {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": []}
    searching = {**plain, "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}]}
    costs = [Request.of(json.dumps(body).encode()).cost(100) or 0 for body in (plain, searching)]
    assert 0.08 < costs[1] - costs[0] < 0.081
