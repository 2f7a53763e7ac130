"""Let the evidence for gates travel: git notes on what was merged, and a file in the repository (docs/verify.md)."""

import json
import logging
import os
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from batches.core.engine.states import TaskKind
from batches.core.gates.evidence import note_section, read_note, to_json
from batches.gates.evidence import evidence_of_result, read_evidence
from batches.models import Attempt, Batch, GateCheck, Result, Run
from batches.models.prepared import Prepared
from batches.repositories.repository import repository_of
from subagents.contract import GateOutcome, OrchestrationFiles, SubagentError, TaskResult, TaskSpec, write_atomic
from subagents.notes import add_section, drafted, read_notes
from subagents.workspace import RefMove, Repository

logger = logging.getLogger(__name__)


def outcomes_of(attempt: Attempt) -> tuple[GateOutcome, ...]:
    """What an ended attempt reported of its gates; () when it left no result that can be read."""
    data = Result.objects.filter(attempt=attempt).values_list("data", flat=True).first()
    try:
        return () if data is None else TaskResult.from_json(data).gates
    except SubagentError:
        return ()


class NoteOfMerge:
    """The note of a merge: its moves go into the merge's own transaction. `written` once they did."""

    def __init__(self, repository: Repository, spec: TaskSpec, outcomes: tuple[GateOutcome, ...], judged_commit: str) -> None:
        self.repository, self.evidence, self.commit = repository, evidence_of_result(spec, outcomes, judged_commit), ""

    def moves(self, commit: str) -> list[RefMove]:
        """For `Repository.merge`, which goes on without a note that fails: `complete_notes` tries again."""
        try:
            found = drafted(self.repository, commit, note_section(self.evidence))
        except (SubagentError, OSError) as problem:
            logger.error("batch=%s attempt=%s: no note for %s: %s", self.evidence.batch, self.evidence.attempt, commit[:12], problem)
            found = []
        self.commit = commit if found else ""
        return found


def _without_note(run: Any) -> QuerySet[Attempt]:
    judged = Q(Exists(GateCheck.objects.filter(attempt=OuterRef("pk"))), task__kind=TaskKind.STAGE_CHECK)
    waiting = Attempt.objects.filter(~Q(merge_commit="") | judged, task__run=run, note_commit="", ended_at__isnull=False)
    return waiting.select_related("task__run").defer("log_tail", "heartbeat").order_by("ended_at", "pk")


WITHOUT_NOTE: Prepared[Attempt] = Prepared(_without_note)


def complete_notes(run: Run) -> None:
    """Write the notes of the run that are missing: of stage checks, and of merges that a kill interrupted. Never one twice.

    Raises SubagentError when the repository cannot be read or written: the next round tries again.
    """
    for attempt in WITHOUT_NOTE.rows(run=run.pk):
        spec = TaskSpec.from_json(attempt.spec)
        commit = attempt.merge_commit or attempt.base_commit
        evidence = evidence_of_result(spec, outcomes_of(attempt), attempt.head_commit or attempt.base_commit)
        repository = repository_of(run.batch)
        before = read_notes(repository, [commit]).get(commit, "")
        if evidence.attempt not in {known.attempt for known in read_note(before)[0]}:
            add_section(repository, commit, note_section(evidence), before)
        Attempt.objects.filter(pk=attempt.pk).update(note_commit=commit)


def write_evidence(batch: Batch) -> None:
    """Write `batches/batch-N.gates.json`: the evidence of all attempts. Raises OSError."""
    files = OrchestrationFiles(batch.project.repository)
    attempts = [to_json(evidence) for evidence in read_evidence(batch).values()]
    data = {"batch_id": batch.number, "branch": batch.branch, "notes": "refs/notes/ce", "attempts": attempts}
    target = files.batch_gates(batch.number)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    write_atomic(target, json.dumps(data, ensure_ascii=False, indent=2).encode("utf-8", "replace") + b"\n")
