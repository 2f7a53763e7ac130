"""Where a person is signed in, how to end that, which steps the session has passed, and how long ago its password was typed.

What is shown of a session is kept in the session itself, so that there is no second table to keep in step.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from batches.accounts.client_address import address_of

ABOUT, CONFIRMED = "ce_signed_in", "ce_confirmed"
FIRST_STEP, COMPLETE = "ce_first_step", "ce_complete"
CONFIRMED_FOR = timedelta(minutes=30)
FIRST_STEP_FOR = timedelta(minutes=10)  # from the password to the second step
TO_SEND = timedelta(minutes=15)  # a form that was opened in time may be sent so much later


@dataclass(frozen=True, slots=True)
class SignedIn:
    """One session. `id` names it in forms and is not its key; `at` is None where the beginning was not kept."""

    id: str
    at: datetime | None
    address: str
    browser: str
    is_current: bool


def signed_in(sender: object, request: HttpRequest | None, user: User, **_: Any) -> None:
    """Receives user_logged_in."""
    if request is not None and hasattr(request, "session"):
        browser = request.headers.get("User-Agent", "")[:200]
        now = timezone.now().timestamp()
        request.session[ABOUT] = {"at": now, "address": address_of(request) or "", "browser": browser}
        request.session[CONFIRMED] = now


def sessions_of(user: User, current_key: str | None = None) -> list[SignedIn]:
    """The user's sessions, the newest first."""
    found = []
    for row, data in _of(user):
        about = data.get(ABOUT) or {}
        at = datetime.fromtimestamp(about["at"], UTC) if "at" in about else None
        name = _name(row.session_key)
        found.append(SignedIn(name, at, about.get("address", ""), about.get("browser", ""), row.session_key == current_key))
    return sorted(found, key=lambda one: (one.at is not None, one.at), reverse=True)


def end_sessions(user: User, *, only: str = "", keep_key: str | None = None) -> int:
    """End the user's session with the id `only`, or all but the one with the key `keep_key`; returns how many."""
    keys = [row.session_key for row, _ in _of(user) if row.session_key != keep_key and (not only or _name(row.session_key) == only)]
    return Session.objects.filter(session_key__in=keys).delete()[0]


def confirm(request: HttpRequest, *, at: float | None = None) -> None:
    """Note that the person typed the password, or signed in to the identity provider: just now, or `at`, in seconds since 1970."""
    request.session[CONFIRMED] = timezone.now().timestamp() if at is None else at


def is_confirmed(request: HttpRequest) -> bool:
    """Whether the password was typed lately, so that secrets and people may be changed."""
    at = request.session.get(CONFIRMED)
    allowed = CONFIRMED_FOR + (TO_SEND if request.method == "POST" else timedelta(0))
    return isinstance(at, (int, float)) and 0 <= timezone.now().timestamp() - at < allowed.total_seconds()


def keep_first_step(request: HttpRequest, user: User, onward: str) -> None:
    """Note that the person's password or link was right. The session is not signed in before the second step is."""
    request.session.cycle_key()
    kept = {"user": user.pk, "hash": user.get_session_auth_hash(), "at": timezone.now().timestamp(), "onward": onward}
    request.session[FIRST_STEP] = kept


def first_step(request: HttpRequest) -> tuple[User, str] | None:
    """(who has passed the first step lately, where to go then); None if password or account changed since."""
    kept = request.session.get(FIRST_STEP)
    if not kept or not 0 <= timezone.now().timestamp() - kept["at"] < FIRST_STEP_FOR.total_seconds():
        return None
    user = User.objects.filter(pk=kept["user"], is_active=True).first()
    if user is None or not constant_time_compare(user.get_session_auth_hash(), kept["hash"]):
        return None
    return user, str(kept["onward"])


def complete(request: HttpRequest) -> None:
    """Note that the session has all the steps that this installation may require."""
    request.session.pop(FIRST_STEP, None)
    request.session[COMPLETE] = True


def is_complete(request: HttpRequest) -> bool:
    return bool(request.session.get(COMPLETE))


def _of(user: User) -> list[tuple[Session, dict[str, Any]]]:
    rows = ((row, row.get_decoded()) for row in Session.objects.filter(expire_date__gt=timezone.now()))
    return [(row, data) for row, data in rows if data.get(SESSION_KEY) == str(user.pk)]


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]
