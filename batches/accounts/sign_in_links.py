"""One-time sign-in links, for the first administrator and for people who lost their password."""

from datetime import datetime
from urllib.parse import urljoin

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode


class SignInTokens(PasswordResetTokenGenerator):
    """Tokens that are valid until they are used, the password changes, or PASSWORD_RESET_TIMEOUT is over.

    The hash includes `last_login`, which signing in sets. Django's own generator drops the microseconds, so that a link
    created in the same second as a sign-in would stay valid.
    """

    key_salt = "batches.signin.SignInTokens"

    def _make_hash_value(self, user: AbstractBaseUser, timestamp: int) -> str:
        last_login = "" if user.last_login is None else user.last_login.isoformat()
        return f"{user.pk} {user.password} {last_login} {user.is_active} {timestamp}"


_tokens = SignInTokens()


def make_link(user: User, base_url: str) -> str:
    """A link under `base_url` that signs `user` in once, within PASSWORD_RESET_TIMEOUT seconds."""
    uidb64 = urlsafe_base64_encode(force_bytes(user.pk))
    return urljoin(base_url, reverse("sign_in_link", kwargs={"uidb64": uidb64, "token": _tokens.make_token(user)}))


def check_link(uidb64: str, token: str) -> User | None:
    """The user of a valid link, or None. Does not use the link up."""
    user = _user(uidb64)
    return user if user is not None and user.is_active and _tokens.check_token(user, token) else None


def use_link(uidb64: str, token: str, now: datetime) -> User | None:
    """Like check_link, and uses the link up. Of two requests with the same link, only one gets the user."""
    with transaction.atomic():
        user = check_link(uidb64, token)
        if user is None:
            return None
        unused = User.objects.filter(pk=user.pk, password=user.password, last_login=user.last_login)
        if not unused.update(last_login=now):
            return None
        user.last_login = now
        return user


def _user(uidb64: str) -> User | None:
    try:
        key = User._meta.pk.to_python(urlsafe_base64_decode(uidb64).decode())
    except (ValueError, ValidationError):  # not base 64, not text, not a key
        return None
    return User.objects.filter(pk=key).first()
