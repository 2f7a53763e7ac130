"""The page of a phase: its spec, and for each attempt its gates, log, diff and result."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.http import require_safe

from batches.accounts.access import may
from batches.accounts.roles import SIGN_OFF_GATE
from batches.core.engine.failure_reasons import why
from batches.core.engine.states import Operation, TaskKind, TaskState
from batches.core.gates.binding import Understood, understand
from batches.core.gates.ledger import Entry, GateState, Said, SignedOff
from batches.core.gates.success import VERIFIED
from batches.core.metrics.durations import attempt_seconds
from batches.core.text.log_lines import LogLine, read_log
from batches.core.text.state_styles import state_icon, state_word
from batches.engine.diff_comments import open_comments, resolved_comments
from batches.engine.log_reader import is_here
from batches.engine.running_diffs import running_diff, watch
from batches.gates.ledger import read_ledger
from batches.gates.sign_offs_and_acceptances import acceptances_of
from batches.metrics.successes import read_successes
from batches.models import Attempt, AttemptPrompt, Batch, Gate, GateCheck, Phase, Result, Run, SignOff, Task, Transition
from batches.pages.batches import transcript
from batches.pages.batches.batch import find_batch, may_execute
from batches.pages.batches.batch_states import is_late, is_stuck, latest_run, version_of
from batches.pages.batches.board import Mark
from batches.pages.batches.changes import files_of
from batches.pages.batches.diffs import diff_address, diff_mode, remember_mode, shown_diff
from batches.pages.batches.live import STOP_POLLING, cached_fragments, changed_since
from batches.pages.batches.phase_cards import PhaseCard, model_shown
from batches.pages.batches.time_left import pace_of, usual_pace
from batches.pages.common import htmx, read_number

TABS = ("spec", "gates", "transcript", "log", "diff", "result", "prompt", "attempts")
LOG_SHOWN = 1_000
TRANSITIONS_SHOWN = 200
RESULT_CHARACTERS = 60_000
HEAVY_OF_ATTEMPT = ("attempt__spec", "attempt__log_tail", "attempt__heartbeat")


@dataclass(frozen=True, slots=True)
class GateRow:
    """A gate, as judged by the chosen attempt and by the stage check on the merged tree.

    `gate` is None for gates of the project and of the server, which have no row of their own.
    """

    place: int
    gate: Gate | None
    check: GateCheck | None
    merged: GateCheck | None = None
    sign_off: SignedOff | None = None
    said: Said | None = None
    can_be_signed_off: bool = False

    @property
    def text(self) -> str:
        return self.gate.text if self.gate else self.check.text if self.check else ""

    @property
    def kind(self) -> str:
        return self.gate.kind if self.gate else self.check.kind if self.check else ""

    @property
    def read(self) -> Understood | None:
        """How the plan's gate is understood, in words of the preview; None for gates of the project and the server."""
        return understand(self.gate.position, self.gate.text, self.gate.phase.files) if self.gate else None

    @property
    def origin(self) -> str:
        return self.check.origin if self.check else "plan"

    @property
    def command(self) -> str:
        return (self.check.command if self.check else "") or (self.gate.command if self.gate else "")

    @property
    def state(self) -> str:
        state = state_of(self.check)
        return GateState.SIGNED_OFF if state == GateState.UNVERIFIED and self.sign_off else state

    @property
    def merged_state(self) -> str:
        return state_of(self.merged)

    @property
    def signed_off_by(self) -> str:
        return f"signed off by {self.sign_off.name}" if self.sign_off else ""


def state_of(check: GateCheck | None) -> str:
    """The state of a check; one that passed at the second try is flaky."""
    return GateState.PLANNED if check is None else GateState.FLAKY if check.flaky else check.status


@dataclass(frozen=True)
class PhaseView:
    """A phase as its page shows it; the tabs show the attempt `chosen`."""

    batch: Batch
    run: Run | None
    card: PhaseCard
    attempts: tuple[Attempt, ...]
    chosen: Attempt | None
    gates: tuple[GateRow, ...]
    result: Result | None
    waiting: int
    now: datetime
    acceptances: tuple[SignOff, ...] = ()

    @property
    def acceptance(self) -> SignOff | None:
        """The standing one, of the newest attempt."""
        standing = (one for one in self.acceptances if one.withdrawn_at is None)
        return next((one for one in standing if self.card.attempt and one.attempt_id == self.card.attempt.pk), None)

    @property
    def looks(self) -> tuple[tuple[str, bool], ...]:
        """(what a person should look at, whether the plan declares it) of the chosen attempt."""
        return tuple((look["text"], look["declared"]) for look in self.result.looks) if self.result else ()

    @property
    def connections(self) -> tuple[dict[str, object], ...]:
        """What the network proxy counted of the chosen attempt, the refused ones first."""
        return tuple(self.result.data.get("connections") or ()) if self.result else ()

    @property
    def tools(self) -> dict[str, Any]:
        """The tools that the agent of the chosen attempt had (TaskResult.tools)."""
        return dict(self.result.data.get("tools") or {}) if self.result else {}

    @property
    def refused_connections(self) -> int:
        return sum(bool(row.get("refused")) for row in self.connections)

    @property
    def phase(self) -> Phase:
        return self.card.phase

    @property
    def tries(self) -> int:
        """How many attempts the task of the chosen attempt has had."""
        return sum(self.chosen is not None and attempt.task_id == self.chosen.task_id for attempt in self.attempts)

    @property
    def kept_remark(self) -> str:
        """What people said that the next attempt will be told first."""
        task = self.card.task
        told = self.card.attempt.remark if self.card.attempt is not None else ""
        return task.remark if task is not None and not task.has_ended and task.remark != told else ""

    @property
    def is_execution(self) -> bool:
        return self.chosen is not None and self.chosen.task.run.operation == Operation.EXECUTE

    @property
    def is_latest(self) -> bool:
        return not self.attempts or self.chosen == self.attempts[-1]

    @property
    def reason(self) -> str:
        """One sentence that explains the state of the chosen attempt or of the task."""
        failed = [(place, row) for place, row in enumerate(self.gates, start=1) if row.check and row.check.status == "failed"]
        attempt = self.chosen
        if attempt is not None and attempt.reason == "gate_failed" and failed:
            place, row = failed[0]
            check = row.check
            said = "" if check is None else check.note if check.exit_code is None else f"{check.command} gave exit code {check.exit_code}"
            return f"Failed at gate {place} of {len(self.gates)}" + (f": {said}" if said else "")
        if attempt is not None and not self.is_latest:
            return why(attempt.reason, attempt.message) if attempt.reason else attempt.message
        return self.card.why

    @property
    def mark(self) -> Mark:
        """ "◐ 2a Login page · Batch 44"; a phase that has stopped without success needs attention."""
        state, task = self.card.shown_state, self.card.task
        name = f"{self.card.phase.key} {self.card.phase.title}"
        return Mark(
            look=self.card.look,
            title=f"{state_icon(state)} {name} · Batch {self.batch.number}",
            attention=int(state in ("failed", "stale", "stuck", "asks")),
            live=task is not None and task.is_live,
            words=f"{name}: {state_word(state)}",
        )


@require_safe
def phase_detail(request: HttpRequest, number: int, key: str) -> HttpResponse:
    """The page. For htmx with ?v= it responds like the batch's progress."""
    batch = find_batch(number)
    phase = get_object_or_404(Phase.objects.select_related("stage"), batch=batch, key=key)
    run = latest_run(batch)
    now = timezone.now()
    version = version_of(batch, run, now)
    over = version.endswith("-end")
    tab = request.GET.get("tab", "")
    tab = tab if tab in TABS else ""
    attempt_pk = read_number(request.GET.get("attempt"))
    executes, may_sign_off, mode = may_execute(request, batch.project), may(request.user, SIGN_OFF_GATE, batch.project), diff_mode(request)
    cache_key = f"phase.{phase.pk}.{batch.created_at.timestamp()}.{tab}.{attempt_pk or 0}.{mode}.{int(executes)}{int(may_sign_off)}"

    def fragments() -> dict[str, str]:
        view = read_phase(batch, run, phase, attempt_pk, now)
        return render_fragments(view, tab, mode, executes, may_sign_off)

    if tab == "diff" and not over:
        for pk in Attempt.objects.live().filter(task__phase=phase).values_list("pk", flat=True):
            watch(pk)
    live = bool(htmx(request))
    seen = request.GET.get("v", "")
    if live and seen == version:
        return HttpResponse(status=STOP_POLLING if over else 204)
    current = cached_fragments(cache_key, version, fragments)
    if live:
        context: dict[str, object] = {"fragments": changed_since(cache_key, seen, current), "version": version}
        return render(request, "batches/_progress.html", context, status=STOP_POLLING if over else 200)
    if tab == "transcript":
        current = {**current, "phase-body": _transcript_tab(request, batch, run, phase, attempt_pk, current["phase-body"])}
    context = {"batch": batch, "phase": phase, "version": version, "live": not over, "fragments": current, "tab": tab}
    if tab == "diff" and executes:  # outside the parts that are replaced while somebody types
        context["commented"] = _commented(batch, run, phase, attempt_pk)
    return remember_mode(request, render(request, "batches/phase.html", context))


def read_phase(batch: Batch, run: Run | None, phase: Phase, attempt_pk: int | None, now: datetime) -> PhaseView:
    """Everything the page shows. Queries: tasks, attempts, gates, checks (two kinds), result, dependents, what is
    behind a success."""
    task = Task.objects.newest_of(batch, run).filter(phase=phase).select_related("run").last()
    attempts = list(
        Attempt.objects.filter(task__phase=phase).select_related("task__run").defer("spec").order_by("task__run__number", "number")
    )
    newest, chosen = _chosen(attempts, task, attempt_pk)
    gates = list(phase.gates.all())
    for gate in gates:
        gate.phase = phase
    about = Q(gate__phase=phase) | Q(gate=None, attempt=chosen)
    checks = list(GateCheck.objects.filter(about).select_related("attempt__task").defer(*HEAVY_OF_ATTEMPT).order_by("attempt_id", "pk"))
    own = {check.gate_id: check for check in checks if chosen and check.attempt_id == chosen.pk}
    late = is_late(newest, run, now)
    model = model_shown(phase, task, newest, task.run if task else None)
    prepares = task is not None and task.run.operation == Operation.GENERATE
    success = read_successes([batch.pk]).get(task.pk, VERIFIED) if task is not None else VERIFIED
    pace = _pace(batch, run) if newest is not None and newest.ended_at is None else None
    merged = {check.gate_id: check for check in checks if check.attempt.task.phase_id is None}
    rows = [GateRow(place, gate, own.get(gate.pk), merged.get(gate.pk)) for place, gate in enumerate(gates, start=1)]
    if chosen is not None and chosen == newest:
        rows = _with_people(rows, read_ledger(batch, phase.key))
    rows += [GateRow(place, None, check) for place, check in enumerate([one for one in checks if one.gate_id is None], start=len(rows) + 1)]
    return PhaseView(
        batch=batch,
        run=run,
        card=PhaseCard(phase, task, newest, late, not late and is_stuck(newest, now), model, prepares, success, pace, now),
        attempts=tuple(attempts),
        chosen=chosen,
        gates=tuple(rows),
        result=Result.objects.filter(attempt=chosen).first() if chosen else None,
        waiting=_dependents(batch, phase.key),
        now=now,
        acceptances=tuple(acceptances_of(phase)),
    )


def _commented(batch: Batch, run: Run | None, phase: Phase, attempt_pk: int | None) -> Attempt | None:
    """The attempt whose diff is shown and can be commented on."""
    task = Task.objects.newest_of(batch, run).filter(phase=phase).last()
    attempts = list(transcript.attempts().filter(task__phase=phase).order_by("task__run__number", "number"))
    return _chosen(attempts, task, attempt_pk)[1]


def _pace(batch: Batch, run: Run | None) -> float | None:
    """The pace by which the page of the batch tells the time that is left."""
    succeeded = Task.objects.newest_of(batch, run).filter(kind=TaskKind.PHASE, state=TaskState.SUCCEEDED)
    ended = Attempt.objects.filter(task__in=succeeded, outcome=Attempt.Outcome.SUCCEEDED)
    rows = ended.values_list("task__phase_id", "task__phase__hours", "launched_at", "ended_at").order_by("task__run__number", "number")
    newest = {phase: (attempt_seconds(launched, over), hours) for phase, hours, launched, over in rows}
    return pace_of(newest.values(), usual_pace(run))


def _chosen(attempts: Sequence[Attempt], task: Task | None, attempt_pk: int | None) -> tuple[Attempt | None, Attempt | None]:
    """(the newest attempt of the task, the one that the tabs show: the requested one, else the newest)."""
    newest = next((attempt for attempt in reversed(attempts) if task and attempt.task_id == task.pk), None)
    return newest, next((attempt for attempt in attempts if attempt.pk == attempt_pk), newest)


def _transcript_tab(request: HttpRequest, batch: Batch, run: Run | None, phase: Phase, attempt_pk: int | None, empty: str) -> str:
    """The tab as it is now, with the window that the address asks for. It follows by itself, so polls leave it alone."""
    task = Task.objects.newest_of(batch, run).filter(phase=phase).last()
    attempts = list(transcript.attempts().filter(task__phase=phase).order_by("task__run__number", "number"))
    _newest, chosen = _chosen(attempts, task, attempt_pk)
    return empty if chosen is None else transcript.render_tab(chosen, request.GET)


def _with_people(rows: list[GateRow], entries: Sequence[Entry]) -> list[GateRow]:
    """The gates with sign-offs and opinions about the newest attempt."""
    found = {entry.gate: entry for entry in entries if entry.gate is not None}
    return [
        replace(row, sign_off=entry.sign_off, said=entry.said, can_be_signed_off=entry.can_be_signed_off)
        for row in rows
        if row.gate and (entry := found[row.gate.pk])
    ]


def _dependents(batch: Batch, key: str) -> int:
    """How many phases depend on this one, directly or indirectly."""
    graph = dict(batch.phases.values_list("key", "dependencies"))
    reached: set[str] = set()
    grew = True
    while grew:
        more = {name for name, needs in graph.items() if name not in reached and (key in needs or reached & set(needs))}
        grew = bool(more)
        reached |= more
    return len(reached)


def render_fragments(view: PhaseView, tab: str, mode: str, executes: bool, may_sign_off: bool) -> dict[str, str]:
    tab = tab or _usual_tab(view)
    context: dict[str, object] = {
        "view": view,
        "batch": view.batch,
        "phase": view.phase,
        "run": view.run,
        "card": view.card,
        "chosen": view.chosen,
        "result": view.result,
        "executes": executes,
        "may_sign_off": may_sign_off,
        "tab": tab,
        "tabs": TABS,
    }
    body = context | _tab_context(view, tab, mode)
    fragments: dict[str, str] = {
        "mark": render_to_string("batches/_browser_tab.html", {"mark": view.mark}),
        "phase-head": render_to_string("batches/_phase_state.html", context),
        "phase-tabs": render_to_string("batches/_phase_tabs.html", context),
        "phase-body": render_to_string(f"batches/_phase_{tab}.html", body),
    }
    if body.get("lines"):
        fragments["phase-body/phase-log"] = render_to_string("batches/_phase_log_lines.html", body)
    return fragments


def _usual_tab(view: PhaseView) -> str:
    """The default tab: transcript or log while it runs, the gates if one failed, else the log of a failure."""
    if view.card.task is not None and view.card.task.is_live:
        return "log" if view.card.task.run.backend == "steps" else "transcript"
    if view.chosen is not None and view.chosen.reason == "gate_failed":
        return "gates"
    if view.chosen is not None and view.chosen.outcome == Attempt.Outcome.FAILED:
        return "log"
    return "spec"


def _tab_context(view: PhaseView, tab: str, mode: str) -> dict[str, object]:
    if tab == "log":
        lines: tuple[LogLine, ...] = read_log(view.chosen.log_tail, limit=LOG_SHOWN) if view.chosen else ()
        return {"lines": lines, "log_shown": 2 * LOG_SHOWN}
    said = list(view.chosen.comments.all()) if tab == "diff" and view.chosen is not None else []
    comments = {"comments": open_comments(view.phase), "resolved": resolved_comments(view.phase)} if tab == "diff" else {}
    if tab == "diff" and view.chosen is not None and view.chosen.ended_at is None:
        now = running_diff(view.chosen)
        query = f"?tab=diff&attempt={view.chosen.pk}&"
        diff = None if now is None else shown_diff(now.text, mode, query, comments=said)
        return {"running": now, "here": is_here(view.chosen), "diff": diff, **comments}
    if tab == "diff" and view.result is not None:
        address = diff_address(view.batch.number, view.result.attempt_id)
        query = f"?tab=diff&attempt={view.result.attempt_id}&"
        diff = None if view.result.diff is None else shown_diff(view.result.diff, mode, query, address, comments=said)
        files = files_of(view.phase, view.result) if view.is_execution else ()
        return {"diff": diff, "files": files, **comments}
    if tab == "result" and view.result is not None:
        return {"result_json": json.dumps(view.result.data, indent=2, ensure_ascii=False)[:RESULT_CHARACTERS]}
    if tab == "attempts":
        moves = Transition.objects.filter(task__phase=view.phase).select_related("attempt").order_by("-pk")
        prompts = dict(AttemptPrompt.objects.filter(attempt__task__phase=view.phase).values_list("attempt", "sha256"))
        return {"moves": moves[:TRANSITIONS_SHOWN], "prompts": prompts}
    if tab == "prompt" and view.chosen is not None:
        return {"prompt": AttemptPrompt.objects.filter(attempt=view.chosen).first()}
    return {}
