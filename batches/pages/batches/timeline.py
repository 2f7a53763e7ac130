"""The timeline of a batch: its phases on an axis of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from batches.core.engine.states import TaskState
from batches.core.text.words import duration
from batches.models import Attempt, Run
from batches.pages.batches.phase_cards import PhaseCard, StageCard

TIMELINE_UP_TO = 150  # phases; more would make the live page too heavy

TICK_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)


@dataclass(frozen=True, slots=True)
class TimelineBar:
    """One attempt, in per cent of the time shown: its state, and words for who points at it."""

    state: str
    start: float
    width: float
    words: str


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """A phase on the time axis: it waits from `wait_from` to `wait_to`, then come its attempts. A blocked one has none.

    `stage` is the number of its stage where a new one begins, else 0.
    """

    card: PhaseCard
    wait_from: float
    wait_to: float
    bars: tuple[TimelineBar, ...]
    stage: int = 0

    @property
    def wait_width(self) -> float:
        return max(0.0, self.wait_to - self.wait_from)


@dataclass(frozen=True, slots=True)
class TimelineTick:
    """A mark of the axis: where, in per cent, and its words, such as "5 min"."""

    at: float
    words: str


@dataclass(frozen=True)
class Timeline:
    """The rows of a batch's timeline at the time `now`, and the marks of its axis."""

    run: Run | None
    stages: Sequence[StageCard]
    now: datetime

    @cached_property
    def rows(self) -> list[TimelineRow]:
        """Every phase that has begun or is blocked, by stage, on an axis from the first launch or the run's start to its end or now."""
        cards = [card for stage in self.stages for card in stage.cards]
        if len(cards) > TIMELINE_UP_TO or self._span is None:
            return []
        zero, end = self._span
        ends: dict[str, datetime | None] = {}
        for card in cards:
            if card.task is not None and card.attempt is not None:
                ends[card.task.name] = card.attempt.ended_at
        rows: list[TimelineRow] = []
        for stage in self.stages:
            tried: dict[int, list[Attempt]] = {}
            for attempt in stage.attempts:
                tried.setdefault(attempt.task_id, []).append(attempt)
            begun = 0
            for card in stage.cards:
                attempts = tried.get(card.task.pk, []) if card.task is not None else []
                if card.task is None or (not attempts and card.state != TaskState.BLOCKED):
                    continue
                ready = [moment for name in card.task.waits_for if (moment := ends.get(name))]
                waits = self._at(max(ready, default=zero))
                bars = tuple(self._bar(attempt, end) for attempt in attempts)
                until = bars[0].start if bars else 100.0
                rows.append(TimelineRow(card, min(waits, until), until, bars, 0 if begun else stage.stage.number))
                begun += 1
        return rows

    @property
    def ticks(self) -> list[TimelineTick]:
        """At most seven marks of the axis, at whole seconds, minutes or hours."""
        if not self._span:
            return []
        seconds = (self._span[1] - self._span[0]).total_seconds()
        step = next((one for one in TICK_SECONDS if seconds / one <= 6), TICK_SECONDS[-1] * max(1, int(seconds / TICK_SECONDS[-1] / 6)))
        return [TimelineTick(100 * at / seconds, tick_words(at)) for at in range(0, int(seconds) + 1, step)]

    @cached_property
    def _span(self) -> tuple[datetime, datetime] | None:
        """From the first launch or the run's start to its end or to now; None before anything was launched."""
        launched = [attempt.launched_at for stage in self.stages for attempt in stage.attempts]
        if self.run is None or self.run.started_at is None or not launched:
            return None
        zero, end = min(self.run.started_at, *launched), self.run.ended_at or self.now
        return (zero, end) if end > zero else None

    def _at(self, moment: datetime) -> float:
        assert self._span is not None
        zero, end = self._span
        return min(100.0, max(0.0, 100 * (moment - zero).total_seconds() / (end - zero).total_seconds()))

    def _bar(self, attempt: Attempt, end: datetime) -> TimelineBar:
        start = self._at(attempt.launched_at)
        state = attempt.outcome or "running"
        took = duration(((attempt.ended_at or end) - attempt.launched_at).total_seconds())
        words = f"attempt {attempt.number}: {state.replace('_', ' ')}, {took}"
        return TimelineBar(state, start, max(0.4, self._at(attempt.ended_at or end) - start), words)


def tick_words(seconds: int) -> str:
    """ "0", "30 s", "5 min" or "2 h": a mark of a time axis."""
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds and seconds % unit == 0:
            return f"{seconds // unit} {name}"
    return f"{seconds} s" if seconds else "0"
