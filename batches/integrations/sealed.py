"""Secrets at rest: encrypted with a key that is derived from SECRET_KEY, so that the database alone does not give them away."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

PURPOSE = b"ce-web: secrets of projects"


class Unreadable(Exception):
    """What is kept was sealed with another SECRET_KEY, or was changed."""


def seal(secret: str) -> str:
    """`secret` as text that only this installation can read."""
    return _box().encrypt(secret.encode()).decode()


def unseal(sealed: str) -> str:
    """What was sealed. Raises Unreadable."""
    try:
        return _box().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise Unreadable("It was kept under another SECRET_KEY; enter it anew.") from None


def _box() -> Fernet:
    key = hashlib.blake2b(settings.SECRET_KEY.encode(), key=PURPOSE[:64], digest_size=32).digest()
    return Fernet(base64.urlsafe_b64encode(key))
