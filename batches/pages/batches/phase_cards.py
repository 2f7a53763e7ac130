"""A phase and a stage of a batch, as its pages show them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from batches.core.engine.failure_reasons import why
from batches.core.engine.pricing import choose_model
from batches.core.engine.remaining import RemainingPhase
from batches.core.engine.states import TaskState
from batches.core.gates.success import OPEN, SHORT, VERIFIED, PhaseSuccess, Success
from batches.core.metrics.durations import Idle, stage_seconds
from batches.core.text.state_styles import style_name
from batches.models import (
    Attempt,
    Phase,
    Run,
    Stage,
    Task,
)

ROWS_SHOWN = 40  # listed phases of one stage; the rest is on the stage's page


@dataclass(frozen=True)
class PhaseCard:
    """A phase with its latest task and that task's latest attempt, or None."""

    phase: Phase
    task: Task | None
    attempt: Attempt | None
    late: bool
    stuck: bool = False
    model: str = ""  # of its attempt, else what it would get; "": none is used
    prepares: bool = False  # its task writes its work order, and carries nothing out
    behind: PhaseSuccess = VERIFIED  # the success of a phase that succeeded
    pace: float | None = None  # seconds per planned hour, as in `time_left`
    now: datetime | None = None

    @property
    def success(self) -> Success:
        return self.behind.kind

    @property
    def word(self) -> str:
        """What its pill says where that is more than its state's word."""
        return self.behind.words if self.state == TaskState.SUCCEEDED else ""

    @property
    def looks(self) -> tuple[str, ...]:
        """What a person should look at before the success is believed."""
        return self.behind.looks if self.state == TaskState.SUCCEEDED and self.success == Success.NEEDS_LOOK else ()

    @property
    def can_be_accepted(self) -> bool:
        return self.state == TaskState.SUCCEEDED and self.success in OPEN

    @cached_property
    def state(self) -> str:
        """Of its task; that its work order is written makes nothing of it done."""
        if self.task is None or (self.prepares and self.task.state == TaskState.SUCCEEDED):
            return "planned"
        return self.task.state

    @cached_property
    def shown_state(self) -> str:
        """Its state as pages name it: silent and stuck ones are told apart from those at work."""
        if self.state == TaskState.SUCCEEDED and self.success != Success.VERIFIED:
            return self.success
        if self.question is not None:
            return "asks"
        return "stale" if self.late else "stuck" if self.stuck else self.state

    @property
    def question(self) -> dict[str, Any] | None:
        """What its agent waits to be told: {text, answers, at}."""
        return self.attempt.open_question if self.attempt is not None and self.task is not None and self.task.is_live else None

    @cached_property
    def look(self) -> str:
        return style_name(self.shown_state)

    @property
    def element_id(self) -> str:
        return f"phase-{self.phase.position}"

    @property
    def why(self) -> str:
        if self.task is None:
            return ""
        if self.state == TaskState.BLOCKED:
            return self.task.message or f"Waits for {self.task.blocked_by}, which failed"
        return why(self.task.reason, self.task.message) if self.task.reason else self.task.message

    @property
    def elapsed(self) -> float | None:
        return elapsed_of(self.attempt)

    @property
    def part(self) -> RemainingPhase:
        """What is left of it."""
        attempt = self.attempt if self.task is not None and self.task.is_live else None
        so_far = (attempt.step, attempt.total_steps, self.ran) if attempt is not None else (None, None, None)
        return RemainingPhase.begun(self.phase.key, self.phase.stage.number, self.phase.dependencies, self.phase.hours, *so_far)

    @property
    def ran(self) -> float | None:
        """Seconds since the launch of an attempt that runs, as of `now`."""
        if self.attempt is None or self.attempt.ended_at is not None or self.now is None:
            return None
        return max(0.0, (self.now - self.attempt.launched_at).total_seconds())

    @property
    def ran_percent(self) -> int | None:
        """How much of the time that is likely has passed, at most 100; None if unknown."""
        return None if self.ran is None or not self.forecast else min(100, int(100 * self.ran / self.forecast))

    @property
    def forecast(self) -> float | None:
        """How many seconds it is likely to take; None if unknown."""
        return self.pace * self.phase.hours if self.pace is not None and self.phase.hours else None

    @property
    def overdue(self) -> bool:
        """Whether it has run for longer than is likely."""
        return self.ran is not None and self.forecast is not None and self.ran > self.forecast


def elapsed_of(attempt: Attempt | None) -> float | None:
    """Seconds from launch to end of an attempt; None while it runs (the page's clock ticks) or for none."""
    return None if attempt is None else attempt.seconds


@dataclass(frozen=True)
class StageCard:
    """A stage: its phases, counts, and the check of its gates on the merged tree."""

    stage: Stage
    cards: tuple[PhaseCard, ...]
    check: Task | None
    active: bool
    attempts: tuple[Attempt, ...] = ()  # all at its phases, in the runs that the cards show
    idle: Idle = ()

    @cached_property
    def counts(self) -> Mapping[str, int]:
        return Counter("running" if card.late or card.stuck else card.look for card in self.cards)

    @property
    def state(self) -> str:
        """The state of the stage, derived from its tasks by priority."""
        states = {card.state for card in self.cards} | ({self.check.state} if self.check else set())
        for state in (TaskState.RUNNING, TaskState.LAUNCHING, TaskState.FAILED, TaskState.CANCELLED, TaskState.BLOCKED):
            if state in states:
                return state
        if states <= {TaskState.SUCCEEDED}:
            found = {card.success for card in self.cards}
            return next((kind for kind in (*OPEN, Success.ACCEPTED) if kind in found), TaskState.SUCCEEDED)
        return TaskState.PENDING if self.active or states - {"planned"} else "planned"

    @property
    def word(self) -> str:
        """What its narrow pill says of a success that is not plain green."""
        return SHORT[Success(self.state)] if self.state in SHORT else ""

    @property
    def done(self) -> int:
        return sum(card.state == TaskState.SUCCEEDED for card in self.cards)

    @cached_property
    def open_cards(self) -> tuple[PhaseCard, ...]:
        """Phases shown as cards: running and failed ones, or all in a small stage."""
        if not self.active:
            return ()
        if len(self.cards) <= 12:
            return self.cards
        return tuple(card for card in self.cards if card.late or card.stuck or card.look in {"running", "failed"})

    @property
    def rows(self) -> tuple[PhaseCard, ...]:
        """Phases shown as lines. None for a large stage that is active."""
        if self.active and len(self.cards) > ROWS_SHOWN:
            return ()
        carded = {card.phase.pk for card in self.open_cards}
        return tuple(card for card in self.cards if card.phase.pk not in carded)[:ROWS_SHOWN]

    @property
    def rows_left(self) -> int:
        return len(self.cards) - len(self.open_cards) - len(self.rows)

    @property
    def elapsed(self) -> float | None:
        """Its duration in seconds; None while any of its phases has not ended."""
        ended = [(one.launched_at, one.ended_at) for one in self.attempts if one.ended_at is not None]
        complete = len(ended) == len(self.attempts) and all(card.attempt is not None for card in self.cards)
        return stage_seconds(ended, self.idle) if complete else None


def model_shown(phase: Phase, task: Task | None, attempt: Attempt | None, run: Run | None) -> str:
    """The model of the latest attempt, else the one that the run chooses; "" if none is used."""
    if attempt is not None and (attempt.model or attempt.ended_at is None):
        return attempt.model
    if run is None or task is None:
        return ""
    return choose_model(run.backend, phase.complexity, of_phase=task.model, of_run=run.model, of_retries=run.retry_model).model


def is_active(cards: Sequence[PhaseCard], check: Task | None, run: Run | None) -> bool:
    if run is None:
        return False
    live = {TaskState.LAUNCHING, TaskState.RUNNING}
    if any(card.state in live for card in cards) or (check is not None and check.state in live):
        return True
    return any(card.state == TaskState.FAILED for card in cards)
