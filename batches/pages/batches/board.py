"""What the live page of a batch shows, read in a fixed number of queries."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property, lru_cache

from batches.core.engine.autopilot_steps import AutopilotState, AutopilotStep
from batches.core.engine.remaining import RemainingPhase, longest_chain, unblocked_by
from batches.core.engine.states import Operation, RunState, TaskKind, TaskState, Waiting
from batches.core.gates.ledger import FILTERS, GateState, count_states
from batches.core.gates.success import VERIFIED, Success, accepted_words, success_words
from batches.core.metrics.durations import running_since
from batches.core.plans.conflicts import ConflictKind
from batches.core.text.log_lines import LogLine
from batches.core.text.state_styles import state_icon, style_name
from batches.engine.disk_space import DATA_DIRECTORY, FileSystem, reported_file_systems
from batches.gates.ledger import read_ledger
from batches.metrics.successes import read_successes
from batches.models import (
    Attempt,
    AutopilotRun,
    BaseMerge,
    Batch,
    Conflict,
    Host,
    LinearIssue,
    Phase,
    PredictedConflict,
    PullRequest,
    Run,
    Stage,
    Task,
    Transition,
    Verification,
)
from batches.models.choices import FinishBy
from batches.pages.batches.batch_states import batch_state, is_late, is_live, is_stuck
from batches.pages.batches.merged_log import merged_log
from batches.pages.batches.needs_attention import ATTENTION_SHOWN, Attention, attention_of, gate_lines
from batches.pages.batches.phase_cards import PhaseCard, StageCard, is_active, model_shown
from batches.pages.batches.spending import Spending, spending_of, unpriced_of
from batches.pages.batches.time_left import TO_COME, TimeLeft, pace_of, time_left, usual_pace
from batches.pages.batches.timeline import Timeline
from batches.repositories.batch_branch import RESTORE_OPTION
from batches.runs.provider_trouble import trouble_words

PREDICTIONS_SHOWN = 100
CHAIN_SHOWN = 12  # phases of the critical path
# Columns that the board does not need: there are many rows, and each column takes time.
HEAVY = (
    *("spec", "heartbeat", "log_tail", "work_files", "merge_conflicts", "token", "host", "directory", "checkout", "ref", "session"),
    *("base_commit", "head_commit", "tree", "merge_commit", "merge_tree", "archive_ref", "checkout_bytes", "checkout_removed_at"),
    *("launched_clock", "relaunched_clock", "beat_clock", "stop_clock", "pid", "exit_code", "verdict", "fault", "stop_reason"),
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "retry_at", "ready_at", "waited_for", "sandbox"),
    *("phase_limit_seconds", "silence_seconds", "sent_commit", "note_commit", "remark", "remark_cause", "messages", "message"),
    "elapsed_seconds",
)
HEAVY_OF_PHASE = ("goal", "hours_text", "files", "steps")
HEAVY_OF_TASK = (
    *("after", "covers", "resolution", "not_before", "restarts", "resume_session", "remark", "remark_cause", "repairs"),
    *("rounds_seconds", "rounds_usd", "changed_at", "dropped_ref"),
)

STEP_WORDS: Mapping[AutopilotStep, str] = {
    AutopilotStep.GENERATE: "Generate",
    AutopilotStep.REVIEW_BEFORE: "Review before",
    AutopilotStep.EXECUTE: "Execute",
    AutopilotStep.REVIEW_AFTER: "Review after",
    AutopilotStep.UPDATE_CONTEXT: "Update context",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """The title and icon of a browser tab, and the text of a notification."""

    look: str
    title: str
    attention: int  # number of things that need a person
    live: bool
    words: str


@dataclass(frozen=True)
class Board:
    """A batch as shown at the time `now`."""

    batch: Batch
    run: Run | None
    now: datetime
    stages: tuple[StageCard, ...]
    conflicts: tuple[Conflict, ...]
    attempts: Mapping[int, Attempt]
    tokens: int | None
    cost: Decimal | None
    unpriced: int = 0  # ended attempts whose cost nobody knows
    gates: Mapping[GateState, int] = field(default_factory=dict)
    base_merge: BaseMerge | None = None
    pull_request: PullRequest | None = None  # the newest
    predictions: tuple[PredictedConflict, ...] = ()
    spending: Spending | None = None
    log: tuple[LogLine, ...] = field(default=())
    issues: tuple[LinearIssue, ...] = ()
    low_space: tuple[tuple[str, FileSystem], ...] = ()  # (host, file system) while phases wait for disk space
    verification: Verification | None = None  # the newest; none is shown while a run goes on
    autopilot_run: AutopilotRun | None = None  # the latest, if it is shown
    pace: float | None = None  # seconds per planned hour; None if unknown
    gate_lines: Mapping[int, str] = field(default_factory=dict)  # {attempt: an excerpt of what its first failed gate printed}
    last_action: tuple[str, str, datetime] | None = None  # (what, who, when) of the last thing that a person did to a run or phase

    @property
    def sentence(self) -> str:
        """The state in one sentence, with what comes next."""
        if self.preparing:
            return f"{self.preparing}."
        if self.run is None or not self.executing:
            return "Nothing has been executed yet." if not self.is_live else ""
        parts = [f"{self.done} of {self.total} phases done"]
        if failed := [card.phase.key for card in self.cards if card.state == TaskState.FAILED]:
            waiting, them = self.counts.get("blocked", 0), "it" if len(failed) == 1 else "them"
            parts.append(f"{_named(failed)} failed" + (f" and {waiting} wait{'s' if waiting == 1 else ''} for {them}" if waiting else ""))
        if running := [card.phase.key for card in self.cards if card.state in (TaskState.RUNNING, TaskState.LAUNCHING)]:
            parts.append(f"{_named(running)} at work")
        if self.run.state == RunState.SUCCEEDED:
            base = self.batch.base_branch
            parts.append(f"merged into {base}" if self.base_merge is not None and self.base_merge.merged else f"not merged into {base} yet")
        return "; ".join(parts) + "."

    @property
    def gate_links(self) -> list[tuple[str, str, int]]:
        """(state, label, count) for the states of its gates."""
        return [(state, name, self.gates[GateState(state)]) for state, name in FILTERS.items() if state and GateState(state) in self.gates]

    @cached_property
    def cards(self) -> list[PhaseCard]:
        return [card for stage in self.stages for card in stage.cards]

    @cached_property
    def counts(self) -> Mapping[str, int]:
        total: Counter[str] = Counter()
        for stage in self.stages:
            total.update(stage.counts)
        return total

    @property
    def total(self) -> int:
        return len(self.cards)

    @property
    def done(self) -> int:
        counted = self.executing or (self.run is not None and self.run.is_live)
        return sum(card.state == TaskState.SUCCEEDED for card in self.cards) if counted else 0

    @property
    def failed(self) -> int:
        return self.counts.get("failed", 0)

    @property
    def executing(self) -> bool:
        """Whether the page shows an execution, not the generation of PRPs."""
        return self.run is not None and self.run.operation == Operation.EXECUTE

    @property
    def preparing(self) -> str:
        """How many work orders are written, while a run writes them; "" otherwise."""
        if self.run is None or not self.run.is_live or self.run.operation != Operation.GENERATE:
            return ""
        written = sum(card.task is not None and card.task.state == TaskState.SUCCEEDED for card in self.cards)
        return f"Writing work orders {written}/{self.total}"

    @property
    def is_live(self) -> bool:
        return is_live(self.run, self.now)

    @property
    def state(self) -> str:
        if self.not_green:
            return Success.NOT_VERIFIED
        return batch_state(self.run.operation, self.run.state, self.run.paused, self.run.stop_reason)[0] if self.run else "planned"

    @property
    def word(self) -> str:
        said = batch_state(self.run.operation, self.run.state, self.run.paused, self.run.stop_reason)[1] if self.run else ""
        behind = self.not_green or self._behind(accepted_words)
        return said or (f"succeeded, {behind}" if behind else "")

    @property
    def not_green(self) -> str:
        """What is behind an execution that succeeded, as far as it is open: "2 phases not verified"."""
        return self._behind(success_words)

    def _behind(self, words: Callable[[Iterable[Success]], str]) -> str:
        if not self.executing or self.run is None or self.run.state != RunState.SUCCEEDED:
            return ""
        return words(card.success for card in self.cards if card.state == TaskState.SUCCEEDED)

    @property
    def rate_limited(self) -> bool:
        """Whether the run waits for the end of a rate limit."""
        run = self.run
        return bool(run and run.is_live and run.rate_limited_until and run.rate_limited_until > self.now)

    @property
    def branch_lost(self) -> bool:
        """Whether a phase failed because the batch's branch was deleted or moved; Restore helps."""
        return any(card.task is not None and card.state == TaskState.FAILED and RESTORE_OPTION in card.task.message for card in self.cards)

    @property
    def put_off(self) -> bool:
        """Whether the run waits for the machine: no space, an I/O error and the like."""
        return bool(self.run and self.run.is_live and self.run.machine_fault)

    @property
    def trouble(self) -> tuple[str, str] | None:
        """(what the trouble with the provider is, what a person can do); None when there is none."""
        return trouble_words(self.run) if self.run and self.run.is_live and self.run.trouble else None

    @property
    def trouble_waits(self) -> bool:
        """Whether it is not time for the next try yet."""
        return bool(self.run and self.run.trouble_until and self.run.trouble_until > self.now)

    @property
    def current_stage(self) -> int | None:
        """The first stage that has not ended well; None before the first execution."""
        if self.preparing or (not self.executing and not (self.run and self.run.is_live)):
            return None
        for stage in self.stages:
            if stage.done < len(stage.cards):
                return stage.stage.number
        return len(self.stages) or None

    @property
    def seconds(self) -> float | None:
        return None if self.run is None else self.run.seconds_until(self.run.ended_at or self.now)

    @property
    def waited_for_person(self) -> float | None:
        """Seconds beside `seconds`; None when it hardly waited for anybody."""
        waited = 0.0 if self.run is None else self.run.person_seconds(self.run.ended_at or self.now)
        return waited if waited >= 1 else None

    @property
    def clock_from(self) -> datetime | None:
        """From when a clock counts its duration; None when it does not go on, or waits for a person."""
        run = self.run
        if run is None or run.started_at is None or run.ended_at is not None or run.waiting_for == Waiting.PERSON:
            return None
        return running_since(run.started_at, run.person_seconds(self.now))

    @property
    def time_left(self) -> TimeLeft | None:
        """Approximate time until all is done, from the run's forecast and its pace so far; None if unknown."""
        run = self.run
        if run is None or not self.executing or run.state != RunState.RUNNING or run.paused:
            return None
        return time_left(self._left, self.pace, slots=run.parallel, by_stage=run.scheduling == "stages")

    @property
    def overdue(self) -> list[PhaseCard]:
        """Phases that have run for longer than is likely."""
        return [card for card in self.cards if card.overdue]

    @cached_property
    def _left(self) -> list[RemainingPhase]:
        """What is still to be carried out by this run, in the order of the stages."""
        return [card.part for card in self.cards if card.state in TO_COME] if self.executing else []

    @cached_property
    def unblocks(self) -> Mapping[str, int]:
        """{phase: how many others cannot start before it is done} of those that are not done."""
        return unblocked_by([card.part for card in self.cards if card.state != TaskState.SUCCEEDED]) if self.executing else {}

    @cached_property
    def critical_path(self) -> tuple[str, ...]:
        """The longest chain of what is left, as it stands now; empty when no more than one phase is."""
        chain, _hours = longest_chain(self._left)
        return chain if len(chain) > 1 else ()

    @property
    def critical_shown(self) -> list[PhaseCard]:
        """The first phases of the critical path."""
        cards = {card.phase.key: card for card in self.cards}
        return [cards[key] for key in self.critical_path[:CHAIN_SHOWN]]

    @property
    def critical_left(self) -> int:
        return max(0, len(self.critical_path) - CHAIN_SHOWN)

    @property
    def mark(self) -> Mark:
        """At a glance "(1) ◐ 3/4 · Batch 44: Shop"; the icon warns while something wants a person."""
        waiting, state = len(self.attention), (self.word or self.state).replace("_", " ")
        words = f"{waiting} need{'s' if waiting == 1 else ''} attention" if waiting else f"{state}: {self.done} of {self.total} phases done"
        title = f"{state_icon(self.state)} {self.done}/{self.total} · Batch {self.batch.number}: {self.batch.title}"
        return Mark(
            look="stale" if waiting and self.is_live else style_name(self.state),
            title=f"({waiting}) {title}" if waiting else title,
            attention=waiting,
            live=self.is_live,
            words=words,
        )

    @cached_property
    def attention(self) -> list[Attention]:
        return attention_of(self.stages, self.foreseen, self.gate_lines)

    @property
    def foreseen(self) -> list[PredictedConflict]:
        """Predicted conflicts between live attempts."""
        live = {attempt.pk for attempt in self.attempts.values() if attempt.ended_at is None}
        return [one for one in self.predictions if one.gone_at is None and not live.isdisjoint((one.first_id, one.second_id))]

    @property
    def attention_shown(self) -> list[Attention]:
        return self.attention[:ATTENTION_SHOWN]

    @property
    def attention_left(self) -> int:
        return max(0, len(self.attention) - ATTENTION_SHOWN)

    @property
    def open_conflicts(self) -> list[Conflict]:
        """Conflicts that can happen. Overlaps of ordered phases are shown on the plan only."""
        return [conflict for conflict in self.conflicts if conflict.kind != ConflictKind.ORDERED]

    @property
    def can_merge(self) -> bool:
        """Whether something was executed and nothing runs."""
        return not self.is_live and self.done > 0

    @property
    def offers_first(self) -> str:
        """How the work leaves its branch by the main button: a FinishBy; "" once it has, or before it may."""
        gone = (self.base_merge is not None and self.base_merge.merged) or self.pull_request is not None
        if gone or self.run is None or self.run.state != RunState.SUCCEEDED:
            return ""
        return self.batch.project.finish_by if self.batch.project.forge else FinishBy.MERGE

    @property
    def can_retry(self) -> bool:
        return not self.is_live and any(card.state == TaskState.FAILED for card in self.cards)

    @property
    def can_resume(self) -> bool:
        """Whether phases remain although nothing runs: cancelled, blocked or not selected."""
        return not self.is_live and self.executing and any(card.state != TaskState.SUCCEEDED for card in self.cards)

    @property
    def autopilot_steps(self) -> list[tuple[str, str]]:
        """(state, label) of each step of the autopilot."""
        if self.autopilot_run is None:
            return []
        order = list(AutopilotStep)
        at = order.index(AutopilotStep(self.autopilot_run.step))
        here = {AutopilotState.GOING: "running", AutopilotState.STOPPED: "stale", AutopilotState.FINISHED: "succeeded"}.get(
            AutopilotState(self.autopilot_run.state), "cancelled"
        )
        return [("succeeded" if place < at else here if place == at else "planned", STEP_WORDS[step]) for place, step in enumerate(order)]

    @property
    def issues_lacking(self) -> int:
        return sum(not issue.url for issue in self.issues)

    @property
    def issue_errors(self) -> list[LinearIssue]:
        """One issue per distinct error."""
        return list({issue.error: issue for issue in self.issues if issue.error and not issue.url}.values())

    @property
    def can_regenerate(self) -> bool:
        """Whether the PRPs can be regenerated: they were generated, and nothing was executed."""
        return not self.is_live and self.run is not None and self.run.operation == Operation.GENERATE

    @property
    def can_autopilot(self) -> bool:
        return not self.is_live and not (self.autopilot_run and self.autopilot_run.is_open)

    @property
    def can_execute(self) -> bool:
        return not self.is_live and not self.executing

    @cached_property
    def timeline(self) -> Timeline:
        """Its rows and the marks of its axis."""
        return Timeline(self.run, self.stages, self.now)


def read_board(batch: Batch, run: Run | None, now: datetime, *, with_log: bool = True) -> Board:
    """Read the board. The number of queries does not depend on the size of the batch.

    Rows are many and wide: columns for the phase page are not read, and nothing is joined twice.
    """
    stages, phases = _planned(batch.pk, batch.created_at, batch.edition)
    issues = {issue.phase_id: issue for issue in LinearIssue.objects.filter(phase__batch=batch)}
    tasks = list(Task.objects.newest_of(batch, run).defer(*HEAVY_OF_TASK))
    of_phase = {task.phase_id: task for task in tasks if task.kind == TaskKind.PHASE}
    checks = {task.stage_id: task for task in tasks if task.kind == TaskKind.STAGE_CHECK}
    attempts = list(Attempt.objects.filter(task__run__batch=batch).defer(*HEAVY).order_by("task_id", "number"))
    last = {attempt.task_id: attempt for attempt in attempts}
    tried: dict[int, list[Attempt]] = {}
    for attempt in attempts:
        tried.setdefault(attempt.task_id, []).append(attempt)

    prepares = run is not None and run.operation == Operation.GENERATE
    successes = read_successes([batch.pk])

    succeeded = [task for task in of_phase.values() if task.state == TaskState.SUCCEEDED and task.pk in last]
    hours: dict[int | None, float | None] = {phase.pk: phase.hours for phase in phases}
    pace = pace_of([(last[task.pk].seconds, hours.get(task.phase_id)) for task in succeeded], usual_pace(run))

    def card(phase: Phase) -> PhaseCard:
        task = of_phase.get(phase.pk)
        attempt = last.get(task.pk) if task else None
        late = is_late(attempt, run, now)
        model = model_shown(phase, task, attempt, run)
        success = successes.get(task.pk, VERIFIED) if task else VERIFIED
        return PhaseCard(phase, task, attempt, late, not late and is_stuck(attempt, now), model, prepares, success, pace, now)

    grouped: dict[int, list[PhaseCard]] = {stage.pk: [] for stage in stages}
    for phase in phases:
        grouped[phase.stage_id].append(card(phase))
    tokens = [attempt.tokens_used for attempt in attempts if attempt.tokens_used is not None]
    costs = [attempt.cost_usd for attempt in attempts if attempt.cost_usd is not None]
    return Board(
        batch=batch,
        run=run,
        now=now,
        stages=tuple(
            StageCard(
                stage,
                tuple(grouped[stage.pk]),
                checks.get(stage.pk),
                is_active(grouped[stage.pk], checks.get(stage.pk), run),
                tuple(attempt for card in grouped[stage.pk] if card.task for attempt in tried.get(card.task.pk, ())),
                run.idle if run else (),
            )
            for stage in stages
        ),
        conflicts=tuple(batch.conflicts.all()),
        attempts=last,
        tokens=sum(tokens) if tokens else None,
        cost=sum(costs, Decimal(0)) if costs else None,
        unpriced=unpriced_of(batch, attempts),
        predictions=tuple(run.predictions.all()[:PREDICTIONS_SHOWN]) if run and with_log else (),
        base_merge=batch.base_merges.first() if with_log else None,
        pull_request=batch.pull_requests.first() if with_log and batch.project.forge else None,
        spending=spending_of(run, attempts),
        log=merged_log(attempts, tasks) if with_log else (),
        autopilot_run=_autopilot_run(batch) if with_log else None,
        pace=pace,
        gates=count_states(read_ledger(batch)) if with_log else {},
        verification=None if run is None or run.is_live or not with_log else batch.verifications.defer("spec", "result").first(),
        gate_lines=gate_lines([last[task.pk] for task in of_phase.values() if task.state == TaskState.FAILED and task.pk in last])
        if with_log
        else {},
        last_action=_last_action(batch) if with_log else None,
        issues=tuple(issues[phase.pk] for phase in phases if phase.pk in issues),
        low_space=_low_space(batch.project.repository) if run and run.is_live and run.waiting_for == Waiting.SLOT else (),
    )


def _named(keys: Sequence[str]) -> str:
    """“phase 3”, “phases 1, 2”, or the first three and how many more there are."""
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"{'phase' if len(keys) == 1 else 'phases'} {', '.join(keys[:3])}{more}"


ACTION_WORDS = {"retry": "Retried", "reopen": "Retried", "cancel": "Cancelled", "start": "Started", "drop": "Given up"}


def _last_action(batch: Batch) -> tuple[str, str, datetime] | None:
    """(what, who, when) of the last state that a person changed."""
    moved = Transition.objects.filter(run__batch=batch, cause__startswith="person:").order_by("-pk")
    for event, cause, at in moved.values_list("event", "cause", "at")[:1]:
        return ACTION_WORDS.get(event, event.capitalize()), cause.removeprefix("person:").partition(" (")[0], at
    return None


def _low_space(repository: str) -> tuple[tuple[str, FileSystem], ...]:
    """(host, file system) that are too full for anything to start on this repository."""
    low = ((name, one) for name, one in reported_file_systems(Host.objects.all()) if one.is_low)
    return tuple((name, one) for name, one in low if one.what == DATA_DIRECTORY or f"{repository}/".startswith(one.path.rstrip("/") + "/"))


@lru_cache(maxsize=32)
def _planned(batch_pk: int, created_at: datetime, edition: int) -> tuple[list[Stage], list[Phase]]:
    """The stages and phases of an edition of a batch. They never change: they are cached; do not modify them."""
    stages = list(Stage.objects.filter(batch=batch_pk))
    phases = list(Phase.objects.filter(batch=batch_pk).defer(*HEAVY_OF_PHASE))
    in_stage = {stage.pk: stage for stage in stages}
    for phase in phases:
        phase.stage = in_stage[phase.stage_id]
    return stages, phases


def _autopilot_run(batch: Batch) -> AutopilotRun | None:
    """The latest autopilot run, if it runs all operations or has stopped."""
    latest = batch.autopilot_runs.select_related("run").first()
    return latest if latest is not None and (latest.whole or latest.state == AutopilotState.STOPPED) else None
