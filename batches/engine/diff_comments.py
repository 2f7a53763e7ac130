"""People comment on lines of an attempt's diff, resolve their comments by hand, and send open ones to the agent of the next attempt."""

from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.errors import ServiceError, WrongChoice
from batches.core.review.diff_comments import code_around, told_to_agent
from batches.engine.running_diffs import running_diff
from batches.models import Attempt, Batch, DiffComment, Phase, Result

COMMENT_CHARACTERS = 1_000


def add_comment(*, attempt: Attempt, file: str, line: int | None, removed: bool, text: str, actor: Actor) -> DiffComment:
    """Comment on a line that the attempt's diff shows. Raises WrongChoice, ServiceError, PermissionDenied."""
    batch = attempt.task.run.batch
    actor.require(EXECUTE_BATCH, batch.project)
    said = text.replace("\r\n", "\n").strip()
    if not said or len(said) > COMMENT_CHARACTERS:
        raise WrongChoice(f"Say something about the line, in at most {COMMENT_CHARACTERS} characters.")
    if line is None:
        raise WrongChoice("Name the line by its number, as the diff shows it.")
    code = code_around(_diff_of(attempt), file.strip(), line, removed)
    if code is None:
        raise WrongChoice(f"The diff shows no line {line} of {file.strip()!r}. Click on a line's number to name it.")
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
    """Resolve a comment: the next attempt is not told of it. Raises ServiceError when it is resolved, PermissionDenied."""
    batch = comment.attempt.task.run.batch
    actor.require(EXECUTE_BATCH, batch.project)
    name = actor.user.get_username() if actor.user else actor.cause
    if not DiffComment.objects.filter(pk=comment.pk, resolved_at=None).update(resolved_at=timezone.now(), resolved_name=name):
        raise ServiceError("This comment is resolved already.")
    Batch.objects.bump(batch.pk)


def open_comments(phase: Phase) -> list[DiffComment]:
    """Those of all attempts at the phase that nobody has resolved, oldest first."""
    return list(DiffComment.objects.filter(attempt__task__phase=phase, resolved_at=None).select_related("attempt"))


def told_comments(phase: Phase) -> str:
    """The open comments as the next attempt's agent reads them; "" without any."""
    return told_to_agent((one.file, one.line, one.removed, one.code, one.text) for one in open_comments(phase))
