"""Refuse an execution whose project requires a review that approves first."""

from batches.core.engine.states import Operation
from batches.core.errors import ServiceError
from batches.core.review.types import ReviewTiming
from batches.models import Batch, Review


def review_refusal(batch: Batch) -> str:
    """Why the batch may not be executed yet, if its project requires a review first; "" when it may."""
    if not batch.project.require_review:
        return ""
    way = f"Review it on its page, or: ce review {batch.number} --before"
    last = latest_review(batch, ReviewTiming.BEFORE)
    if last is None:
        return f"{batch.project.name} requires a review before Execute, and batch {batch.number} has none yet. {way}."
    if not last.passes:
        verdict = f"The review of batch {batch.number} says: {last.get_verdict_display()}."
        return f"{verdict} Fix what it names, decide and review again, or overrule it on its page."
    return ""


def latest_review(batch: Batch, moment: ReviewTiming) -> Review | None:
    """The latest review of the PRPs as they are now (before) or of the code (after) that has a verdict."""
    generated = batch.runs.filter(operation=Operation.GENERATE).order_by("-number").values_list("number", flat=True).first() or 0
    known = Review.objects.filter(run__batch=batch, moment=moment, run__number__gt=generated).exclude(verdict="")
    return known.select_related("run").order_by("-run__number").first()


def refuse_unreviewed(batch: Batch) -> None:
    """Raises ServiceError when the project requires a review that the batch lacks."""
    if refusal := review_refusal(batch):
        raise ServiceError(refusal)
