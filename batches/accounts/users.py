"""People who may sign in, and their roles. At least one administrator always remains."""

import secrets
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from batches.accounts import api_tokens, audit_log, second_steps, sessions
from batches.accounts.actor import Actor
from batches.accounts.roles import ADMIN, AUTHOR, EXECUTOR, MANAGE_PEOPLE, VIEWER
from batches.accounts.sign_in_links import make_link
from batches.core.errors import ServiceError
from batches.core.text.words import counted

ROLES = (VIEWER, AUTHOR, EXECUTOR, ADMIN)
PASSWORD_BYTES = 15  # 20 characters


@dataclass(frozen=True, slots=True)
class Access:
    """A new password or one-time link, shown once and not stored."""

    user: User
    password: str = ""
    link: str = ""

    def __repr__(self) -> str:
        return f"Access(user={self.user!r})"  # never the secret


def role_of(user: User) -> str:
    """The user's highest role; "" for none. A superuser is an administrator."""
    if user.is_superuser:
        return ADMIN
    names = {group.name for group in user.groups.all()}
    return next((role for role in reversed(ROLES) if role in names), "")


def add_user(*, name: str, email: str, role: str, by_link: bool, base_url: str, actor: Actor) -> Access:
    """Add a person with a one-time link (under `base_url`) or a password. Raises ServiceError, PermissionDenied."""
    actor.require(MANAGE_PEOPLE, None)
    try:
        with transaction.atomic():
            user = _new(name, email)
            _give(user, role)
            audit_log.record(audit_log.Kind.USER, actor.cause, f"Added {user.username} as {role}")
            return _access(user, by_link=by_link, base_url=base_url)
    except IntegrityError:
        raise ServiceError(f"There is already a user called {name}.") from None


def new_account(name: str, email: str) -> User:
    """Add an account without a role and a password, in the caller's transaction. Raises ServiceError if there is one of that name."""
    if User.objects.filter(username__iexact=name.strip()).exists():
        raise ServiceError(f"There is already a user called {name}, who is not connected with this identity.")
    try:
        validate_email(email)
    except ValidationError:
        email = ""
    return _new(name, email)


def follow_groups(*, user: User, role: str, by: str) -> None:
    """Give the role that the groups of the identity provider say, "" for none. The last administrator stays one."""
    try:
        with transaction.atomic():
            row = _locked(user)
            if (before := role_of(row)) == role:
                return
            _set_role(row, role)
            if before == ADMIN:
                _refuse_lock_out(row)
            what = f"{row.username}: role {before or 'none'} → {role or 'none'}, by groups"
            audit_log.record(audit_log.Kind.USER, by, what)
    except ServiceError as error:
        audit_log.record(audit_log.Kind.USER, by, f"The role was left as it is: {error}", refused=True)


def change_user(*, user: User, email: str, role: str, actor: Actor) -> None:
    """Change the email address or role. Raises ServiceError, PermissionDenied."""
    actor.require(MANAGE_PEOPLE, None)
    with transaction.atomic():
        row = _locked(user)
        before = role_of(row)
        row.email = email.strip()
        try:
            row.clean_fields(exclude=["password"])
        except ValidationError as error:
            raise ServiceError(" ".join(error.messages)) from None
        row.save(update_fields=["email"])
        if role != before:
            _give(row, role)
            _refuse_lock_out(row)
            audit_log.record(audit_log.Kind.USER, actor.cause, f"{row.username}: role {before or 'none'} → {role}")


def set_active(*, user: User, active: bool, actor: Actor) -> None:
    """Switch an account off, which ends its sessions and tokens, or on. Raises ServiceError, PermissionDenied."""
    actor.require(MANAGE_PEOPLE, None)
    if not active and actor.user is not None and actor.user.pk == user.pk:
        raise ServiceError("You cannot switch off your own account; another administrator can.")
    with transaction.atomic():
        row = _locked(user)
        if row.is_active == active:
            raise ServiceError(f"{row.username} is already switched {'on' if active else 'off'}.")
        row.is_active = active
        row.save(update_fields=["is_active"])
        _refuse_lock_out(row)
        ended = _end_access(row)  # also when switched on: it may have been switched off in another way
        audit_log.record(audit_log.Kind.USER, actor.cause, f"Switched {'on' if active else 'off'} the account {row.username}{ended}")


def reset_access(*, user: User, by_link: bool, base_url: str, actor: Actor) -> Access:
    """A new one-time link or password. The old password, second steps, identity, sessions and tokens end.

    Raises ServiceError, PermissionDenied.
    """
    actor.require(MANAGE_PEOPLE, None)
    with transaction.atomic():
        row = _locked(user)
        if not row.is_active:
            raise ServiceError(f"{row.username} is switched off; switch the account on first.")
        row.set_unusable_password()
        row.save(update_fields=["password"])
        ended = _end_access(row)
        if removed := second_steps.remove_all(row):
            ended += f"; removed {counted(removed, 'second step')}"
        if row.identities.all().delete()[0]:
            ended += "; disconnected from the identity provider"
        audit_log.record(audit_log.Kind.USER, actor.cause, f"New {'sign-in link' if by_link else 'password'} for {row.username}{ended}")
        return _access(row, by_link=by_link, base_url=base_url)


def change_own_password(*, user: User, password: str) -> None:
    """Change the user's own password, which ends other sessions. Raises ServiceError for a weak one."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ServiceError(" ".join(error.messages)) from None
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password"])
        audit_log.record(audit_log.Kind.USER, Actor.person(user).cause, "Changed their own password")


def end_sessions(*, user: User, actor: Actor, only: str = "", keep_key: str | None = None) -> int:
    """Sign the user out: in the session with the id `only`, or everywhere but in the one with the key `keep_key`.

    Returns in how many places. Raises PermissionDenied.
    """
    if actor.user is None or actor.user.pk != user.pk:
        actor.require(MANAGE_PEOPLE, None)
    ended = sessions.end_sessions(user, only=only, keep_key=keep_key)
    if ended:
        audit_log.record(audit_log.Kind.SIGN_IN, actor.cause, f"Signed {user.username} out in {counted(ended, 'place')}")
    return ended


def administrators() -> QuerySet[User]:
    """Active users who can manage people."""
    return User.objects.filter(Q(is_superuser=True) | Q(groups__name=ADMIN), is_active=True).distinct()


def _locked(user: User) -> User:
    """The current row. Locks it and all administrators' rows, so that two changes at once wait for each other."""
    people = get_user_model()._default_manager.select_for_update(of=("self",)).order_by("pk")
    list(people.filter(pk__in=[*administrators().values_list("pk", flat=True), user.pk]).values_list("pk", flat=True))
    return User.objects.get(pk=user.pk)


def _give(user: User, role: str) -> None:
    if role not in ROLES:
        raise ServiceError(f"Unknown role {role!r}. Roles: {', '.join(ROLES)}.")
    _set_role(user, role)


def _set_role(user: User, role: str) -> None:
    user.groups.remove(*Group.objects.filter(name__in=ROLES))
    if role:
        user.groups.add(Group.objects.get(name=role))
    if role != ADMIN:
        user.is_superuser = False
    user.is_staff = role == ADMIN
    user.save(update_fields=["is_superuser", "is_staff"])


def _new(name: str, email: str) -> User:
    user = User(username=User.normalize_username(name.strip()), email=email.strip())
    try:
        user.full_clean(exclude=["password"])
    except ValidationError as error:
        raise ServiceError(" ".join(error.messages)) from None
    user.set_unusable_password()
    user.save()
    return user


def _refuse_lock_out(user: User) -> None:
    """Raises ServiceError, which rolls the transaction back, if no administrator would remain."""
    if not administrators().exists():
        raise ServiceError(f"{user.username} is the last administrator. Make someone else an administrator first.")


def _end_access(user: User) -> str:
    """End the user's sessions and API tokens, and say how many tokens there were."""
    sessions.end_sessions(user)
    ended = api_tokens.end_all(user)
    return f"; ended {counted(ended, 'token')}" if ended else ""


def _access(user: User, *, by_link: bool, base_url: str) -> Access:
    if by_link:
        return Access(user, link=make_link(user, base_url))
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    user.set_password(password)
    user.save(update_fields=["password"])
    return Access(user, password=password)
