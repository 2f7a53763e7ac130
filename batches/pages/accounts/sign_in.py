"""Signing in by password, with a lock after too many tries, or by a one-time link."""

from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from batches.accounts import sign_in_links
from batches.pages.context_processors import THEMES

BACKEND = "django.contrib.auth.backends.ModelBackend"
YEAR_SECONDS = 365 * 86400


class SignIn(LoginView):
    """The password form. django-axes counts failures (see `locked_out`)."""

    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True


def locked_out(request: HttpRequest, credentials: dict[str, Any] | None, *args: Any, **kwargs: Any) -> HttpResponse:
    """The response of django-axes after too many failures: 429 with the waiting time."""
    minutes = max(1, round(settings.AXES_COOLOFF_TIME * 60))
    response = render(request, "accounts/locked_out.html", {"minutes": minutes}, status=429)
    response["Retry-After"] = str(minutes * 60)
    return response


@login_not_required
@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def by_link(request: HttpRequest, uidb64: str, token: str) -> HttpResponse:
    """GET shows a button and POST signs in, so that link previews of chat programs do not use the link up."""
    if request.method == "POST":
        user = sign_in_links.use_link(uidb64, token, timezone.now())
        if user is not None:
            login(request, user, backend=BACKEND)
            return redirect(settings.LOGIN_REDIRECT_URL if user.has_usable_password() else "batches:account")
    elif sign_in_links.check_link(uidb64, token) is not None:
        # Do not use "no-referrer" here, although the URL is as good as a password: browsers then send "Origin: null" with
        # the POST, which is refused. The site's referrer policy sends the URL to this server only.
        return render(request, "accounts/sign_in_link.html", {"usable": True})
    return render(request, "accounts/sign_in_link.html", {"usable": False}, status=410)


@login_not_required
@require_POST
def choose_theme(request: HttpRequest) -> HttpResponse:
    """Store the theme in a cookie, for browsers without JavaScript."""
    chosen = request.POST.get("theme", "")
    back = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
        back = resolve_url(settings.LOGIN_REDIRECT_URL)
    response = HttpResponseRedirect(back)
    if chosen in THEMES:
        response.set_cookie("theme", chosen, max_age=YEAR_SECONDS, samesite="Lax", secure=request.is_secure())
    return response
