"""Write what is known about an attempt to rows: heartbeat, verdict, result, gates, diff."""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from django.db.models import QuerySet
from django.utils import timezone

from batches.core.engine.decide import SUCCESS
from batches.core.engine.failure_reasons import SENTENCES
from batches.core.engine.pricing import BACKENDS_WITHOUT_MODEL
from batches.core.engine.states import FailureReason, Operation, TaskKind
from batches.core.review.declared_changes import undeclared
from batches.engine.messages_to_agents import deliver
from batches.metrics.facts import record_attempts
from batches.models import Attempt, AttemptPrompt, DiffComment, Gate, GateCheck, Result
from batches.models.prepared import Prepared
from batches.models.processes import SupervisedProcess
from batches.projects.secrets import learn_secrets
from batches.repositories.repository import repository_of
from subagents.contract import (
    USAGE_FIGURES,
    ContractError,
    GateOrigin,
    GateStatus,
    Heartbeat,
    Look,
    LookKind,
    OrchestrationFiles,
    ResultStatus,
    SubagentError,
    TaskResult,
    TaskSpec,
    TaskType,
    dump_json,
    read_tail,
    write_atomic,
)
from subagents.machine_faults import fault_of, probe
from subagents.purse import cost_with_what_was_under_way
from subagents.redaction import redact
from subagents.told_prompt import read_told

if TYPE_CHECKING:
    from subagents.launcher import Observation

DIFF_BYTES = 512 * 1024
DIFFS_AT_ONCE = 5  # between two looks at the processes
LOG_TAIL_BYTES = 64 * 1024

# What an attempt dies of when the machine fails it: without a result it is known only by whether the machine works now.
_MAYBE_MACHINE = (FailureReason.CRASHED, FailureReason.NEVER_STARTED, FailureReason.TIMEOUT)


logger = logging.getLogger(__name__)
GATES_OF_PHASE: Prepared[tuple[int, str, int]] = Prepared(
    lambda batch, key: Gate.objects.filter(phase__batch=batch, phase__key=key).values_list("pk", "phase__key", "position")
)


def heartbeat_fields(beat: Heartbeat, now: datetime, clock: float) -> dict[str, object]:
    """The attempt's columns that a new heartbeat changes."""
    return {
        "last_beat_at": now,
        "beat_clock": clock,
        "last_progress_at": _parsed_time(beat.last_progress),
        "heartbeat": beat.to_json(),
        "step": beat.step,
        "total_steps": beat.total_steps,
        "progress": beat.progress[:500],
        # A word of ours says no more than the progress; what an agent does is a sentence.
        "activity": beat.activity[:200] if " " in beat.activity else "",
        "activity_since": _parsed_time(beat.activity_since),
        "tokens_used": beat.tokens_used,
        "cost_usd": beat.cost_usd,
        "elapsed_seconds": beat.elapsed_seconds,
    }


def _parsed_time(text: str) -> datetime | None:
    """An ISO 8601 time in UTC; None when the text is not one."""
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else timezone.make_aware(time)).astimezone(UTC)
    except (ValueError, OverflowError):  # not a date, or out of range in UTC
        return None


@dataclass(frozen=True, slots=True)
class End:
    """The end of an attempt as its host saw it: its processes are gone and its files are final.

    A success counts even if the attempt was told to stop meanwhile. Otherwise the reason is why it was stopped.
    """

    attempt: Attempt
    spec: TaskSpec
    observation: "Observation"
    verdict: str  # SUCCESS or a FailureReason
    message: str
    result: TaskResult  # built here when the attempt left none

    @classmethod
    def of(cls, attempt: Attempt, spec: TaskSpec, observation: "Observation") -> Self:
        return cls(attempt, spec, observation, *verdict_of(attempt, spec, observation))

    @property
    def to_merge(self) -> bool:
        """Whether it left commits to merge into the batch branch."""
        return self.verdict == SUCCESS and self.result.head_commit not in ("", self.attempt.base_commit)


def record_end(end: End, now: datetime) -> None:
    """Record, once, that the attempt is over, with its result. In the caller's transaction."""
    attempt = end.attempt
    changes = {"exited_at": now, "verdict": end.verdict, "message": end.message} | end_fields(attempt, end.observation, end.result)
    if attempt.messages:
        deliver(attempt, now)  # what was read last
    if Attempt.objects.filter(pk=attempt.pk, exited_at=None).update(**changes):
        store_result(attempt, end.spec, end.result)
        _store_prompt(end)


def end_fields(row: SupervisedProcess, observation: "Observation", result: TaskResult) -> dict[str, object]:
    """The columns that the end of a process changes: its start, if it was not seen before, its result, and its log."""
    changes: dict[str, object] = {"exit_code": observation.ended.exit_code if observation.ended else None}
    if observation.started is not None and observation.started.pid and row.started_at is None:
        changes |= {"started_at": wall_time(observation.started.started_at), "pid": observation.started.pid}
    return changes | _result_fields(result) | log_fields(observation.files.log)


def log_fields(path: str, known_bytes: int = -1) -> dict[str, object]:
    """The attempt's columns about its log at `path`; empty when its size is still `known_bytes`."""
    size, text = read_tail(path, LOG_TAIL_BYTES)
    return {} if size in (0, known_bytes) else {"log_tail": text, "log_bytes": size}


def wall_time(seconds: float) -> datetime:
    """Seconds since the epoch as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def verdict_of(attempt: SupervisedProcess, spec: TaskSpec, observation: "Observation") -> tuple[str, str, TaskResult]:
    """(SUCCESS or a FailureReason, a sentence about it, its result or one built here) of a process that has ended."""
    if observation.result is not None and observation.result.status == ResultStatus.SUCCESS:
        return SUCCESS, "", observation.result
    if observation.result is not None:
        reason = FailureReason(observation.result.failure_reason)
        if attempt.stop_reason and reason in (FailureReason.CANCELLED, FailureReason.CRASHED):
            reason = FailureReason(attempt.stop_reason)
        sentence = observation.result.errors[0] if observation.result.errors else SENTENCES[reason]
        return reason, sentence, observation.result
    if observation.result_error is not None and not attempt.stop_reason:
        reason, sentence = FailureReason.BAD_RESULT, f"Its result cannot be used: {observation.result_error}"
    else:
        reason = FailureReason(attempt.stop_reason or FailureReason.CRASHED)
        sentence = attempt.message or SENTENCES[reason]
        if reason in _MAYBE_MACHINE and (fault := _machine_fault(spec, observation)):
            reason, sentence = FailureReason.MACHINE_FAULT, fault
    return reason, sentence, _no_result(attempt, spec, reason, sentence)


def _machine_fault(spec: TaskSpec, observation: "Observation") -> str:
    """The fault of the machine that an attempt without a result died of, in words; "" for none."""
    said = observation.ended.machine_fault if observation.ended else ""
    return said or str(probe((spec.attempt_dir, spec.repository)) or "")


def _no_result(attempt: SupervisedProcess, spec: TaskSpec, reason: FailureReason, sentence: str) -> TaskResult:
    reported = None if attempt.cost_usd is None else float(attempt.cost_usd)
    cost, estimated = cost_with_what_was_under_way(spec, reported, attempt.tokens_used)
    return TaskResult(
        task_id=spec.task_id,
        prp_id=spec.prp_id,
        status=ResultStatus.FAILED,
        attempt=attempt.number,
        token=attempt.token,
        failure_reason=reason,
        errors=(sentence, estimated) if estimated else (sentence,),
        steps_completed=max(0, (attempt.step or 1) - 1),
        total_steps=len(spec.steps),
        base_commit=attempt.base_commit,
        tokens_used=attempt.tokens_used,
        cost_usd=cost,
        elapsed_seconds=attempt.elapsed_seconds or 0.0,
    )


def put_files_away(end: End) -> None:
    """Archive the attempt's files, and before that write the result that it could not write, for programs that read the files.

    Files of another attempt, which has begun meanwhile and has archived these, stay as they are. Raises OSError, ContractError.
    """
    spec, files = end.spec, OrchestrationFiles(end.spec.repository)
    if files.current_attempt(spec.batch_id, spec.name) in (None, (spec.run, spec.attempt)):
        if end.observation.result is None or not os.path.lexists(spec.files.result):
            write_atomic(spec.files.result, dump_json(end.result.to_json()))
        files.archive_task(spec.batch_id, spec.run, spec.name, spec.attempt)


def _result_fields(result: TaskResult) -> dict[str, object]:
    """The attempt's columns that its result changes; what the result does not know stays unchanged."""
    known: dict[str, object] = {
        "tokens_used": result.tokens_used,
        "cost_usd": result.cost_usd,
        "elapsed_seconds": result.elapsed_seconds or None,
        "session": result.session[:100] or None,
        "fault": result.fault or None,
        "retry_at": _parsed_time(result.retry_at),
        "sandbox": result.sandbox[:40] or None,
        **{name: result.usage.get(name) for name in USAGE_FIGURES},
    }
    return {name: value for name, value in known.items() if value is not None} | {
        "head_commit": result.head_commit,
        "tree": result.tree,
    }


def _store_prompt(end: End) -> None:
    """Keep what the attempt's agent was told, where it was asked and its folder is still there."""
    if end.spec.backend in BACKENDS_WITHOUT_MODEL:
        return
    try:
        told = read_told(end.spec.attempt_dir)
    except (ContractError, OSError) as problem:
        logger.warning("the prompt of %s cannot be kept: %s", end.attempt, problem)
        return
    if told is not None:
        AttemptPrompt.objects.create(attempt=end.attempt, sha256=told.sha256, characters=told.characters, text=told.text)


def store_result(attempt: Attempt, spec: TaskSpec, result: TaskResult) -> None:
    """Write the rows of an attempt's result and of its gates. In the caller's transaction."""
    result_row(attempt, spec, result).save(force_insert=True)
    if spec.type == TaskType.STAGE_CHECK:
        _say_what_broke_later(attempt, [phase["key"] for name in ("phases", "earlier") for phase in spec.payload[name]], result.looks)
    if not result.gates:
        return
    keys = {outcome.phase or spec.key for outcome in result.gates if outcome.origin == GateOrigin.PLAN}
    rows = (row for key in keys for row in GATES_OF_PHASE.rows(batch=attempt.task.run.batch_id, key=key))
    gates = {(key, position): pk for pk, key, position in rows}
    bound = [
        (gates.get((outcome.phase or spec.key, outcome.position)) if outcome.origin == GateOrigin.PLAN else None, outcome)
        for outcome in result.gates
    ]
    GateCheck.objects.bulk_create(
        GateCheck(
            gate_id=gate,
            attempt=attempt,
            origin=outcome.origin,
            position=outcome.position,
            text="" if gate else outcome.text,
            kind=outcome.kind,
            status=outcome.status,
            command=outcome.command,
            exit_code=outcome.exit_code,
            commit=outcome.commit,
            environment=outcome.environment[:64],
            output=outcome.output,
            seconds=outcome.seconds,
            note=outcome.note,
            flaky=outcome.flaky and outcome.status == GateStatus.PASSED,
            first_exit_code=outcome.first_exit_code,
            first_output=outcome.first_output,
            at=timezone.now(),
        )
        for gate, outcome in bound
        if gate is not None or (outcome.origin != GateOrigin.PLAN and outcome.text)
    )


def _say_what_broke_later(attempt: Attempt, judged: Sequence[str], looks: Sequence[Look]) -> None:
    """Beside each of the judged phases, which of its gates fail on the merged tree now, unless a look at a later phase says so."""
    merged = Result.objects.filter(attempt__task__run__batch=attempt.task.run.batch_id, attempt__task__run__operation=Operation.EXECUTE)
    merged = merged.filter(attempt__task__kind=TaskKind.PHASE).exclude(attempt__merge_commit="").order_by("attempt_id")
    newest = {row.attempt.task.phase.key: row for row in merged.select_related("attempt__task__phase") if row.attempt.task.phase}
    known = {_gate_in(look["text"]) for row in newest.values() for look in row.looks if look["kind"] == LookKind.TAKEN_BACK}
    changed = []
    for key, row in ((key, newest[key]) for key in judged if key in newest):
        said = [look.to_json() for look in looks if look.phase == key and _gate_in(look.text) not in known]
        before, row.looks = row.looks, [*(look for look in row.looks if look["kind"] != LookKind.BROKEN_LATER), *said]
        if row.looks != before:
            row.save(update_fields=["looks"])
            changed.append(row.attempt_id)
    record_attempts(changed)


def _gate_in(text: str) -> str:
    """The gate that a look says fails."""
    return text.partition(" fails on ")[0]


def resolve_comments(attempt: Attempt) -> None:
    """Resolve the comments of people on a succeeded attempt's phase that its agent has answered. No other's: a number is only a claim."""
    answers = Result.objects.filter(attempt=attempt).values_list("data__report__comments", flat=True).first()
    if not answers:
        return
    of_phase = DiffComment.objects.filter(attempt__task__phase=attempt.task.phase_id, at__lt=attempt.launched_at, resolved_at=None)
    for one in answers:
        said = {"answer": redact(one["answer"]), "resolved_at": timezone.now(), "resolved_name": "its agent"}
        of_phase.filter(pk=one["number"]).update(**said)


def result_row(attempt: Attempt, spec: TaskSpec, result: TaskResult) -> Result:
    """The row of an attempt's result, not saved yet."""
    changed = (*result.files_created, *result.files_modified, *result.files_deleted)
    return Result(
        attempt=attempt,
        data=result.to_json(),
        status=result.status,
        steps_completed=result.steps_completed,
        total_steps=result.total_steps,
        files_created=list(result.files_created),
        files_modified=list(result.files_modified),
        files_deleted=list(result.files_deleted),
        undeclared=undeclared(spec.files_modified, changed) if spec.type == TaskType.EXECUTE else [],
        looks=[look.to_json() for look in result.looks],
        commits=list(result.commits),
        diff=None if result.head_commit else "",
    )


def fill_diffs(results: QuerySet[Result]) -> None:
    """Store the diffs of results. They are read after the attempt, so that the next phase need not wait."""
    _fill(with_attempts(results))


def fill_diffs_of_host(host: str) -> None:
    """Store the diffs of some results of this host."""
    _fill(WITHOUT_DIFF.rows(host=host))


def with_attempts(results: QuerySet[Result]) -> QuerySet[Result]:
    """Those without a diff, with what it takes to read it."""
    return results.filter(diff=None).select_related("attempt__task__run__batch__project").defer("attempt__log_tail", "data")


WITHOUT_DIFF: Prepared[Result] = Prepared(
    lambda host: with_attempts(Result.objects.filter(attempt__host=host)).order_by("attempt_id")[:DIFFS_AT_ONCE]
)


def _fill(waiting: Iterable[Result]) -> None:
    for result in waiting:
        attempt = result.attempt
        learn_secrets(attempt.task.run.batch.project)  # another process may have launched it
        try:
            found = repository_of(attempt.task.run.batch).diff(attempt.base_commit, attempt.head_commit, DIFF_BYTES)
            diff = found.text + (f"\n… cut at {DIFF_BYTES // 1024} KiB\n" if found.truncated else "")
        except (SubagentError, OSError) as problem:
            if fault_of(problem) is not None:
                continue  # it is read later
            diff = f"The diff cannot be read: {problem}\n"
        Result.objects.filter(pk=result.pk, diff=None).update(diff=redact(diff))
