"""The timeline of a batch: its phases on an axis of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from batches.core.engine.states import TaskState
from batches.core.text.words import duration
from batches.models import Attempt, Run
from batches.pages.batches.phase_cards import PhaseCard, StageCard

EMBEDDED_UP_TO = 40  # phases; a longer timeline is drawn when somebody opens it, and each stage of it can be folded
ZOOMS = (1, 2, 4, 8, 16)  # how many times wider than the page

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
    """A phase on the time axis: it waits from `wait_from` to `wait_to`, then come its attempts. A blocked one has none."""

    card: PhaseCard
    wait_from: float
    wait_to: float
    bars: tuple[TimelineBar, ...]

    @property
    def wait_width(self) -> float:
        return max(0.0, self.wait_to - self.wait_from)


@dataclass(frozen=True, slots=True)
class TimelineStage:
    """A stage on the time axis: from `start`, its first launch, to its last end or now; 0 wide before that. `rows` are its phases."""

    card: StageCard
    rows: tuple[TimelineRow, ...]
    start: float
    width: float
    opened: bool


@dataclass(frozen=True, slots=True)
class TimelineTick:
    """A mark of the axis: where, in per cent, and its words, such as "5 min"."""

    at: float
    words: str


@dataclass(frozen=True)
class Timeline:
    """The stages of a batch with their phases at the time `now`, and the marks of the axis, drawn `zoom` times as wide as the page."""

    run: Run | None
    stages: Sequence[StageCard]
    now: datetime
    zoom: int = 1

    @property
    def embedded(self) -> bool:
        """Whether it is short enough to be a part of the live page."""
        return sum(len(stage.cards) for stage in self.stages) <= EMBEDDED_UP_TO

    @property
    def begun(self) -> bool:
        return self._span is not None

    @property
    def zoom_out(self) -> int | None:
        return next((one for one in reversed(ZOOMS) if one < self.zoom), None)

    @property
    def zoom_in(self) -> int | None:
        return next((one for one in ZOOMS if one > self.zoom), None)

    @cached_property
    def drawn(self) -> list[TimelineStage]:
        """The stages with every phase that has begun or is blocked, from the first launch to the end or now."""
        if self._span is None:
            return []
        zero, end = self._span
        cards = [card for stage in self.stages for card in stage.cards]
        ends = {card.task.name: card.attempt.ended_at for card in cards if card.task is not None and card.attempt is not None}
        drawn: list[TimelineStage] = []
        for stage in self.stages:
            tried: dict[int, list[Attempt]] = {}
            for attempt in stage.attempts:
                tried.setdefault(attempt.task_id, []).append(attempt)
            rows: list[TimelineRow] = []
            for card in stage.cards:
                attempts = tried.get(card.task.pk, []) if card.task is not None else []
                if card.task is None or (not attempts and card.state != TaskState.BLOCKED):
                    continue
                ready = [moment for name in card.task.waits_for if (moment := ends.get(name))]
                waits = self._at(max(ready, default=zero))
                bars = tuple(self._bar(attempt, end) for attempt in attempts)
                until = bars[0].start if bars else 100.0
                rows.append(TimelineRow(card, min(waits, until), until, bars))
            if rows:
                start = min((self._at(one.launched_at) for one in stage.attempts), default=0.0)
                width = max((self._at(one.ended_at or end) for one in stage.attempts), default=0.0) - start
                drawn.append(TimelineStage(stage, tuple(rows), start, max(0.0, width), self.embedded or stage.active))
        return drawn

    @property
    def ticks(self) -> list[TimelineTick]:
        """At most seven marks of the axis for each width of the page, at whole seconds, minutes or hours."""
        if not self._span:
            return []
        seconds, most = (self._span[1] - self._span[0]).total_seconds(), 6 * self.zoom
        days = TICK_SECONDS[-1] * max(1, int(seconds / TICK_SECONDS[-1] / most))
        step = next((one for one in TICK_SECONDS if seconds / one <= most), days)
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
