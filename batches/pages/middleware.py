"""Response headers, expired sessions of polling pages, wrong methods and NUL characters."""

from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib.auth import logout
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils.cache import patch_cache_control

from batches.accounts import second_steps, sessions
from batches.accounts.access import sight_of
from batches.models.visibility import seeing, sees_nothing
from batches.pages.common import htmx
from batches.pages.errors import wrong_method

# Nothing from elsewhere and nothing inline. `data:` images are the admin's own icons.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "manifest-src 'self'",
    )
)
PERMISSIONS_POLICY = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
# A plan's text is stored as typed; the reader reports the lines that it cannot read.
PLAN_TEXT_FIELD = "text"
FORM_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
Answer = Callable[[HttpRequest], HttpResponse]


def secure_headers(get_response: Answer) -> Answer:
    """Content-Security-Policy, Permissions-Policy, and no caching of pages (nosniff comes from Django)."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        if not response.has_header("Cache-Control"):
            patch_cache_control(response, no_store=True)
        return response

    return middleware


def htmx_sign_in(get_response: Answer) -> Answer:
    """Send a polling page whose session has ended to the sign-in page; htmx would swap a 302's target into it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if not htmx(request) or not isinstance(response, HttpResponseRedirect):
            return response
        address = resolve_url(settings.LOGIN_URL)
        if not response.url.startswith(address):
            return response
        page = urlsplit(htmx(request).current_url or "").path
        redirect = HttpResponse(status=204)
        redirect["HX-Redirect"] = f"{address}?{urlencode({'next': page})}" if page else address
        return redirect

    return middleware


class KeepToSight:
    """Let a request see the rows only that its person may see. The API sees by its token instead.

    Who has no role in the installation and is a member of no project sees nothing but the own account.
    """

    WITHOUT_A_ROLE = (
        *("account", "own_password", "own_notifications", "end_sessions", "token_revoke", "second_steps", "sign_out", "confirm", "theme"),
        *("own_provider", "sign_in", "sign_in_link", "second_step", "provider", "provider_back"),
    )

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with seeing(sight_of(request.user)):
            return self.get_response(request)

    def process_view(self, request: HttpRequest, *_view: object) -> None:
        """Raises PermissionDenied."""
        assert request.resolver_match is not None
        if request.user.is_authenticated and sees_nothing() and request.resolver_match.url_name not in self.WITHOUT_A_ROLE:
            raise PermissionDenied("Your account has no role yet. An administrator gives one, or makes you a member of a project.")


class RequireSecondStep:
    """Where the installation requires a second step, lead whoever signed in without one to the page that sets it up.

    A session that began before it was required, of somebody who has one, ends. The API has no sessions.
    """

    ALLOWED = ("second_steps", "second_step", "confirm", "sign_out", "theme", "sign_in", "sign_in_link", "provider", "provider_back")

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_view: object) -> HttpResponse | None:
        if settings.CE_TWO_STEP != "required" or not request.user.is_authenticated or sessions.is_complete(request):
            return None
        assert request.resolver_match is not None
        if has_steps := second_steps.steps_of(request.user).exists():
            logout(request)
        elif request.resolver_match.url_name in self.ALLOWED:
            return None
        target = resolve_url(settings.LOGIN_URL if has_steps else "batches:second_steps")
        return HttpResponse(status=204, headers={"HX-Redirect": target}) if htmx(request) else HttpResponseRedirect(target)


def show_wrong_method(get_response: Answer) -> Answer:
    """Show an error page for a wrong method; Django's own response is empty."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if not isinstance(response, HttpResponseNotAllowed) or response.content:
            return response
        said = wrong_method(request, response["Allow"])
        said["Allow"] = response["Allow"]
        return said

    return middleware


class RefuseNul:
    """Refuse NUL characters in addresses and fields: PostgreSQL cannot store or look up text with NUL.

    Runs after the CSRF check, which reads the form.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_view: object) -> None:
        """Raises BadRequest."""
        asked = [request.path_info, *(value for values in request.GET.lists() for value in (values[0], *values[1]))]
        if request.method == "POST" and request.content_type in FORM_TYPES:
            asked += [value for name, values in request.POST.lists() if name != PLAN_TEXT_FIELD for value in values]
        if any("\0" in value for value in asked):
            raise BadRequest("The request contains a NUL character.")
