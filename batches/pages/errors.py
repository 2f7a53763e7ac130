"""Errors in the look of the site; each says what happened and what to do next."""

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFilesSent
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from batches.pages.common import htmx


def error_page(request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    """A whole page for a person, a plain sentence for a page's script, an object for a program."""
    if request.path.startswith("/api/"):
        return JsonResponse({"error": f"{title} {text}"}, status=status)
    if htmx(request):
        return HttpResponse(f"{title} {text}", status=status, content_type="text/plain; charset=utf-8")
    return render(request, "error.html", {"status": status, "title": title, "text": text}, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return too_large(request, settings.CE_UPLOAD_BYTES)
    if isinstance(exception, TooManyFilesSent):
        text = f"At most {settings.DATA_UPLOAD_MAX_NUMBER_FILES} files are taken at once. Nothing was kept; upload them in several goes."
        return error_page(request, 400, "Too many files.", text)
    return error_page(request, 400, "The request could not be read.", "Go back, reload the page and try again.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    said = str(exception) or "Ask an administrator to add you to a group that may."
    return error_page(request, 403, "You may not do this.", said)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The form's token did not match: mostly a page that was open while somebody signed in anew."""
    return error_page(request, 403, "This page was out of date.", "Go back, reload the page and send the form again.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_page(request, 404, "There is no such page.", "The address may be mistyped, or what it named is gone.")


def wrong_method(request: HttpRequest, allowed: str) -> HttpResponse:
    """Answer 405: mostly the address of a button that somebody opened by hand."""
    return error_page(request, 405, "This address is not to be opened like that.", f"It takes {allowed}: use the button of its page.")


def too_large(request: HttpRequest, limit_bytes: int) -> HttpResponse:
    """Answer 413 with the limit in it."""
    text = f"At most {limit_bytes:,} bytes are read (setting CE_UPLOAD_BYTES). Split the plan, or raise the limit."
    return error_page(request, 413, "The plan is too large.", text)


def broken(request: HttpRequest) -> HttpResponse:
    """The last resort: no database and no context processors, for they may be what is broken."""
    if request.path.startswith("/api/"):
        return JsonResponse({"error": "Something broke here. The error is in the server's log."}, status=500)
    return HttpResponse(render_to_string("500.html"), status=500)
