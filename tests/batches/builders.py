"""Worlds made of rows alone, for the pages: no process, no repository, any state at will.

`make_batch("1 -> 2a 2b -> 3")` makes a batch whose phases of each group wait for all of the group before.
"""

import base64
from collections.abc import Mapping
from datetime import time, timedelta
from decimal import Decimal
from itertools import count

from django.contrib.auth import get_user_model
from django.utils import timezone
from fido2.cose import ES256
from fido2.webauthn import AttestedCredentialData

from batches.accounts.sealed import seal
from batches.core.engine.states import ENDED_RUN_STATES, LIVE_TASK_STATES, Operation, RunState, TaskKind, TaskState
from batches.core.gates.evidence import Difference, GateEvidence
from batches.core.gates.verification import Line, Now, Problem, Verified
from batches.core.plans.conflicts import ConflictKind
from batches.integrations.notifications import TRIES
from batches.metrics import facts
from batches.models import (
    Attempt,
    AutopilotRun,
    Batch,
    Conflict,
    ContextChange,
    DiffComment,
    Finding,
    Gate,
    GateCheck,
    Host,
    Idea,
    IdeaAttempt,
    LinearIssue,
    Notification,
    PersonalNotifications,
    Phase,
    Plan,
    Project,
    ProjectSecret,
    PullRequest,
    Result,
    Review,
    Run,
    SignOff,
    Stage,
    Task,
    Transition,
    Verification,
)

_numbers = count(1)

PLAN_TEXT = """# Text statistics

## Phases

### Phase 1: Set up

**Goal**: Make the package
**Estimated Hours**: 2
**Complexity**: low
**Files Modified**: src/setup.py
**Dependencies**: None
**Implementation Steps**:
1. Create it

   ```bash
   touch src/setup.py
   ```

**Validation Gates**:
- [ ] All files created (checked: file existence)
- [ ] The owner likes it

### Phase 2: Use it

**Goal**: Use the package
**Estimated Hours**: 3
**Complexity**: medium
**Files Modified**: src/use.py
**Dependencies**: Phase 1
**Implementation Steps**:
1. Write the code that uses it

**Validation Gates**:
- [ ] `pytest -q`
"""


def plan_text(phases: int, *, width: int = 8, title: str = "") -> str:
    """A plan of that many phases in stages of up to `width`, each waiting for two of the stage before."""
    parts = [f"# {title or f'A plan of {phases} phases'}", "", "## Phases", ""]
    for number in range(1, phases + 1):
        stage_start = (number - 1) // width * width
        needs = [name for name in (number - width, number - width + 1) if 1 <= name <= stage_start]
        parts += [
            f"### Phase {number}: Part {number} of the work",
            "",
            f"**Goal**: Do part {number}",
            f"**Estimated Hours**: {1 + number % 4}",
            f"**Complexity**: {('low', 'medium', 'high')[number % 3]}",
            f"**Files Modified**: src/part_{number}.py",
            f"**Dependencies**: {', '.join(f'Phase {name}' for name in needs) or 'None'}",
            "**Implementation Steps**:",
            "1. Do it",
            "",
            "   ```sh",
            f"   touch src/part_{number}.py",
            "   ```",
            "",
            "**Validation Gates**:",
            f"- [ ] `test -f src/part_{number}.py`",
            "",
        ]
    return "\n".join(parts)


def make_user(name: str = "ada", *, admin: bool = True):
    """A person who may do everything, or nothing but look."""
    users = get_user_model().objects
    if admin:
        return users.create_superuser(name, password="a long password")
    from django.contrib.auth.models import Group

    made = users.create_user(name, password="a long password")
    made.groups.add(Group.objects.get(name="viewer"))
    return made


def make_people(owner) -> None:
    """One person of each kind; second steps of `owner`, and tokens in every state."""
    from django.contrib.auth.models import Group

    users = get_user_model().objects
    for name, role, active in (("grace", "executor", True), ("linus", "author", True), ("mary", "viewer", False)):
        made = users.create_user(name, email=f"{name}@example.org", password="a long password" if active else None, is_active=active)
        made.groups.add(Group.objects.get(name=role))
    now = timezone.now()
    laptop = base64.b64encode(AttestedCredentialData.create(bytes(16), b"laptop", ES256.from_ctap1(bytes([4, *bytes(64)])))).decode()
    for kind, name, used, secret in (("app", "Phone", now - timedelta(hours=3), ""), ("passkey", "Laptop", None, laptop)):
        owner.second_steps.create(kind=kind, name=name, secret=secret, digest=name, made_at=now - timedelta(days=9), used_at=used)
    for name, ends, revoked in (("nightly job on build-3", 60, None), ("old laptop", -2, None), ("chat bot", 300, now - timedelta(days=3))):
        owner.api_tokens.create(
            name=name, digest=f"{name:x<64}", ending=name[-4:], created_at=now - timedelta(days=30), revoked_at=revoked,
            expires_at=now + timedelta(days=ends), last_used_at=now - timedelta(minutes=7) if ends > 0 else None,
        )  # fmt: skip


def make_hosts() -> None:
    """One host that is well but short of space, and one that was lost."""
    now = timezone.now()
    facts = {"python": "3.11.9", "sandbox": "bwrap, tried 2026-08-01 09:00 UTC in 31 ms"}
    for name, seconds, free, at_start in (
        ("build-1", 2, 700 * 2**20, "3 were running: 1 alive, 1 finished meanwhile, 1 dead, will be judged."),
        ("build-2", 700, 240 * 2**30, "Nothing was running."),
    ):
        seen = now - timedelta(seconds=seconds)
        Host.objects.create(
            name=name, pid=4242, slots=8, started_at=now - timedelta(days=3), last_tick_at=seen, lease_until=seen + timedelta(seconds=30),
            facts={**facts, "disk_free_bytes": free, "at start": at_start},
        )  # fmt: skip


def make_notifications(owner, ended, failed) -> None:
    """A person who has chosen all notifications, with a sent one, one that was not sent and one that waits."""
    now, chosen = timezone.now(), {"quiet_from": time(22), "quiet_to": time(7, 30), "zone": "Europe/Vienna"}
    type(owner).objects.filter(pk=owner.pk).update(email="ada@example.org")
    PersonalNotifications.objects.create(user=owner, of="all", **chosen)
    for batch, text, kept in (
        (ended, "has succeeded.", {"sent_at": now}),
        (failed, "failed: 2a.", {"tries": TRIES, "error": "mail.example.org cannot be reached: Connection refused."}),
        (ended, "waits for you. Phase 4 asks: Which licence?", {"next_try_at": now + timedelta(hours=7)}),
    ):
        Notification.objects.create(
            **{"next_try_at": now, **kept},
            run=batch.runs.first(),
            event="ended",
            channel="person",
            user=owner,
            about=text[:80],
            text=f"Batch {batch.number}: {batch.title} {text}",
            created_at=now,
        )


def make_project(name: str = "Sample project") -> Project:
    number = next(_numbers)
    return Project.objects.create(
        name=f"{name} {number}" if Project.objects.filter(name=name).exists() else name,
        slug=f"project-{number}",
        repository=f"/srv/repositories/project-{number}",
        base_branch="main",
    )


def make_plan(text: str = PLAN_TEXT, *, project: Project | None = None, title: str = "Text statistics", errors: int = 0, **fields) -> Plan:
    return Plan.objects.create(
        **fields,
        project=project,
        title=title,
        file_name="text-statistics.md",
        text=text,
        sha256="a" * 64,
        phase_count=2,
        stage_count=2,
        error_count=errors,
    )


def make_idea(project: Project, **fields) -> Idea:
    given = {"text": "Export the data as JSON", "cause": "person:ada", "created_at": timezone.now()} | fields
    return Idea.objects.create(project=project, **given)


def make_idea_attempt(idea: Idea, **fields) -> IdeaAttempt:
    """An attempt of the agent at an idea, without a process."""
    given = {"number": idea.attempts.count() + 1, "token": "t", "host": "here", "directory": "/none", "checkout": "/none"}
    given |= {"base_commit": "c", "spec": {}, "launched_at": timezone.now(), "launched_clock": 0.0, "asked_for": "questions"}
    return IdeaAttempt.objects.create(idea=idea, **given | fields)


# An idea in each state that its page has.
_QUESTIONS = [
    {"question": "Which format do the exports have?", "answers": ["JSON", "CSV", "Both"]},
    {"question": "Who may export?", "answers": ["Everybody who sees the data", "Administrators"]},
]
_ACCOUNT = [
    {"line": 1, "end_line": 1, "text": "Notes of Monday", "became": "title", "why": ""},
    {"line": 3, "end_line": 5, "text": "Export the words.\nThen describe it.", "became": "phase 1, steps 1 and 2", "why": ""},
    {"line": 6, "end_line": 6, "text": "See you!", "became": "", "why": "It is a greeting."},
]
IDEAS: dict[str, dict[str, object]] = {
    "asks": {"questions": _QUESTIONS},
    "runs": {"wanted": "plan", "questions": _QUESTIONS, "answers": ["JSON", "Administrators"], "cap_usd": Decimal(2)},
    "failed": {"problem": "The cap is reached: $1.98 of $2.00 is spent. Raise it to try again.", "cap_usd": Decimal(2)},
    "drafted": {"notes": ["Phase 1: words.py does not exist; textstats/words.py does, and is written instead."], "account": _ACCOUNT},
}


def make_batch(
    shape: str = "1 -> 2a 2b -> 3",
    *,
    states: Mapping[str, str] | None = None,
    run_state: str | None = None,
    operation: str = Operation.EXECUTE,
    title: str = "Text statistics",
    project: Project | None = None,
    titles: Mapping[str, str] | None = None,
    reasons: Mapping[str, str] | None = None,
    messages: Mapping[str, str] | None = None,
    paused: bool = False,
    report: str = "",
    tokens: bool = False,
    backend: str = "steps",
) -> Batch:
    """A batch of that shape whose phases are in `states` (pending where not named), with attempts to match.

    `run_state` None: no run at all.
    """
    groups = [group.split() for group in shape.split("->")]
    states, reasons, messages, titles = states or {}, reasons or {}, messages or {}, titles or {}
    project = project or Project.objects.first() or make_project()
    number = (Batch.objects.order_by("-number").values_list("number", flat=True).first() or 0) + 1
    plan = make_plan(project=project, title=title)
    batch = Batch.objects.create(
        number=number, project=project, plan=plan, title=title, base_branch="main", base_commit="c0ffee" * 6
    )
    now = timezone.now()
    started = now - timedelta(minutes=12)
    run = None
    if run_state is not None:
        ended = now - timedelta(minutes=1) if run_state in ENDED_RUN_STATES else None
        run = Run.objects.create(
            batch=batch,
            number=1,
            operation=operation,
            state=run_state,
            paused=paused,
            backend=backend,
            scheduling="stages",
            max_parallel=4,
            phase_limit_seconds=3600,
            silence_seconds=60,
            started_at=None if run_state == RunState.QUEUED else started,
            ended_at=ended,
            reported_at=ended,
            report=report,
        )
    before: list[str] = []
    position = 0
    for stage_number, group in enumerate(groups, start=1):
        stage = Stage.objects.create(batch=batch, number=stage_number)
        for order, key in enumerate(group, start=1):
            position += 1
            phase = Phase.objects.create(
                batch=batch,
                stage=stage,
                key=key,
                position=position,
                order=order,
                prp_id=f"PRP-{number}.{stage_number}.{order}",
                slug=f"part-{position}",
                title=titles.get(key, f"Part {key} of the work"),
                goal="Make this part of the work, and show that it holds.",
                hours=2.0,
                hours_text="2",
                complexity="medium",
                files=[f"src/part_{position}.py"],
                dependencies=before,
                steps=[{"number": 1, "text": "Create the file", "commands": [f"touch src/part_{position}.py"]}],
                line=10 * position,
                remaining_hours=2.0 * (len(groups) - stage_number + 1),
            )
            if position <= 60:
                make_gates(phase)
            if run is not None:
                state = states.get(key, TaskState.PENDING)
                _make_task(run, phase, state, reasons.get(key, "gate_failed"), messages.get(key, ""), before, stage_number, tokens)
        before = group
    if run is not None:
        facts.record_attempts(Attempt.objects.filter(task__run=run).values_list("pk", flat=True))
        facts.record_runs([run.pk])
    return batch


def make_gates(phase: Phase) -> None:
    for place, (text, kind, command) in enumerate(
        [
            (f"`test -f src/part_{phase.position}.py`", "command", f"test -f src/part_{phase.position}.py"),
            ("All tests pass", "tests", "python -m pytest -q"),
            ("The owner likes it", "unverified", ""),
        ],
        start=1,
    ):
        spec = {"position": place, "text": text, "kind": kind, "command": command, "paths": [], "minimum": None, "maximum": None}
        Gate.objects.create(phase=phase, position=place, text=text, kind=kind, command=command, spec=spec)


def _make_task(run: Run, phase: Phase, state: str, reason: str, message: str, waits_for, stage_number: int, tokens: bool) -> Task:
    failed = state == TaskState.FAILED
    task = Task.objects.create(
        run=run,
        kind=TaskKind.PHASE,
        phase=phase,
        stage=phase.stage,
        name=phase.key,
        position=phase.position,
        waits_for=waits_for,
        state=state,
        reason=reason if failed else "",
        message=message or ("2 of 3 gates failed: python -m pytest -q gave exit code 1" if failed else ""),
        blocked_by=waits_for[0] if state == TaskState.BLOCKED and waits_for else "",
    )
    if state in {TaskState.SUCCEEDED, TaskState.FAILED} or state in LIVE_TASK_STATES:
        make_attempt(task, stage_number=stage_number, tokens=tokens)
    return task


def make_attempt(task: Task, *, number: int = 1, stage_number: int = 1, tokens: bool = False, log: str | None = None) -> Attempt:
    """An attempt that fits its task's state: at work with a heartbeat, or ended with result, gates and diff."""
    now = timezone.now()
    live = task.state in LIVE_TASK_STATES
    launched = now - timedelta(minutes=2) if live else now - timedelta(minutes=12) + timedelta(minutes=2 * stage_number)
    ended = None if live else launched + timedelta(seconds=70 + 7 * task.position % 40)
    outcome = "" if live else "succeeded" if task.state == TaskState.SUCCEEDED else "failed"
    stamp = launched.isoformat()
    attempt = Attempt.objects.create(
        task=task,
        number=number,
        token="t" * 32,
        host="build-1",
        directory="/srv/ce/attempts/1",
        checkout="/srv/ce/checkouts/1",
        ref=f"refs/ce/attempts/batch-{task.run.batch.number}/{task.name}/{number}",
        base_commit="c0ffee" * 6,
        spec={},
        launched_at=launched,
        launched_clock=1.0,
        started_at=launched,
        pid=4242,
        last_beat_at=now - timedelta(seconds=8) if live else ended,
        step=2 if live else 4,
        total_steps=4,
        progress="Step 2 of 4: Creating files" if live else "",
        tokens_used=12_500 * task.position if tokens else None,
        cost_usd=Decimal("0.0412") * task.position if tokens else None,
        elapsed_seconds=None if ended is None else (ended - launched).total_seconds(),
        ended_at=ended,
        exited_at=ended,
        exit_code=None if live else 0,
        outcome=outcome,
        reason=task.reason if outcome == "failed" else "",
        message=task.message if outcome == "failed" else "",
        log_tail=log
        or "\n".join(
            [
                f'{{"at": "{stamp}", "level": "info", "kind": "start", "message": "attempt {number} of phase {task.name}"}}',
                f'{{"at": "{stamp}", "level": "info", "kind": "step", "message": "Step 1 of 4: Create the file"}}',
                f'{{"at": "{stamp}", "level": "info", "kind": "output", "message": "collected 12 items"}}',
                f'{{"at": "{stamp}", "level": "{"error" if outcome == "failed" else "info"}", "kind": "output", '
                f'"message": "{"1 failed, 11" if outcome == "failed" else "12"} passed in 0.42s"}}',
            ]
        ),
        log_bytes=2048,
    )
    if not live:
        _make_result(attempt)
    move = {"event": "launch", "from_state": "pending", "to_state": "launching", "cause": "policy:slot-free"}
    Transition.objects.create(run=task.run, task=task, attempt=attempt, at=launched, **move)
    return attempt


def _make_result(attempt: Attempt) -> None:
    phase = attempt.task.phase
    failed = attempt.outcome == "failed"
    Result.objects.create(
        attempt=attempt,
        data={"task_id": f"phase-{phase.key}", "status": "failed" if failed else "success"},
        status="failed" if failed else "success",
        steps_completed=4,
        total_steps=4,
        files_created=[f"src/part_{phase.position}.py"],
        undeclared=["src/other.py"],
        commits=["c0ffee01"],
        diff=(
            f"diff --git a/src/part_{phase.position}.py b/src/part_{phase.position}.py\nnew file mode 100644\n--- /dev/null\n"
            f"+++ b/src/part_{phase.position}.py\n@@ -0,0 +1,2 @@\n+def part():\n+    return {phase.position}\n"
        ),
    )
    for gate in phase.gates.all():
        status = "unverified" if gate.kind == "unverified" else "failed" if failed and gate.kind == "tests" else "passed"
        GateCheck.objects.create(
            gate=gate,
            attempt=attempt,
            status=status,
            command=gate.command,
            exit_code=None if status == "unverified" else int(status == "failed"),
            commit="c0ffee" * 6,
            output="E   assert 1 == 2\n1 failed" if status == "failed" else "",
            seconds=None if status == "unverified" else 0.42,
            note="No rule recognises it." if status == "unverified" else "",
            at=attempt.ended_at,
        )


def make_comment(attempt: Attempt, **columns: object) -> DiffComment:
    values = {"file": "src/part_1.py", "line": 3, "code": " a\n+b", "text": "Say why.", "name": "ada", "at": timezone.now()}
    return DiffComment.objects.create(attempt=attempt, **{**values, **columns})


def make_sign_off(gate: Gate, *, name: str = "ada", withdrawn: bool = False) -> SignOff:
    """A standing or withdrawn sign-off on the gate's newest attempt."""
    check = gate.checks.latest("pk")
    back = {"withdrawn_name": name, "withdrawn_at": timezone.now(), "withdraw_reason": "It was the wrong build."} if withdrawn else {}
    said = {"name": name, "at": timezone.now(), "reason": "Tried it on the staging server."}
    return SignOff.objects.create(gate=gate, attempt=check.attempt, commit=check.commit, **said, **back)


def make_other_check(attempt: Attempt, origin: str, position: int, text: str, *, status: str = "passed", **fields) -> GateCheck:
    """A judgement of a gate of the project or of the server."""
    return GateCheck.objects.create(
        attempt=attempt, origin=origin, position=position, text=text, status=status, commit="c0ffee" * 6, at=timezone.now(), **fields
    )


def ledger_batch() -> Batch:
    """A finished batch whose gates stand in every way: passed, failed, flaky, unverified, signed off, of the project, of the server."""
    batch = failed_batch(title="Gates in every state")
    attempts = {attempt.task.name: attempt for attempt in Attempt.objects.filter(task__run__batch=batch).select_related("task")}
    flaky = GateCheck.objects.get(attempt=attempts["2b"], gate__kind="tests")
    flaky.flaky, flaky.first_exit_code, flaky.first_output = True, 1, "E   ConnectionRefusedError\n1 failed"
    flaky.note, flaky.output = "flaky: it ended with exit code 1, and passed when it was run again on the same files", "12 passed"
    flaky.save()
    GateCheck.objects.filter(attempt=attempts["2b"]).exclude(pk=flaky.pk).update(output="")
    make_sign_off(Gate.objects.get(phase__batch=batch, phase__key="1", kind="unverified"))
    make_sign_off(Gate.objects.get(phase__batch=batch, phase__key="2b", kind="unverified"), withdrawn=True)
    for name, attempt in attempts.items():
        make_other_check(attempt, "project", 1, "Lint of the project", kind="command", command="ruff check .", exit_code=0, seconds=0.3)
        markers = "No conflict markers in changed files"
        make_other_check(attempt, "standard", 1, markers, kind="conflict_markers", output=f"{name} looked at")
    return batch


def make_conflict(batch: Batch, file: str = "src/shared.py", keys: tuple[str, ...] = ("2a", "2b"), decision: str = "") -> Conflict:
    return Conflict.objects.create(batch=batch, file=file, kind=ConflictKind.SAME_STAGE, phases=list(keys), decision=decision)


def make_review(batch: Batch, moment: str, verdict: str, *, state: str = "succeeded", overruled: bool = False) -> Review:
    """A review run of the batch with a score a phase and some findings; no verdict: it is at work, or came to nothing."""
    now = timezone.now()
    ended = None if state == "running" else now
    run = Run.objects.create(
        batch=batch, number=batch.runs.count() + 1, operation=Operation.REVIEW, state=state, backend="steps", scheduling="dataflow",
        max_parallel=4, phase_limit_seconds=3600, silence_seconds=60, started_at=now, ended_at=ended, reported_at=ended, selection=moment,
    )  # fmt: skip
    after = moment == "after"
    scores = [
        {
            "phase": phase.key, "prp_id": phase.prp_id, "title": phase.title, "score": 13 + phase.position,
            "band": "low" if phase.position < 3 else "medium",
            "verdict": verdict, "state": "succeeded" if after else "", "drift": 20 if after else None,
            "lines_added": 1200 if after else None, "lines_removed": 7 if after else None, "findings": 1,
        }
        for phase in batch.phases.all()
    ]  # fmt: skip
    said = {"overruled_name": "ada", "overruled_at": now, "overrule_reason": "It is urgent."} if overruled else {}
    written = {"scores": scores, "semantic": "not judged: no model is configured", "path": "PRPs/reviews/x.md", "commit": "c0ffee" * 6}
    review = Review.objects.create(run=run, moment=moment, verdict=verdict, text="# Review\n", **(written if verdict else {}), **said)
    if verdict:
        severities = ("major", "minor", "info") if verdict == "needs_revision" else ("minor", "info")
        for place, severity in enumerate(severities, start=1):
            Finding.objects.create(
                review=review, position=place, severity=severity, category="gates", place=f"PRP-1.1.{place}, Validation Gates",
                message="There are 2 gates; fewer than 3 say little.", suggestion="Add gates with a command: `pytest -q`.",
            )  # fmt: skip
    return review


def make_context_change(batch: Batch, decision: str, *, state: str = "succeeded", notes: tuple[str, ...] = ()) -> ContextChange:
    """An update of the batch's context with a small diff; no decision: it is at work, or came to nothing."""
    now = timezone.now()
    ended = None if state == "running" else now
    run = Run.objects.create(
        batch=batch, number=batch.runs.count() + 1, operation=Operation.UPDATE_CONTEXT, state=state, backend="steps", max_parallel=4,
        scheduling="dataflow", phase_limit_seconds=3600, silence_seconds=60, started_at=now, ended_at=ended, reported_at=ended,
    )  # fmt: skip
    diff = "diff --git a/CLAUDE.md b/CLAUDE.md\n--- a/CLAUDE.md\n+++ b/CLAUDE.md\n@@ -1 +1,2 @@\n # Shop\n+## Batch 1\n"
    some = decision not in ("", "unchanged")
    said = {"decided_cause": "person:ada", "decided_at": now} if decision in ("accepted", "rejected") else {}
    return ContextChange.objects.create(
        run=run, base_commit="c0ffee" * 6, head_commit="decade" * 6, files=["CLAUDE.md"] if some else [], diff=diff if some else "",
        notes=list(notes), decision=decision, **said,
    )  # fmt: skip


def running_batch(**options) -> Batch:
    """Stage 1 done, stage 2 at work."""
    return make_batch(states={"1": "succeeded", "2a": "running", "2b": "launching"}, run_state="running", **options)


def limited_batch(**options) -> Batch:
    """At work with an agent: a budget, the pause of a rate limit, and a phase that is alive without progress."""
    batch = running_batch(backend="command", tokens=True, title="Limits of an agent", **options)
    now = timezone.now()
    Run.objects.filter(batch=batch).update(
        budget_usd=Decimal(2), rate_limited_since=now, rate_limited_until=now + timedelta(minutes=12), parallel_limit=2
    )
    attempts = Attempt.objects.filter(task__run__batch=batch)
    attempts.update(model="haiku", reserved_usd=Decimal("0.5"))
    attempts.filter(task__name="2a").update(model="sonnet", last_progress_at=now - timedelta(minutes=14))
    batch.phases.filter(key="3").update(complexity="high")
    return batch


def failed_batch(**options) -> Batch:
    """2a failed at a gate, 3 is blocked by it."""
    states = {"1": "succeeded", "2a": "failed", "2b": "succeeded", "3": "blocked"}
    return make_batch(states=states, run_state="failed", report="Batch failed: 2 of 4 phases done.", **options)


def finished_batch(**options) -> Batch:
    states = dict.fromkeys(("1", "2a", "2b", "3"), "succeeded")
    return make_batch(states=states, run_state="succeeded", report="Batch finished: 4 of 4 phases done.", **options)


def make_verification(batch: Batch, *differences: Difference, text: str = "The counts are right", **columns: object) -> Verification:
    """One that has ended: a gate that has these differences, which are told of the batch too, and one that agrees."""
    then = GateEvidence("1", "plan", 1, text, "command", "make check", "passed", 0, None, False, "c" * 40, "", 0.5, "", "")
    place, gate = (1, "1", 2, 1, "plan"), (text, "command", then)
    line = Line(*place, 1, *gate, Now("failed", 1, 0.4, "\x1b[31mno\x1b[0m: 41 is not 42\n", ""), differences)
    agrees = Line(*place, 2, "It holds", "command", then, Now("passed", 0, 0.4, "", ""))
    found = Verified([agrees, line], [Problem("phase 1, attempt 1", one) for one in differences])
    now = timezone.now()
    values = {"host": "h", "cause": "person:ada", "asked_at": now, "ended_at": now, "agrees": found.agrees, "directory": "/d"}
    document = {"batch_id": batch.number, "title": batch.title, **found.to_json()}
    Batch.objects.bump(batch.pk)  # as the engine does: what is shown of the batch is kept per version
    return Verification.objects.create(batch=batch, **{"result": document, **values, **columns})


def wide_batch(phases: int = 500) -> Batch:
    """One phase, then a stage that is nearly everything, then one."""
    middle = [f"2.{number}" for number in range(1, phases - 1)]
    done = len(middle) * 2 // 5
    states = {"1": "succeeded"} | dict.fromkeys(middle[:done], "succeeded") | dict.fromkeys(middle[done : done + 8], "running")
    return make_batch(f"1 -> {' '.join(middle)} -> 3", states=states, run_state="running", title=f"A batch of {phases} phases")


def make_chain(batch: Batch, state: str, step: str, *, reason: str = "Run 1 (execute) failed: 2a. Fix it, then go on.") -> AutopilotRun:
    """An autopilot of the batch that stands at `step` with its latest run."""
    run = batch.runs.latest("number")
    return AutopilotRun.objects.create(batch=batch, run=run, whole=True, step=step, state=state, reason=reason)


def make_pull_request(batch: Batch, **fields: object) -> PullRequest:
    """An open pull request of the batch at GitHub, whose last look failed."""
    address, now = "https://github.com/ada/textstats", timezone.now()
    token = seal("token-of-a-sample")
    Project.objects.filter(pk=batch.project_id).update(forge="github", forge_address=address, forge_token_sealed=token)
    where = {"forge": "github", "address": address, "head": batch.branch, "base": batch.base_branch}
    known = {"number": 12, "url": f"{address}/pull/12", "status": "open", "pushed_commit": "decade" * 6, "looked_at": now}
    failed = {"error": "The rate limit of api.github.com is reached.", "tries": 1, "next_try_at": now + timedelta(minutes=9)}
    asked = {"cause": "person:ada", "asked_at": now - timedelta(minutes=20)}
    return PullRequest.objects.create(batch=batch, **{**where, **known, **failed, **asked, **fields})


def make_linear_issues(batch: Batch) -> None:
    """One Linear issue for each phase; the last one could not be created."""
    phases = list(batch.phases.all())
    now = timezone.now()
    for number, phase in enumerate(phases, start=1):
        made = number < len(phases)
        LinearIssue.objects.create(
            phase=phase,
            identifier=f"ENG-{number}" if made else "",
            url=f"https://linear.app/sample/issue/ENG-{number}" if made else "",
            error="" if made else "Linear's rate limit is reached.",
            tries=1,
            next_try_at=now,
        )


def put_off_batch(**options) -> Batch:
    """A batch that waits for the machine."""
    batch = make_batch("1 -> 2a 2b", states={"1": "succeeded"}, run_state="running", title="Waiting for the machine", **options)
    now = timezone.now()
    batch.runs.update(
        machine_fault="No space left on device: the file system at /srv has 0.0 of 512.1 MB free",
        machine_fault_since=now - timedelta(minutes=3),
        machine_fault_until=now + timedelta(minutes=1),
        machine_faults=1,
        waiting_for="machine",
        waiting_since=now - timedelta(minutes=3),
    )
    return batch


def make_secrets(project: Project) -> None:
    """Two secrets of a project; their values are nothing that could be decrypted."""
    now = timezone.now()
    for name, uses in (("DATABASE_URL", ("steps", "gates")), ("NPM_TOKEN", ("setup",))):
        columns = dict.fromkeys(uses, True)
        ProjectSecret.objects.create(project=project, name=name, sealed="-", changed_at=now, changed_cause="person:ada", **columns)
