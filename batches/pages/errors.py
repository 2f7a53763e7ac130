"""Error pages; each says what happened and what to do next."""

from django.conf import settings
from django.core.exceptions import DisallowedHost, RequestDataTooBig, TooManyFilesSent
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from batches.pages.common import htmx
from batches.pages.problems import PREFIX, problem


def error_page(request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    """A page for a person, plain text for htmx, a JSON object for the API."""
    if request.path.startswith(PREFIX):
        return problem(status, f"{title} {text}")
    if request.path.startswith("/api/"):
        return JsonResponse({"error": f"{title} {text}"}, status=status)
    if htmx(request):
        return HttpResponse(f"{title} {text}", status=status, content_type="text/plain; charset=utf-8")
    return render(request, "error.html", {"status": status, "title": title, "text": text}, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return too_large(request, settings.CE_UPLOAD_BYTES)
    if isinstance(exception, TooManyFilesSent):
        most = settings.DATA_UPLOAD_MAX_NUMBER_FILES
        text = f"At most {most} files can be uploaded at once. Nothing was saved; upload them in several steps."
        return error_page(request, 400, "Too many files.", text)
    if isinstance(exception, DisallowedHost):
        return error_page(request, 400, "Unknown host name.", "Open CE Web under a name that the setting ALLOWED_HOSTS lists.")
    return error_page(request, 400, "The request could not be read.", "Go back, reload the page and try again.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    said = str(exception) or "Ask an administrator to add you to a group that may."
    return error_page(request, 403, "You may not do this.", said)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The CSRF token did not match: usually the page was open while someone signed in again."""
    return error_page(request, 403, "This page was out of date.", "Go back, reload the page and send the form again.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_page(request, 404, "Page not found.", "The address may be wrong, or the page no longer exists.")


def wrong_method(request: HttpRequest, allowed: str) -> HttpResponse:
    """Respond 405: usually someone opened the address of a button by hand."""
    return error_page(request, 405, "Method not allowed.", f"This address accepts {allowed} only: use the button on its page.")


def too_large(request: HttpRequest, limit_bytes: int) -> HttpResponse:
    """Respond 413 and name the limit."""
    text = f"At most {limit_bytes:,} bytes are read (setting CE_UPLOAD_BYTES). Split the plan, or raise the limit."
    return error_page(request, 413, "The plan is too large.", text)


def broken(request: HttpRequest) -> HttpResponse:
    """Works without a database and context processors, because these may be broken."""
    if request.path.startswith(PREFIX):
        return problem(500, "Internal error. The server's log has the details.")
    if request.path.startswith("/api/"):
        return JsonResponse({"error": "Internal error. The server's log has the details."}, status=500)
    return HttpResponse(render_to_string("500.html"), status=500)
