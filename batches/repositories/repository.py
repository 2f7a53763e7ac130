"""The git repository behind a project."""

from batches.models import Batch, Project
from subagents.workspace import Repository, attached_repository, open_repository


def _project(owner: Project | Batch) -> Project:
    return owner.project if isinstance(owner, Batch) else owner


def checked_repository(owner: Project | Batch) -> Repository:
    """The repository of a project or batch, checked by running git. For what a person asks.

    Raises RepositoryProblem with what is wrong and what to do.
    """
    return open_repository(_project(owner).repository)


def repository_of(owner: Project | Batch) -> Repository:
    """Like `checked_repository`, without running git: for the engine, between two phases. Raises RepositoryProblem."""
    return attached_repository(_project(owner).repository)
