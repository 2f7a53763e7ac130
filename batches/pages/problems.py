"""Errors of version 1 of the API: problem details (RFC 9457) with a sentence that says what is wrong and what to do."""

from collections.abc import Mapping
from http import HTTPStatus

from django.http import JsonResponse

PROBLEM_TYPE = "application/problem+json"
PREFIX = "/api/v1/"


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: object) -> JsonResponse:
    """{"type", "title", "status", "detail", …}. `detail` is a sentence; `more` are members of this problem alone."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JsonResponse(body | more, status=status, content_type=PROBLEM_TYPE, headers=dict(headers or {}))
