"""Add a project: a git repository on this machine, with a name and a base branch."""

import os
from collections.abc import Iterable
from pathlib import Path

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from batches.accounts import audit_log
from batches.accounts.actor import Actor
from batches.accounts.roles import ADD_PROJECT
from batches.core.errors import ServiceError
from batches.models import Installation, Project
from batches.repositories.ownership import refuse_owned, this_installation
from subagents.contract import SubagentError
from subagents.open_repository import open_repository


def create_project(*, name: str, repository: str, actor: Actor, base_branch: str = "") -> Project:
    """Create a project on the git repository at an absolute path. Raises ServiceError, PermissionDenied."""
    actor.require(ADD_PROJECT, None)
    name = " ".join(name.split())
    if not name:
        raise ServiceError("A project needs a name.")
    path = _repository_path(repository)
    try:
        opened = open_repository(path)
        branch = base_branch.strip() or opened.default_branch()
        opened.branch_commit(branch)
        refuse_owned(opened, this_installation())
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    base_slug = slugify(name) or "project"
    taken = set(Project.objects.filter(slug__startswith=base_slug).values_list("slug", flat=True))
    unique = next(candidate for candidate in _numbered(base_slug) if candidate not in taken)
    try:
        with transaction.atomic():
            audit_log.record(audit_log.Kind.PROJECT, actor.cause, f"Added the project {name} on {path}")
            return Project.objects.create(
                name=name,
                slug=unique,
                repository=path,
                base_branch=branch,
                backend=Installation.objects.filter(pk=1).values_list("default_backend", flat=True).first() or "steps",
                created_by=actor.user,
            )
    except IntegrityError:
        if Project.objects.filter(repository=path).exists():
            raise ServiceError(f"A project on {path} already exists.") from None
        raise ServiceError(f"A project called {name} already exists.") from None


def _repository_path(text: str) -> str:
    path = Path(text.strip()).expanduser()
    if not text.strip() or "\0" in text or not path.is_absolute():
        raise ServiceError("Give the absolute path of a git repository on this machine, such as /home/me/code/shop.")
    return os.path.realpath(path)


def _numbered(base: str) -> Iterable[str]:
    yield base
    number = 2
    while True:
        yield f"{base[:70]}-{number}"
        number += 1
