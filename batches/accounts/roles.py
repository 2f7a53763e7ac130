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

# Viewing and writing plans never runs code; whoever may execute may run code on the server.
_WRITES_PLANS = (WRITE_PLANS, "batches.change_plan", "batches.delete_plan")
_EXECUTES = (EXECUTE_BATCH, MERGE_BATCH, SIGN_OFF_GATE, "batches.add_batch", "batches.change_batch", "batches.change_conflict")
_ADMINISTERS_APPS = ("batches", "auth")

# What a token with this scope may ask for, if its person may; "admin" is without a limit.
SCOPES = {"read": frozenset[str](), "plan": frozenset(_WRITES_PLANS), "execute": frozenset((*_WRITES_PLANS, *_EXECUTES))}


def scope_for(permission: str) -> str:
    """The least scope of a token that covers `permission`."""
    return next((scope for scope, covered in SCOPES.items() if permission in covered or ".view_" in permission), "admin")


def permissions_of(role: str) -> list[Permission]:
    """The permissions of `role`, sorted by name. Raises KeyError for an unknown role."""
    every = {f"{p.content_type.app_label}.{p.codename}": p for p in Permission.objects.select_related("content_type")}
    seen = [name for name in every if name.startswith("batches.view_")]
    granted = {
        VIEWER: [*seen],
        AUTHOR: [*seen, *_WRITES_PLANS],
        EXECUTOR: [*seen, *_WRITES_PLANS, *_EXECUTES],
        ADMIN: [name for name in every if name.partition(".")[0] in _ADMINISTERS_APPS],
    }[role]
    return [every[name] for name in sorted(granted)]


def make_groups(sender: AppConfig, using: str = "default", **_kwargs: Any) -> None:
    """Update the four groups after every `migrate`. Members and other groups stay as they are.

    Receives post_migrate. django.contrib.auth comes first in INSTALLED_APPS, so its own receiver has created the permissions.
    """
    with transaction.atomic(using=using):
        for role in (VIEWER, AUTHOR, EXECUTOR, ADMIN):
            group, _ = Group.objects.using(using).get_or_create(name=role)
            group.permissions.set(permissions_of(role))
