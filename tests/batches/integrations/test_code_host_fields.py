"""What the stand-ins of code hosts answer, and what our clients read of it, is in the hosts' published descriptions."""

import re
from collections.abc import Iterator
from urllib.parse import unquote

import pytest

from batches.integrations.code_hosts.connection import Connection
from batches.integrations.code_hosts.home import CLIENTS
from tests.batches.code_host_fields import FIELDS
from tests.batches.forge_servers import TOKEN, GiteaServer, GitHubServer, GitLabServer

# The end of an address -> the object that it answers with, or a list of.
OBJECTS = {
    r"/check-runs/\d+/annotations": "annotations",
    r"/check-runs": "check-runs",
    r"/commits/\w+/status": "status",
    r"/statuses": "statuses",
    r"/reviews/\d+/comments": "review-comments",
    r"/pulls/\d+/reviews": "reviews",
    r"/pulls/\d+/comments": "line-comments",
    r"/issues/\d+/comments": "comments",
    r"/notes": "notes",
    r"/members/all": "members",
    r"/permission": "permission",
    r"/issues/\d+": "issue",
    r"/(pulls|merge_requests)(/\d+)?": "pull",
}

# Read of an object that has no such field, since one reader serves comments of lines and others, or issues of all hosts.
ELSEWHERE = {
    "github": {(name, field) for name in ("comments", "reviews") for field in ("path", "line", "original_line")},
    "gitlab": {("issue", "html_url")},
    "gitea": {("comments", field) for field in ("path", "position", "original_position")},
}


def object_of(path: str) -> str:
    return next(name for pattern, name in OBJECTS.items() if re.search(f"{pattern}$", path))


def fields_of(data: object, before: str = "") -> Iterator[str]:
    """Every field of an answer, `a.b` for one of an object within."""
    for row in data if isinstance(data, list) else [data]:
        if isinstance(row, dict):
            for name, value in row.items():
                yield f"{before}{name}"
                yield from fields_of(value, f"{before}{name}.")


class Read(dict):
    """An object of an answer that notes what is read of it."""

    def __init__(self, data: dict, read: set[tuple[str, str]], name: str, before: str = "") -> None:
        super().__init__({key: noted(value, read, name, f"{before}{key}.") for key, value in data.items()})
        self._note = lambda key: read.add((name, f"{before}{key}"))

    def get(self, key, default=None):
        self._note(key)
        return super().get(key, default)

    def __getitem__(self, key):
        self._note(key)
        return super().__getitem__(key)


def noted(data, read: set[tuple[str, str]], name: str, before: str = ""):
    if isinstance(data, list):
        return [noted(one, read, name, before) for one in data]
    return Read(data, read, name, before) if isinstance(data, dict) else data


@pytest.mark.parametrize("server", [GitHubServer(), GitLabServer(), GiteaServer()], ids=lambda one: one.kind)
def test_fields_that_are_answered_and_read_are_in_the_published_description(server, settings, monkeypatch):
    settings.CE_FORGE_PRIVATE = True
    answered: set[tuple[str, str]] = set()
    read: set[tuple[str, str]] = set()
    call = Connection.call

    def noting(self, method, path, **more):
        data, name = call(self, method, path, **more), object_of(unquote(path))
        answered.update((name, field) for field in fields_of(data))
        return noted(data, read, name)

    monkeypatch.setattr(Connection, "call", noting)
    server.ci = {"a" * 40: [("build", "failure", "It failed."), ("lint", "success", "")]}
    server.issues = {7: {"title": "Export", "text": "As CSV.", "said": [("eve", "Please.")]}}
    with server.serve():
        client = CLIENTS[server.kind](server.url, "ada/shop", TOKEN)
        made = client.create("ce/batch-1", "main", "Export", "Text")
        server.say(made.number, "eve", "Why?", path="a.py", line=3)
        server.say(made.number, "eve", "Nice.")
        assert client.find("ce/batch-1", "main") is not None and client.update(made.number, "Other", "Text")
        assert client.checks("a" * 40) and client.comments(made.number) and client.issue(7).comments
        server.merge(made.number, "c" * 40)
        assert client.look(made.number).merge_commit == "c" * 40
        client.connection.close()
    known = {(name, field) for name, fields in FIELDS[server.kind].items() for field in fields.split()}
    assert len(read) > 25 and {name for name, _ in read} == set(FIELDS[server.kind])
    assert answered - known == set()
    assert read - known == ELSEWHERE[server.kind]
