"""The git repository behind a project."""

from pathlib import Path

from django.conf import settings

from batches.models import Batch, Project
from subagents.open_repository import attached_repository, open_repository
from subagents.workspace import Repository, RepositoryProblem


def _project(owner: Project | Batch) -> Project:
    return owner.project if isinstance(owner, Batch) else owner


def folder_of(owner: Project | Batch) -> str:
    """Where the repository is on this host: the project's own, or the clone of a worker host."""
    project = _project(owner)
    return str(Path(settings.CE_DATA_DIR) / "clones" / project.slug) if settings.CE_WORKER else project.repository


def checked_repository(owner: Project | Batch) -> Repository:
    """The repository of a project or batch, checked by running git. For what a person asks.

    Raises RepositoryProblem with what is wrong and what to do.
    """
    if settings.CE_WORKER:
        raise RepositoryProblem("worker_host", "This is a worker host: it only executes. Do that on the main host.")
    return open_repository(_project(owner).repository)


def repository_of(owner: Project | Batch) -> Repository:
    """Like `checked_repository`, without running git: for the engine, between two phases. Raises RepositoryProblem."""
    return attached_repository(folder_of(owner))
