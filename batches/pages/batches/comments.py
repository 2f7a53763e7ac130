"""Comments on diffs, and what a person has viewed of them: the forms of a phase's tab and of a batch's changes."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.engine.diff_comments import add_comment, mark_viewed, resolve_comment, send_comments
from batches.models import Attempt, DiffComment
from batches.pages.batches.batch import find_batch
from batches.pages.common import LARGEST_NUMBER, act, actor_of, htmx, read_number

HEAVY = ("spec", "heartbeat", "log_tail")


def _back(request: HttpRequest, attempt: Attempt) -> str:
    """Where the form was: the changes of the batch, else the tab of the phase."""
    number, phase = attempt.task.run.batch.number, attempt.task.phase
    if "/changes/" in request.headers.get("Referer", ""):
        return reverse("batches:changes", args=[number])
    return f"{reverse('batches:phase', args=[number, phase.key if phase else ''])}?tab=diff&attempt={attempt.pk}"


def _attempt(number: int, pk: int | None) -> Attempt:
    attempts = Attempt.objects.filter(task__phase__isnull=False).select_related("task__run__batch__project", "task__phase").defer(*HEAVY)
    return get_object_or_404(attempts, pk=pk, task__run__batch=find_batch(number))


@require_POST
def comment(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    """Comment on a line or, without one, on a file. Among the changes of a batch the form names the attempt."""
    asked = request.POST
    attempt = _attempt(number, read_number(asked.get("attempt")) or pk)

    def verb() -> str:
        line, removed = read_number(asked.get("line"), most=LARGEST_NUMBER), asked.get("removed") == "1"
        if not asked.get("line", "").strip():
            line = 0
        made = add_comment(
            attempt=attempt, file=asked.get("file", ""), line=line, removed=removed, text=asked.get("text", ""), actor=actor_of(request)
        )
        return f"Commented on {made.place}."

    return act(request, verb, _back(request, attempt))


@require_POST
def viewed(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    """Mark a file of an attempt's diff as viewed by this person, or as not viewed."""
    attempt = _attempt(number, pk)
    digest, _, wanted = request.POST.get("mark", "").partition(" ")

    def verb() -> str:
        mark_viewed(attempt=attempt, digest=digest, viewed=not wanted, actor=actor_of(request))
        return ""  # the button shows it

    answer = act(request, verb, reverse("batches:changes", args=[number]))
    return HttpResponse(status=204) if htmx(request) and answer.status_code == 204 else answer


@require_POST
def send(request: HttpRequest, number: int) -> HttpResponse:
    """Have agents work once more on done phases with open comments."""
    batch = find_batch(number)

    def verb() -> str:
        run = send_comments(batch=batch, actor=actor_of(request))
        return f"Run {run.number} works on the comments."

    return act(request, verb, reverse("batches:detail", args=[number]))


@require_POST
def resolve(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    comments = DiffComment.objects.select_related("attempt__task__run__batch__project", "attempt__task__phase")
    one = get_object_or_404(comments, pk=pk, attempt__task__run__batch=find_batch(number))

    def verb() -> str:
        resolve_comment(comment=one, actor=actor_of(request))
        return "The comment is resolved."

    return act(request, verb, _back(request, one.attempt))
