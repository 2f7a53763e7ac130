"""The JSON API about what is at the code host: the pull request of a batch (docs/api.md)."""

from typing import Any

from django.http import HttpRequest, JsonResponse

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.engine.pull_request_remarks import give_remarks, open_remarks
from batches.engine.pull_requests import ask_for_pull_request, is_asked_soon
from batches.models import Batch, PullRequest, PullRequestRemark
from batches.pages.api.endpoint import BadRequest, accepted, body_of, yes_or_no
from batches.pages.batches.batch import find_batch


def pull_request(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """The batch's newest pull request; its "status" is null without one."""
    batch = find_batch(number)
    return JsonResponse(_said(batch, batch.pull_requests.first()))


def ask_for(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """Have it opened or brought up to date: {"replace": true} lets the push replace what was pushed before."""
    batch, data = find_batch(number), body_of(request, "replace")
    made = ask_for_pull_request(batch=batch, actor=actor, replace=yes_or_no(data, "replace"))
    return JsonResponse(_said(batch, made), status=202)


def give(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """Have agents work on open remarks: {"remarks": [id, …]}; all without it."""
    batch, data = find_batch(number), body_of(request, "remarks")
    actor.require(EXECUTE_BATCH, batch.project)
    pks = data.get("remarks")
    if pks is not None and not (isinstance(pks, list) and all(type(pk) is int for pk in pks)):
        raise BadRequest("remarks must be a list of the ids of remarks.")
    return accepted(request, batch, give_remarks(batch=batch, actor=actor, pks=pks))


def _said(batch: Batch, row: PullRequest | None) -> dict[str, Any]:
    about = {"batch_id": batch.number, "branch": batch.branch, "base_branch": batch.base_branch, "note": batch.remote_note or None}
    if row is None:
        return {**about, "status": None}
    return {
        **about,
        "status": row.status,
        "at_work": row.ended_at is None and is_asked_soon(row),
        "number": row.number,
        "url": row.url or None,
        "pushed_commit": row.pushed_commit or None,
        "merge_commit": row.merge_commit or None,
        "error": row.error or None,
        "checks_outcome": row.checks_outcome or None,
        "checks": row.checks,
        "remarks": [] if row.ended_at else [_remark(one) for one in open_remarks(row)],
        "next_try_at": None if row.ended_at else row.next_try_at,
        "looked_at": row.looked_at,
    }


def _remark(row: PullRequestRemark) -> dict[str, Any]:
    about = {"id": row.pk, "kind": row.kind, "author": row.author, "trusted": row.trusted, "url": row.url or None}
    return {**about, "path": row.path or None, "line": row.line, "text": row.text, "found_at": row.found_at}
