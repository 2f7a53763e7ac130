"""The MCP server over HTTP, at /mcp: one request of the program, one JSON answer, with the API's tokens and rights.

The protocol lets a server keep no sessions and answer with plain JSON; so a request holds a thread no longer than a call
of the API does, and any web process can answer it. The SDK is an ASGI application: `_through_the_sdk` hands it one request.
"""

import io
import json
from collections.abc import Mapping
from typing import Any

from asgiref.sync import async_to_sync
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, URLResolver
from django.urls.resolvers import RegexPattern

from batches.models import ApiToken
from batches.pages.api.endpoint import for_token
from batches.pages.api_v1.urls import urlpatterns
from batches.pages.problems import PREFIX, problem
from ce_web.mcp.tools import Ask, JsonObject, ToolRefused

ADDRESSES = URLResolver(RegexPattern(r"^/api/v1/"), urlpatterns)
MISSING = "This server has no MCP: install its agents (make run AGENTS=1)."


class Mcp:
    """The view. A token is asked for before anything is read."""

    csrf_exempt = True
    login_required = False  # a token is required instead

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return for_token(request, lambda token: self.answer(request, token), problem)

    def answer(self, request: HttpRequest, token: ApiToken) -> HttpResponse:
        """The answer to one message."""
        if request.method != "POST":  # no streams of the server's own, and no sessions to end
            return problem(405, "This address takes POST: it keeps no streams and no sessions.", {"Allow": "POST"})
        try:
            return _through_the_sdk(request)
        except ModuleNotFoundError as missing:
            if missing.name != "mcp":
                raise
            return problem(501, MISSING)


view = Mcp()


def asking_as(request: HttpRequest) -> Ask:
    """Asks the API in this process, with the request's own token."""

    def ask(method: str, path: str, query: Mapping[str, str], body: JsonObject | bytes | None) -> JsonObject:
        from urllib.parse import urlencode

        sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        inner = WSGIRequest(
            {
                **{name: value for name, value in request.META.items() if isinstance(value, str)},
                "REQUEST_METHOD": method,
                "PATH_INFO": PREFIX + path,
                "QUERY_STRING": urlencode(query),
                "CONTENT_TYPE": "application/json",
                "CONTENT_LENGTH": str(len(sent)),
                "wsgi.url_scheme": request.scheme,
                "wsgi.input": io.BytesIO(sent),
            }
        )
        try:
            found = ADDRESSES.resolve(inner.path_info)
        except Resolver404:
            raise ToolRefused(f"There is no {inner.path_info}.") from None
        said = found.func(inner, **found.kwargs)
        answer = json.loads(said.content)
        if said.status_code >= 400:
            raise ToolRefused(answer["detail"])
        assert isinstance(answer, dict)
        return answer

    return ask


def _through_the_sdk(request: HttpRequest) -> HttpResponse:
    """The SDK's answer to one request. What asks the database is done in this thread, which waits."""
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp.server.transport_security import TransportSecuritySettings

    from ce_web.mcp.server import make_server

    server, body = make_server(asking_as(request)), request.body
    # Django has compared the host, and a page of another site has no token.
    open_door = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def handle() -> None:
        manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True, security_settings=open_door)
        async with manager.run():
            await manager.handle_request(_scope(request), receive, send)

    async_to_sync(handle)()
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"] if name != b"content-length"}
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return HttpResponse(content, status=sent[0]["status"], headers=headers)


def _scope(request: HttpRequest) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "raw_path": request.path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [
            (name.lower().encode(), value.encode("latin-1", "replace")) for name, value in request.headers.items()
        ],
        "client": None,
        "server": None,
    }
