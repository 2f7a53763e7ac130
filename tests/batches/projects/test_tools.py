"""The tools of a project's agents: what its page saves and refuses, and what an attempt's spec says of them."""

import json

import pytest
from django.test import Client

from batches.accounts.actor import Actor
from batches.engine.task_specs import tool_options
from batches.models import Project
from batches.projects.secrets import keep_secret
from tests.batches.world import ACTOR

SERVERS = json.dumps({"tracker": {"url": "https://tracker.example.org/mcp", "headers": {"Authorization": "Bearer ${TRACKER_TOKEN}"}}})


@pytest.fixture
def project(db: None) -> Project:
    return Project.objects.create(name="Shop", slug="shop", repository="/srv/shop", base_branch="main")


def post(client: Client, project: Project, **fields: str) -> str:
    answer = client.post(f"/projects/{project.slug}/tools/", fields)
    return "saved" if answer.status_code == 302 else answer.text


def test_tools_are_saved_shown_and_told_to_the_attempt_without_a_secrets_value(project: Project, admin_client: Client, settings) -> None:
    settings.CE_PRIVATE_NETWORKS = ()
    assert tool_options(project) == {}
    assert "asks for the secret TRACKER_TOKEN: store it first" in post(admin_client, project, mcp_servers=SERVERS)
    keep_secret(project=project, name="TRACKER_TOKEN", value="sesame-open-8731", uses=["servers"], actor=ACTOR)
    said = post(admin_client, project, mcp_servers=SERVERS, denied_tools="mcp__tracker__delete_*\r\nBash(git push:*)\r\n", skills="on")
    assert said == "saved"
    project.refresh_from_db()
    assert tool_options(project) == {
        "tools": {
            "skills": True,
            "denied": ["mcp__tracker__delete_*", "Bash(git push:*)"],
            "servers": {
                "tracker": {
                    "url": "https://tracker.example.org/mcp",
                    "headers": {"Authorization": "Bearer ${TRACKER_TOKEN}"},
                    "required": True,
                }
            },
        }
    }
    page = admin_client.get(f"/projects/{project.slug}/?tab=settings").text
    assert "MCP servers, skills" in page and "Bash(git push:*)" in page


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"mcp_servers": "{"}, "This is not JSON: line 1"),
        ({"denied_tools": "Read\nShell"}, "Line 2, Shell: not a tool"),
        ({"denied_tools": "mcp__tracker__x"}, "there is no MCP server tracker here"),
        ({"allowed_tools": "Bash(ls)"}, "parts of a tool can only be denied"),
        ({"web_fetch": "on"}, "The sandbox has no network"),
        ({"mcp_servers": '{"wiki": {"url": "https://wiki.example.org/mcp"}}'}, "is not among the project&#x27;s allowed hosts"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(project: Project, admin_client: Client, fields: dict[str, str], said: str) -> None:
    Project.objects.update(allowed_hosts="pypi.org")
    assert said in post(admin_client, project, **fields)


def test_secret_for_servers_is_no_secret_of_the_agent(project: Project) -> None:
    actor: Actor = ACTOR
    keep_secret(project=project, name="TRACKER_TOKEN", value="sesame-open-8731", uses=["servers"], actor=actor)
    assert project.secrets.get().uses == ["servers"]
