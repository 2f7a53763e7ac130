"""A person's own account: password and sessions."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from batches.accounts import second_steps, sessions, users
from batches.accounts.identities import identity_of
from batches.core.text.words import counted
from batches.integrations import personal_notifications
from batches.integrations.notifications import TRIES
from batches.models import Notification
from batches.pages.accounts.forms import OwnNotifications, OwnPassword, TokenNew
from batches.pages.accounts.sign_in import ask_to_confirm, is_password_of, know_browser
from batches.pages.common import act, actor_of, refusals_in

NOTICES_SHOWN = 10


@require_safe
def account(request: HttpRequest) -> HttpResponse:
    return account_page(request)


@sensitive_post_parameters()
@require_POST
def own_password(request: HttpRequest) -> HttpResponse:
    user = self_of(request)
    if not user.has_usable_password() and not sessions.is_confirmed(request):
        return ask_to_confirm(request)
    form = OwnPassword(request.POST, user=user, is_right=lambda typed: is_password_of(request, user, typed))
    if form.is_valid():
        with refusals_in(form, "new"):
            users.change_own_password(user=user, password=form.cleaned_data["new"])
            update_session_auth_hash(request, user)
            sessions.confirm(request)
            messages.success(request, "Your password has been changed. Your other sessions have ended.")
            return know_browser(redirect("batches:account"), user, request)
    return account_page(request, password_form=form)


@require_POST
def end_sessions(request: HttpRequest) -> HttpResponse:
    """End one of one's own sessions (`session`), or all others."""
    user, one = self_of(request), request.POST.get("session", "")

    def verb() -> str:
        ended = users.end_sessions(user=user, only=one, keep_key=request.session.session_key, actor=actor_of(request))
        return f"Signed out in {counted(ended, 'other place')}."

    return act(request, verb, reverse("batches:account"))


def self_of(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # all pages except sign-in require a signed-in person
    return request.user


def account_page(
    request: HttpRequest,
    password_form: OwnPassword | None = None,
    token_form: TokenNew | None = None,
    notify_form: OwnNotifications | None = None,
) -> HttpResponse:
    user = self_of(request)
    chosen = personal_notifications.choices_of(user)
    forms = (password_form or OwnPassword(user=user), token_form or TokenNew(), notify_form or OwnNotifications(instance=chosen))
    context = {
        "role": users.role_of(user),
        "password_form": forms[0],
        "token_form": forms[1],
        "notify_form": forms[2],
        "notices": Notification.objects.filter(user=user).select_related("run__batch")[:NOTICES_SHOWN],
        "notice_tries": TRIES,
        "tokens": user.api_tokens.select_related("project"),
        "now": timezone.now(),
        "sessions": sessions.sessions_of(user, request.session.session_key),
        "end_sessions": reverse("batches:end_sessions"),
        "second_steps": second_steps.steps_of(user).count(),
        "provider": settings.CE_OIDC_ISSUER and settings.CE_OIDC_NAME,
        "identity": identity_of(user),
        "confirmed": sessions.is_confirmed(request),
    }
    return render(request, "accounts/your_account.html", context, status=400 if any(form.errors for form in forms) else 200)
