"""The second step of signing in, and one's own page of second steps: apps, passkeys and recovery codes."""

import json
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from batches.accounts import audit_log, sessions
from batches.accounts import second_steps as steps
from batches.accounts.back_off import Trier
from batches.accounts.client_address import address_of
from batches.accounts.sealed import Unreadable, seal, unseal
from batches.core.errors import ServiceError
from batches.models import SecondStep
from batches.pages.accounts.sign_in import BACKEND, confirmed, know_browser
from batches.pages.common import read_number

KEY, PASSKEY = "ce_new_app", "ce_passkey"  # in the session: what is asked until it is answered
ANSWER_CHARACTERS = 20_000  # of a passkey, as JSON


@login_not_required
@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def second_step(request: HttpRequest) -> HttpResponse:
    """After the first step ask for a code or a passkey, and sign in. Wrong codes slow down (accounts/back_off.py)."""
    passed = sessions.first_step(request)
    if passed is None:
        if request.method == "POST":
            messages.warning(request, "That took too long. Start again.")
        return redirect("sign_in")
    user, onward = passed
    wrong = ""
    if request.method == "POST":
        wrong = _wrong(request, user)
        if not wrong:
            login(request, user, backend=BACKEND)
            sessions.complete(request)
            return know_browser(redirect(onward), user, request)
    kinds = set(steps.steps_of(user).values_list("kind", flat=True))
    options = None
    if SecondStep.Kind.PASSKEY in kinds and (asked := steps.ask_passkey(user, _origin(request))):
        options, request.session[PASSKEY] = asked
    context = {"wrong": wrong, "options": options, "has_app": SecondStep.Kind.APP in kinds, "person": user}
    return render(request, "accounts/second_step.html", context, status=400 if wrong else 200)


def _wrong(request: HttpRequest, user: User) -> str:
    """Check what was sent; what is wrong with it, as a sentence, or "". A code that has to wait is not looked at."""
    cause, address = f"address:{address_of(request) or 'unknown'}", address_of(request)
    if request.POST.get("passkey"):
        try:
            steps.check_passkey(user, _origin(request), request.session.pop(PASSKEY, {}), _answer(request))
        except steps.PasskeyError as error:
            what = f"Passkey of {user.get_username()} refused: {error}"
            audit_log.record(audit_log.Kind.SIGN_IN, cause, what, address=address, refused=True)
            return "This passkey was not accepted. Try again."
        return ""
    trier, noted = Trier.of_second_step(user), request
    if wait := trier.enter():
        noted.sign_in_wait = wait  # type: ignore[attr-defined]  # show_wait answers with 429
        return "Too many tries."
    if steps.check_code(user, request.POST.get("code", "")):
        trier.succeeded()
        return ""
    what = f"Wrong second step for {user.get_username()}"
    if wait := trier.seconds_to_wait(timezone.now()):
        what += f"; the next try waits {wait:.0f} s"
    audit_log.record(audit_log.Kind.SIGN_IN, cause, what, address=address, refused=True)
    return "This code is not right, or was used before."


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@confirmed
def second_steps(request: HttpRequest) -> HttpResponse:
    """One's own second steps. POST adds an app (`code`) or a passkey, makes new recovery codes, or removes a step."""
    user = request.user
    assert isinstance(user, User)
    wrong, what = "", request.POST.get("what", "")
    if request.method == "POST":
        try:
            if what == "remove":
                step = get_object_or_404(steps.steps_of(user), pk=read_number(request.POST.get("step")) or 0)
                steps.remove(step, required=settings.CE_TWO_STEP == "required")
                messages.success(request, f"Removed: {step}.")
                return redirect("batches:second_steps")
            codes = _add(request, user, what)
        except (ServiceError, steps.PasskeyError) as error:
            wrong = str(error)
        else:
            sessions.complete(request)
            if not codes:
                messages.success(request, "Added.")
                return redirect("batches:second_steps")
            return render(request, "accounts/recovery_codes.html", {"codes": codes}, status=201)
    return _page(request, user, wrong, what)


def _add(request: HttpRequest, user: User, what: str) -> list[str]:
    """Do `what`; returns recovery codes to show. Raises ServiceError, PasskeyError."""
    name = request.POST.get("name", "")
    if what == "app":
        codes = steps.add_app(user, _kept_key(request), request.POST.get("code", ""), name)
        request.session.pop(KEY, None)
        return codes
    if what == "passkey":
        return steps.add_passkey(user, _origin(request), request.session.pop(PASSKEY, {}), _answer(request), name)
    if what == "codes" and steps.steps_of(user).exists():
        return steps.new_codes(user)
    raise ServiceError("Nothing was changed: choose what to do.")


def _page(request: HttpRequest, user: User, wrong: str, what: str) -> HttpResponse:
    key, options = _kept_key(request), None
    if can_have_passkeys(request):
        options, request.session[PASSKEY] = steps.ask_new_passkey(user, _origin(request))
    context: dict[str, Any] = {
        "steps": steps.steps_of(user),
        "codes_left": steps.codes_left(user),
        "key": " ".join(key[start : start + 4] for start in range(0, len(key), 4)),
        "picture": steps.picture_of(key, user),
        "options": options,
        "wrong": wrong,
        "what": what,
        "required": settings.CE_TWO_STEP == "required",
        "site": request.get_host(),
    }
    return render(request, "accounts/second_steps.html", context, status=400 if wrong else 200)


def _kept_key(request: HttpRequest) -> str:
    """The key that the page offers to an app, the same until one was added."""
    try:
        return unseal(request.session.get(KEY, ""))
    except Unreadable:
        key = steps.new_key()
        request.session[KEY] = seal(key)
        return key


def can_have_passkeys(request: HttpRequest) -> bool:
    """Browsers make passkeys for host names, over https or on this machine."""
    host = request.get_host().rpartition(":")[0] or request.get_host()
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return request.is_secure() or host == "localhost" or host.endswith(".localhost")
    return False


def _origin(request: HttpRequest) -> str:
    return f"{request.scheme}://{request.get_host()}"


def _answer(request: HttpRequest) -> dict[str, Any]:
    """What the browser's passkey answered. Raises PasskeyError."""
    text = request.POST.get("passkey", "")
    try:
        answer = json.loads(text) if len(text) <= ANSWER_CHARACTERS else None
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise steps.PasskeyError("The browser sent no answer of a passkey.")
    return answer
