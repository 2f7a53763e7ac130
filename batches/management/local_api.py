"""The JSON API answered in this process: what the command `ce` uses on the machine of the installation, as the person at its shell."""

import io
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from django.core.handlers.wsgi import WSGIRequest
from django.core.management.base import OutputWrapper
from django.urls import Resolver404, URLResolver
from django.urls.resolvers import RegexPattern
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.engine import pull_requests
from batches.management.commands._waiting import tick_until_done
from batches.pages.api_v1.urls import urlpatterns
from batches.pages.problems import PREFIX

ADDRESSES = URLResolver(RegexPattern(f"^{PREFIX}"), urlpatterns)


def answer(method: str, path: str, query: Mapping[str, str], body: bytes, *, cause: str) -> tuple[int, dict[str, Any]]:
    """Status and object of the API's answer. `path` begins with /api/v1/; the audit trail shows `cause`."""
    asked = WSGIRequest(
        {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": urlencode(query),
            "CONTENT_LENGTH": str(len(body)),
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
        }
    )
    try:
        found = ADDRESSES.resolve(path)
    except Resolver404:
        return 404, {"detail": f"There is no {path}."}
    view: Any = found.func  # a Guard
    reply = view.answer(asked, Actor.command(cause), found.kwargs)
    return reply.status_code, json.loads(reply.content)


def wait(done: Callable[[], bool], interrupted: str, out: OutputWrapper) -> None:
    """Until `done`: the cluster of this host does the work; where none runs, this process does. Ctrl-C prints `interrupted` and exits."""
    logging.getLogger("django.request").setLevel(logging.ERROR)
    tick_until_done(lambda: done() or _look_after(), interrupted, out)


def _look_after() -> bool:
    """Do here what is wanted of code hosts, since perhaps no cluster does; False: it is still to come."""
    if pull_requests.has_work(timezone.now()):
        pull_requests.work(seconds=0.1)
    return False
