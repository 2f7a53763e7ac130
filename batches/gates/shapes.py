"""What is known of a project for the plans that people start from: its commands and its folders."""

from dataclasses import replace
from functools import lru_cache

from batches.core.errors import ServiceError
from batches.core.plans.templates import ProjectShape, shape_of
from batches.gates.discovery import proposal_of
from batches.models import Project
from batches.repositories.base_tree import base_tree, read_tree
from subagents.contract import SubagentError
from subagents.open_repository import attached_repository

SHAPES_KEPT = 32
MOST_SUGGESTIONS = 12


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


def suggestions(project: Project, kind: str, typed: str) -> list[str]:
    """What can stand where `typed` stands in a plan: for "path" files and folders of the base branch, for "command" the project's commands.

    Raises ServiceError.
    """
    if kind == "path":
        return base_tree(project).names.like(typed, MOST_SUGGESTIONS)
    if kind == "command":
        shape = shape_of_project(project)
        commands = dict.fromkeys(one for one in (shape.test, shape.lint, shape.build, shape.coverage) if one)
        return [one for one in commands if one.startswith(typed) and one != typed]
    return []
