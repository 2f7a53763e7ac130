"""People comment on an attempt's diff, resolve comments by hand, send open ones to agents, and mark the files that they have viewed."""

from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.states import TaskState
from batches.core.errors import NothingToDo, ServiceError, WrongChoice
from batches.core.review.diff_comments import LIMIT, code_around, told_to_agent
from batches.core.text.diff import read_diff
from batches.engine.execution import execute_again
from batches.engine.running_diffs import running_diff
from batches.models import Attempt, Batch, DiffComment, Phase, Result, Run, Task, ViewedFile

COMMENT_CHARACTERS = 1_000
AGAIN = "Your work is merged. Change what follows in the files as they are now; do not begin anew."


def add_comment(*, attempt: Attempt, file: str, line: int | None, removed: bool, text: str, actor: Actor) -> DiffComment:
    """Comment on a line of the diff; line 0: on the file. Raises WrongChoice, ServiceError, PermissionDenied."""
    batch = attempt.task.run.batch
    actor.require(EXECUTE_BATCH, batch.project)
    said = text.replace("\r\n", "\n").strip()
    if not said or len(said) > COMMENT_CHARACTERS:
        raise WrongChoice(f"Say something about the line, in at most {COMMENT_CHARACTERS} characters.")
    if line is None:
        raise WrongChoice("Name the line by its number, as the diff shows it.")
    code = code_around(_diff_of(attempt), file.strip(), line, removed)
    if code is None:
        what = f"line {line} of {file.strip()!r}" if line else f"file {file.strip()!r}"
        raise WrongChoice(f"The diff shows no {what}. Click on a line's number to name it.")
    made = DiffComment.objects.create(
        attempt=attempt,
        file=file.strip(),
        line=line,
        removed=removed,
        code=code,
        text=said,
        name=actor.user.get_username() if actor.user else actor.cause,
        user=actor.user,
        at=timezone.now(),
    )
    Batch.objects.bump(batch.pk)
    return made


def _diff_of(attempt: Attempt) -> str:
    if attempt.ended_at is None:
        running = running_diff(attempt)
        if running is None:
            raise ServiceError("The work of this attempt has not been read yet; wait some seconds and try again.")
        return running.text
    return Result.objects.filter(attempt=attempt).values_list("diff", flat=True).first() or ""


def resolve_comment(*, comment: DiffComment, actor: Actor) -> None:
    """Resolve a comment: the next attempt is not told of it. Raises ServiceError if it is, PermissionDenied."""
    batch = comment.attempt.task.run.batch
    actor.require(EXECUTE_BATCH, batch.project)
    name = actor.user.get_username() if actor.user else actor.cause
    if not DiffComment.objects.filter(pk=comment.pk, resolved_at=None).update(resolved_at=timezone.now(), resolved_name=name):
        raise ServiceError("This comment is resolved already.")
    Batch.objects.bump(batch.pk)


def open_comments(phase: Phase) -> list[DiffComment]:
    """Those of all attempts at the phase that nobody has resolved, oldest first."""
    return list(DiffComment.objects.filter(attempt__task__phase=phase, resolved_at=None).select_related("attempt"))


def resolved_comments(phase: Phase) -> list[DiffComment]:
    """Those of all attempts at the phase that a person or its agent has resolved, oldest first."""
    return list(DiffComment.objects.filter(attempt__task__phase=phase).exclude(resolved_at=None).select_related("attempt"))


def comments_of(batch: Batch) -> list[DiffComment]:
    """Those of all phases that nobody has resolved, in the order of the plan."""
    found = DiffComment.objects.filter(attempt__task__run__batch=batch, resolved_at=None).select_related("attempt__task__phase")
    return list(found.order_by("attempt__task__phase__position", "pk"))


def send_comments(*, batch: Batch, actor: Actor) -> Run:
    """Have agents work on done phases with open comments. Raises ServiceError, NothingToDo, PermissionDenied."""
    actor.require(EXECUTE_BATCH, batch.project)
    states = dict(Task.objects.newest_of(batch, None).filter(phase__isnull=False).values_list("phase", "state"))
    done = [phase for phase in batch.phases.all() if states.get(phase.pk) == TaskState.SUCCEEDED]
    told = {phase.key: f"{AGAIN}\n\n{text}" for phase in done if (text := told_comments(phase))}
    if not told:
        raise NothingToDo("No done phase has an open comment.")
    return execute_again(batch=batch, actor=actor, remarks=told)


def mark_viewed(*, attempt: Attempt, digest: str, viewed: bool, actor: Actor) -> None:
    """Remember, for this person, that a change of a file was viewed, or was not. Raises WrongChoice, ServiceError."""
    phase = attempt.task.phase
    if not viewed:
        ViewedFile.objects.filter(user=actor.user, phase=phase, digest=digest).delete()
    elif any(file.digest == digest for file in read_diff(_diff_of(attempt), limit=LIMIT).files):
        ViewedFile.objects.get_or_create(user=actor.user, phase=phase, digest=digest)
    else:
        raise WrongChoice("The file has changed since. Look at it again.")


def told_comments(phase: Phase) -> str:
    """The open comments as the next attempt's agent reads them; "" without any."""
    return told_to_agent((one.pk, one.file, one.line, one.removed, one.code, one.text) for one in open_comments(phase))
