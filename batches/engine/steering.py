"""Steer what runs: stop one phase, say something to its agent, answer its questions."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.pricing import BACKENDS_WITHOUT_MODEL
from batches.core.engine.states import TaskState
from batches.core.errors import ServiceError, WrongChoice
from batches.integrations import notifications
from batches.models import Attempt, Batch, Run, Task
from subagents.inbox import TELLS, Letter, put, put_answer, was_read

REMARK_CHARACTERS = 8_000


def stop_phase(*, task: Task, actor: Actor) -> None:
    """Stop the phase's running attempt alone; the others go on. Its work so far is kept, and it can be retried.

    Raises ServiceError, PermissionDenied.
    """
    actor.require(EXECUTE_BATCH, task.run.batch.project)
    with transaction.atomic():
        live = Attempt.objects.live().filter(task=task, exited_at=None)
        if not live.filter(stop_cause="").update(stop_cause=actor.cause):
            if live.exists():
                raise ServiceError(f"Phase {task.name} is being stopped already.")
            task.refresh_from_db()
            raise ServiceError(f"Phase {task.name} is {task.state}; only a running phase can be stopped.")
        Batch.objects.bump(task.run.batch_id)


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


def note_question(attempt: Attempt, asked: Mapping[str, Any], now: datetime) -> None:
    """Note what the agent of a live attempt asks, once, and notify people."""
    number = asked.get("number")
    if not isinstance(number, int) or number != len(attempt.questions):
        return
    suggested = asked.get("answers")
    answers = [str(one)[:200] for one in suggested] if isinstance(suggested, list) else []
    row = {"number": number, "text": str(asked.get("text", ""))[:4_000], "answers": answers[:6], "at": now.isoformat(timespec="seconds")}
    run = attempt.task.run
    with transaction.atomic():
        questions = [*attempt.questions, {**row, "answer": None, "by": "", "answered_at": None}]
        if not Attempt.objects.filter(pk=attempt.pk, exited_at=None).update(questions=questions):
            return
        attempt.questions = questions
        text = f"Batch {run.batch.number}: {run.batch.title} waits for you. Phase {attempt.task.name} asks: {row['text']}"
        notifications.want(run, notifications.Event.PERSON, text, f"question {attempt.pk} {number}", now)
        Batch.objects.bump(run.batch_id)


def answer(*, task: Task, text: str, actor: Actor) -> None:
    """Answer what the phase's agent asks. Raises ServiceError, PermissionDenied."""
    actor.require(EXECUTE_BATCH, task.run.batch.project)
    said = text.replace("\r\n", "\n").strip()
    if not said or len(said) > REMARK_CHARACTERS:
        raise WrongChoice(f"An answer has 1 to {REMARK_CHARACTERS} characters; this one has {len(said)}.")
    live = Attempt.objects.live().filter(task=task).first()
    if live is None or not _record_answer(live.pk, said, actor.cause, timezone.now()):
        raise ServiceError(f"Phase {task.name} asks nothing now.")


def _record_answer(pk: int, text: str, cause: str, now: datetime) -> bool:
    """Write the answer to the open question of an attempt; False when somebody was faster, or nothing is asked."""
    with transaction.atomic():
        row = Attempt.objects.select_for_update(of=("self",)).select_related("task__run").get(pk=pk)
        if row.open_question is None:
            return False
        row.questions[-1] |= {"answer": text, "by": cause, "answered_at": now.isoformat(timespec="seconds")}
        Attempt.objects.filter(pk=pk).update(questions=row.questions)
        Batch.objects.bump(row.task.run.batch_id)
    return True


def pass_answers(attempt: Attempt, now: datetime) -> None:
    """Hand the answers to the runner of a live attempt of this host; answer by rule what nobody answered in time. Raises OSError."""
    open_one, minutes = attempt.open_question, attempt.task.run.batch.project.answer_minutes
    if open_one is not None:
        late = minutes is not None and now >= datetime.fromisoformat(open_one["at"]) + timedelta(minutes=minutes)
        if late:
            _record_answer(attempt.pk, default_answer(open_one["answers"]), "policy:default answer", now)
        return  # the next round passes it on
    last = attempt.questions[-1]
    put_answer(attempt.directory, last["number"], last["answer"], last["by"].partition(":")[2])


def default_answer(suggested: Sequence[str]) -> str:
    """What an agent is told when nobody has answered in the project's time."""
    first = f"If you cannot tell, take your first suggestion: {suggested[0]}. " if suggested else ""
    return f"Nobody has answered in time. Decide yourself what fits the plan best. {first}Say in your summary what you decided."


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


def task_of(run: Run, name: str) -> Task:
    """The task of a run with this name, whatever its case. Raises WrongChoice with those that there are."""
    tasks = list(run.tasks.select_related("run__batch__project"))
    found = next((task for task in tasks if task.name.lower() == name.strip().lower()), None)
    if found is None:
        raise WrongChoice(f"This run has no phase {name!r}; it has: {', '.join(task.name for task in tasks)}.")
    return found
