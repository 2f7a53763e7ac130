"""How far the work went from its plan, 0 to 100 per cent (framework.md §7), with what strayed named.

40 per cent for files, 20 each for files nobody expected, for steps not completed and for time. A part for which nothing
is known counts as nothing and is named in `unknown`, so that a reader can tell calm from silence.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from batches.core.plans.conflicts import covering_entries

FILES_WEIGHT, UNEXPECTED_WEIGHT, STEPS_WEIGHT, TIME_WEIGHT = 40.0, 20.0, 20.0, 20.0
EACH_UNEXPECTED = 0.25


class DriftBand(StrEnum):
    EXCELLENT = "excellent"
    GOOD = "good"
    ACCEPTABLE = "acceptable"
    CONCERNING = "concerning"
    CRITICAL = "critical"


BANDS = ((5.0, DriftBand.EXCELLENT), (15.0, DriftBand.GOOD), (30.0, DriftBand.ACCEPTABLE), (50.0, DriftBand.CONCERNING))


@dataclass(frozen=True, slots=True)
class DriftEvidence:
    """What was planned and what came of it. Times in hours; None is what nobody knows."""

    planned: tuple[str, ...]  # files, directories and globs that the plan declares
    changed: tuple[str, ...]  # files created, modified or deleted
    deleted: tuple[str, ...] = ()
    steps: int = 0
    steps_completed: int = 0
    estimated_hours: float | None = None
    actual_hours: float | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """The figure, its four parts in per cent points, and the files that strayed."""

    percent: float
    files: float
    unexpected: float
    steps: float
    time: float
    undeclared: tuple[str, ...]
    untouched: tuple[str, ...]  # declared, but not changed
    deleted: tuple[str, ...]
    unknown: tuple[str, ...]  # parts that nothing is known of: "files", "steps", "time"

    @property
    def band(self) -> DriftBand:
        return band_of(self.percent)

    @property
    def shown(self) -> int:
        """The figure as it is shown: whole, halves up."""
        return int(self.percent + 0.5)


def band_of(percent: float) -> DriftBand:
    """Below 5 excellent, 15 good, 30 acceptable, 50 concerning, else critical."""
    return next((band for limit, band in BANDS if percent < limit), DriftBand.CRITICAL)


def measure_drift(evidence: DriftEvidence) -> Drift:
    """Drift of one phase. A changed file is expected when a declared file, directory or glob covers it."""
    planned, changed = frozenset(evidence.planned), frozenset(evidence.changed)
    covering = covering_entries(sorted(planned | changed))
    covers = {path: ({path} & planned) | (planned & set(covering.get(path, ()))) for path in changed}
    undeclared = sorted(path for path, entries in covers.items() if not entries)
    met = {entry for entries in covers.values() for entry in entries}
    untouched = sorted(planned - met)
    everything = len(planned) + len(undeclared)
    files = (len(untouched) + len(undeclared)) / everything if everything else 0.0
    steps = 1 - min(evidence.steps_completed, evidence.steps) / evidence.steps if evidence.steps else 0.0
    time = _time(evidence.estimated_hours, evidence.actual_hours)
    parts = (
        FILES_WEIGHT * files,
        UNEXPECTED_WEIGHT * min(1.0, EACH_UNEXPECTED * len(undeclared)),
        STEPS_WEIGHT * steps,
        TIME_WEIGHT * (time or 0.0),
    )
    unknown = [name for name, missing in (("files", not everything), ("steps", not evidence.steps), ("time", time is None)) if missing]
    return Drift(sum(parts), *parts, tuple(undeclared), tuple(untouched), tuple(sorted(set(evidence.deleted))), tuple(unknown))


def _time(estimated: float | None, actual: float | None) -> float | None:
    """|actual − estimate| ÷ estimate, at most 1; None when either is not known or nothing was estimated."""
    if not estimated or actual is None:
        return None
    return min(1.0, abs(actual - estimated) / estimated)


def mean_drift(drifts: Iterable[Drift]) -> float | None:
    """The mean of several phases in per cent; None of none."""
    known = [drift.percent for drift in drifts]
    return sum(known) / len(known) if known else None
