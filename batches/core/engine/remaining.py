"""What is still to be done of a batch: what waits for what, the longest chain, how long it may take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class RemainingPhase:
    """A phase that is not done: `needs` names others, done ones too; `hours` is what is left of it by the plan's estimate."""

    key: str
    stage: int
    needs: Sequence[str]
    hours: float

    @classmethod
    def begun(cls, key: str, stage: int, needs: Sequence[str], hours: float | None, step: int | None, steps: int | None) -> Self:
        """Of a phase at its `step` of `steps`: the plan's hours, less the steps that are behind it."""
        behind = min(1.0, max(0, (step or 1) - 1) / steps) if steps else 0.0
        return cls(key, stage, needs, (hours or 0.0) * (1 - behind))


def unblocked_by(parts: Sequence[RemainingPhase]) -> Mapping[str, int]:
    """{phase: how many of the others cannot start before it is done, directly or not}.

    `parts` are in an order in which every phase comes after all it needs. One bit a phase: 500 phases take a millisecond.
    """
    bits = {part.key: 1 << place for place, part in enumerate(parts)}
    reached = dict.fromkeys(bits, 0)
    for part in reversed(parts):
        behind = bits[part.key] | reached[part.key]
        for name in part.needs:
            if name in reached:
                reached[name] |= behind
    return {key: found.bit_count() for key, found in reached.items()}


def longest_chain(parts: Sequence[RemainingPhase]) -> tuple[tuple[str, ...], float]:
    """(the chain with the most hours left, those hours); of equal ones the first in the plan. `parts` as above."""
    best: dict[str, tuple[float, str]] = {}
    for part in parts:
        before = max((best[name][0] for name in part.needs if name in best), default=0.0)
        previous = next((name for name in part.needs if name in best and best[name][0] == before), "")
        best[part.key] = (before + part.hours, previous)
    if not best:
        return (), 0.0
    hours = max(total for total, _previous in best.values())
    key = next(name for name, (total, _previous) in best.items() if total == hours)
    chain = []
    while key:
        chain.append(key)
        key = best[key][1]
    return tuple(reversed(chain)), hours


def hours_left(parts: Sequence[RemainingPhase], *, slots: int, by_stage: bool) -> float:
    """Hours until all is done with `slots` at once: never less than the longest chain, nor than the work over the slots.

    `by_stage`: each stage waits for the one before, so theirs are added.
    """
    slots = max(1, slots)
    if not by_stage:
        return max(longest_chain(parts)[1], sum(part.hours for part in parts) / slots)
    stages: dict[int, list[float]] = {}
    for part in parts:
        stages.setdefault(part.stage, []).append(part.hours)
    return sum(max(max(hours), sum(hours) / slots) for hours in stages.values())
