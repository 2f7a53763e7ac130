"""Drift: how far the work differs from its plan, 0 to 100 per cent (docs/review.md), with the files that differ.

Files weigh 40 per cent; unexpected files, steps not completed and time weigh 20 each. A part without data counts as 0
and is listed in `unknown`, so that "no drift" and "no data" look different.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from batches.core.plans.conflicts import covering_entries

FILES_WEIGHT, UNEXPECTED_WEIGHT, STEPS_WEIGHT, TIME_WEIGHT = 40.0, 20.0, 20.0, 20.0
EACH_UNEXPECTED = 0.25  # of the weight, for each unexpected file


class DriftBand(StrEnum):
    EXCELLENT = "excellent"
    GOOD = "good"
    ACCEPTABLE = "acceptable"
    CONCERNING = "concerning"
    CRITICAL = "critical"


BANDS = ((5.0, DriftBand.EXCELLENT), (15.0, DriftBand.GOOD), (30.0, DriftBand.ACCEPTABLE), (50.0, DriftBand.CONCERNING))


@dataclass(frozen=True, slots=True)
class DriftEvidence:
    """What was planned and what was done. Times are hours, None when unknown."""

    planned: tuple[str, ...]  # files, directories and globs that the plan declares
    changed: tuple[str, ...]  # files created, modified or deleted
    deleted: tuple[str, ...] = ()
    steps: int = 0
    steps_completed: int = 0
    estimated_hours: float | None = None
    actual_hours: float | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """The drift in per cent, its four parts in percentage points, and the files that differ from the plan."""

    percent: float
    files: float
    unexpected: float
    steps: float
    time: float
    undeclared: tuple[str, ...]
    untouched: tuple[str, ...]  # declared, but not changed
    deleted: tuple[str, ...]
    unknown: tuple[str, ...]  # parts without data: "files", "steps", "time"

    @property
    def band(self) -> DriftBand:
        return band_of(self.percent)

    @property
    def shown(self) -> int:
        """The per cent as pages show it: rounded to a whole number, halves up."""
        return int(self.percent + 0.5)


def band_of(percent: float) -> DriftBand:
    """Below 5 is excellent, below 15 good, below 30 acceptable, below 50 concerning, the rest critical."""
    return next((band for limit, band in BANDS if percent < limit), DriftBand.CRITICAL)


def measure_drift(evidence: DriftEvidence) -> Drift:
    """The drift of one phase. A changed file is expected when a declared file, directory or glob covers it."""
    planned, changed = frozenset(evidence.planned), frozenset(evidence.changed)
    covering = covering_entries(sorted(planned | changed))
    covers = {path: ({path} & planned) | (planned & set(covering.get(path, ()))) for path in changed}
    undeclared = sorted(path for path, entries in covers.items() if not entries)
    touched = {entry for entries in covers.values() for entry in entries}
    untouched = sorted(planned - touched)
    file_count = len(planned) + len(undeclared)
    files = (len(untouched) + len(undeclared)) / file_count if file_count else 0.0
    steps = 1 - min(evidence.steps_completed, evidence.steps) / evidence.steps if evidence.steps else 0.0
    time = _time_deviation(evidence.estimated_hours, evidence.actual_hours)
    parts = (
        FILES_WEIGHT * files,
        UNEXPECTED_WEIGHT * min(1.0, EACH_UNEXPECTED * len(undeclared)),
        STEPS_WEIGHT * steps,
        TIME_WEIGHT * (time or 0.0),
    )
    unknown = [name for name, missing in (("files", not file_count), ("steps", not evidence.steps), ("time", time is None)) if missing]
    return Drift(sum(parts), *parts, tuple(undeclared), tuple(untouched), tuple(sorted(set(evidence.deleted))), tuple(unknown))


def _time_deviation(estimated: float | None, actual: float | None) -> float | None:
    """|actual − estimate| ÷ estimate, at most 1; None when either is unknown or the estimate is 0."""
    if not estimated or actual is None:
        return None
    return min(1.0, abs(actual - estimated) / estimated)


def mean_drift(drifts: Iterable[Drift]) -> float | None:
    """The mean drift of several phases in per cent; None without phases."""
    known = [drift.percent for drift in drifts]
    return sum(known) / len(known) if known else None
