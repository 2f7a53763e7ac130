"""The JSON API: what a batch's phases said and changed, and what follows an execution: review, context, merge (docs/api.md)."""

from typing import Any

from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404

from batches.accounts.actor import Actor
from batches.accounts.roles import MERGE_BATCH
from batches.core.engine.states import Operation, RunState, TaskState
from batches.core.errors import ServiceError
from batches.core.review.rules import ReviewTiming
from batches.core.text.log_lines import LogLine
from batches.core.text.transcript import KINDS, entry_json
from batches.engine import execution
from batches.engine.log_reader import PAGE_LINES, open_log
from batches.engine.reporting import generated_summary
from batches.engine.transcript_reader import WINDOW, open_transcript, wanted_needle
from batches.gates.sign_offs import REASON_CHARACTERS
from batches.models import Attempt, Batch, ContextChange, Phase, Run, Task
from batches.pages.api import BadRequest, accepted, body_of
from batches.pages.batches.changes import read_changes
from batches.pages.batches.detail import find_batch
from batches.pages.batches.transcript import attempts as of_phases
from batches.pages.common import read_number
from batches.repositories.merges import bring_in_base, merge_batch, preview_merge
from batches.review.context_updates import accept_context, reject_context
from batches.review.services import review as begin_review
from batches.review.services import update_context, usual_moment

LARGEST_WINDOW = 1_000  # entries of a transcript in one answer
METHODS = {"ff": True, "no_ff": False}


def plan(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """The text of the plan that the batch was made of."""
    found = find_batch(number).plan
    return JsonResponse({"batch_id": number, "plan": found.pk, "file_name": found.file_name, "version": found.version, "text": found.text})


def log(request: HttpRequest, actor: Actor, number: int, key: str) -> JsonResponse:
    """Lines of the log of the phase's newest attempt, or of ?attempt=: those after line ?after=, else the last ones; at most ?limit=."""
    phase = get_object_or_404(Phase, batch=find_batch(number), key=key)
    attempts = Attempt.objects.filter(task__phase=phase).select_related("task__run__batch__project").defer("spec", "heartbeat")
    wanted = _number(request, "attempt")
    found = attempts.filter(pk=wanted).first() if wanted else attempts.order_by("task__run__number", "number").last()
    if found is None:
        if wanted:
            raise BadRequest(f"Phase {key} has no attempt {wanted}.")
        return JsonResponse({"batch_id": number, "phase": key, "attempt": None, "lines": [], "last": 0, "total": 0, "ended": False})
    after, most = _number(request, "after", least=0), min(_number(request, "limit") or PAGE_LINES, PAGE_LINES)
    with open_log(found) as opened:
        total = opened.lines
        first = max(1, total - most + 1) if after is None else after + 1
        lines = opened.page(first, most) if first <= total else []
        whole = opened.complete
    return JsonResponse(
        {
            "batch_id": number,
            "phase": key,
            "attempt": found.pk,
            "attempt_number": found.number,
            "state": found.task.state,
            "lines": [_line(one) for one in lines],
            "last": lines[-1].number if lines else after or 0,  # the next ?after=
            "total": total,
            "whole": whole,  # false: only the end of the log is on this host
            "ended": found.ended_at is not None,
        }
    )


def _line(one: LogLine) -> dict[str, Any]:
    return {"line": one.number, "at": one.at, "kind": one.kind, "text": one.text}


def transcript(request: HttpRequest, actor: Actor, number: int, key: str) -> JsonResponse:
    """Entries behind ?cursor= of the transcript of the phase's newest attempt, or of ?attempt=, at most ?limit=."""
    phase = get_object_or_404(Phase, batch=find_batch(number), key=key)
    cursor, limit, wanted = _number(request, "cursor", least=0) or 0, _number(request, "limit") or WINDOW, _number(request, "attempt")
    kinds = tuple(request.GET.getlist("kind"))
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise BadRequest(f"Unknown kinds: {', '.join(unknown)}. Known: {', '.join(KINDS)}.")
    attempts = of_phases().filter(task__phase=phase)
    found = attempts.filter(pk=wanted).first() if wanted else attempts.order_by("task__run__number", "number").last()
    about = {"batch_id": number, "phase": key}
    if found is None:
        if wanted:
            raise BadRequest(f"Phase {key} has no attempt {wanted}.")
        return JsonResponse(about | {"attempt": None, "entries": [], "cursor": cursor, "total": 0, "more": False, "ended": False})
    with open_transcript(found) as opened:
        numbers = opened.matching(kinds, wanted_needle(request.GET.get("q", "")), cursor + 1)
        entries = opened.entries(numbers[: min(limit, LARGEST_WINDOW)])
        total, whole = opened.lines, opened.complete
    more = len(entries) < len(numbers)
    return JsonResponse(
        about
        | {
            "attempt": found.pk,
            "attempt_number": found.number,
            "state": found.task.state,
            "entries": [entry_json(entry) for entry in entries],
            "cursor": entries[-1].number if more and entries else max(total, cursor),  # the next ?cursor=
            "total": total,
            "more": more,
            "whole": whole,  # false: the transcript is not on this host, or there is none
            "ended": found.ended_at is not None,
        }
    )


def diff(request: HttpRequest, actor: Actor, number: int) -> JsonResponse:
    """What git shows as changed by each phase, or by ?phase=, in its newest attempt. A diff is null while there is none."""
    batch, key = find_batch(number), request.GET.get("phase", "")
    if key:
        get_object_or_404(Phase, batch=batch, key=key)
    changes = [one for one in read_changes(batch) if not key or one.phase.key == key]
    return JsonResponse(
        {
            "batch_id": number,
            "phases": [
                {
                    "phase": one.phase.key,
                    "title": one.phase.title,
                    "state": one.state,
                    "attempt": one.attempt.pk if one.attempt else None,
                    "files": [{"path": row.path, "what": row.what, "declared": row.declared} for row in one.rows],
                    "diff": one.result.diff if one.result else None,
                }
                for one in changes
            ],
        }
    )


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


def _number(request: HttpRequest, name: str, least: int = 1) -> int | None:
    """A number from the query string; None without one. Raises BadRequest for anything else."""
    text = request.GET.get(name)
    if text is None:
        return None
    value = read_number(text, least=least)
    if value is None:
        raise BadRequest(f"{name} must be a whole number from {least} on.")
    return value


def run(request: HttpRequest, actor: Actor, number: int, run: int) -> JsonResponse:
    """A run with its tasks, for whoever waits for its end: then `report` says how it went and `passes` whether work may continue."""
    batch = find_batch(number)
    found = get_object_or_404(Run.objects.select_related("batch__project", "review", "context_change"), batch=batch, number=run)
    newest: dict[int, Attempt] = {}
    for attempt in Attempt.objects.filter(task__run=found).defer("log_tail", "spec").order_by("number"):
        newest[attempt.task_id] = attempt
    written = found.operation == Operation.GENERATE and found.state == RunState.SUCCEEDED
    tasks = found.tasks.select_related("phase", "stage").order_by("stage__number", "position", "pk")
    return JsonResponse(
        {
            "batch_id": number,
            "run": found.number,
            "operation": found.operation,
            "state": found.state,
            "live": found.is_live,
            "paused": found.paused,
            "waits": found.put_off_words or None,
            "seconds": found.seconds,
            "tasks": [_task(task, newest.get(task.pk)) for task in tasks],
            "reported_at": found.reported_at,
            "report": (generated_summary(batch) if written else found.report) or None,
            "passes": _passes(found) if found.reported_at else None,
        }
    )


def _task(task: Task, attempt: Attempt | None) -> dict[str, Any]:
    return {
        "phase": task.phase.key if task.phase else None,
        "title": task.phase.title if task.phase else "Gates on the merged tree",
        "stage": task.stage.number,
        "state": task.state,
        "attempt": attempt.number if attempt else None,
        "progress": attempt.progress if attempt and task.state == TaskState.RUNNING else "",
        "seconds": attempt.seconds if attempt else None,
        "reason": task.reason,
        "message": task.message,
    }


def _passes(found: Run) -> bool:
    """Whether work may continue: the run succeeded, and so did what it was for (a verdict, a proposal)."""
    if found.state != RunState.SUCCEEDED:
        return False
    if found.operation == Operation.REVIEW:
        return found.review.passes
    return found.operation != Operation.UPDATE_CONTEXT or bool(found.context_change.decision)
