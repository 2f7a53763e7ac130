"""API tokens: created by a person for programs, shown once, stored as a hash. Too many bad tokens block their address for a while."""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from batches.accounts import audit_log
from batches.accounts.actor import Actor
from batches.accounts.client_address import address_or_none
from batches.accounts.roles import MANAGE_PEOPLE
from batches.core.errors import ServiceError
from batches.models import ApiToken, AuditEvent, Project

PREFIX = "ce_"
LIVES_DAYS = (7, 30, 90, 365)
TOKENS_EACH = 20  # per person, of those that work
USED_EVERY = timedelta(minutes=1)  # accuracy of last_used_at, so that not every request writes
BAD_TRIES, BAD_WINDOW = 10, timedelta(minutes=15)  # so many bad tokens from one address in this time block it


class TooManyBadTokens(Exception):
    """An address sent too many bad tokens and must wait for `retry_seconds`."""

    def __init__(self, retry_seconds: int) -> None:
        self.retry_seconds = retry_seconds
        super().__init__(f"Too many bad tokens came from this address. Try again in {retry_seconds} s.")


def make_token(
    *, name: str, days: int | None, actor: Actor, scope: str = ApiToken.Scope.ADMIN, project: Project | None = None
) -> tuple[ApiToken, str]:
    """Create a token for the actor. Returns the row and its text, which is not stored. `days` None: no expiry.

    `project` None: for all that the person may see. Raises ServiceError.
    """
    user = actor.user
    if user is None:
        raise ServiceError("A token belongs to a person.")
    name = " ".join(name.split())
    if not name:
        raise ServiceError("A token needs a name that says what it is for.")
    if days is not None and days not in LIVES_DAYS:
        raise ServiceError(f"A token works for {', '.join(map(str, LIVES_DAYS))} days, or until it is revoked.")
    if scope not in ApiToken.Scope.values:
        raise ServiceError(f"Unknown scope {scope!r}. Scopes: {', '.join(ApiToken.Scope.values)}.")
    now, text = timezone.now(), PREFIX + secrets.token_urlsafe(32)
    if standing(user, now).count() >= TOKENS_EACH:
        raise ServiceError(f"You have {TOKENS_EACH} tokens. Revoke one that you no longer use.")
    try:
        with transaction.atomic():
            ends = None if days is None else now + timedelta(days=days)
            made = ApiToken.objects.create(
                user=user,
                name=name[:80],
                digest=digest(text),
                ending=text[-4:],
                scope=scope,
                project=project,
                created_at=now,
                expires_at=ends,
            )
            life = "without expiry" if days is None else f"for {days} days"
            where = "" if project is None else f" in {project}"
            audit_log.record(audit_log.Kind.TOKEN, actor.cause, f"Created the token {made}, {life}, scope {scope}{where}")
    except IntegrityError:
        raise ServiceError(f"You already have a token called {name}. Revoke it, or choose another name.") from None
    return made, text


def revoke_token(*, token: ApiToken, actor: Actor) -> None:
    """Revoke one's own token, or any token as an administrator. Raises ServiceError, PermissionDenied."""
    if actor.user is None or token.user_id != actor.user.pk:
        actor.require(MANAGE_PEOPLE, None)
    with transaction.atomic():
        if not ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
            raise ServiceError(f"The token {token} has already been revoked.")
        audit_log.record(audit_log.Kind.TOKEN, actor.cause, f"Revoked the token {token} of {token.user.get_username()}")


def end_all(user: User) -> int:
    """Revoke for good whatever tokens of the user still stand, in the caller's transaction; returns how many."""
    return standing(user, timezone.now()).update(revoked_at=timezone.now())


def standing(user: User, now: datetime) -> QuerySet[ApiToken]:
    """The user's tokens that are neither revoked nor expired."""
    return user.api_tokens.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)


def token_of(text: str, *, address: str | None, now: datetime) -> ApiToken | None:
    """The valid token with its user; None if it is unknown, revoked or expired, or if its user is switched off.

    A refusal goes into the audit log. Raises TooManyBadTokens after too many from that address; valid tokens still pass.
    """
    found = None
    if text.startswith(PREFIX) and len(text) < 100:
        found = ApiToken.objects.filter(digest=digest(text)).select_related("user", "project").first()
    if found is not None and found.revoked_at is None and found.user.is_active and (found.expires_at is None or found.expires_at > now):
        if found.last_used_at is None or now - found.last_used_at >= USED_EVERY:
            ApiToken.objects.filter(pk=found.pk).update(last_used_at=now)
        return found
    _count_refusal(found, address_or_none(address), now)
    return None


def _count_refusal(found: ApiToken | None, address: str | None, now: datetime) -> None:
    bad = AuditEvent.objects.filter(kind=audit_log.Kind.TOKEN, refused=True, address=address, at__gt=now - BAD_WINDOW)
    times = list(bad.order_by("-at").values_list("at", flat=True)[:BAD_TRIES])
    if len(times) >= BAD_TRIES:
        raise TooManyBadTokens(max(1, round((times[-1] + BAD_WINDOW - now).total_seconds())))
    what = "Unknown token" if found is None else f"Revoked or expired token: {found} of {found.user.get_username()}"
    audit_log.record(audit_log.Kind.TOKEN, f"address:{address or 'unknown'}", what, address=address, refused=True)


def digest(text: str) -> str:
    """The stored hash of a token. A token has 256 random bits, so a slow hash would not add protection."""
    return hashlib.sha256(text.encode()).hexdigest()
