"""The audit log: records events that leave no other row. Called by services and by Django's signals."""

import math
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest
from django.utils import timezone

from batches.accounts.client_address import address_of, address_or_none
from batches.models import AuditEvent

Kind = AuditEvent.Kind


def record(kind: Kind, cause: str, what: str, *, address: str | None = None, refused: bool = False) -> None:
    """Add one event, in the caller's transaction."""
    AuditEvent.objects.create(
        at=timezone.now(), kind=kind, cause=cause[:200], what=what[:300], address=address_or_none(address), refused=refused
    )


# Receivers of Django's signals, connected in apps.py.


def signed_in(sender: object, request: HttpRequest | None, user: AbstractBaseUser, **_: Any) -> None:
    record(Kind.SIGN_IN, f"person:{user.get_username()}", f"Signed in{getattr(request, 'sign_in_way', '')}", address=address_of(request))


def signed_out(sender: object, request: HttpRequest | None, user: AbstractBaseUser | None, **_: Any) -> None:
    if user is not None:
        record(Kind.SIGN_IN, f"person:{user.get_username()}", "Signed out", address=address_of(request))


def sign_in_failed(sender: object, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """Record a wrong password. Unknown names are not stored, because people type passwords there; nor are tries that had to wait."""
    if getattr(request, "sign_in_wait", 0):
        return
    name, address = str(credentials.get("username", "")), address_of(request)
    known = "\0" not in name and get_user_model()._default_manager.filter(username=name).exists()
    what = f"Wrong password for {name}" if known else "Sign-in with an unknown name"
    trier = getattr(request, "sign_in_trier", None)
    if trier is not None and (wait := trier.seconds_to_wait(timezone.now())) > 0:
        what += f"; the next try waits {math.ceil(wait)} s"
    record(Kind.SIGN_IN, f"address:{address or 'unknown'}", what, address=address, refused=True)
