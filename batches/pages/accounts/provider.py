"""Signing in by the identity provider, proving there again who one is, and connecting one's account with it."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from batches.accounts import audit_log, identities, sessions
from batches.accounts.client_address import address_of
from batches.core.errors import ServiceError
from batches.integrations import identity_provider
from batches.pages.accounts.sign_in import BACKEND, confirmed, safe_onward

KEPT = "ce_provider"  # in the session, from the start to the provider's answer
KEPT_SECONDS = 600
SIGN_IN, CONFIRM, CONNECT = "sign-in", "confirm", "connect"


@login_not_required
@never_cache
@require_safe
def provider(request: HttpRequest) -> HttpResponse:
    """To the provider, to sign in or to prove it again. GET, for the policy lets no form lead away."""
    why = CONFIRM if request.user.is_authenticated else SIGN_IN
    try:
        return redirect(_begin(request, why, safe_onward(request)))
    except identity_provider.ProviderError as error:
        return _refused(request, why, str(error))


@login_not_required
@never_cache
@require_safe
def provider_back(request: HttpRequest) -> HttpResponse:
    """The provider's answer. What was kept for it works once."""
    kept: dict[str, Any] = request.session.pop(KEPT, {})
    if not 0 <= timezone.now().timestamp() - kept.get("at", 0) < KEPT_SECONDS or kept.get("user") != request.user.pk:
        kept = {}
    why = kept.get("why", SIGN_IN)
    try:
        claims = identity_provider.finish(_callback(request), request.GET.dict(), kept, again=why == CONFIRM)
        if why == SIGN_IN:
            _sign_in(request, claims)
        else:
            assert isinstance(request.user, User)
            _for_signed_in(request, request.user, why, claims)
    except ServiceError as error:
        return _refused(request, why, str(error))
    return redirect(kept["onward"])


def _sign_in(request: HttpRequest, claims: identities.Claims) -> None:
    user = identities.user_of(claims)
    noted: Any = request
    noted.sign_in_way = f" by {settings.CE_OIDC_NAME}"  # for the audit log
    login(request, user, backend=BACKEND)
    sessions.complete(request)  # second steps are the provider's matter
    sessions.confirm(request, at=claims.signed_in_at or 0)


def _for_signed_in(request: HttpRequest, user: User, why: str, claims: identities.Claims) -> None:
    """Raises ServiceError."""
    if why == CONNECT:
        identities.connect(user, claims)
        messages.success(request, f"Your account is connected: from now on you can sign in with {settings.CE_OIDC_NAME}.")
        return
    own = identities.identity_of(user)
    if own is None or own.subject != claims.subject:
        raise ServiceError("This is not the identity that your account is connected with.")
    sessions.confirm(request)


@require_POST
@confirmed
def own_provider(request: HttpRequest) -> HttpResponse:
    """Connect one's account with an identity of the provider, or disconnect it.

    Connecting shows a link: a page of another site must not be able to start it, and the policy lets no form lead away.
    """
    if not settings.CE_OIDC_ISSUER:
        raise Http404
    user = request.user
    assert isinstance(user, User)
    try:
        if request.POST.get("what") == "disconnect":
            identities.disconnect(user)
            messages.success(request, "Your account is no longer connected.")
            return redirect("batches:account")
        address = _begin(request, CONNECT, reverse("batches:account"))
    except ServiceError as error:
        messages.error(request, str(error))
        return redirect("batches:account")
    return render(request, "accounts/connect_account.html", {"address": address, "provider": settings.CE_OIDC_NAME})


def _begin(request: HttpRequest, why: str, onward: str) -> str:
    if not settings.CE_OIDC_ISSUER:
        raise Http404
    address, kept = identity_provider.begin(_callback(request), again=why == CONFIRM)
    request.session[KEPT] = kept | {"why": why, "onward": onward, "at": timezone.now().timestamp(), "user": request.user.pk}
    return address


def _callback(request: HttpRequest) -> str:
    return request.build_absolute_uri(reverse("provider_back"))


def _refused(request: HttpRequest, why: str, said: str) -> HttpResponse:
    address = address_of(request)
    what = f"{settings.CE_OIDC_NAME}: {said}"
    audit_log.record(audit_log.Kind.SIGN_IN, f"address:{address or 'unknown'}", what, address=address, refused=True)
    messages.error(request, said)
    return redirect({SIGN_IN: "sign_in", CONFIRM: "confirm", CONNECT: "batches:account"}[why])
