"""What is known of a project for the plans that people start from: its commands and its folders."""

from dataclasses import replace
from functools import lru_cache

from batches.core.errors import ServiceError
from batches.core.plans.templates import ProjectShape, shape_of
from batches.gates.discovery import proposal_of
from batches.models import Project
from batches.repositories.base_tree import base_tree, read_tree
from subagents.contract import SubagentError
from subagents.workspace import attached_repository

SHAPES_KEPT = 32


def shape_of_project(project: Project) -> ProjectShape:
    """What the base branch's files say, and before that the project's settings. Nothing is run. Raises ServiceError."""
    tree = base_tree(project)
    try:
        found = _read(project.repository, tree.commit)
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    return replace(
        found,
        test=project.test_command or found.test,
        lint=project.lint_command or found.lint,
        coverage=project.coverage_command or found.coverage,
    )


@lru_cache(maxsize=SHAPES_KEPT)
def _read(path: str, commit: str) -> ProjectShape:
    files = read_tree(path, commit).files
    return shape_of(files, proposal_of(attached_repository(path), commit, files))
