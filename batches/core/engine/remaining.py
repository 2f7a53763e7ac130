"""The remaining work of a batch: what waits for what, the longest chain, the hours left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class RemainingPhase:
    """A phase that is not done. `needs` may name done phases too; `hours` is what is left of the plan's estimate `planned`.

    `ran` are the seconds since its attempt was launched; None when none runs.
    """

    key: str
    stage: int
    needs: Sequence[str]
    hours: float
    planned: float = 0.0
    ran: float | None = None

    @classmethod
    def begun(
        cls,
        key: str,
        stage: int,
        needs: Sequence[str],
        hours: float | None,
        step: int | None,
        steps: int | None,
        ran: float | None = None,
    ) -> Self:
        """A phase at its `step` of `steps`: the plan's hours minus the share of completed steps."""
        completed = min(1.0, max(0, (step or 1) - 1) / steps) if steps else 0.0
        return cls(key, stage, needs, (hours or 0.0) * (1 - completed), hours or 0.0, ran)

    def at_pace(self, pace: float) -> Self:
        """The same with less left when its time so far, at `pace` seconds per planned hour, says so; never below 0."""
        if self.ran is None:
            return self
        return replace(self, hours=max(0.0, min(self.hours, self.planned - self.ran / pace)))

    def is_overdue(self, pace: float) -> bool:
        """Whether it has run for longer than its whole estimate."""
        return self.ran is not None and self.ran > self.planned * pace


def unblocked_by(phases: Sequence[RemainingPhase]) -> Mapping[str, int]:
    """{phase: how many other phases wait for it, directly or indirectly}.

    In `phases` every phase comes after those that it needs. One bit per phase: 500 phases take a millisecond.
    """
    bits = {phase.key: 1 << place for place, phase in enumerate(phases)}
    reached = dict.fromkeys(bits, 0)
    for phase in reversed(phases):
        behind = bits[phase.key] | reached[phase.key]
        for name in phase.needs:
            if name in reached:
                reached[name] |= behind
    return {key: waiting.bit_count() for key, waiting in reached.items()}


def longest_chain(phases: Sequence[RemainingPhase]) -> tuple[tuple[str, ...], float]:
    """(the chain with the most hours left, its hours); of equal ones the plan's first. `phases` as in unblocked_by."""
    best: dict[str, tuple[float, str]] = {}
    for phase in phases:
        before = max((best[name][0] for name in phase.needs if name in best), default=0.0)
        previous = next((name for name in phase.needs if name in best and best[name][0] == before), "")
        best[phase.key] = (before + phase.hours, previous)
    if not best:
        return (), 0.0
    hours = max(total for total, _previous in best.values())
    key = next(name for name, (total, _previous) in best.items() if total == hours)
    chain = []
    while key:
        chain.append(key)
        key = best[key][1]
    return tuple(reversed(chain)), hours


def hours_left(phases: Sequence[RemainingPhase], *, slots: int, by_stage: bool) -> float:
    """Hours until all is done with `slots` in parallel: at least the longest chain, and at least the work divided by the slots.

    With `by_stage` each stage waits for the one before, so the hours of the stages add up.
    """
    slots = max(1, slots)
    if not by_stage:
        return max(longest_chain(phases)[1], sum(phase.hours for phase in phases) / slots)
    stages: dict[int, list[float]] = {}
    for phase in phases:
        stages.setdefault(phase.stage, []).append(phase.hours)
    return sum(max(max(hours), sum(hours) / slots) for hours in stages.values())
