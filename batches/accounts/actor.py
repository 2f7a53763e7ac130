"""Who acts: a signed-in person, or a management command. The history names the actor of every change."""

import getpass
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from django.core.exceptions import PermissionDenied

from batches.accounts.access import may
from batches.accounts.roles import SCOPES, scope_for

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

    from batches.models import ApiToken, Project


@dataclass(frozen=True, slots=True)
class Actor:
    """`cause` goes into the history. `user` is None for a command, which may do everything; `token` for a page."""

    cause: str
    user: "User | None" = None
    token: "ApiToken | None" = None

    @classmethod
    def person(cls, user: "User | AnonymousUser") -> Self:
        """A signed-in person. Raises PermissionDenied for the anonymous."""
        if not user.is_authenticated:
            raise PermissionDenied("Sign in first.")
        return cls(f"person:{user.get_username()}", user)

    @classmethod
    def program(cls, token: "ApiToken") -> Self:
        """A program with a person's token."""
        return cls(f"{cls.person(token.user).cause} (token {token.name})"[:200], token.user, token)

    @classmethod
    def command(cls, name: str) -> Self:
        """A management command, with the operating system's user who ran it."""
        try:
            login = getpass.getuser()
        except (KeyError, OSError):  # a container's user without a name
            login = "unknown"
        return cls(f"command:{name} ({login})")

    def require(self, permission: str, project: "Project | None") -> None:
        """Raises PermissionDenied when a person, or the scope of a token, lacks `permission` (such as "batches.execute_batch").

        `project` is the one that it is asked for; None for what belongs to the whole installation, and plans without a project.
        """
        if self.token is not None and permission not in SCOPES.get(self.token.scope, {permission}):
            raise PermissionDenied(f"This token's scope is {self.token.scope}; this needs a token with the scope {scope_for(permission)}.")
        if self.token is not None and self.token.project_id not in (None, project and project.pk):
            raise PermissionDenied("This token is for another project.")
        if self.user is not None and not may(self.user, permission, project):
            raise PermissionDenied(f"{self.cause} may not do this ({permission}).")
