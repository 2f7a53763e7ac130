"""Signing in by password or by a one-time link, and typing the password again before what is delicate."""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate, login
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from batches.accounts import back_off, second_steps, sessions, sign_in_links
from batches.accounts.back_off import DEVICE_COOKIE, DEVICE_SECONDS, device_cookie
from batches.accounts.identities import identity_of
from batches.pages.common import htmx
from batches.pages.context_processors import THEMES

BACKEND = "django.contrib.auth.backends.ModelBackend"
YEAR_SECONDS = 365 * 86400


class SignIn(LoginView):
    """The password form. Wrong passwords slow down whoever types them (accounts/back_off.py)."""

    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        return super().get_context_data(**more, provider=settings.CE_OIDC_ISSUER and settings.CE_OIDC_NAME)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        return pass_first_step(self.request, form.get_user(), self.get_success_url())


def pass_first_step(request: HttpRequest, user: AbstractBaseUser, onward: str) -> HttpResponse:
    """Sign in whose password or link was right, or ask for the second step if the person has one."""
    assert isinstance(user, User)
    if second_steps.steps_of(user).exists():
        back_off.signed_in(pass_first_step, request)
        sessions.keep_first_step(request, user, onward)
        return redirect("second_step")
    login(request, user, backend=BACKEND)
    return know_browser(redirect(onward), user, request)


def know_browser(response: HttpResponse, user: AbstractBaseUser, request: HttpRequest) -> HttpResponse:
    """Let this browser sign `user` in later without waiting for what others did with the name."""
    assert isinstance(user, User)
    response.set_cookie(
        *(DEVICE_COOKIE, device_cookie(user)), max_age=DEVICE_SECONDS, httponly=True, samesite="Lax", secure=request.is_secure()
    )
    return response


def show_wait(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Answer a sign-in that has to wait with 429, on whichever page it was tried."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        seconds = math.ceil(getattr(request, "sign_in_wait", 0))
        if not seconds:
            return response
        refused = render(request, "accounts/too_many_tries.html", {"seconds": seconds}, status=429)
        refused["Retry-After"] = str(seconds)
        return refused

    return middleware


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest) -> HttpResponse:
    """Ask for the password again before secrets and people are changed; then back to `next`."""
    user, wrong = request.user, False
    assert isinstance(user, User)
    onward = safe_onward(request)
    if request.method == "POST":
        if is_password_of(request, user, request.POST.get("password", "")):
            sessions.confirm(request)
            return know_browser(redirect(onward), user, request)
        wrong = True
    provider = settings.CE_OIDC_NAME if settings.CE_OIDC_ISSUER and identity_of(user) else ""
    context = {"next": onward, "wrong": wrong, "has_password": user.has_usable_password(), "provider": provider}
    return render(request, "accounts/confirm_it_is_you.html", context, status=400 if wrong else 200)


def is_password_of(request: HttpRequest, user: User, typed: str) -> bool:
    """Whether the password is right; a wrong one is counted and recorded as at the sign-in."""
    if authenticate(request, username=user.get_username(), password=typed) != user:
        return False
    back_off.signed_in(is_password_of, request)
    return True


def safe_onward(request: HttpRequest) -> str:
    """Where to go after signing in: `next`, if it is of this site."""
    onward = request.POST.get("next") or request.GET.get("next", "")
    if url_has_allowed_host_and_scheme(onward, {request.get_host()}, require_https=request.is_secure()):
        return onward
    return resolve_url(settings.LOGIN_REDIRECT_URL)


def confirmed(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The view, for those who typed their password lately; others are asked for it first."""

    @wraps(view)
    def asking(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return view(request, *args, **kwargs) if sessions.is_confirmed(request) else ask_to_confirm(request)

    return asking


def ask_to_confirm(request: HttpRequest) -> HttpResponse:
    """To the page that asks for the password, and from there back to the page that the request was sent from."""
    page = request.get_full_path()
    if request.method == "POST":
        messages.warning(request, "Nothing was changed: confirm your password, then do it again.")
        page = urlsplit(request.headers.get("Referer", "")).path or page
    address = f"{resolve_url('confirm')}?{urlencode({'next': page})}"
    return HttpResponse(status=204, headers={"HX-Redirect": address}) if htmx(request) else redirect(address)


@login_not_required
@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def by_link(request: HttpRequest, uidb64: str, token: str) -> HttpResponse:
    """GET shows a button and POST signs in, so that link previews of chat programs do not use the link up."""
    if request.method == "POST":
        user = sign_in_links.use_link(uidb64, token, timezone.now())
        if user is not None:
            onward = settings.LOGIN_REDIRECT_URL if user.has_usable_password() else "batches:account"
            return pass_first_step(request, user, resolve_url(onward))
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
