"""Change the settings of the installation: the default backend, the API key. Each change records who made it."""

import re

from django.db import transaction

from batches.accounts.actor import Actor
from batches.accounts.roles import CHANGE_INSTALLATION
from batches.accounts.sealed import seal
from batches.core.errors import ServiceError
from batches.models import Installation, SettingChange
from subagents.backends import BACKENDS


def set_default_backend(*, backend: str, actor: Actor) -> None:
    """Set the backend of new projects. Raises ServiceError, PermissionDenied."""
    actor.require(CHANGE_INSTALLATION, None)
    if backend not in BACKENDS:
        raise ServiceError(f"Unknown backend {backend!r}. Backends: {', '.join(BACKENDS)}.")
    _change({"default_backend": backend}, "default backend", actor)


def keep_api_key(*, key: str, actor: Actor) -> None:
    """Store a key, encrypted. It is never shown again. Raises ServiceError, PermissionDenied."""
    actor.require(CHANGE_INSTALLATION, None)
    key = key.strip()
    if not re.fullmatch(r"[!-~]{8,1000}", key):
        raise ServiceError("A key is 8 to 1000 visible ASCII characters, without spaces.")
    _change({"api_key": seal(key), "listed_models": []}, "API key", actor)  # another key may see other models


def forget_api_key(*, actor: Actor) -> None:
    """Remove the stored key. Raises PermissionDenied."""
    actor.require(CHANGE_INSTALLATION, None)
    _change({"api_key": "", "listed_models": []}, "API key removed", actor)


def _change(values: dict[str, object], name: str, actor: Actor) -> None:
    with transaction.atomic():
        Installation.objects.update_or_create(pk=1, defaults=values)
        SettingChange.objects.create(cause=actor.cause, name=name)
