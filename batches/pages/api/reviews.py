"""The JSON API: review and context of a batch (docs/api.md)."""

from typing import Any

from django.http import HttpRequest, JsonResponse

from batches.accounts.actor import Actor
from batches.accounts.roles import MERGE_BATCH
from batches.core.errors import ServiceError
from batches.core.review.types import ReviewTiming
from batches.gates.sign_offs_and_acceptances import REASON_CHARACTERS
from batches.models import Batch, ContextChange
from batches.pages.api.endpoint import BadRequest, accepted, body_of
from batches.pages.batches.batch import find_batch
from batches.review.begin_context_update import update_context
from batches.review.begin_review import review as begin_review
from batches.review.begin_review import usual_moment
from batches.review.context_updates import accept_context, reject_context


def review(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """Review the PRPs ("before") or the code ("after"): {"moment"}; what fits the batch if it is left out."""
    batch, data = find_batch(number), body_of(request, "moment")
    moment = usual_moment(batch) if data.get("moment") is None else data["moment"]
    if moment not in list(ReviewTiming):
        raise BadRequest(f"moment must be one of: {', '.join(ReviewTiming)}.")
    return accepted(request, batch, begin_review(batch=batch, actor=actor, moment=ReviewTiming(moment)))


def context(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """Propose an update of the context after an execution."""
    batch, _ = find_batch(number), body_of(request)
    return accepted(request, batch, update_context(batch=batch, actor=actor))


def proposal(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """The newest update of the context that was proposed, with its diff, and what was decided about it; "run" is null without one."""
    batch = find_batch(number)
    change = _newest_change(batch)
    return JsonResponse(_proposal(change) if change else {"batch_id": number, "run": None})


def decide_context(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """Accept or reject the newest proposal: {"accept": true} or {"accept": false, "reason"}."""
    batch = find_batch(number)
    actor.require(MERGE_BATCH, batch.project)
    data = body_of(request, "accept", "reason")
    reason = data.get("reason", "")
    if not isinstance(data.get("accept"), bool):
        raise BadRequest("accept must be true or false.")
    if not isinstance(reason, str):
        raise BadRequest("reason must be text.")
    change = _newest_change(batch)
    if change is None:
        raise ServiceError(f"No update of the context of batch {number} was proposed yet.")
    if data["accept"]:
        accept_context(change=change, actor=actor)
    else:
        reject_context(change=change, reason=reason[:REASON_CHARACTERS], actor=actor)
    return JsonResponse(_proposal(change))


def _newest_change(batch: Batch) -> ContextChange | None:
    return ContextChange.objects.filter(run__batch=batch).select_related("run__batch__project").order_by("-run__number").first()


def _proposal(change: ContextChange) -> dict[str, Any]:
    return {
        "batch_id": change.run.batch.number,
        "run": change.run.number,
        "decision": change.decision or None,
        "reason": change.reason,
        "files": change.files,
        "diff": change.diff,
        "branch": change.run.batch.branch,
        "commit": change.merge_commit or None,
    }
