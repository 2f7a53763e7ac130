"""Conclude a context update: CLAUDE.md and memory files on a branch that a person accepts or rejects."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.core.engine.states import Operation, RunState
from batches.core.errors import ServiceError
from batches.core.review.context_update import CLAUDE_FILE, BlockUnclear, memories, render_block, with_block
from batches.models import Batch, ContextChange, Result, Run
from batches.repositories.repository import repository_of
from batches.review.phase_facts import Conclusion, done_of_phases, record_of
from batches.runs.busy_or_archived import refuse_busy
from subagents.contract import SubagentError
from subagents.documents import NotADocument, commit_documents, read_document
from subagents.machine_faults import fault_of
from subagents.workspace import MergeConflict, RefMoved, Repository

MERGE_BATCH = "batches.merge_batch"
DIFF_BYTES = 512 * 1024
Decision = ContextChange.Decision


def conclude_context(run: Run) -> Conclusion | None:
    """Conclude the update of a run that succeeded; None for any other run. Safe to repeat: the same facts give the same files."""
    if run.operation != Operation.UPDATE_CONTEXT or run.state != RunState.SUCCEEDED:
        return None
    change = ContextChange.objects.select_related("run__batch__project").get(run=run)
    if not change.decision:
        _write(run, change)
        change.refresh_from_db()
    if change.decision == Decision.PROPOSED and run.batch.project.accept_context:
        with suppress(ServiceError):  # it stays proposed, and the page says so
            _accept(change, cause="policy:accept_context", user=None, now=run.ended_at)
    return Conclusion({"context": _result_of(change)}, _report_of(change))


def _write(run: Run, change: ContextChange) -> None:
    batch = run.batch
    notes = [str(note) for note in _reported_notes(run) if note]
    try:
        repository = repository_of(batch)
        files = _files(repository, run, notes)
        message = f"PRP-{batch.number}: Update context - {batch.title}\n"
        commit_documents(repository, run.branch, files, message, str(Path(settings.CE_DATA_DIR) / "documents"))
        head = repository.branch_commit(run.branch)
        changes = repository.changes(change.base_commit, head)
        diff = repository.diff(change.base_commit, head, DIFF_BYTES)
        with suppress(RefMoved):  # it exists already
            repository.move_ref(change.ref, head, None)
    except (SubagentError, OSError) as problem:
        if fault_of(problem) is not None:
            raise  # it is repeated once the machine works
        ContextChange.objects.filter(pk=change.pk).update(notes=[*notes, f"The update could not be written: {problem}"])
        return
    paths = sorted((*changes.created, *changes.modified, *changes.deleted))
    text = diff.text + (f"\n… cut at {DIFF_BYTES // 1024} KiB\n" if diff.truncated else "")
    decision = Decision.PROPOSED if paths else Decision.UNCHANGED
    ContextChange.objects.filter(pk=change.pk, decision="").update(
        head_commit=head, files=paths, diff=text, notes=notes, decision=decision
    )


def _reported_notes(run: Run) -> list[object]:
    results = Result.objects.filter(attempt__task__run=run, attempt__outcome="succeeded").order_by("attempt__task__position")
    return [(data.get("report") or {}).get("note") for data in results.values_list("data", flat=True)]


def _files(repository: Repository, run: Run, notes: list[str]) -> dict[str, bytes]:
    """{path: new content} of CLAUDE.md and the memory files; a file that cannot be changed becomes a note."""
    batch = run.batch
    phases = list(batch.phases.select_related("stage").prefetch_related("gates"))
    done = done_of_phases(phases)
    records = [record_of(phase, done[phase.pk]) for phase in phases]
    head = repository.branch_commit(run.branch)
    about = (batch.number, batch.title, batch.branch, records)
    files: dict[str, bytes] = {}
    try:
        files[CLAUDE_FILE] = with_block(read_document(repository, head, CLAUDE_FILE), batch.number, render_block(*about))
    except (BlockUnclear, NotADocument) as problem:
        notes.append(str(problem))
    for path, text in memories(*about).items():
        try:
            read_document(repository, head, path)
            files[path] = text.encode("utf-8", "replace")
        except NotADocument as problem:
            notes.append(str(problem))
    return files


def accept_context(*, change: ContextChange, actor: Actor) -> None:
    """Merge what an update proposes into the batch branch. Raises ServiceError, PermissionDenied."""
    actor.require(MERGE_BATCH, change.run.batch.project)
    refuse_busy(change.run.batch)
    _accept(change, cause=actor.cause, user=actor.user, now=timezone.now())


def reject_context(*, change: ContextChange, reason: str, actor: Actor) -> None:
    """Reject what an update proposes; its commits are kept. Raises ServiceError, PermissionDenied."""
    actor.require(MERGE_BATCH, change.run.batch.project)
    _refuse_decided(change)
    _decide(change, Decision.REJECTED, actor.cause, actor.user, timezone.now(), reason=" ".join(reason.split()))


def _accept(change: ContextChange, *, cause: str, user: User | None, now: datetime | None) -> None:
    batch = change.run.batch
    _refuse_decided(change)
    try:
        outcome = repository_of(batch).merge(batch.branch, change.head_commit, f"PRP-{batch.number}: Merge context - {batch.title}")
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    if isinstance(outcome, MergeConflict):
        raise ServiceError(f"It can no longer be merged: {', '.join(outcome.files)} changed since. Update the context again.")
    _decide(change, Decision.ACCEPTED, cause, user, now, merge_commit=outcome.commit)


def _refuse_decided(change: ContextChange) -> None:
    if change.decision != Decision.PROPOSED:
        raise ServiceError(f"There is nothing to decide: this update is {change.get_decision_display() or 'not written yet'}.")
    newest = ContextChange.objects.filter(run__batch=change.run.batch_id).order_by("-run__number").first()
    if newest is not None and newest.pk != change.pk:
        raise ServiceError(f"Run {newest.run.number} has updated the context since; decide about that update.")


def _decide(change: ContextChange, decision: Decision, cause: str, user: User | None, now: datetime | None, **more: str) -> None:
    with transaction.atomic():
        open_ones = ContextChange.objects.filter(pk=change.pk, decision=Decision.PROPOSED)
        if not open_ones.update(decision=decision, decided_cause=cause, decided_by=user, decided_at=now, **more):
            raise ServiceError("Somebody else decided about it meanwhile.")
        Batch.objects.bump(change.run.batch_id)
    change.refresh_from_db()


def _result_of(change: ContextChange) -> dict[str, object]:
    return {
        "decision": change.decision or None,
        "branch": change.run.branch,
        "commit": change.head_commit or None,
        "files": change.files,
        "notes": change.notes,
        "merge_commit": change.merge_commit or None,
    }


def _report_of(change: ContextChange) -> str:
    lines = [f"Context: {change.get_decision_display() or 'not written'}"]
    lines += [f"  {path}" for path in change.files]
    lines += [f"  note: {note}" for note in change.notes]
    if change.decision == Decision.PROPOSED:
        command = f"git diff {change.run.batch.branch}...{change.run.branch}"
        lines.append(f"Look at it ({command}), then accept or reject it on the batch's page.")
    elif change.decision == Decision.ACCEPTED:
        lines.append(f"Merged into {change.run.batch.branch}, as the project's settings say.")
    return "\n".join(lines)
