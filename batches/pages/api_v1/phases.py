"""Version 1: phases of a batch with their attempts, logs and transcripts, and how a running phase is steered."""

from collections.abc import Iterable
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query

from batches.models import Attempt, Phase
from batches.pages.api import batches as of_batches
from batches.pages.api import phases as shared
from batches.pages.api import steering
from batches.pages.api_v1.application import actor_of, api
from batches.pages.api_v1.pages import Cursor, Limit, Whole, part_of
from batches.pages.api_v1.shapes import (
    Accept,
    AcceptedPhase,
    Attempts,
    EntryKind,
    Key,
    LogPart,
    Number,
    Phases,
    PhaseShape,
    Questions,
    Say,
    Steered,
    Told,
    TranscriptPart,
)
from batches.pages.batches.batch import find_batch
from batches.pages.common import LARGEST_ID

TAGS, STEER = ["phases"], ["steering"]
OfAttempt = Annotated[Whole | None, Query(None, ge=1, le=LARGEST_ID, description="The id of an attempt; else the newest.", examples=[None])]
After = Annotated[Whole | None, Query(None, ge=0, le=LARGEST_ID, description="The `last` of one before; else the end.", examples=[120])]
Lines = Annotated[Whole, Query(500, ge=1, le=500, description="The most lines of one answer.", examples=[500])]
Behind = Annotated[Whole, Query(0, ge=0, le=LARGEST_ID, description="The `cursor` of an answer before.", examples=[0])]
Entries = Annotated[Whole, Query(100, ge=1, le=1000, description="The most entries of one answer.", examples=[100])]
Kinds = Annotated[list[EntryKind] | None, Query(description="Only entries of these kinds.", examples=[["edit", "error"]])]
Words = Annotated[str, Query(max_length=200, description="Only entries with this text.", examples=[""])]
OF_PHASE = ("key", "title", "goal", "hours", "complexity", "files", "dependencies", "prp_id", "section")
OF_ATTEMPT = (
    *("number", "outcome", "reason", "message", "model", "progress", "repair", "launched_at", "started_at", "ended_at", "seconds"),
    *("tokens_used", "base_commit", "head_commit", "merge_commit"),
)


@api.get("batches/{int:number}/phases/", response=Phases, url_name="phases", tags=TAGS, summary="List phases")
def phases(request: HttpRequest, number: Number, cursor: Cursor = "", limit: Limit = 50) -> dict[str, Any]:
    """The phases in the plan's order, as they were when the batch was made. Their states: those of the batch."""
    rows = find_batch(number).phases.select_related("stage").prefetch_related("gates")
    return part_of(rows, "position", cursor, limit, lambda found: map(phase_json, found), newest_first=False)


@api.get("batches/{int:number}/phases/{key}/", response=PhaseShape, url_name="phase", tags=TAGS, summary="Read a phase")
def phase(request: HttpRequest, number: Number, key: Key) -> dict[str, Any]:
    """A phase: goal, files, steps and gates."""
    return phase_json(_phase(number, key))


def phase_json(found: Phase) -> dict[str, Any]:
    gates = [{"gate": gate.pk, "text": gate.text, "kind": gate.kind, "command": gate.command} for gate in found.gates.all()]
    steps = [step["text"] for step in found.steps]
    return {name: getattr(found, name) for name in OF_PHASE} | {"stage": found.stage.number, "steps": steps, "gates": gates}


def _phase(number: int, key: str) -> Phase:
    return get_object_or_404(Phase.objects.select_related("stage"), batch=find_batch(number), key=key)


@api.get("batches/{int:number}/phases/{key}/attempts/", response=Attempts, url_name="attempts", tags=TAGS, summary="List attempts")
def attempts(request: HttpRequest, number: Number, key: Key, cursor: Cursor = "", limit: Limit = 50) -> dict[str, Any]:
    """The attempts of a phase in all runs, the newest first."""
    rows = Attempt.objects.filter(task__phase=_phase(number, key)).select_related("task__run").defer("spec", "heartbeat", "log_tail")
    return part_of(rows, "pk", cursor, limit, lambda found: map(attempt_json, found))


def attempt_json(found: Attempt) -> dict[str, Any]:
    run = found.task.run
    cost = None if found.cost_usd is None else str(found.cost_usd)
    about = {"attempt": found.pk, "run": run.number, "operation": run.operation, "cost_usd": cost}
    return about | {name: getattr(found, name) for name in OF_ATTEMPT}


@api.get("batches/{int:number}/phases/{key}/log/", response=LogPart, url_name="log", tags=TAGS, summary="Read a log")
def log(
    request: HttpRequest, number: Number, key: Key, after: After = None, limit: Lines = 500, attempt: OfAttempt = None
) -> HttpResponse:
    """Lines of the log of an attempt: those behind `after`, else the last ones."""
    return shared.log(request, actor_of(request), number, key)


@api.get("batches/{int:number}/phases/{key}/transcript/", response=TranscriptPart, url_name="transcript", tags=TAGS, summary="Transcript")
def transcript(
    request: HttpRequest,
    number: Number,
    key: Key,
    cursor: Behind = 0,
    limit: Entries = 100,
    attempt: OfAttempt = None,
    kind: Kinds = None,
    q: Words = "",
) -> HttpResponse:
    """What the agent of an attempt said and did, in numbered entries."""
    return shared.transcript(request, actor_of(request), number, key)


@api.get("batches/{int:number}/questions/", response=Questions, url_name="questions", tags=STEER, summary="List questions")
def questions(request: HttpRequest, number: Number, cursor: Cursor = "", limit: Limit = 50) -> dict[str, Any]:
    """Attempts whose agents asked a person something, the newest first, with their questions; `open` waits for an answer."""
    rows = Attempt.objects.filter(task__run__batch=find_batch(number)).exclude(questions=[]).select_related("task__phase")
    return part_of(rows.defer("spec", "heartbeat", "log_tail"), "pk", cursor, limit, _asked)


def _asked(rows: list[Attempt]) -> Iterable[dict[str, Any]]:
    for row in rows:
        waiting = row.open_question
        asked = [{"text": one["text"], "answers": one["answers"], "asked_at": one["at"], "answer": one["answer"]} for one in row.questions]
        key = row.task.phase.key if row.task.phase else None
        yield {"phase": key, "attempt": row.pk, "open": None if waiting is None else waiting["text"], "questions": asked}


@api.post("batches/{int:number}/phases/{key}/say/", response={202: Told}, url_name="say", tags=STEER, summary="Say something")
def say(request: HttpRequest, number: Number, key: Key, sent: Say) -> HttpResponse:
    """Say something to a phase's agent: at its next turn, or to the next attempt."""
    return steering.say(request, actor_of(request), number, key)


@api.post("batches/{int:number}/phases/{key}/answer/", response={202: Steered}, url_name="answer", tags=STEER, summary="Answer")
def answer(request: HttpRequest, number: Number, key: Key, sent: Say) -> HttpResponse:
    """Answer what a phase's agent asks."""
    return steering.answer(request, actor_of(request), number, key)


@api.post("batches/{int:number}/phases/{key}/stop/", response={202: Steered}, url_name="stop", tags=STEER, summary="Stop a phase")
def stop(request: HttpRequest, number: Number, key: Key) -> HttpResponse:
    """Stop one running phase; the others go on. Its work so far is kept."""
    return steering.stop(request, actor_of(request), number, key)


@api.post("batches/{int:number}/phases/{key}/accept/", response={201: AcceptedPhase}, url_name="accept", tags=STEER, summary="Accept")
def accept(request: HttpRequest, number: Number, key: Key, sent: Accept) -> HttpResponse:
    """Accept a phase that succeeded, and is not green, as it is."""
    return of_batches.accept(request, actor_of(request), number, key)
