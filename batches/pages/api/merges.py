"""The JSON API: the merge into the base branch (docs/api.md)."""

from typing import Any

from django.http import HttpRequest, JsonResponse

from batches.accounts.actor import Actor
from batches.accounts.roles import MERGE_BATCH
from batches.engine import execution
from batches.models import Batch
from batches.pages.api.endpoint import BadRequest, accepted, body_of
from batches.pages.batches.batch import find_batch
from batches.repositories.merges import bring_in_base, merge_batch, preview_merge

METHODS = {"ff": True, "no_ff": False}


def merge_preview(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """What a merge into the base branch would bring, or why it is refused."""
    batch = find_batch(number)
    actor.require(MERGE_BATCH, batch.project)
    return JsonResponse(_preview(batch))


def _preview(batch: Batch) -> dict[str, Any]:
    found = preview_merge(batch)
    return {
        "batch_id": batch.number,
        "branch": batch.branch,
        "base_branch": batch.base_branch,
        "base": found.base_commit,
        "tip": found.batch_commit,
        "commits": len(found.commits),
        "files_created": list(found.changes.created),
        "files_modified": list(found.changes.modified),
        "files_deleted": list(found.changes.deleted),
        "not_done": list(found.undone),
        "needs_look": [{"phase": key, "looks": list(texts)} for key, texts in found.looks],
        "refusal": found.refusal or None,
    }


def merge(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """Merge the batch's branch into its base branch: {"method": "ff" | "no_ff", "base", "tip"}; the two from the preview, if given."""
    batch, data = find_batch(number), body_of(request, "method", "base", "tip")
    method, expected = data.get("method", "ff"), (data.get("base"), data.get("tip"))
    if not isinstance(method, str) or method not in METHODS:
        raise BadRequest(f"method must be one of: {', '.join(METHODS)}.")
    if expected != (None, None) and not all(isinstance(one, str) and one for one in expected):
        raise BadRequest("base and tip must be the two commits of the preview: give both, or neither.")
    both = None if expected == (None, None) else (str(expected[0]), str(expected[1]))
    done = merge_batch(batch=batch, actor=actor, fast_forward=METHODS[method], expected=both)
    return JsonResponse({"batch_id": number, "base_branch": done.base_branch, "commit": done.to_commit})


def bring_in(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """Merge new commits of the base branch into the batch's branch. Its gates are to be judged on that."""
    batch, _ = find_batch(number), body_of(request)
    bring_in_base(batch=batch, actor=actor)
    return JsonResponse(_preview(batch))


def judge(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """Judge all gates of the batch again, on its branch as it is."""
    batch, _ = find_batch(number), body_of(request)
    return accepted(request, batch, execution.judge_again(batch=batch, actor=actor))
