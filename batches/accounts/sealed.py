"""Stored secrets, encrypted with a key derived from SECRET_KEY, so that the database alone does not reveal them."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

PURPOSE = b"ce-web: secrets of projects"


class Unreadable(Exception):
    """The stored secret was encrypted with another SECRET_KEY, or was changed."""


def seal(secret: str) -> str:
    """Encrypt `secret` as text."""
    return _box().encrypt(secret.encode()).decode()


def unseal(sealed: str) -> str:
    """Decrypt what `seal` returned. Raises Unreadable."""
    try:
        return _box().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise Unreadable("It was stored with another SECRET_KEY; enter it again.") from None


def _box() -> Fernet:
    key = hashlib.blake2b(settings.SECRET_KEY.encode(), key=PURPOSE[:64], digest_size=32).digest()
    return Fernet(base64.urlsafe_b64encode(key))
