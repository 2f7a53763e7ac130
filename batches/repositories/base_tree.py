"""The files of a project's base branch, read once for each commit: for templates, completion and the review of a plan that is written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from batches.core.errors import ServiceError
from batches.core.plans.globs import is_glob
from batches.core.plans.types import PhaseSpec
from batches.core.review.plan_review import BaseFiles, named_in_steps
from batches.core.review.tree_names import TreeNames
from batches.models import Project
from batches.repositories.repository import repository_of
from subagents import not_committed
from subagents.contract import SubagentError
from subagents.documents import list_files
from subagents.open_repository import attached_repository, open_repository
from subagents.protected_paths import ProtectedPaths, usual_patterns
from subagents.submodules import submodules_of
from subagents.workspace import Repository

COMMITS_KEPT = 8  # of all projects; the names of a large repository take some megabytes
ANSWERS_KEPT = 20_000  # of one commit


@dataclass
class BaseTree:
    """One commit: its regular files, sorted, and what git has said of paths so far. Asking raises GitError, OSError."""

    repository: Repository
    commit: str
    files: tuple[str, ...]
    _said: dict[str, tuple[str, str, str]] = field(default_factory=dict, repr=False)

    @cached_property
    def names(self) -> TreeNames:
        return TreeNames(self.files)

    @cached_property
    def _has_ignores(self) -> bool:
        return any(path.rpartition("/")[2] == ".gitignore" for path in self.files)

    @cached_property
    def _has_filters(self) -> bool:
        named = any(path.rpartition("/")[2] == ".gitattributes" for path in self.files)
        return named and bool(not_committed.filters_named(self.repository, self.commit))

    @cached_property
    def _submodules(self) -> tuple[str, ...]:
        return tuple(one.path for one in submodules_of(self.repository, self.commit)) if ".gitmodules" in self.names.files else ()

    def said_of(self, paths: Sequence[str]) -> dict[str, tuple[str, str, str]]:
        """{path: (where it is ignored, its submodule, its filter)}, each "" for none. git is asked once for each."""
        new = [path for path in paths if path not in self._said]
        answers = {path: self._said[path] for path in paths if path in self._said}
        if new:
            ignored = not_committed.ignored_files(self.repository, self.commit, new) if self._has_ignores else {}
            filtered = not_committed.filtered_files(self.repository, self.commit, new) if self._has_filters else {}
            for path in new:
                above = next((one for one in self._submodules if path == one or path.startswith(one + "/")), "")
                answers[path] = (ignored.get(path, ""), above, filtered.get(path, ""))
            if len(self._said) + len(new) > ANSWERS_KEPT:
                self._said.clear()
            self._said.update(answers)
        return answers


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
    repository = attached_repository(path)
    return BaseTree(repository, commit, tuple(sorted(list_files(repository, commit))))


def base_files(project: Project, phases: Sequence[PhaseSpec]) -> BaseFiles:
    """The base branch as the review of these phases sees it. Raises ServiceError."""
    return _files_of(base_tree(project), project.protected_paths, phases)


def files_at(path: str, branch: str, phases: Sequence[PhaseSpec]) -> BaseFiles:
    """A branch (empty: the one that is checked out) of the repository at `path`, with the paths that a new project protects.

    Needs no database. Raises ServiceError.
    """
    try:
        repository = open_repository(path)
        commit = repository.branch_commit(branch or repository.default_branch())
        return _files_of(read_tree(repository.path, commit), usual_patterns(), phases)
    except (SubagentError, OSError) as problem:
        raise ServiceError(str(problem)) from problem


def _files_of(tree: BaseTree, protected_paths: str, phases: Sequence[PhaseSpec]) -> BaseFiles:
    declared = sorted({path for phase in phases for path in phase.files if not is_glob(path)})
    try:
        said = tree.said_of(declared)
    except (SubagentError, OSError) as problem:
        raise ServiceError(str(problem)) from problem
    patterns = ProtectedPaths(line for line in protected_paths.splitlines() if line.strip())
    named = dict.fromkeys([*declared, *(path for phase in phases for _, _, path in named_in_steps(phase))])
    return BaseFiles(
        tree.names,
        ignored={path: one for path, (one, _, _) in said.items() if one},
        submodules={path: one for path, (_, one, _) in said.items() if one},
        filtered={path: one for path, (_, _, one) in said.items() if one},
        protected={path: pattern for path in named if (pattern := patterns.pattern_of(path.rstrip("/")))},
    )
