"""The files of a project's base branch, read once for each commit: for templates, completion and the checks of a plan that is written."""

from dataclasses import dataclass, field
from functools import lru_cache

from batches.core.errors import ServiceError
from batches.models import Project
from batches.repositories.repository import repository_of
from subagents.contract import SubagentError
from subagents.documents import list_files
from subagents.workspace import attached_repository

COMMITS_KEPT = 8  # of all projects; the names of a large repository take some megabytes


@dataclass(frozen=True, slots=True)
class BaseTree:
    """The regular files of one commit, sorted; `names` are the same for looking one up."""

    commit: str
    files: tuple[str, ...]
    names: frozenset[str] = field(repr=False)


def base_tree(project: Project) -> BaseTree:
    """The files at the head of the project's base branch. Raises ServiceError with what is wrong and what to do."""
    try:
        commit = repository_of(project).branch_commit(project.base_branch)
        return read_tree(project.repository, commit)
    except (SubagentError, OSError) as problem:
        raise ServiceError(str(problem)) from problem


@lru_cache(maxsize=COMMITS_KEPT)
def read_tree(path: str, commit: str) -> BaseTree:
    """The files of a commit of the repository at `path`. Raises GitError, RepositoryProblem."""
    files = tuple(sorted(list_files(attached_repository(path), commit)))
    return BaseTree(commit, files, frozenset(files))
