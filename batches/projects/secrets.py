"""Secrets of a project: entered once, given to the commands that were chosen, told to nobody again."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress

from django.db import transaction
from django.utils import timezone

from batches.accounts import audit_log
from batches.accounts.actor import Actor
from batches.accounts.roles import CHANGE_PROJECT
from batches.accounts.sealed import Unreadable, seal, unseal
from batches.core.errors import ServiceError
from batches.models import Project, ProjectSecret
from batches.models.prepared import Prepared
from subagents.credentials import MOST_BYTES, USES
from subagents.environment import why_reserved
from subagents.redaction import SHORTEST, know

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
VALUE_BYTES = 8 * 1024
MOST = MOST_BYTES // VALUE_BYTES - 1  # so that all fit, with the key of the agents


class SecretUnreadable(ServiceError):
    """A stored secret cannot be decrypted; the message names it."""


def keep_secret(*, project: Project, name: str, value: str, uses: Sequence[str], actor: Actor) -> None:
    """Store or replace a secret. An empty `value` keeps that of an existing secret and changes only what it is given to.

    Raises ServiceError, PermissionDenied.
    """
    actor.require(CHANGE_PROJECT, project)
    name, value = name.strip(), value.replace("\r\n", "\n").strip()
    existing = ProjectSecret.objects.filter(project=project, name=name).first()
    if refusal := _refusal(project, name, value, uses, existing is not None):
        raise ServiceError(refusal)
    columns = {use: use in uses for use in USES} | {"changed_at": timezone.now(), "changed_cause": actor.cause[:200]}
    if value:
        columns["sealed"] = seal(value)
    with transaction.atomic():
        ProjectSecret.objects.update_or_create(project=project, name=name, defaults=columns)
        what = "Replaced" if existing and value else "Changed the use of" if existing else "Added"
        given = ", ".join(use for use in USES if use in uses)
        audit_log.record(audit_log.Kind.PROJECT, actor.cause, f"{what} the secret {name} of {project.name}, for {given}")


def delete_secret(*, project: Project, name: str, actor: Actor) -> None:
    """Delete a secret. Raises ServiceError, PermissionDenied."""
    actor.require(CHANGE_PROJECT, project)
    with transaction.atomic():
        if not ProjectSecret.objects.filter(project=project, name=name).delete()[0]:
            raise ServiceError(f"{project.name} has no secret {name}.")
        audit_log.record(audit_log.Kind.PROJECT, actor.cause, f"Deleted the secret {name} of {project.name}")


OF_TASK: Prepared[ProjectSecret] = Prepared(lambda task: ProjectSecret.objects.filter(project__batches__runs__tasks=task))


def secrets_of_task(task_id: int) -> list[dict[str, object]]:
    """The secrets of a task's project, as launcher.launch passes them on. Raises SecretUnreadable."""
    return _unsealed(OF_TASK.rows(task=task_id))


def secrets_of_project(project: Project) -> list[dict[str, object]]:
    """The secrets of a project, as launcher.launch passes them on. Raises SecretUnreadable."""
    return _unsealed(project.secrets.all())


def _unsealed(rows: Iterable[ProjectSecret]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for secret in rows:
        try:
            value = unseal(secret.sealed)
        except Unreadable as problem:
            raise SecretUnreadable(f"The project's secret {secret.name} cannot be used. {problem}") from None
        found.append({"name": secret.name, "value": value, "uses": secret.uses})
    return found


def learn_secrets(project: Project) -> None:
    """Have this process mask the project's secrets in what it stores; those that cannot be decrypted are passed over."""
    for sealed in project.secrets.values_list("sealed", flat=True):
        with suppress(Unreadable):
            know(unseal(sealed))


def _refusal(project: Project, name: str, value: str, uses: Sequence[str], exists: bool) -> str:
    if not NAME.fullmatch(name) or len(name) > 100:
        return "A secret's name is that of an environment variable, such as NPM_TOKEN."
    if reason := why_reserved(name):
        return f"{name} {reason}."
    if name in {line.partition("=")[0].strip() for line in project.environment_variables.split("\n")}:
        return f"{name} is among the environment variables already; delete it there first."
    if not set(uses) or not set(uses) <= set(USES):
        return "Choose what the secret is given to: the set-up command, steps, gates, agents or MCP servers."
    if not value:
        return "" if exists else f"Enter the value of {name}."
    if len(value) < SHORTEST:
        return f"A secret has at least {SHORTEST} characters: a shorter one could not be told from ordinary words in the output."
    if len(value.encode()) > VALUE_BYTES or "\0" in value:
        return f"A secret has at most {VALUE_BYTES} bytes, and no NUL."
    if not exists and project.secrets.count() >= MOST:
        return f"A project has at most {MOST} secrets."
    return ""
