"""Report an ended run: the aggregated result file, the printed report and the archive. See docs/engine.md."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from batches.core.engine.autopilot_steps import AutopilotState
from batches.core.engine.states import Operation, RunState, TaskKind, TaskState, Waiting
from batches.core.gates.ledger import GateState, count_states, count_words
from batches.core.gates.success import OPEN, PhaseSuccess, Success, accepted_words, success_words
from batches.core.text.excerpt import excerpt
from batches.core.text.state_styles import state_icon, state_word
from batches.core.text.words import counted, duration, tokens, usd_sum
from batches.engine.disk_space import low_space_words
from batches.engine.gate_notes import write_evidence
from batches.engine.predictions import resolve_conflicts, resolve_predictions
from batches.gates.ledger import read_ledger
from batches.integrations import notifications
from batches.metrics.facts import record_runs
from batches.metrics.successes import read_successes
from batches.models import Attempt, BaseMerge, Batch, GateCheck, LinearIssue, Phase, PullRequest, Run, Task
from batches.models.processes import UNPRICED
from batches.review.conclude_review import conclude_review
from batches.review.context_updates import conclude_context
from subagents.contract import GATE_LISTS, GateOrigin, OrchestrationFiles, task_file_name, write_atomic
from subagents.machine_faults import fault_of

JsonObject = dict[str, Any]

WAITS = {Waiting.RATE_LIMIT: "for the provider", Waiting.MACHINE: "for the machine or the network"}
LOOKS_BACK = (Operation.REVIEW, Operation.UPDATE_CONTEXT)  # their own success says nothing of the work that they look at
HISTORY_LINES, HISTORY_WIDTH = 12, 400  # of a phase
OUTPUT_LINES, OUTPUT_WIDTH = 12, 200  # how much output of a failed gate the report quotes


def generated_summary(batch: Batch) -> str:
    """The summary that `batch_gen_prp` prints."""
    lines = [f"Batch {batch.number} Generated:"]
    count = 0
    for stage in batch.stages.prefetch_related("phases"):
        ids = [phase.prp_id for phase in sorted(stage.phases.all(), key=lambda phase: phase.order)]
        count += len(ids)
        lines.append(f"  Stage {stage.number}: {', '.join(ids)}{' (parallel)' if len(ids) > 1 else ''}")
    issues = list(LinearIssue.objects.filter(phase__batch=batch))
    created = sum(bool(issue.url) for issue in issues)
    what = counted(created, "Linear issue") if created else counted(count, "PRP")
    lines += ["", f"Created {what}. Ready for execution."]
    if missing := len(issues) - created:
        reasons = " ".join(dict.fromkeys(issue.error or "Not tried yet." for issue in issues if not issue.url))
        lines.append(f"Warning: {counted(missing, 'Linear issue')} could not be created yet; CE Web tries again: {reasons}")
    return "\n".join(lines)


def finish(run: Run, now: datetime) -> None:
    """Write result file, report and archive of an ended run. Safe to repeat. The report names files that cannot be written.

    Raises OSError for a fault of the machine: nothing is recorded, and it is repeated once the disk has room.
    """
    resolve_predictions(run, now)
    resolve_conflicts(run.batch)
    concluded = conclude_review(run) or conclude_context(run)
    result = batch_result(run) | (concluded.result if concluded else {})
    report = report_text(run, result) + (f"\n\n{concluded.report}" if concluded else "")
    try:
        _write_files(run, result)
    except OSError as error:
        if fault_of(error) is not None:
            raise
        report += f"\n\nThe result file could not be written: {error}"
    with transaction.atomic():
        # Skip a run that was reopened meanwhile: it will end again and get a new report.
        ended = Run.objects.ended().filter(pk=run.pk, reported_at=None, ended_at=run.ended_at)
        if ended.update(reported_at=now, result=result, report=report):
            record_runs([run.pk])  # after resolve_predictions, since facts count the predictions that came true
            Batch.objects.bump(run.batch_id)
            notifications.tell_end(run, now)
            PullRequest.objects.wake(run.batch_id, now)


def _write_files(run: Run, result: JsonObject) -> None:
    files = OrchestrationFiles(run.batch.project.repository)
    if not os.path.isdir(files.repository):
        raise FileNotFoundError(f"{files.repository} does not exist")
    data = json.dumps(result, ensure_ascii=False, indent=2).encode() + b"\n"
    if run.operation == Operation.EXECUTE:
        target = files.batch_result(run.batch.number)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        write_atomic(target, data)
        write_evidence(run.batch)
    archived = files.archived_batch_result(run.batch.number, run.number)
    os.makedirs(os.path.dirname(archived), exist_ok=True)
    write_atomic(archived, data)
    last = dict(Attempt.objects.filter(task__run=run).order_by("number").values_list("task__name", "number"))
    for name, number in last.items():
        files.archive_task(run.batch.number, run.number, task_file_name(name, run.operation), number)


def status_of(batch: Batch) -> tuple[Run, JsonObject]:
    """The run that shows the status of a batch (its last execution, else its last run), and its result so far.

    Before the first execution that is a preparation: none of its phases is done, however many work orders are written.
    """
    run = batch.runs.executions().order_by("-number").first() or batch.runs.order_by("-number").first()
    assert run is not None  # a batch is made with its first run
    run.batch = batch
    result = batch_result(run)
    return run, result if run.operation == Operation.EXECUTE else result | _preparation(run, result)


def _preparation(run: Run, result: JsonObject) -> JsonObject:
    """The members of `result` that are different while nothing has been executed, and how many work orders are written."""
    written = Task.objects.filter(run__batch=run.batch, run__operation=Operation.GENERATE, kind=TaskKind.PHASE)
    newest = dict(written.order_by("run__number").values_list("phase__key", "state"))
    done = sum(state == TaskState.SUCCEEDED for state in newest.values())
    open_chain = run.batch.autopilot_runs.open().order_by("pk").last()
    status, words = str(run.state), f"Writing work orders {done}/{len(newest)}"
    if run.is_live:
        status = "preparing"
    elif run.state == RunState.SUCCEEDED:
        status = "prepared" if open_chain is None else "preparing" if open_chain.state == AutopilotState.GOING else "stopped"
        words = open_chain.reason if open_chain is not None and open_chain.reason else f"Work orders written: {done}/{len(newest)}"
    entries = [entry | {"status": "not run"} if entry["status"] == "success" else entry for entry in result["results"]]
    return {
        "status": status,
        "preparation": {"written": done, "of": len(newest), "words": words},
        "stages": [_stage_result(stage["stage"], entries, []) for stage in result["stages"]],
        "results": entries,
    }


def batch_result(run: Run) -> JsonObject:
    """The result as JSON: every phase of the batch with its latest task of this operation; unknown is null."""
    batch = run.batch
    latest: dict[int, Task] = {}
    for task in Task.objects.filter(run__batch=batch, run__operation=run.operation, kind=TaskKind.PHASE).order_by("run__number"):
        assert task.phase_id is not None
        latest[task.phase_id] = task
    attempts: dict[int, list[Attempt]] = {}
    query = Attempt.objects.filter(task__in=[task.pk for task in latest.values()]).select_related("result")
    for attempt in query.prefetch_related("gate_checks__gate").defer("log_tail", "result__diff", "spec"):
        attempts.setdefault(attempt.task_id, []).append(attempt)
    phases = list(batch.phases.select_related("stage"))
    successes = read_successes([batch.pk]) if run.operation == Operation.EXECUTE else {}
    results = [_phase_result(phase, latest.get(phase.pk), attempts, successes) for phase in phases]
    if run.operation in LOOKS_BACK:
        executed = _executed(batch)
        results = [entry | {"executed": executed.get(entry["phase"], "not run")} for entry in results]
    kinds = [kind for entry in results if isinstance(kind := entry["success"], Success)]
    checks = [task for task in run.tasks.select_related("stage") if task.kind == TaskKind.STAGE_CHECK]
    return {
        "batch_id": batch.number,
        "title": batch.title,
        "operation": run.operation,
        "run": run.number,
        "status": {RunState.SUCCEEDED: "success"}.get(RunState(run.state), run.state),
        "not_verified": success_words(kinds),
        "accepted": accepted_words(kinds),
        "branch": batch.branch,
        "base_branch": batch.base_branch,
        "base_commit": batch.base_commit,
        "started_at": run.started_at and run.started_at.isoformat(),
        "ended_at": run.ended_at and run.ended_at.isoformat(),
        "elapsed_seconds": _rounded(run.seconds),
        "waited": run.waited,
        "tokens_used": _sum(entry["tokens_used"] for entry in results),
        "cost_usd": _sum(entry["cost_usd"] for entry in results),
        "unpriced": Attempt.objects.filter(UNPRICED, task__run=run).count(),
        **({"gates": gate_counts(batch)} if run.operation == Operation.EXECUTE else {}),
        "stages": [_stage_result(number, results, checks) for number in sorted({phase.stage.number for phase in phases})],
        "results": results,
        "conflicts": [
            {"file": conflict.file, "phases": conflict.phases, "kind": conflict.kind, "collided": conflict.collided}
            for conflict in batch.conflicts.all()
        ],
    }


def _executed(batch: Batch) -> dict[str, str]:
    """{phase key: how its newest execution stands}, in the words of a result."""
    tasks = Task.objects.filter(run__batch=batch, run__operation=Operation.EXECUTE, kind=TaskKind.PHASE).order_by("run__number")
    return {key: "success" if state == TaskState.SUCCEEDED else state for key, state in tasks.values_list("phase__key", "state")}


def _phase_result(
    phase: Phase, task: Task | None, attempts: dict[int, list[Attempt]], successes: Mapping[int, PhaseSuccess]
) -> JsonObject:
    tried = attempts.get(task.pk, []) if task else []
    last = tried[-1] if tried else None
    result = getattr(last, "result", None) if last else None
    gates = list(last.gate_checks.all()) if last else []
    behind = successes.get(task.pk) if task else None
    return {
        "phase": phase.key,
        "prp_id": phase.prp_id,
        "title": phase.title,
        "stage": phase.stage.number,
        "status": {TaskState.SUCCEEDED: "success"}.get(TaskState(task.state), task.state) if task else "not run",
        "success": behind.kind if behind else None,
        "accepted_by": behind.accepted_by if behind else "",
        "looks": list(behind.looks) if behind else [],
        "reason": task.reason if task else "",
        "message": task.message if task else "",
        "attempts": len(tried),
        "started_at": last and last.started_at and last.started_at.isoformat(),
        "ended_at": last and last.ended_at and last.ended_at.isoformat(),
        "elapsed_seconds": _rounded(last.seconds) if last else None,
        "tokens_used": _sum(attempt.tokens_used for attempt in tried),
        "cost_usd": _sum(None if attempt.cost_usd is None else float(attempt.cost_usd) for attempt in tried),
        **{name: _counts(gates, origin) for origin, name in GATE_LISTS.items()},
        "failed_gates": [
            {"text": check.title, "command": check.command, "exit_code": check.exit_code, "output": _quoted(check.output)}
            for check in gates
            if check.status == "failed"
        ],
        "files_created": result.files_created if result else [],
        "files_modified": result.files_modified if result else [],
        "files_deleted": result.files_deleted if result else [],
        "undeclared": result.undeclared if result else [],
        "merge_commit": last.merge_commit if last else "",
        **_activity(last),
        "question": _question(last),
        "repair": last.repair if last else "",
        "history": history_of(tried),
    }


def history_of(attempts: Sequence[Attempt]) -> list[str]:
    """What happened to a phase, in sentences with times of the installation's zone: its attempts where there were several, questions.

    Attempts that were put off one after the other for the same cause are one line. [] where the only attempt asked nothing.
    """
    told: list[tuple[str, str, str]] = []  # (when, which attempt, what happened)
    for attempt in attempts:
        if attempt.outcome == Attempt.Outcome.DEFERRED and told and told[-1][2] == f"put off: {attempt.message}":
            told[-1] = (told[-1][0], f"{told[-1][1].partition(' to ')[0]} to {attempt.number}", told[-1][2])
            continue
        for one in attempt.questions:
            answer = f"; {one['by'].partition(':')[2]}: {one['answer']}" if one.get("answer") else "; nobody has answered"
            told.append((_clock_of(datetime.fromisoformat(one["at"])), f"attempt {attempt.number}", f"asked “{one['text']}”{answer}"))
        if attempt.ended_at is not None:
            told.append((_clock_of(attempt.ended_at), f"attempt {attempt.number}", _ending(attempt)))
    if len(attempts) < 2 and not any(attempt.questions for attempt in attempts):
        return []
    return [" ".join(f"{when} {which}: {what}".split()) for when, which, what in told]


def _ending(attempt: Attempt) -> str:
    which = f"{attempt.repair}: " if attempt.repair else ""
    words = {Attempt.Outcome.DEFERRED: "put off", Attempt.Outcome.REPAIRED: "failed, to be repaired"}
    outcome = words.get(Attempt.Outcome(attempt.outcome), attempt.outcome) if attempt.outcome else "still at work"
    return f"{which}{outcome}{f': {attempt.message}' if attempt.message else ''}"


def _clock_of(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%H:%M:%S}"


def _question(attempt: Attempt | None) -> JsonObject | None:
    """What the agent asks a person now: {"text", "answers" (suggested), "asked_at"}; null when it asks nothing."""
    asked = attempt.open_question if attempt is not None else None
    return None if asked is None else {"text": asked["text"], "answers": asked["answers"], "asked_at": asked["at"]}


def _activity(attempt: Attempt | None) -> JsonObject:
    """What an agent that runs does now, and since when; null when nobody knows."""
    known = attempt is not None and attempt.ended_at is None and attempt.activity
    since = attempt.activity_since if known and attempt is not None else None
    return {"activity": attempt.activity if known and attempt is not None else None, "activity_since": since and since.isoformat()}


def _counts(checks: Iterable[GateCheck], origin: GateOrigin) -> dict[str, int]:
    """How many gates of this origin passed, failed or are unverified; `flaky` ones passed and failed at first."""
    own = [check for check in checks if check.origin == origin]
    counts = {word: sum(check.status == word for check in own) for word in ("passed", "failed", "unverified")}
    return counts | {"flaky": sum(check.flaky for check in own)}


def _quoted(output: str) -> str:
    """The lines of a check's output that say what failed, and the last ones, short enough for a report."""
    return "\n".join(line[:OUTPUT_WIDTH] for line in excerpt(output, OUTPUT_LINES).split("\n"))


def _stage_result(number: int, results: list[JsonObject], checks: list[Task]) -> JsonObject:
    members = [entry for entry in results if entry["stage"] == number]
    states = {str(entry["status"]) for entry in members}
    check = next((task for task in reversed(checks) if task.stage.number == number), None)
    status = (
        "success" if states == {"success"} else "failed" if "failed" in states else sorted(states)[0] if len(states) == 1 else "partial"
    )
    if check is not None and check.state == TaskState.FAILED:
        status = "failed"
    return {
        "stage": number,
        "status": status,
        "phases": [entry["phase"] for entry in members],
        "merged_gates": None if check is None else {"status": check.state, "message": check.message},
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum of the known values; None when all are unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def gate_counts(batch: Batch) -> dict[GateState, int]:
    """{state: number of the batch's gates}, after its newest attempts."""
    return count_states(read_ledger(batch))


def report_text(run: Run, result: JsonObject) -> str:
    """The report that a command prints and the batch page shows."""
    entries: list[JsonObject] = result["results"]
    done = sum(entry["status"] == "success" for entry in entries)
    behind = result["not_verified"] or result["accepted"]
    state = f"{run.state}, {behind}" if run.state == RunState.SUCCEEDED and behind else run.state
    cost = usd_sum(result["cost_usd"], result.get("unpriced", 0))
    lines = [
        f"Batch {run.batch.number}: {run.batch.title}",
        f"{run.get_operation_display().capitalize()}: {state}, {_done_words(run, result, done)} "
        f"in {duration(result['elapsed_seconds'])}{_waited_words(run)}",
        f"Tokens: {tokens(result['tokens_used'])} | Cost: {cost} | Branch: {run.batch.branch}",
    ]
    if gates := result.get("gates"):
        lines.append(f"Gates: {count_words(gates)}")
    for stage in result["stages"]:
        lines += ["", f"Stage {stage['stage']}: {stage['status']}"]
        for entry in entries:
            if entry["stage"] == stage["stage"]:
                lines.append(_phase_line(entry))
                if entry["activity"]:
                    lines.append(f"      now: {entry['activity']}{_since_words(entry['activity_since'])}")
                if entry["question"]:
                    lines.append(f"      asks: {entry['question']['text']}")
                    lines.append(f"      answer: ce answer {run.batch.number} {entry['phase']} TEXT")
                if entry["status"] != "success" and entry["message"]:
                    lines.append(f"      {entry['reason'] or entry['status']}: {entry['message']}")
                history = entry.get("history", ())
                lines += [f"      {text[:HISTORY_WIDTH]}" for text in history[-HISTORY_LINES:]]
                lines += [f"      look: {text}" for text in entry["looks"]]
                for gate in entry["failed_gates"]:
                    lines += [f"        | {line}" for line in gate["output"].splitlines()]
        if stage["merged_gates"]:
            merged = stage["merged_gates"]
            lines.append(f"  Gates on the merged tree: {merged['status']}{' - ' + merged['message'] if merged['message'] else ''}")
    failed = [entry["phase"] for entry in entries if entry["status"] in ("failed", "cancelled")]
    if failed and run.operation == Operation.EXECUTE:
        lines += ["", "Next: fix what the reasons name, then retry:"]
        lines += [f"  ce retry {run.batch.number} {key}" for key in failed]
    elif run.state == RunState.SUCCEEDED and run.operation == Operation.EXECUTE and (merged := _merged_after(run)):
        lines += ["", f"Merged: {merged.base_branch} is at {merged.to_commit[:12]} since then."]
    elif run.state == RunState.SUCCEEDED and run.operation == Operation.EXECUTE:
        lines += ["", f"Next: look at the branch (git log {run.batch.branch}), then merge it:"]
        lines += [f"  ce merge {run.batch.number}   (into {run.batch.base_branch}; or the button on its page)"]
    return "\n".join(lines)


def _merged_after(run: Run) -> BaseMerge | None:
    """The newest merge of the batch's branch into its base branch since the run ended; None without one."""
    done = BaseMerge.objects.filter(batch=run.batch_id, merged=True)
    return done.filter(ended_at__gte=run.ended_at).first() if run.ended_at else None


def _since_words(since: str | None) -> str:
    """How long an activity goes on: ", 41 s"; "" when unknown."""
    return "" if since is None else f", {duration(max(0.0, (timezone.now() - datetime.fromisoformat(since)).total_seconds()))}"


def status_text(run: Run, result: JsonObject, now: datetime) -> str:
    """The report of a run as it is now, and how long it has been running, as `batch_status` prints it."""
    lines = [report_text(run, result)]
    if run.is_live and run.started_at is not None:
        lines += ["", f"Running for {duration(run.seconds_until(now))}{', paused' if run.paused else ''}."]
        if low := low_space_words(run):
            lines.append(low)
        if run.put_off_words:
            lines.append(f"{run.put_off_words} At once: manage.py batch_exe_prp --batch {run.batch.number} --try-now")
    return "\n".join(lines)


def _done_words(run: Run, result: JsonObject, done: int) -> str:
    """How many phases are done, or how many work orders a preparation has written."""
    count = len(result["results"])
    if run.operation == Operation.GENERATE:
        return f"{result['preparation']['written'] if 'preparation' in result else done} of {count} work orders written"
    return f"{done} of {count} phases {'done' if run.operation == Operation.EXECUTE else 'looked at'}"


def _waited_words(run: Run) -> str:
    """What stands beside the duration: how long the run waited, for what; "" for less than a second."""
    seconds = run.person_seconds(run.ended_at or timezone.now())
    waits = [(name, run.waited.get(reason, 0.0)) for reason, name in WAITS.items()]
    parts = [("for a person", seconds), *waits]
    return "".join(f", waited {duration(spent)} {name}" for name, spent in parts if spent >= 1)


def _gates_word(name: str, counts: dict[str, int]) -> str:
    judged = counts["passed"] + counts["failed"] + counts["unverified"]
    more = "".join(f", {counts[word]} {word}" for word in ("flaky", "unverified") if counts[word])
    return f"{name} {counts['passed']}/{judged}{more}"


def _status_word(entry: JsonObject) -> str:
    """The status of a phase as the report says it; a success that is not verified is told apart."""
    if "executed" in entry and entry["status"] == "success":
        return "looked at" if entry["executed"] == "not run" else f"looked at; executed: {entry['executed']}"
    if entry["accepted_by"]:
        return f"succeeded, accepted by {entry['accepted_by']}"
    return state_word(entry["success"]) if entry["success"] in OPEN else str(entry["status"])


def _phase_line(entry: JsonObject) -> str:
    marks = {"success": "✓", "failed": "✕", "blocked": "⊘", "cancelled": "–"}
    parts = [_status_word(entry), duration(entry["elapsed_seconds"])]
    for origin, name in GATE_LISTS.items():
        counts = entry[name]
        # The standard gates are many and usually pass, so only the others are reported.
        if any(counts.values()) and (origin != GateOrigin.STANDARD or counts["failed"] or counts["unverified"]):
            parts.append(_gates_word("gates" if origin == GateOrigin.PLAN else f"{origin} gates", counts))
    if entry["attempts"] > 1:
        parts.append(f"{entry['attempts']} attempts")
    if "executed" in entry and entry["status"] == "success":
        mark = marks.get(entry["executed"], "○")
    else:
        mark = state_icon(entry["success"]) if entry["success"] in (*OPEN, Success.ACCEPTED) else marks.get(entry["status"], "○")
    return f"  {mark} {entry['prp_id']} Phase {entry['phase']}: {entry['title']} ({', '.join(parts)})"
