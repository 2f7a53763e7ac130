"""What agents ask while they work: the question is noted, and a person's answer is passed on."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.errors import ServiceError, WrongChoice
from batches.engine.messages_to_agents import REMARK_CHARACTERS
from batches.integrations import notifications
from batches.models import Attempt, Batch, Task
from subagents.inbox import put_answer


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
    """Hand answers to the runner of a live attempt of this host; answer by rule what is late. Raises OSError."""
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
