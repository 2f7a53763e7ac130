"""The four groups and their permissions. Each role includes the permissions of the roles before it."""

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.models import Group, Permission
from django.db import transaction

VIEWER, AUTHOR, EXECUTOR, ADMIN = "viewer", "author", "executor", "admin"

# The permissions that services and pages check.
WRITE_PLANS = "batches.add_plan"
EXECUTE_BATCH = "batches.execute_batch"
MERGE_BATCH = "batches.merge_batch"
SIGN_OFF_GATE = "batches.tick_gate"
ADD_PROJECT = "batches.add_project"
CHANGE_PROJECT = "batches.change_project"
CHANGE_INSTALLATION = "batches.change_installation"
MANAGE_PEOPLE = "auth.change_user"

VIEW_BATCH = "batches.view_batch"

# Viewing and writing plans never runs code; whoever may execute may run code on the server.
_WRITES_PLANS = (WRITE_PLANS, "batches.change_plan", "batches.delete_plan")
_EXECUTES = (EXECUTE_BATCH, MERGE_BATCH, SIGN_OFF_GATE, "batches.add_batch", "batches.change_batch", "batches.change_conflict")
_ADMINISTERS_APPS = ("batches", "auth")

# What a token with this scope may ask for, if its person may; "admin" is without a limit.
SCOPES = {"read": frozenset[str](), "plan": frozenset(_WRITES_PLANS), "execute": frozenset((*_WRITES_PLANS, *_EXECUTES))}


# What a membership's role adds in its project. Each role includes the ones before it, as the groups do; an executor of an
# installation's group is a maintainer of every open project.
MAINTAINER = "maintainer"
MEMBER_ROLES: dict[str, frozenset[str]] = {}
for _role, _more in (
    (VIEWER, (VIEW_BATCH,)),
    (AUTHOR, _WRITES_PLANS),
    (EXECUTOR, (EXECUTE_BATCH, SIGN_OFF_GATE)),
    (MAINTAINER, (MERGE_BATCH,)),
    (ADMIN, (CHANGE_PROJECT,)),
):
    MEMBER_ROLES[_role] = frozenset().union(*MEMBER_ROLES.values(), _more)


def scope_for(permission: str) -> str:
    """The least scope of a token that covers `permission`."""
    return next((scope for scope, covered in SCOPES.items() if permission in covered or ".view_" in permission), "admin")


def grants(role: str, permission: str) -> bool:
    """Whether the group `role` has the permission. Raises KeyError for an unknown role."""
    seen = permission.startswith("batches.view_")
    return {
        VIEWER: seen,
        AUTHOR: seen or permission in _WRITES_PLANS,
        EXECUTOR: seen or permission in _WRITES_PLANS or permission in _EXECUTES,
        ADMIN: permission.partition(".")[0] in _ADMINISTERS_APPS,
    }[role]


def permissions_of(role: str) -> list[Permission]:
    """The permissions of `role`, sorted by name. Raises KeyError for an unknown role."""
    every = {f"{p.content_type.app_label}.{p.codename}": p for p in Permission.objects.select_related("content_type")}
    return [every[name] for name in sorted(every) if grants(role, name)]


def make_groups(sender: AppConfig, using: str = "default", **_kwargs: Any) -> None:
    """Update the four groups after every `migrate`. Members and other groups stay as they are.

    Receives post_migrate. django.contrib.auth comes first in INSTALLED_APPS, so its own receiver has created the permissions.
    """
    with transaction.atomic(using=using):
        for role in (VIEWER, AUTHOR, EXECUTOR, ADMIN):
            group, _ = Group.objects.using(using).get_or_create(name=role)
            group.permissions.set(permissions_of(role))
