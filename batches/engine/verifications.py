"""Verify a batch: judge all its recorded gates once more and compare rows, notes and file with that (docs/verify.md).

A person's request is a row. The ticker of the host starts a supervised process for it, which judges, and concludes once
that has ended. A verification changes nothing but its own row and `batches/batch-N.verify.json`.
"""

import json
import logging
import os
import secrets
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.states import Operation, TaskKind, TaskState
from batches.core.errors import ServiceError
from batches.core.gates.evidence import (
    Difference,
    Evidence,
    GateEvidence,
    by_attempt,
    compare_gates,
    compare_heads,
    from_json,
    read_note,
)
from batches.core.gates.verification import Line, Now, Problem, Verified, compare_runs
from batches.core.text.words import duration
from batches.engine.disk_space import low_file_system
from batches.engine.sandboxing import sandbox_level
from batches.gates.evidence import read_evidence
from batches.models import Attempt, Batch, Gate, GateCheck, Host, Verification
from batches.models.prepared import Prepared
from batches.projects.secrets import secrets_of_project
from batches.repositories.repository import checked_repository, repository_of
from batches.runs.busy_or_archived import refuse_busy
from subagents import launcher
from subagents.contract import (
    ContractError,
    GateKind,
    GateOutcome,
    GateSpec,
    GateStatus,
    OrchestrationFiles,
    Role,
    SubagentError,
    TaskSpec,
    TaskType,
    read_json_file,
    write_atomic,
)
from subagents.notes import NOTES, read_notes
from subagents.roles.verifier import read_verdicts, write_request
from subagents.workspace import Repository

logger = logging.getLogger(__name__)

LIMIT_SECONDS = 24 * 3600.0
GONE_SECONDS = 600.0  # a host that was not heard of for so long judges nothing
RELAUNCH_SECONDS = 3.0
EVIDENCE_BYTES = 256 * 1024 * 1024
Key = tuple[str, str, int]
OPEN: Prepared[Verification] = Prepared(
    lambda: Verification.objects.filter(ended_at=None).select_related("batch__project").order_by("pk")
)


def ask_verification(*, batch: Batch, actor: Actor) -> Verification:
    """Ask for a verification of the batch; the ticker carries it out. Raises ServiceError, PermissionDenied."""
    actor.require(EXECUTE_BATCH, batch.project)
    if batch.project.demo:
        raise ServiceError(f"Batch {batch.number} is a demonstration: nothing of it was judged.")
    refuse_busy(batch)
    try:
        checked_repository(batch)
        # Where the environments are that the gates were judged with.
        own = Attempt.objects.filter(task__run__batch=batch).exclude(host__in=Host.objects.exclude(directory="").values("name"))
        last = own.order_by("-pk").values_list("host", flat=True).first()
        host = last if last and silence_of(last, timezone.now()) < GONE_SECONDS else settings.CE_HOST
        with transaction.atomic():
            made = Verification.objects.create(
                batch=batch, host=host, cause=actor.cause, asked_by=actor.user, asked_at=timezone.now()
            )
            Batch.objects.bump(batch.pk)
            return made
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    except IntegrityError:
        raise ServiceError(f"Batch {batch.number} is being verified already. Its page shows how far that is.") from None


def stop_verification(*, batch: Batch, actor: Actor) -> None:
    """Stop the verification that is asked for or runs. Raises ServiceError when there is none, PermissionDenied."""
    actor.require(EXECUTE_BATCH, batch.project)
    one = Verification.objects.filter(batch=batch, ended_at=None).select_related("batch__project").first()
    if one is None:
        raise ServiceError(f"Batch {batch.number} is not being verified.")
    Verification.objects.filter(pk=one.pk, ended_at=None, stopped_by="").update(stopped_by=actor.cause)
    one.refresh_from_db()
    if not one.directory or silence_of(one.host, timezone.now()) >= GONE_SECONDS:
        _end(one, timezone.now(), problem=_stopped(one))
    else:
        Batch.objects.bump(batch.pk)


def _stopped(one: Verification) -> str:
    return f"Stopped by {one.stopped_by} before it was done."


def silence_of(host: str, now: datetime) -> float:
    """Seconds since a host was heard of last; 0 for one that has never reported: it may be about to."""
    last = Host.objects.filter(name=host).values_list("last_tick_at", flat=True).first()
    return 0.0 if last is None else max(0.0, (now - last).total_seconds())


def advance_verifications(host: str, now: datetime, free_slots: int) -> int:
    """Start what was asked for on this host while slots are free, follow what runs, conclude what has ended; how many run.

    What another host was to judge that is gone ends with a sentence.
    """
    running = 0
    for one in OPEN.rows():
        if one.host != host:
            _end_where_the_host_is_gone(one, now)
            continue
        try:
            if not one.directory and (free_slots - running <= 0 or low_file_system(one.batch.project.repository)):
                continue
            running += _advance(one, now)
        except (SubagentError, ServiceError, OSError, ValueError) as problem:
            _end(one, now, problem=f"The verification could not be carried out: {problem}")
    return running


def _end_where_the_host_is_gone(one: Verification, now: datetime) -> None:
    silent = silence_of(one.host, now)
    if not Host.objects.filter(name=one.host).exists():
        silent = (now - one.asked_at).total_seconds()
    if silent >= GONE_SECONDS:
        heard = f"The host {one.host}, which was to judge, has not been heard of for {duration(silent)}"
        _end(one, now, problem=f"{heard}. Ask again: another host judges then, and says what it cannot repeat.")


def _advance(one: Verification, now: datetime) -> bool:
    """One step of one verification; whether its process runs. Raises SubagentError, OSError."""
    clock = time.monotonic()
    if not one.directory:
        return _begin(one, clock)
    spec = TaskSpec.from_json(one.spec)
    observation = launcher.observe(spec)
    if observation.held:
        if one.stopped_by:
            launcher.stop(spec.attempt_dir, force=True)
        said = observation.heartbeat.progress[:500] if observation.heartbeat else ""
        if said and said != one.progress:
            Verification.objects.filter(pk=one.pk, ended_at=None).update(progress=said)
        return True
    if observation.started is None and not one.stopped_by:
        if not 0 <= clock - (one.launched_clock or 0) < RELAUNCH_SECONDS:  # the launch died with who made it
            _launch(one, spec, clock)
        return True
    if observation.ended is None and launcher.sweep(spec.attempt_dir):
        return True  # it was killed, and leaves processes that are dying
    if observation.result is None or "sha256" not in observation.result.report:
        errors = observation.result.errors if observation.result else ()
        why = "; ".join(errors) or "its process was ended before it was done; ask again"
        _end(one, now, problem=_stopped(one) if one.stopped_by else f"The verification could not be carried out: {why}")
        return False
    verdicts = read_verdicts(spec.attempt_dir, str(observation.result.report["sha256"]))
    _end(one, now, document=_document(one, spec, verdicts, now))
    return False


def _begin(one: Verification, clock: float) -> bool:
    """Whether it was begun: a person may have stopped it just now. Raises SubagentError, OSError."""
    batch = one.batch
    place = Path(settings.CE_DATA_DIR)
    name = f"verification-{one.pk}"
    spec = TaskSpec(
        task_id="batch",
        type=TaskType.VERIFY,
        role=Role.EXECUTOR,
        prp_id=f"PRP-{batch.number}",
        batch_id=batch.number,
        run=1,
        stage=1,
        key="",
        phase_name=f"Verification of batch {batch.number}",
        goal="",
        attempt=one.pk,
        token=secrets.token_hex(16),
        repository=batch.project.repository,
        base_commit=batch.base_commit,
        attempt_ref="",
        checkout=str(place / "checkouts" / batch.project.slug / name / "checkout"),
        attempt_dir=str(place / "attempts" / batch.project.slug / f"batch-{batch.number}" / name),
        created_at=one.asked_at.isoformat(),
        timeout_seconds=LIMIT_SECONDS,
        heartbeat_seconds=min(settings.CE_HEARTBEAT_SECONDS, 5.0),
        sandbox=sandbox_level().level,
        environment={"folder": str(place / "environments" / batch.project.slug)},
    )
    os.makedirs(spec.attempt_dir, mode=0o700, exist_ok=True)
    write_request(spec.attempt_dir, [each.to_json() for each in _judgements(batch)])
    waiting = Verification.objects.filter(pk=one.pk, ended_at=None, stopped_by="")
    if not waiting.update(directory=spec.attempt_dir, spec=spec.to_json()):  # from here on it can be launched
        return False
    _launch(one, spec, clock)
    return True


def _launch(one: Verification, spec: TaskSpec, clock: float) -> None:
    Verification.objects.filter(pk=one.pk).update(launched_clock=clock)
    launcher.prepare(spec)
    launcher.launch(spec.attempt_dir, secrets=secrets_of_project(one.batch.project))


def _end(one: Verification, now: datetime, *, document: dict[str, Any] | None = None, problem: str = "") -> None:
    """Close the row and tidy up. If the file for readers without a database cannot be written, the row says it."""
    agrees = None
    if document is not None:
        agrees = bool(document["agrees"])
        target = OrchestrationFiles(one.batch.project.repository).batch_verification(one.batch.number)
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            write_atomic(target, json.dumps(document, ensure_ascii=False, indent=2).encode("utf-8", "replace") + b"\n")
        except OSError as error:
            problem = f"{target} could not be written: {error}"
    with transaction.atomic():
        Verification.objects.filter(pk=one.pk, ended_at=None).update(
            ended_at=now, agrees=agrees, problem=problem, result=document, progress=""
        )
        Batch.objects.bump(one.batch_id)
    logger.info("batch=%s verification=%s agrees=%s %s", one.batch.number, one.pk, agrees, problem)
    if one.spec:
        checkouts = os.path.dirname(TaskSpec.from_json(one.spec).checkout)
        for folder in (checkouts, *(os.path.join(one.directory, name) for name in ("tmp", "home", "git"))):
            shutil.rmtree(folder, ignore_errors=True)


# What is judged


@dataclass(frozen=True, slots=True)
class _Judgement:
    """Gates of an attempt that were judged on one commit with one environment, as roles/verifier.py reads them."""

    attempt: Attempt
    phase: str
    commit: str
    environment: str
    changed: tuple[str, ...] | None
    gates: tuple[GateSpec, ...]

    @property
    def id(self) -> str:
        return f"{self.attempt.pk} {self.phase} {self.commit} {self.environment}"

    def to_json(self) -> dict[str, Any]:
        spec = self.attempt.spec
        return {
            "id": self.id,
            "name": f"{self.attempt.task.name}, attempt {self.attempt.number}",
            "base": self.attempt.base_commit,
            "commit": self.commit,
            "environment": self.environment,
            "room": spec.get("room", {}),
            "seconds": spec.get("timeout_seconds", LIMIT_SECONDS),
            "rerun": spec.get("rerun_gates", True),
            "phase": self.phase,
            "declared": spec.get("files_modified", []),
            "changed": None if self.changed is None else list(self.changed),
            "gates": [gate.to_json() for gate in self.gates],
        }


def _attempts(batch: Batch) -> dict[int, Attempt]:
    """{id: attempt} of all that tried to execute, in their order."""
    rows = Attempt.objects.filter(task__run__batch=batch, task__run__operation=Operation.EXECUTE)
    rows = rows.select_related("task__run", "task__phase", "task__stage").defer("log_tail", "heartbeat")
    return {attempt.pk: attempt for attempt in rows.order_by("task__run__number", "task__stage__number", "task__position", "number")}


def _told(attempt: Attempt) -> tuple[dict[Key, GateSpec], dict[str, tuple[str, ...]]]:
    """({gate: its check}, {phase: the files that its gates look at}) as the attempt's process was told."""
    spec, gates, files = attempt.spec, dict[Key, GateSpec](), dict[str, tuple[str, ...]]()
    try:
        if attempt.task.kind == TaskKind.PHASE:
            parts = [(str(spec["key"]), spec["gates"], None)]
        else:
            payload = spec["payload"]
            parts = [(str(phase["key"]), phase["gates"], phase["files_modified"]) for phase in payload.get("phases", [])]
            parts.append(("", payload.get("gates", []), payload.get("changed", [])))
        for phase, found, changed in parts:
            if changed is not None:
                files[phase] = tuple(str(path) for path in changed)
            for gate in found:
                read = GateSpec.from_json(gate, "gate")
                gates[phase, str(read.origin), read.position] = read
    except (ContractError, KeyError, TypeError):
        return {}, {}  # each of its gates is then told to have no check on record
    return gates, files


def _was_run(gate: GateEvidence) -> bool:
    return gate.kind != GateKind.UNVERIFIED and bool(gate.commit)


def _judgements(batch: Batch) -> list[_Judgement]:
    """Everything on record that can be judged once more."""
    found: dict[str, _Judgement] = {}
    attempts = _attempts(batch)
    for pk, evidence in read_evidence(batch).items():
        told, files = _told(attempts[pk])
        for gate in evidence.gates:
            check = told.get(gate.key)
            if check is None or not _was_run(gate):
                continue
            one = _Judgement(attempts[pk], gate.phase, gate.commit, gate.environment, files.get(gate.phase), (check,))
            if one.id in found:
                one = replace(one, gates=(*found[one.id].gates, check))
            found[one.id] = one
    return list(found.values())


# What is found


@dataclass(slots=True)
class _Findings:
    """What rows, notes, file and repository do not agree about, by attempt and gate."""

    of_gate: dict[tuple[int, Key], list[Difference]] = field(default_factory=lambda: defaultdict(list))
    of_attempt: dict[int, list[Difference]] = field(default_factory=lambda: defaultdict(list))
    of_batch: list[tuple[str, Difference]] = field(default_factory=list)


def _document(one: Verification, spec: TaskSpec, verdicts: Iterable[Mapping[str, Any]], now: datetime) -> dict[str, Any]:
    """All that was found. Raises SubagentError, OSError."""
    batch = one.batch
    repository = repository_of(batch)
    attempts, evidence = _attempts(batch), read_evidence(batch)
    findings = _Findings()
    _look_at_commits(batch, repository, attempts, evidence, findings)
    _look_at_notes(batch, repository, attempts, evidence, findings)
    _look_at_file(batch, attempts, evidence, findings)
    _look_at_states(attempts, evidence, findings)
    verified = Verified()
    verified.lines += _lines(batch, spec, attempts, evidence, {str(each["id"]): each for each in verdicts}, findings)
    verified.lines += _never_run(batch, attempts, evidence)
    for pk, found in findings.of_attempt.items():
        verified.problems += [Problem(_name(attempts[pk]), difference) for difference in found]
    verified.problems += [Problem(name, difference) for name, difference in findings.of_batch]
    return {
        "batch_id": batch.number,
        "title": batch.title,
        "branch": batch.branch,
        "asked_by": one.cause,
        "asked_at": one.asked_at.isoformat(),
        "ended_at": now.isoformat(),
        "sandbox": spec.sandbox,
        **verified.to_json(),
    }


def _name(attempt: Attempt) -> str:
    phase = attempt.task.phase
    return f"phase {phase.key}, attempt {attempt.number}" if phase else f"{attempt.task.name}, attempt {attempt.number}"


def _lines(
    batch: Batch,
    spec: TaskSpec,
    attempts: Mapping[int, Attempt],
    evidence: Mapping[int, Evidence],
    verdicts: Mapping[str, Mapping[str, Any]],
    findings: _Findings,
) -> Iterable[Line]:
    printed = _printed(batch)
    newest = {attempt.task_id: pk for pk, attempt in attempts.items()}
    bound = {(gate.phase.key, gate.position): gate for gate in Gate.objects.filter(phase__batch=batch).select_related("phase")}
    for pk, rows in evidence.items():
        attempt = attempts[pk]
        told, _ = _told(attempt)
        for gate in rows.gates:
            place = (attempt.task.stage.number, gate.phase, attempt.task.run.number, attempt.number)
            known = tuple(findings.of_gate.pop((pk, gate.key), ()))
            line = Line(*place, gate.origin, gate.position, gate.gate, gate.kind, gate, None, known, merged=_on_merged(attempt))
            plan = bound.get((gate.phase, gate.position)) if gate.origin == "plan" else None
            line = replace(line, differences=(*line.differences, *_of_plan(gate, told.get(gate.key), plan)))
            if gate.kind == GateKind.UNVERIFIED:
                yield _unverifiable(line)
            elif not gate.commit:
                if newest[attempt.task_id] == pk and attempt.task.kind == TaskKind.PHASE:
                    why = Difference("never_run", gate.note or "it was not judged")
                    yield replace(line, then=None, differences=(*line.differences, why))
            elif gate.key not in told:
                yield _not_repeated(line, "no_check", "how it was judged is not on record")
            else:
                one = _Judgement(attempt, gate.phase, gate.commit, gate.environment, None, ())
                folders = (str(attempt.spec["attempt_dir"]), spec.attempt_dir)
                yield _repeated(line, verdicts.get(one.id), printed.get((pk, gate.key), ""), folders)
    for (pk, key), differences in findings.of_gate.items():  # gates that only the evidence has
        attempt = attempts[pk]
        place = (attempt.task.stage.number, key[0], attempt.task.run.number, attempt.number)
        unknown = "a gate that the ledger has not"
        yield Line(*place, key[1], key[2], unknown, "", None, None, tuple(differences), merged=_on_merged(attempt))


def _on_merged(attempt: Attempt) -> bool:
    """Whether its gates were judged on the merged tree of a stage."""
    return attempt.task.kind == TaskKind.STAGE_CHECK


def _printed(batch: Batch) -> dict[tuple[int, Key], str]:
    """{(attempt, gate): what was printed then}."""
    found = {}
    rows = GateCheck.objects.filter(attempt__task__run__batch=batch).values_list(
        "attempt", "gate__phase__key", "attempt__task__phase__key", "origin", "gate__position", "position", "output"
    )
    for pk, phase, own, origin, gate_position, position, output in rows:
        place = position if gate_position is None else gate_position
        found[pk, ((phase if gate_position is not None else own) or "", origin, place)] = output
    return found


def _of_plan(gate: GateEvidence, told: GateSpec | None, plan: Gate | None) -> list[Difference]:
    """Whether the ledger says of the check what the attempt was told and what the plan has been bound to."""
    found = []
    if told is not None and told.command and gate.command and told.kind == GateKind.COMMAND and told.command != gate.command:
        found.append(Difference("command", f"the ledger has the command {gate.command!r}, and the attempt was told {told.command!r}"))
    if told is not None and str(told.kind) != gate.kind:
        found.append(Difference("kind", f"the ledger says {gate.kind}, and the attempt was told {told.kind}"))
    if plan is not None and told is not None and told.to_json() != {**told.to_json(), **plan.spec}:
        found.append(Difference("plan", "the plan's gate is bound to another check than the attempt was told"))
    return found


def _unverifiable(line: Line) -> Line:
    """Nobody can run it, so it may only stand as unverified."""
    assert line.then is not None
    if line.then.status == GateStatus.UNVERIFIED:
        return line
    odd = Difference("status", f"no rule can check it, and the ledger says {line.then.status}")
    return replace(line, differences=(*line.differences, odd))


def _not_repeated(line: Line, code: str, words: str) -> Line:
    return replace(line, repeated=False, differences=(*line.differences, Difference(code, words)))


def _repeated(line: Line, verdict: Mapping[str, Any] | None, printed: str, folders: tuple[str, ...]) -> Line:
    then = line.then
    assert then is not None
    if verdict is None:
        return _not_repeated(line, "not_repeated", "it was recorded after the verification had begun")
    if verdict["gone"]:
        return _not_repeated(line, str(verdict["gone"]), str(verdict["words"]))
    outcomes = (GateOutcome.from_json(each, "verdict") for each in verdict["gates"])
    outcome = next((each for each in outcomes if (str(each.origin), each.position) == (then.origin, then.position)), None)
    if outcome is None:
        return _not_repeated(line, "not_repeated", "it was not judged")
    now = Now(str(outcome.status), outcome.exit_code, outcome.seconds, outcome.output, outcome.note)
    return replace(line, now=now, differences=(*line.differences, *compare_runs(then, printed, now, folders)))


def _never_run(batch: Batch, attempts: Mapping[int, Attempt], evidence: Mapping[int, Evidence]) -> Iterable[Line]:
    """The plan's gates of which the newest execution of their phase has no judgement."""
    newest: dict[str, int] = {}
    for pk, attempt in attempts.items():
        if attempt.task.phase is not None:
            newest[attempt.task.phase.key] = pk
    nothing = Evidence("", batch.number, 0, 0, "", "", "", "", "", ())
    for gate in Gate.objects.filter(phase__batch=batch).select_related("phase__stage").order_by("phase__position", "position"):
        phase = gate.phase
        last = newest.get(phase.key)
        rows = evidence.get(last, nothing) if last is not None else nothing
        if not any(known.key == (phase.key, "plan", gate.position) for known in rows.gates):
            tried = attempts.get(last) if last is not None else None
            why = f"attempt {tried.number} has no judgement of it" if tried is not None else "its phase was not executed"
            run, number = (tried.task.run.number, tried.number) if tried is not None else (None, None)
            never = (Difference("never_run", why),)
            yield Line(phase.stage.number, phase.key, run, number, "plan", gate.position, gate.text, gate.kind, differences=never)


def _look_at_commits(
    batch: Batch, repository: Repository, attempts: Mapping[int, Attempt], evidence: Mapping[int, Evidence], findings: _Findings
) -> None:
    """Whether the merges are on the branch, and bring in the commits that were judged."""
    branch = next((name for name in (batch.branch, batch.base_branch) if name in repository.branches()), None)
    parents: dict[str, list[str]] = {}
    if branch is None:
        findings.of_batch.append(("", Difference("branch_missing", f"neither {batch.branch} nor {batch.base_branch} is there")))
    else:
        rows = repository.git("rev-list", "--parents", "--end-of-options", repository.branch_commit(branch), accept=(0,)).out
        parents = {commit: rest for commit, *rest in (row.split() for row in rows.decode().split("\n") if row)}
    for pk, attempt in attempts.items():
        judged = {gate.commit for gate in evidence[pk].gates if gate.commit} if pk in evidence else set()
        wrong = findings.of_attempt[pk]
        succeeded = attempt.task.kind == TaskKind.PHASE and attempt.outcome == Attempt.Outcome.SUCCEEDED
        own, merge = attempt.head_commit if succeeded else attempt.base_commit, attempt.merge_commit
        if (succeeded or attempt.task.kind == TaskKind.STAGE_CHECK) and judged - {own}:
            wrong.append(Difference("other_commit", f"its gates were judged on another commit than {own[:12]}, which is what it brings"))
        if not merge:
            if succeeded:
                wrong.append(Difference("not_merged", "it succeeded, and no merge of it is on record"))
        elif branch is not None and merge not in parents:
            wrong.append(Difference("merge_missing", f"its merge {merge[:12]} is not on {branch}"))
        elif branch is not None and attempt.head_commit not in (merge, *parents[merge]):
            wrong.append(Difference("other_commit", f"its merge {merge[:12]} brings in other work than its own"))


def _look_at_notes(
    batch: Batch, repository: Repository, attempts: Mapping[int, Attempt], evidence: Mapping[int, Evidence], findings: _Findings
) -> None:
    """Whether the notes say what the rows say, and nothing more."""
    notes = {commit: read_note(text) for commit, text in read_notes(repository).items()}
    names = {found.attempt: pk for pk, found in evidence.items()}
    for pk, rows in evidence.items():
        attempt = attempts[pk]
        commit = attempt.merge_commit or (attempt.base_commit if attempt.task.kind == TaskKind.STAGE_CHECK else "")
        if not commit:
            continue  # what was not merged carries no note
        sections = by_attempt(notes.get(commit, ([], []))[0]).get(rows.attempt, [])
        if not sections:
            why = "" if attempt.note_commit else "; none was written, as by earlier versions"
            findings.of_attempt[pk].append(Difference("note_missing", f"{commit[:12]} has no note of it in {NOTES}{why}"))
        if len(sections) > 1:
            findings.of_attempt[pk].append(Difference("note_doubled", f"the note on {commit[:12]} tells of it {len(sections)} times"))
        for section in sections:
            _compare(pk, rows, section, f"the note on {commit[:12]}", findings)
    brought = {attempt.merge_commit for attempt in attempts.values() if attempt.merge_commit}
    ours = set(Attempt.objects.exclude(note_commit="").values_list("ref", flat=True)) | set(names)
    for commit, (sections, faults) in notes.items():
        for section in sections:
            if commit in brought and section.attempt not in ours and section.batch != batch.number:
                foreign = f"the note on {commit[:12]} tells of {section.attempt}, which is no attempt of this installation"
                findings.of_batch.append(("", Difference("note_foreign", foreign)))
            if section.batch == batch.number and section.attempt not in names and _is_ours(repository, batch, commit):
                word = f"the note on {commit[:12]} tells of {section.attempt}, of which the ledger has nothing"
                findings.of_batch.append((f"phase {section.phase}" if section.phase else "", Difference("row_missing", word)))
        if faults and _is_ours(repository, batch, commit):
            findings.of_batch.append(("", Difference("note_unreadable", f"the note on {commit[:12]} is not as written: {faults[0]}")))


def _is_ours(repository: Repository, batch: Batch, commit: str) -> bool:
    """Whether a commit was made in this batch; another installation may have left notes under its number."""
    if repository.find_commit(commit) is None or repository.is_ancestor(commit, batch.base_commit):
        return False
    return batch.branch not in repository.branches() or repository.is_ancestor(commit, repository.branch_commit(batch.branch))


def _compare(pk: int, rows: Evidence, other: Evidence, where: str, findings: _Findings) -> None:
    findings.of_attempt[pk] += compare_heads(rows, other, where)
    for key, found in compare_gates(rows, other, where).items():
        findings.of_gate[pk, key] += found


def _look_at_file(batch: Batch, attempts: Mapping[int, Attempt], evidence: Mapping[int, Evidence], findings: _Findings) -> None:
    """Whether batches/batch-N.gates.json says what the rows say, and nothing more."""
    path = OrchestrationFiles(batch.project.repository).batch_gates(batch.number)
    name = os.path.basename(path)
    try:
        data = read_json_file(path, EVIDENCE_BYTES)
        sections = [from_json(each) for each in data["attempts"]] if data is not None else []
    except (ContractError, ValueError, KeyError, TypeError) as error:
        findings.of_batch.append(("", Difference("file_unreadable", f"{name} cannot be read: {error}")))
        return
    if data is None:
        if evidence:
            findings.of_batch.append(("", Difference("file_missing", f"{name} is not in {os.path.dirname(path)}")))
        return
    found = by_attempt(sections)
    for pk, rows in evidence.items():
        of_attempt = found.pop(rows.attempt, [])
        if len(of_attempt) != 1:
            findings.of_attempt[pk].append(Difference("file_differs", f"{name} tells of it {len(of_attempt)} times"))
        for section in of_attempt:
            _compare(pk, rows, section, name, findings)
    for reference in found:
        findings.of_batch.append(("", Difference("row_missing", f"{name} tells of {reference}, of which the ledger has nothing")))


def _look_at_states(attempts: Mapping[int, Attempt], evidence: Mapping[int, Evidence], findings: _Findings) -> None:
    """Whether the state of each phase follows from its gates."""
    for pk, attempt in attempts.items():
        failed = pk in evidence and any(gate.status == GateStatus.FAILED for gate in evidence[pk].gates)
        if failed and attempt.outcome == Attempt.Outcome.SUCCEEDED:
            findings.of_attempt[pk].append(Difference("state", "it counts as succeeded, and one of its gates failed"))
    for last in {attempt.task_id: attempt for attempt in attempts.values()}.values():
        if last.task.state == TaskState.SUCCEEDED and last.outcome != Attempt.Outcome.SUCCEEDED:
            findings.of_attempt[last.pk].append(Difference("state", "its phase counts as succeeded, and its last attempt did not succeed"))


def latest_verification(batch: Batch) -> Verification | None:
    """The newest verification of the batch, without what its process was told."""
    return Verification.objects.filter(batch=batch).defer("spec").order_by("-pk").first()

