"""What people say to the agent of a phase: at its next turn, or before its next attempt."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.pricing import BACKENDS_WITHOUT_MODEL
from batches.core.engine.states import TaskState
from batches.core.errors import ServiceError, WrongChoice
from batches.models import Attempt, Batch, Run, Task
from subagents.inbox import TELLS, Letter, put, was_read

REMARK_CHARACTERS = 8_000


def say(*, task: Task, text: str, actor: Actor) -> bool:
    """Say something to the phase's agent. Raises ServiceError, PermissionDenied.

    True when it is told at the agent's next turn. False when the backend takes no messages while it runs, or nothing runs: it is then
    kept, and the next attempt is told first.
    """
    actor.require(EXECUTE_BATCH, task.run.batch.project)
    said = text.replace("\r\n", "\n").strip()
    if not said or len(said) > REMARK_CHARACTERS:
        raise WrongChoice(f"A message has 1 to {REMARK_CHARACTERS} characters; this one has {len(said)}.")
    with transaction.atomic():
        run = Run.objects.select_for_update(of=("self",)).get(pk=task.run_id)
        live = Attempt.objects.live().filter(task=task, exited_at=None, stop_cause="").first()
        told = live is not None and run.backend in TELLS
        if live is not None and told:
            one = {"text": said, "by": actor.cause, "at": timezone.now().isoformat(timespec="seconds"), "read_at": None}
            Attempt.objects.filter(pk=live.pk).update(messages=[*live.messages, one])
        else:
            task.refresh_from_db()
            if task.state == TaskState.SUCCEEDED:
                raise ServiceError(f"Phase {task.name} has succeeded; there is no next attempt to tell.")
            kept = kept_remark(task)
            together = f"{kept}\n\n{said}" if kept else said
            Task.objects.filter(pk=task.pk).update(remark=together[-REMARK_CHARACTERS:], remark_cause=actor.cause)
        Batch.objects.bump(run.batch_id)
    return told


def kept_remark(task: Task) -> str:
    """What is kept for the next attempt of a task, and no attempt has been told yet."""
    last = task.attempts.order_by("-number").values_list("remark", flat=True).first()
    return task.remark if task.remark != (last or "") else ""


def deliver(attempt: Attempt, now: datetime) -> None:
    """Put what people said into the inbox of a live attempt of this host, and note what its agent has read. Safe to repeat.

    Raises OSError.
    """
    unread = [(number, one) for number, one in enumerate(attempt.messages) if one["read_at"] is None]
    for number, one in unread:
        put(attempt.directory, Letter(number, one["by"].partition(":")[2], one["at"], one["text"]))
    read = [number for number, _ in unread if was_read(attempt.directory, number)]
    if not read:
        return
    with transaction.atomic():  # somebody may say something at this moment
        row = Attempt.objects.select_for_update(of=("self",)).only("messages").get(pk=attempt.pk)
        for number in read:
            row.messages[number]["read_at"] = now.isoformat(timespec="seconds")
        Attempt.objects.filter(pk=attempt.pk).update(messages=row.messages)
        Batch.objects.bump(attempt.task.run.batch_id)


def checked_remark(text: str, backend: str) -> str:
    """What a person says to an agent, without white space around it. Raises WrongChoice when it is too long or nobody would read it."""
    said = text.replace("\r\n", "\n").strip()
    if len(said) > REMARK_CHARACTERS:
        raise WrongChoice(f"A remark has at most {REMARK_CHARACTERS} characters; this one has {len(said)}.")
    if said and backend in BACKENDS_WITHOUT_MODEL:
        raise WrongChoice(f"The backend {backend} has no agent that could read a remark. Leave it out, or choose another backend.")
    return said
