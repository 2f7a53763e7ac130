"""Who a person is at the identity provider, and what its groups make of the account's role."""

from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from batches.accounts import audit_log, users
from batches.core.errors import ServiceError
from batches.models import ProviderIdentity


@dataclass(frozen=True, slots=True)
class Claims:
    """What a checked ID token says: the provider, its unchanging name for the person, and what it calls the person.

    `groups` are the provider's. `signed_in_at` is when the person last proved to the provider who they are, as seconds since
    1970; None if the provider does not say.
    """

    issuer: str
    subject: str
    name: str = ""
    email: str = ""
    groups: tuple[str, ...] = ()
    signed_in_at: float | None = None


def identity_of(user: User) -> ProviderIdentity | None:
    """The person's identity at the provider of this installation."""
    return user.identities.filter(issuer=settings.CE_OIDC_ISSUER).first()


def user_of(claims: Claims) -> User:
    """Whose account it is, with the role that the groups give; made now if CE_OIDC_CREATE says so. Raises ServiceError.

    An account is never found by its name or email address: those of a provider may be chosen by their owners.
    """
    found = ProviderIdentity.objects.filter(issuer=claims.issuer, subject=claims.subject).select_related("user").first()
    if found is None:
        user = _made(claims)
    else:
        user = found.user
        if not user.is_active:
            raise ServiceError(f"The account {user.get_username()} is switched off.")
        ProviderIdentity.objects.filter(pk=found.pk).update(used_at=timezone.now(), name=_called(claims))
    if settings.CE_OIDC_ROLES:
        users.follow_groups(user=user, role=role_for(claims.groups), by=_cause(claims))
        user = User.objects.get(pk=user.pk)  # its permissions were read before
    return user


def connect(user: User, claims: Claims) -> None:
    """Let the person sign in by this identity from now on. Raises ServiceError if it, or the account, has another."""
    try:
        with transaction.atomic():
            ProviderIdentity.objects.create(
                user=user, issuer=claims.issuer, subject=claims.subject, name=_called(claims), made_at=timezone.now()
            )
            what = f"Connected {user.get_username()} with {_called(claims)} of {settings.CE_OIDC_NAME}"
            audit_log.record(audit_log.Kind.USER, f"person:{user.get_username()}", what)
    except IntegrityError:
        raise ServiceError("This identity belongs to another account, or your account has one already.") from None


def disconnect(user: User) -> None:
    """Raises ServiceError if the person could not sign in any more, or has no identity."""
    if not user.has_usable_password():
        raise ServiceError("You have no password: choose one first, or you could not sign in any more.")
    if not user.identities.all().delete()[0]:
        raise ServiceError("Your account is not connected.")
    audit_log.record(audit_log.Kind.USER, f"person:{user.get_username()}", f"Disconnected from {settings.CE_OIDC_NAME}")


def role_for(groups: tuple[str, ...]) -> str:
    """The highest role that CE_OIDC_ROLES gives to one of the groups; "" for none."""
    given = {role for group, role in settings.CE_OIDC_ROLES.items() if group in groups}
    return next((role for role in reversed(users.ROLES) if role in given), "")


def _made(claims: Claims) -> User:
    if not settings.CE_OIDC_CREATE:
        raise ServiceError(
            "No account is connected with this identity. Sign in with your password and connect it on the page Your account,"
            " or ask an administrator for an account."
        )
    try:
        with transaction.atomic():
            user, name, now = users.new_account(_called(claims), claims.email), _called(claims), timezone.now()
            ProviderIdentity.objects.create(user=user, issuer=claims.issuer, subject=claims.subject, name=name, made_at=now, used_at=now)
            audit_log.record(audit_log.Kind.USER, _cause(claims), f"Added {user.get_username()} at the first sign-in, without a role")
            return user
    except IntegrityError:
        raise ServiceError("This account was made at this very moment. Try again.") from None


def _called(claims: Claims) -> str:
    return (claims.name or claims.email or claims.subject)[:150]


def _cause(claims: Claims) -> str:
    return f"provider:{settings.CE_OIDC_NAME} ({_called(claims)})"
