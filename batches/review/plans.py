"""The review of a plan before there is a batch of it: what would stop it, said while it is written."""

from dataclasses import replace

from batches.core.errors import ServiceError
from batches.core.plans.analysis import DocumentReport
from batches.core.plans.text_diff import lines_of
from batches.core.review.plan_review import PlanReview, review_plan
from batches.models import Project
from batches.repositories.base_tree import base_files


def review_of_text(project: Project | None, report: DocumentReport, text: str) -> PlanReview:
    """The structural rules, and the files beside those of the project's base branch; without a project only the rules."""
    phases, stages = report.reading.plan.phases, report.analysis.stages if report.analysis else ()
    base, problem = None, ""
    if project is not None:
        try:
            base = base_files(project, phases)
        except ServiceError as error:
            problem = str(error)
    return replace(review_plan(phases, stages, lines_of(text), base), problem=problem)
