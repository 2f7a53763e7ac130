"""Who acts: a signed-in person, or a management command. The history names the actor of every change."""

import getpass
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from django.core.exceptions import PermissionDenied

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User


@dataclass(frozen=True, slots=True)
class Actor:
    """`cause` is written to the history. `user` is None for a command, which may do everything."""

    cause: str
    user: "User | None" = None

    @classmethod
    def person(cls, user: "User | AnonymousUser") -> Self:
        """A signed-in person. Raises PermissionDenied for the anonymous."""
        if not user.is_authenticated:
            raise PermissionDenied("Sign in first.")
        return cls(f"person:{user.get_username()}", user)

    @classmethod
    def command(cls, name: str) -> Self:
        """A management command, with the operating system's user who ran it."""
        try:
            login = getpass.getuser()
        except (KeyError, OSError):  # a container's user without a name
            login = "unknown"
        return cls(f"command:{name} ({login})")

    def require(self, permission: str) -> None:
        """Raises PermissionDenied when a person lacks `permission` (such as "batches.execute_batch")."""
        if self.user is not None and not self.user.has_perm(permission):
            raise PermissionDenied(f"{self.cause} may not do this ({permission}).")
