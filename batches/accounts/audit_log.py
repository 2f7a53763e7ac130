"""The audit log: records events that leave no other row. Called by services and by Django's signals."""

from ipaddress import ip_address as parse_address
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest
from django.utils import timezone

from batches.models import AuditEvent

Kind = AuditEvent.Kind


def record(kind: Kind, cause: str, what: str, *, address: str | None = None, refused: bool = False) -> None:
    """Add one event, in the caller's transaction."""
    AuditEvent.objects.create(
        at=timezone.now(), kind=kind, cause=cause[:200], what=what[:300], address=address_or_none(address), refused=refused
    )


def address_or_none(text: str | None) -> str | None:
    """The IP address without its scope, or None if there is none, as with a Unix socket."""
    try:
        return str(parse_address((text or "").partition("%")[0]))
    except ValueError:
        return None


def address_of(request: HttpRequest | None) -> str | None:
    """The client's IP address. Behind a proxy it is the proxy's, as for django-axes."""
    return None if request is None else request.META.get("REMOTE_ADDR")


# Receivers of Django's and django-axes' signals, connected in apps.py.


def signed_in(sender: object, request: HttpRequest | None, user: AbstractBaseUser, **_: Any) -> None:
    record(Kind.SIGN_IN, f"person:{user.get_username()}", "Signed in", address=address_of(request))


def signed_out(sender: object, request: HttpRequest | None, user: AbstractBaseUser | None, **_: Any) -> None:
    if user is not None:
        record(Kind.SIGN_IN, f"person:{user.get_username()}", "Signed out", address=address_of(request))


def sign_in_failed(sender: object, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """Record a wrong password. Unknown names are not stored, because people type passwords there; nor are tries while locked."""
    if getattr(request, "axes_locked_out", False):
        return
    name, address = str(credentials.get("username", "")), address_of(request)
    known = "\0" not in name and get_user_model()._default_manager.filter(username=name).exists()
    what = f"Wrong password for {name}" if known else "Sign-in with an unknown name"
    record(Kind.SIGN_IN, f"address:{address or 'unknown'}", what, address=address, refused=True)


def locked_out(sender: object, request: HttpRequest | None, username: str, ip_address: str, **_: Any) -> None:
    known = "\0" not in username and get_user_model()._default_manager.filter(username=username).exists()
    what = f"Locked after too many tries: {username if known else 'an unknown name'}"
    record(Kind.SIGN_IN, f"address:{ip_address}", what, address=ip_address, refused=True)
