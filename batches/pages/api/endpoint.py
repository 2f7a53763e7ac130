"""The JSON API (docs/api.md): the pages' data and actions, for programs with a person's token.

Every response is a JSON object. An error is {"error": SENTENCE} with a matching status. The services check permissions, as
they do for pages. Cookies are ignored, so that other sites cannot act for a signed-in person.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import Resolver404, resolve, reverse
from django.utils import timezone

from batches.accounts import api_tokens
from batches.accounts.access import sight_of
from batches.accounts.actor import Actor
from batches.accounts.client_address import address_of
from batches.core.errors import BatchError, ServiceError, WrongChoice
from batches.models import ApiToken, Batch, Project, Run
from batches.models.visibility import seeing, sees_nothing
from batches.pages.batches.batch_states import latest_run

Answer = Callable[..., JsonResponse]

DEPRECATED_SINCE = "@1795824000"  # 2026-11-28, as RFC 9745 writes it: since then /api/v1/ answers the same

BODY_BYTES = 64 * 1024  # for a JSON object; plans have their own limit


class BadRequest(Exception):
    """The request is not valid; the message is for the author of the program."""


class Endpoint:
    """A view for these methods (GET=, POST=) that requires a valid token. The functions get (request, actor, …)."""

    csrf_exempt = True
    login_required = False  # a token is required instead

    def __init__(self, methods: Mapping[str, Answer]) -> None:
        self.methods = methods

    def __call__(self, request: HttpRequest, **where: Any) -> HttpResponse:
        said = for_token(request, lambda token: self.answer(request, Actor.program(token), where), _error)
        if (successor := _successor(request.path)) is not None:
            said.headers["Deprecation"] = DEPRECATED_SINCE
            said.headers["Link"] = f'<{quote(successor)}>; rel="successor-version"'
        return said

    def answer(self, request: HttpRequest, actor: Actor, where: Mapping[str, Any]) -> JsonResponse:
        """The answer for `actor`, who is known by now."""
        function = self.methods.get("GET" if request.method == "HEAD" else request.method or "")
        if function is None:
            error = f"Method not allowed; use {' or '.join(self.methods)}."
            return JsonResponse({"error": error}, status=405, headers={"Allow": ", ".join(self.methods)})
        return _guarded(function, request, actor, where)


def for_token(
    request: HttpRequest, answer: Callable[[ApiToken], HttpResponse], error: Callable[[int, str, Mapping[str, str]], HttpResponse]
) -> HttpResponse:
    """What `answer` says to the request's token, within what its person may see; else an `error`: status, sentence, headers."""
    try:
        token = _token(request)
    except api_tokens.TooManyBadTokens as wait:
        return error(429, str(wait), {"Retry-After": str(wait.retry_seconds)})
    if token is None:
        said = "Send a valid token: Authorization: Bearer TOKEN. Create one on the page Your account."
        return error(401, said, {"WWW-Authenticate": 'Bearer realm="CE Web"'})
    request.user = token.user
    with seeing(sight_of(token.user, token)):
        if sees_nothing():
            return error(403, "This token's person has no role, or may not see its project.", {})
        return answer(token)


def _successor(path: str) -> str | None:
    """The address of version 1 that answers the same; None without one: then this address is not deprecated."""
    successor = path.replace("/api/", "/api/v1/", 1)
    try:
        resolve(successor)
    except Resolver404:
        return None
    return successor


def _error(status: int, sentence: str, headers: Mapping[str, str]) -> HttpResponse:
    return JsonResponse({"error": sentence}, status=status, headers=dict(headers))


def endpoint(**methods: Answer) -> Endpoint:
    return Endpoint(methods)


def _guarded(function: Answer, request: HttpRequest, actor: Actor, where: Mapping[str, Any]) -> JsonResponse:
    try:
        return function(request, actor, **where)
    except (BadRequest, WrongChoice) as error:
        return JsonResponse({"error": str(error)}, status=400)
    except PermissionDenied as error:
        return JsonResponse({"error": str(error) or "You may not do this."}, status=403)
    except Http404 as error:  # Django's text says of which table
        return JsonResponse({"error": f"Not found. {error}".strip()}, status=404)
    except RequestDataTooBig:
        return JsonResponse({"error": "The request is too large."}, status=413)
    except BatchError as error:
        return JsonResponse({"error": str(error)}, status=409)


def _token(request: HttpRequest) -> ApiToken | None:
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer":
        return None
    return api_tokens.token_of(text.strip(), address=address_of(request), now=timezone.now())


def body_of(request: HttpRequest, *names: str, most: int = BODY_BYTES) -> dict[str, Any]:
    """The body, of at most `most` bytes, as a JSON object with no members but `names`; an empty body is {}. Raises BadRequest."""
    if len(request.body) > most:
        raise RequestDataTooBig
    try:
        data = json.loads(request.body or b"{}", parse_constant=_no_constant)
        text = json.dumps(data, ensure_ascii=False)
        text.encode()  # half a surrogate pair is not valid text
        if "\\u0000" in text.replace("\\\\", ""):
            raise ValueError("it contains a NUL character")
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body is not valid JSON: {error}.") from None
    if not isinstance(data, dict):
        raise BadRequest("The body must be a JSON object.")
    if unknown := sorted(set(data) - set(names)):
        raise BadRequest(f"Unknown members: {', '.join(unknown)}. Known: {', '.join(names) or 'none'}.")
    return data


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not valid JSON")


def project_named(slug: object) -> Project | None:
    """The project with this slug; None if it is empty. Raises BadRequest, Http404."""
    if slug is None or slug == "":
        return None
    if not isinstance(slug, str):
        raise BadRequest("project must be the slug of a project.")
    return get_object_or_404(Project, slug=slug)


def yes_or_no(data: Mapping[str, Any], name: str) -> bool:
    value = data.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false.")
    return value


def last_run(found: Batch) -> Run:
    run = latest_run(found)
    if run is None:
        raise ServiceError(f"Batch {found.number} has no run.")
    return run


def accepted(request: HttpRequest, found: Batch, run: Run, *, status: int = 202, **more: object) -> JsonResponse:
    url = request.build_absolute_uri(reverse("batches:detail", args=[found.number]))
    about = {"batch_id": found.number, "run": run.number, "operation": run.operation, "state": run.state, "url": url}
    return JsonResponse(about | more, status=status)
