"""The users of the installation: the administrators' pages."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from batches.accounts import second_steps, sessions, users
from batches.accounts.rights import refusal
from batches.accounts.roles import MANAGE_PEOPLE
from batches.core.errors import BatchError
from batches.core.text.words import counted
from batches.pages.accounts.forms import UserChange, UserNew
from batches.pages.accounts.sign_in import confirmed
from batches.pages.common import act, actor_of, refusals_in


def refuse_others(request: HttpRequest) -> None:
    """Raises PermissionDenied unless the user may manage people."""
    if not request.user.has_perm(MANAGE_PEOPLE):
        raise PermissionDenied(refusal("Managing people", MANAGE_PEOPLE))


def for_administrators(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The view, for those who may manage people and typed their password lately. Raises PermissionDenied."""
    asking = confirmed(view)

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        refuse_others(request)
        return asking(request, *args, **kwargs)

    return guarded


def base_url(request: HttpRequest) -> str:
    return request.build_absolute_uri("/")


# For administrators


@require_http_methods(["GET", "HEAD", "POST"])
@for_administrators
def user_list(request: HttpRequest) -> HttpResponse:
    """All people. POST adds a person and shows the link or password once."""
    form = UserNew(request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        with refusals_in(form):
            access = users.add_user(
                name=data["name"],
                email=data["email"],
                role=data["role"],
                by_link=data["way"] == "link",
                base_url=base_url(request),
                actor=actor_of(request),
            )
            return _access_page(request, access, "Added")
    working = Q(api_tokens__revoked_at=None) & (Q(api_tokens__expires_at=None) | Q(api_tokens__expires_at__gt=timezone.now()))
    everybody = User.objects.prefetch_related("groups").annotate(token_count=Count("api_tokens", filter=working)).order_by("username")
    context = {"form": form, "users": [(one, users.role_of(one)) for one in everybody]}
    return render(request, "accounts/people.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@for_administrators
def user_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One person. POST changes the role or email address."""
    user = get_object_or_404(User.objects.prefetch_related("groups"), pk=pk)
    role = users.role_of(user)
    form = UserChange(request.POST or None, initial={"email": user.email, "role": role})
    if request.method == "POST" and form.is_valid():
        with refusals_in(form):
            users.change_user(user=user, **form.cleaned_data, actor=actor_of(request))
            messages.success(request, "Saved.")
            return redirect("batches:user", pk)
    context = {
        "person": user,
        "role": role,
        "form": form,
        "tokens": user.api_tokens.select_related("project"),
        "now": timezone.now(),
        "second_steps": second_steps.steps_of(user).count(),
        "is_self": user.pk == request.user.pk,
        "sessions": sessions.sessions_of(user, request.session.session_key),
        "end_sessions": reverse("batches:end_sessions_of", args=[user.pk]),
    }
    return render(request, "accounts/person.html", context, status=400 if form.errors else 200)


@require_POST
@for_administrators
def user_active(request: HttpRequest, pk: int) -> HttpResponse:
    user, active = get_object_or_404(User, pk=pk), request.POST.get("active") == "on"

    def verb() -> str:
        users.set_active(user=user, active=active, actor=actor_of(request))
        return f"{user.username} may sign in again." if active else f"{user.username} is signed out and can no longer sign in."

    return act(request, verb, reverse("batches:user", args=[pk]))


@require_POST
@for_administrators
def user_reset(request: HttpRequest, pk: int) -> HttpResponse:
    """A new link or password, shown once. No redirect, because that would have to store it."""
    user = get_object_or_404(User, pk=pk)
    try:
        access = users.reset_access(
            user=user, by_link=request.POST.get("way") != "password", base_url=base_url(request), actor=actor_of(request)
        )
    except BatchError as error:
        messages.error(request, str(error))
        return redirect("batches:user", pk)
    return _access_page(request, access, "New access for")


def _access_page(request: HttpRequest, access: users.Access, what: str) -> HttpResponse:
    return render(request, "accounts/person_access.html", {"access": access, "what": what}, status=201)


# Everyone's own account


@require_POST
@for_administrators
def end_sessions_of(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(User, pk=pk)

    def verb() -> str:
        keep = request.session.session_key if user.pk == request.user.pk else None
        ended = users.end_sessions(user=user, only=request.POST.get("session", ""), keep_key=keep, actor=actor_of(request))
        return f"{user.username} is signed out in {counted(ended, 'place')}."

    return act(request, verb, reverse("batches:user", args=[pk]))
