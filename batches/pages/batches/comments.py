"""Comments on lines of a phase's diff: the forms of its tab."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.engine.diff_comments import add_comment, resolve_comment
from batches.models import Attempt, DiffComment
from batches.pages.batches.detail import find_batch
from batches.pages.common import LARGEST_NUMBER, act, actor_of, read_number

HEAVY = ("spec", "heartbeat", "log_tail")


def _tab(attempt: Attempt) -> str:
    phase = attempt.task.phase
    return f"{reverse('batches:phase', args=[attempt.task.run.batch.number, phase.key if phase else ''])}?tab=diff&attempt={attempt.pk}"


@require_POST
def comment(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    attempts = Attempt.objects.filter(task__phase__isnull=False).select_related("task__run__batch__project", "task__phase").defer(*HEAVY)
    attempt = get_object_or_404(attempts, pk=pk, task__run__batch=find_batch(number))

    def verb() -> str:
        asked = request.POST
        line, removed = read_number(asked.get("line"), most=LARGEST_NUMBER), asked.get("removed") == "1"
        made = add_comment(
            attempt=attempt, file=asked.get("file", ""), line=line, removed=removed, text=asked.get("text", ""), actor=actor_of(request)
        )
        return f"Commented on {made.file}, line {made.line}."

    return act(request, verb, _tab(attempt))


@require_POST
def resolve(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    comments = DiffComment.objects.select_related("attempt__task__run__batch__project", "attempt__task__phase")
    one = get_object_or_404(comments, pk=pk, attempt__task__run__batch=find_batch(number))

    def verb() -> str:
        resolve_comment(comment=one, actor=actor_of(request))
        return "The comment is resolved."

    return act(request, verb, _tab(one.attempt))
