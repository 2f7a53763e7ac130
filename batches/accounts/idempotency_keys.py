"""Answers of the API that are kept for a day: a request that is sent once more with its Idempotency-Key changes nothing twice."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from batches.core.errors import ServiceError, WrongChoice
from batches.models import ApiToken, KeptAnswer

KEPT_FOR = timedelta(hours=24)
KEY_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Kept:
    """What was answered before."""

    status: int
    body: str
    content_type: str


def begin(token: ApiToken, key: str, method: str, address: str, body: bytes, now: datetime) -> KeptAnswer | Kept:
    """A row to be completed by `keep` or `drop`, or what was answered before.

    Raises WrongChoice for a key that was sent with another request, and ServiceError while the first one is carried out.
    """
    if not key.isprintable() or len(key) > KEY_CHARACTERS:
        raise WrongChoice(f"An Idempotency-Key has at most {KEY_CHARACTERS} printable characters.")
    KeptAnswer.objects.filter(created_at__lt=now - KEPT_FOR).delete()
    digest = hashlib.sha256(b"\n".join((method.encode(), address.encode(errors="replace"), body))).hexdigest()
    try:
        with transaction.atomic():
            return KeptAnswer.objects.create(token=token, key=key, request=digest, created_at=now)
    except IntegrityError:
        found = KeptAnswer.objects.filter(token=token, key=key).first()
    if found is None:
        raise ServiceError("The same request is sent twice at once. Send it again.")
    if found.request != digest:
        raise WrongChoice("This Idempotency-Key was sent with another request. Choose a new one for each thing that you ask for.")
    if found.status is None:
        raise ServiceError("The request with this Idempotency-Key is being carried out, or was lost on the way: look before you ask again.")
    return Kept(found.status, found.body, found.content_type)


def keep(row: KeptAnswer, status: int, body: str, content_type: str) -> None:
    """Complete the row."""
    KeptAnswer.objects.filter(pk=row.pk).update(status=status, body=body, content_type=content_type)


def drop(row: KeptAnswer) -> None:
    """Nothing was carried out: the key is free again."""
    row.delete()
