"""The JSON API: what a batch's phases are, said and changed (docs/api.md)."""

from typing import Any

from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404

from batches.accounts.actor import Actor
from batches.core.engine.states import Operation, RunState, TaskState
from batches.core.text.log_lines import LogLine
from batches.core.text.transcript import KINDS, entry_json
from batches.engine.log_reader import PAGE_LINES, open_log
from batches.engine.reporting import generated_summary
from batches.engine.transcript_reader import WINDOW, open_transcript, wanted_needle
from batches.models import Attempt, Phase, Run, Task
from batches.pages.api.endpoint import BadRequest
from batches.pages.batches.batch import find_batch
from batches.pages.batches.changes import read_changes
from batches.pages.batches.transcript import attempts as of_phases
from batches.pages.common import read_number

LARGEST_WINDOW = 1_000  # entries of a transcript in one answer


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
