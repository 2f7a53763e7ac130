"""The review of a plan before there is a batch of it: what would stop it, said while it is written."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from batches.core.errors import ServiceError
from batches.core.plans.analysis import DocumentReport
from batches.core.plans.text_diff import lines_of
from batches.core.review.plan_review import BaseFiles, PlanReview, review_plan
from batches.gates.shapes import shape_of_project
from batches.models import Project
from batches.repositories.base_tree import base_files, files_at

STEPS = "steps"  # the backend that carries out commands, without an agent


def review_of_text(project: Project | None, report: DocumentReport, text: str) -> PlanReview:
    """The rules, and the files compared with the project's base branch; without a project only the rules."""
    phases = report.reading.plan.phases
    if project is None:
        return _reviewed(report, text, None)
    return _reviewed(report, text, lambda: base_files(project, phases), _commands(project) if project.backend == STEPS else None)


def _commands(project: Project) -> dict[str, str]:
    """The project's commands by name, as far as its settings and files say them."""
    try:
        shape = shape_of_project(project)
    except ServiceError:
        return {}  # what is wrong with the repository is said about the files
    return {"test": shape.test, "lint": shape.lint, "build": shape.build, "coverage": shape.coverage}


def review_beside(repository: str, branch: str, report: DocumentReport, text: str) -> PlanReview:
    """The same beside a branch (empty: the one that is checked out) of a repository that need not be a project's."""
    return _reviewed(report, text, lambda: files_at(repository, branch, report.reading.plan.phases))


def _reviewed(
    report: DocumentReport, text: str, files: Callable[[], BaseFiles] | None, commands: Mapping[str, str] | None = None
) -> PlanReview:
    phases, stages = report.reading.plan.phases, report.analysis.stages if report.analysis else ()
    base, problem = None, ""
    if files is not None:
        try:
            base = files()
        except ServiceError as error:
            problem = str(error)
    return replace(review_plan(phases, stages, lines_of(text), base, commands), problem=problem)
