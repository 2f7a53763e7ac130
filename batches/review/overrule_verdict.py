"""Overrule the verdict of a review: a named person lets work continue against it."""

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import MERGE_BATCH
from batches.core.errors import ServiceError
from batches.models import Batch, Review


def overrule_review(*, review: Review, reason: str, actor: Actor) -> None:
    """Record who lets work continue against the verdict, and why. Raises ServiceError, PermissionDenied."""
    actor.require(MERGE_BATCH, review.run.batch.project)
    if actor.user is None:
        raise PermissionDenied("Only a signed-in person can overrule a verdict, on the review's page.")
    words = " ".join(reason.split())
    if not words:
        raise ServiceError("Give the reason: it stays beside the verdict.")
    if not review.verdict:
        raise ServiceError("This review has no verdict yet.")
    name = actor.user.get_username()
    with transaction.atomic():
        changed = Review.objects.filter(pk=review.pk, overruled_at=None).update(
            overruled_by=actor.user, overruled_name=name, overruled_at=timezone.now(), overrule_reason=words
        )
        if not changed:
            raise ServiceError("This review is already overruled.")
        Batch.objects.bump(review.run.batch_id)
    review.refresh_from_db()
