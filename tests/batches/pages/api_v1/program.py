"""A program that asks version 1 with a token, and holds each answer against the document."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.test import Client
from django.urls import resolve
from jsonschema import Draft202012Validator

from batches.accounts import api_tokens
from batches.accounts.actor import Actor
from batches.pages.api_v1.application import document


class Program:
    """Sends a token, to a server that insists on CSRF tokens elsewhere. Whatever is answered is as the document says."""

    def __init__(self, user, **limits) -> None:
        self.client = Client(enforce_csrf_checks=True)
        self.token = api_tokens.make_token(name=f"test {user.api_tokens.count()}", days=7, actor=Actor.person(user), **limits)[1]

    def __call__(self, verb: str, path: str, body: object = None, **headers: str):
        """`path` begins behind /api/v1; a text is sent as a plan, an object as JSON."""
        kind, sent = ("text/markdown", body) if isinstance(body, str) else ("application/json", "" if body is None else json.dumps(body))
        headers = {"Authorization": f"Bearer {self.token}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.client.generic(verb, f"/api/v1{path}", sent.encode(), content_type=kind, headers=headers)
        check(verb, f"/api/v1{path}", answer)
        return answer


@contextmanager
def let_go(answer) -> Iterator[Any]:
    """At the end of the block closes what the answer holds. The end of the request itself would close the test's connection."""
    try:
        yield answer
    finally:
        for close in answer._resource_closers:
            close()


def check(verb: str, path: str, answer) -> None:
    """AssertionError if the answer is not what the document promises of this address, down to members it does not name."""
    route = "/" + resolve(path.partition("?")[0]).route.replace("<int:", "<").replace("<", "{").replace(">", "}")
    described = document()["paths"][route].get(verb.lower().replace("head", "get"))
    if described is None:
        assert answer.status_code == 405, (verb, path, answer.status_code)
        return
    said = described["responses"].get(str(answer.status_code))
    assert said is not None, (verb, path, answer.status_code, answer.content[:500])
    if "content" not in said or verb == "HEAD":
        assert not answer.content
        return
    kind = answer.headers["Content-Type"].partition(";")[0]
    assert kind in said["content"], (verb, path, kind)
    if kind.endswith("json"):  # a stream is read by its own test
        validator(said["content"][kind]["schema"]).validate(answer.json())


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    components = copy.deepcopy(document()["components"])
    for shape in components["schemas"].values():
        if "properties" in shape:
            shape.setdefault("additionalProperties", False)
    return Draft202012Validator(schema | {"components": components})
