"""The second step of signing in: a code of an app (TOTP, RFC 6238), a passkey (WebAuthn), or a recovery code.

A person has second steps once there is an app or a passkey. Recovery codes are made with the first of them, and end with the last.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime
from hmac import compare_digest
from typing import Any

import pyotp
import segno
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac
from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialUserEntity,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from batches.accounts import audit_log
from batches.accounts.sealed import Unreadable, seal, unseal
from batches.core.errors import ServiceError
from batches.models import SecondStep

ISSUER = "CE Web"
CLOCK_STEPS = 1  # a code of the 30 s before and after is right, too: clocks differ
CODES, CODE_CHARACTERS = 10, 10
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without what looks alike
STEPS_EACH = 10  # apps and passkeys of a person
Kind = SecondStep.Kind


def steps_of(user: User) -> QuerySet[SecondStep]:
    """The person's apps and passkeys, the oldest first."""
    return user.second_steps.exclude(kind=Kind.CODE).order_by("pk")


def codes_left(user: User) -> int:
    return user.second_steps.filter(kind=Kind.CODE).count()


def remove(step: SecondStep, *, required: bool) -> None:
    """Remove an app or a passkey, and the recovery codes with the last of them. Raises ServiceError for the last if `required`."""
    user = step.user
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        if not steps_of(user).exclude(pk=step.pk).exists():
            if required:
                raise ServiceError("This installation requires a second step. Add another one first.")
            user.second_steps.all().delete()
        else:
            step.delete()
        audit_log.record(audit_log.Kind.USER, f"person:{user.get_username()}", f"Removed a second step: {step}")


def remove_all(user: User) -> int:
    """Remove every second step in the caller's transaction; returns how many apps and passkeys there were."""
    found = steps_of(user).count()
    user.second_steps.all().delete()
    return found


def _add(user: User, kind: str, name: str, **columns: Any) -> list[str]:
    name = " ".join(name.split())[:80] or Kind(kind).label
    try:
        with transaction.atomic():
            User.objects.select_for_update().get(pk=user.pk)
            before = steps_of(user).count()
            if before >= STEPS_EACH:
                raise ServiceError(f"You have {STEPS_EACH} second steps. Remove one that you no longer use.")
            step = SecondStep.objects.create(user=user, kind=kind, name=name, made_at=timezone.now(), **columns)
            audit_log.record(audit_log.Kind.USER, f"person:{user.get_username()}", f"Added a second step: {step}")
            return [] if before else new_codes(user)
    except IntegrityError:
        raise ServiceError("This passkey is known here already.") from None


# Codes


def new_key() -> str:
    """A key for an authenticator app: 160 random bits in base 32."""
    return pyotp.random_base32()


def picture_of(key: str, user: User) -> str:
    """A QR code of the key, for the app, as a data: address of an SVG."""
    address = pyotp.TOTP(key).provisioning_uri(name=user.get_username(), issuer_name=ISSUER)
    return str(segno.make_qr(address, error="m").svg_data_uri(scale=4, border=4, light="#fff"))


def add_app(user: User, key: str, code: str, name: str) -> list[str]:
    """Add an app that has shown a right code for `key`. Returns the codes of a first step. Raises ServiceError."""
    counter = _counter_of(key, code, timezone.now())
    if counter is None:
        raise ServiceError("This is not the code that the app shows now. Check the clocks of both devices.")
    return _add(user, Kind.APP, name, secret=seal(key), counter=counter)


def new_codes(user: User) -> list[str]:
    """Ten recovery codes, shown once. The codes from before end."""
    texts = ["".join(secrets.choice(ALPHABET) for _ in range(CODE_CHARACTERS)) for _ in range(CODES)]
    now = timezone.now()
    with transaction.atomic():
        user.second_steps.filter(kind=Kind.CODE).delete()
        SecondStep.objects.bulk_create(SecondStep(user=user, kind=Kind.CODE, digest=_digest(user, text), made_at=now) for text in texts)
        audit_log.record(audit_log.Kind.USER, f"person:{user.get_username()}", "Made new recovery codes")
    return [f"{text[:5]}-{text[5:]}" for text in texts]


def check_code(user: User, typed: str) -> bool:
    """Whether it is a code that one of the person's apps shows now, or a recovery code; either works once."""
    code, now = "".join(typed.split()).replace("-", "").lower()[:32], timezone.now()
    if len(code) == CODE_CHARACTERS:
        found = user.second_steps.filter(kind=Kind.CODE, digest=_digest(user, code))
        if not found.delete()[0]:
            return False
        left = codes_left(user)
        audit_log.record(audit_log.Kind.SIGN_IN, f"person:{user.get_username()}", f"Used a recovery code; {left} left")
        return True
    for app in user.second_steps.filter(kind=Kind.APP):
        try:
            counter = _counter_of(unseal(app.secret), code, now)
        except Unreadable:
            continue
        if counter is not None and user.second_steps.filter(pk=app.pk, counter__lt=counter).update(counter=counter, used_at=now):
            return True
    return False


def _counter_of(key: str, code: str, now: datetime) -> int | None:
    """The number of the 30 s for which the code is right, or None."""
    code = "".join(code.split())
    app = pyotp.TOTP(key)
    if len(code) != app.digits or not code.isascii():
        return None
    for offset in range(-CLOCK_STEPS, CLOCK_STEPS + 1):
        counter = app.timecode(now) + offset
        if compare_digest(app.generate_otp(counter), code):
            return counter
    return None


def _digest(user: User, code: str) -> str:
    """The stored hash of a recovery code, keyed with SECRET_KEY: 50 random bits could be guessed from a plain one."""
    return salted_hmac("batches.second_steps.code", f"{user.pk} {code}", algorithm="sha256").hexdigest()


# Passkeys


class PasskeyError(Exception):
    """What the browser sent is no valid answer of a passkey of this person, for this site, to this question."""


def _server(origin: str) -> Fido2Server:
    """`origin` is this site's, such as https://ce.example.org; its host name is what passkeys are made for."""
    host = origin.partition("://")[2].rpartition(":")[0] if origin.count(":") > 1 else origin.partition("://")[2]
    return Fido2Server(PublicKeyCredentialRpEntity(name=ISSUER, id=host), verify_origin=lambda said: said == origin)


def ask_new_passkey(user: User, origin: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what the browser is asked to make a passkey with, what to keep until it answers), both as JSON values."""
    about = PublicKeyCredentialUserEntity(id=_handle(user), name=user.get_username(), display_name=user.get_username())
    options, state = _server(origin).register_begin(
        about,
        _credentials(user),
        resident_key_requirement=ResidentKeyRequirement.PREFERRED,
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    return dict(options), dict(state)


def add_passkey(user: User, origin: str, kept: Mapping[str, Any], answer: Mapping[str, Any], name: str) -> list[str]:
    """Add the passkey that the browser made. Returns recovery codes if it is the first step. Raises ServiceError, PasskeyError."""
    try:
        made = _server(origin).register_complete(kept, answer)
    except Exception as error:  # noqa: BLE001 -- the library raises what its decoders of hostile bytes raise
        raise PasskeyError(str(error)) from None
    credential = made.credential_data
    assert credential is not None  # register_complete checked it
    secret = base64.b64encode(credential).decode()
    return _add(user, Kind.PASSKEY, name, secret=secret, digest=_passkey_digest(credential.credential_id), counter=made.counter)


def ask_passkey(user: User, origin: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """(what the browser is asked to sign, what to keep until it answers); None for a person without a passkey."""
    if not (credentials := _credentials(user)):
        return None
    options, state = _server(origin).authenticate_begin(credentials, UserVerificationRequirement.PREFERRED)
    return dict(options), dict(state)


def check_passkey(user: User, origin: str, kept: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """Raises PasskeyError unless a passkey of the person signed the answer, and its count of uses has grown."""
    try:
        used = _server(origin).authenticate_complete(kept, _credentials(user), answer)
        counter = AuthenticationResponse.from_dict(answer).response.authenticator_data.counter
    except Exception as error:  # noqa: BLE001 -- the library raises what its decoders of hostile bytes raise
        raise PasskeyError(str(error)) from None
    passkeys = user.second_steps.filter(kind=Kind.PASSKEY, digest=_passkey_digest(used.credential_id))
    # Many passkeys do not count: they always say 0.
    if not passkeys.filter(counter__lt=counter or 1).update(counter=counter, used_at=timezone.now()):
        raise PasskeyError("The passkey has counted fewer uses than before: it may have been copied.")


def _credentials(user: User) -> list[AttestedCredentialData]:
    passkeys = user.second_steps.filter(kind=Kind.PASSKEY).values_list("secret", flat=True)
    return [AttestedCredentialData(base64.b64decode(secret)) for secret in passkeys]


def _passkey_digest(credential_id: bytes) -> str:
    return hashlib.sha256(credential_id).hexdigest()


def _handle(user: User) -> bytes:
    """What authenticators call the person: one id for all passkeys, which says nothing of them (WebAuthn 14.6.1)."""
    return salted_hmac("batches.second_steps.handle", str(user.pk), algorithm="sha256").digest()
