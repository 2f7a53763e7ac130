"""Version 1 as one application: what every address shares. The operations stand in the modules beside this one.

A request passes the token (`Guard`), then django-ninja, which reads its parameters by their types, then a function of
`batches.pages.api*`, which asks the services. Whatever is wrong is answered as a problem with a sentence.
"""

import functools
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern
from django.utils import timezone
from django.utils.cache import get_conditional_response
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.operation import Operation

from batches.accounts import idempotency_keys
from batches.accounts.actor import Actor
from batches.core.errors import BatchError, WrongChoice
from batches.models import ApiToken
from batches.pages.api.endpoint import BadRequest, for_token
from batches.pages.problems import PREFIX, PROBLEM_TYPE, problem

View = Callable[..., HttpResponseBase]
VERBS = ("get", "post", "put", "delete")



class Application(NinjaAPI):
    """django-ninja's, which names each operation in the document as its function is named."""

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return operation.view_func.__name__


api = Application(title="CE Web", version="1", urls_namespace="api_v1", openapi_url="", docs_url=None)


def actor_of(request: HttpRequest) -> Actor:
    """Who asks: the token's person, or the command."""
    found = request.actor  # type: ignore[attr-defined]
    assert isinstance(found, Actor)
    return found


class Guard:
    """A view of version 1, for requests with a valid token, whose parameters are all known."""

    csrf_exempt = True
    login_required = False  # a token is required instead

    def __init__(self, view: View, verbs: Mapping[str, frozenset[str]]) -> None:
        self.view = view
        self.verbs = verbs  # {method: names of its query parameters}

    def __call__(self, request: HttpRequest, **where: Any) -> HttpResponseBase:
        return for_token(request, lambda token: self.answer(request, Actor.program(token), where, token), problem)  # type: ignore[return-value,arg-type]

    def answer(self, request: HttpRequest, actor: Actor, where: Mapping[str, Any], token: ApiToken | None = None) -> HttpResponseBase:
        """The answer for `actor`, who is known by now."""
        if request.method == "HEAD":
            request.method = "GET"  # whoever sends the answer leaves its body out
        known = self.verbs.get(request.method or "")
        if known is None:
            allowed = ", ".join(self.verbs)
            return problem(405, f"This address takes {allowed}, not {request.method}.", {"Allow": allowed})
        if unknown := sorted(set(request.GET) - known):
            names = ", ".join(sorted(known)) or "none"
            return problem(400, f"Unknown parameters: {', '.join(unknown)}. Known: {names}.")
        request.actor = actor  # type: ignore[attr-defined]
        key = request.headers.get("Idempotency-Key", "")
        if token is not None and key and request.method == "POST":
            return _once(request, token, key, lambda: self.view(request, **where))
        said = self.view(request, **where)
        if request.method != "GET" or said.status_code != 200 or not isinstance(said, HttpResponse):
            return said
        return _conditional(request, said)


def _once(request: HttpRequest, token: ApiToken, key: str, view: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """What `view` answers; what it answered before, if the same request comes once more with its key."""
    try:
        found = idempotency_keys.begin(token, key, request.method or "", request.get_full_path(), request.body, timezone.now())
    except WrongChoice as error:
        return problem(400, str(error))
    except BatchError as error:
        return problem(409, str(error))
    if isinstance(found, idempotency_keys.Kept):
        return HttpResponse(found.body, status=found.status, content_type=found.content_type, headers={"Idempotency-Replayed": "true"})
    said = view()  # when it breaks, the row stays: nobody knows what was done
    assert isinstance(said, HttpResponse)
    if 200 <= said.status_code < 300:
        idempotency_keys.keep(found, said.status_code, said.content.decode(), said.headers["Content-Type"])
    else:
        idempotency_keys.drop(found)
    return said


def _conditional(request: HttpRequest, said: HttpResponse) -> HttpResponseBase:
    """304 where the program has this very answer already."""
    etag = f'"{hashlib.sha256(said.content).hexdigest()[:32]}"'
    said.headers["ETag"] = etag
    said.headers["Cache-Control"] = "private, no-cache"
    found = get_conditional_response(request, etag=etag, response=said)
    assert isinstance(found, HttpResponseBase)
    return found


def guarded_urls() -> list[URLPattern]:
    """The addresses of all operations, each behind a Guard."""
    paths = document()["paths"]
    found = []
    for pattern in api.urls[0]:
        if not isinstance(pattern, URLPattern) or pattern.name in ("api-root", None):
            continue
        route = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))
        described = paths[PREFIX + route]
        verbs = {
            verb.upper(): frozenset(one["name"] for one in described[verb]["parameters"] if one["in"] == "query")
            for verb in VERBS
            if verb in described
        }
        found.append(URLPattern(pattern.pattern, Guard(pattern.callback, verbs), None, pattern.name))
    return found


# Errors


def _handles(*kinds: type[Exception]) -> Callable[[Callable[[Exception], HttpResponse]], None]:
    def register(handler: Callable[[Exception], HttpResponse]) -> None:
        def handle(_request: HttpRequest, error: Exception | type[Exception]) -> HttpResponse:
            assert isinstance(error, Exception)
            return handler(error)

        for kind in kinds:
            api.add_exception_handler(kind, handle)

    return register


@_handles(BadRequest, WrongChoice)
def _bad(error: Exception) -> HttpResponse:
    return problem(400, str(error))


@_handles(PermissionDenied)
def _denied(error: Exception) -> HttpResponse:
    return problem(403, str(error) or "You may not do this.")


@_handles(Http404)
def _missing(error: Exception) -> HttpResponse:  # Django's text says of which table
    return problem(404, f"Not found. {error}".strip())


@_handles(RequestDataTooBig)
def _too_large(error: Exception) -> HttpResponse:
    return problem(413, "The request is too large.")


@_handles(BatchError)
def _conflict(error: Exception) -> HttpResponse:
    return problem(409, str(error))


@_handles(HttpError)
def _unreadable(error: Exception) -> HttpResponse:
    assert isinstance(error, HttpError)
    return problem(error.status_code, f"{error}." if not str(error).endswith(".") else str(error))


@_handles(ValidationError)
def _invalid(error: Exception) -> HttpResponse:
    """What the types of the parameters refuse: in a sentence, and each with its place."""
    assert isinstance(error, ValidationError)
    errors = []
    for one in error.errors:
        place, *names = one["loc"]
        if place == "body":
            names = names[1:]  # the first is the name of the argument of our function
        errors.append({"in": place, "name": ".".join(map(str, names)), "message": one["msg"]})
    said = "; ".join(f"{one['name'] or one['in']}: {one['message']}" for one in errors)
    return problem(400, f"The request is not valid. {said}.", errors=errors)


# The document

PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["about:blank"]},
        "title": {"type": "string", "examples": ["Conflict"]},
        "status": {"type": "integer", "examples": [409]},
        "detail": {"type": "string", "description": "A sentence for people.", "examples": ["Batch 44 has no run."]},
        "errors": {
            "type": "array",
            "description": "With 400: each parameter that is not valid.",
            "items": {
                "type": "object",
                "properties": {"in": {"type": "string"}, "name": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
PROBLEMS = {
    "400": "The request is not valid: a parameter or member is unknown, missing, or not what it should be.",
    "401": "No valid token came with the request.",
    "403": "The token's person, or its scope, may not do this.",
    "404": "There is no such thing, or the token may not see it.",
    "405": "Another method.",
    "409": "Not possible now.",
    "413": "Too large.",
    "429": "Too many bad tokens; Retry-After gives the seconds.",
}


@functools.cache
def document() -> dict[str, Any]:
    """The OpenAPI document: that of django-ninja, with what every operation shares."""
    found = dict(api.get_openapi_schema(path_prefix=PREFIX.strip("/") + "/"))
    found["info"] |= {"description": "Read batches, check and save plans, execute, retry, steer, read figures. Guide: docs/api.md."}
    found["servers"] = [{"url": "/"}]
    components = found["components"]
    components.setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "description": "Made on the page Your account."}}
    found["security"] = [{"token": []}]
    for described in found["paths"].values():
        for verb, operation in described.items():
            for parameter in operation["parameters"]:
                parameter.pop("examples", None)  # its schema has them; here it would have to be an object
            operation["responses"] = {str(status): said for status, said in operation["responses"].items()}
            for status, words in PROBLEMS.items():
                content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
                operation["responses"].setdefault(status, {"description": words, "content": content})
            if verb == "post":
                operation["parameters"].append(IDEMPOTENCY_KEY)
            if verb == "get":
                operation["parameters"].append(IF_NONE_MATCH)
                operation["responses"]["304"] = {"description": "As in the answer whose ETag was sent."}
    return found


IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "description": "Chosen by you for one thing that you ask for: sent again within a day, it is answered again and not done again.",
    "schema": {"type": "string", "maxLength": 200},
}
IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "required": False,
    "description": "The ETag of an answer that you have: 304 if nothing has changed.",
    "schema": {"type": "string"},
}


def openapi(request: HttpRequest) -> JsonResponse:
    """The document itself, for anybody: it holds no data of the installation."""
    return JsonResponse(document(), headers={"Cache-Control": "public, max-age=300"})
