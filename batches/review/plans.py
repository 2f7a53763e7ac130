"""The review of a plan before there is a batch of it: what would stop it, said while it is written."""

from collections.abc import Callable
from dataclasses import replace

from batches.core.errors import ServiceError
from batches.core.plans.analysis import DocumentReport
from batches.core.plans.text_diff import lines_of
from batches.core.review.plan_review import BaseFiles, PlanReview, review_plan
from batches.models import Project
from batches.repositories.base_tree import base_files, files_at


def review_of_text(project: Project | None, report: DocumentReport, text: str) -> PlanReview:
    """The structural rules, and the files beside those of the project's base branch; without a project only the rules."""
    phases = report.reading.plan.phases
    return _reviewed(report, text, None if project is None else lambda: base_files(project, phases))


def review_beside(repository: str, branch: str, report: DocumentReport, text: str) -> PlanReview:
    """The same beside a branch (empty: the one that is checked out) of a repository that need not be a project's."""
    return _reviewed(report, text, lambda: files_at(repository, branch, report.reading.plan.phases))


def _reviewed(report: DocumentReport, text: str, files: Callable[[], BaseFiles] | None) -> PlanReview:
    phases, stages = report.reading.plan.phases, report.analysis.stages if report.analysis else ()
    base, problem = None, ""
    if files is not None:
        try:
            base = files()
        except ServiceError as error:
            problem = str(error)
    return replace(review_plan(phases, stages, lines_of(text), base), problem=problem)
