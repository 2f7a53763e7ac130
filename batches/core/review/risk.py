"""How risky a phase is to carry out: a score of 0 to 100 from what its work order says. Pure (docs/review.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from batches.core.review.types import PhaseFacts

COMPLEXITY_POINTS: Mapping[str, int] = {"low": 1, "medium": 3, "high": 5}
USUAL_HOURS: Mapping[str, tuple[float, float]] = {"low": (0, 4), "medium": (2, 8), "high": (6, 16)}
HIGHEST_POINTS = 5.95  # the largest weighted sum: 0.25·10 + 0.25·5 + 0.20·5 + 0.15·5 + 0.15·3
LOW_RISK, MEDIUM_RISK = 15.0, 40.0
FEWEST_WORDS, MOST_WORDS = 3, 100  # a step with fewer or more words is vague
VAGUE_STEPS = 3  # with so many vague steps, the steps as a whole are a risk
FEWEST_GATES = 3
HOURS_FOR_A_STEP = 0.25  # a timeline with fewer hours per step is aggressive


class RiskBand(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Risk:
    """The score, 0 to 100, and the points behind it, before weighting."""

    score: float
    complexity: int
    gates: int
    steps: int
    dependencies: int
    time: int

    @property
    def band(self) -> RiskBand:
        """Up to 15 low, up to 40 medium, above high."""
        return RiskBand.LOW if self.score <= LOW_RISK else RiskBand.MEDIUM if self.score <= MEDIUM_RISK else RiskBand.HIGH

    @property
    def shown(self) -> int:
        """The score as pages show it: rounded to a whole number, halves up."""
        return int(self.score + 0.5)


def is_vague(step: str) -> bool:
    """Whether a step is too short or too long to be carried out as written."""
    return not FEWEST_WORDS <= len(step.split()) <= MOST_WORDS


def is_unusual(complexity: str, hours: float | None) -> bool:
    """Whether the hours are unusual for the complexity."""
    low, high = USUAL_HOURS.get(complexity, (0.0, float("inf")))
    return hours is not None and not low <= hours <= high


def is_pressed(hours: float | None, steps: int) -> bool:
    """Whether the timeline is aggressive: less than a quarter of an hour per step."""
    return hours is not None and hours < HOURS_FOR_A_STEP * steps


def score_risk(complexity: str, hours: float | None, gates: int, dependencies: int, steps: Sequence[str]) -> Risk:
    """100 × (0.25·complexity + 0.25·gates + 0.20·steps + 0.15·dependencies + 0.15·time) ÷ 5.95 (docs/review.md).

    An unknown complexity counts as medium.
    """
    complexity_points = COMPLEXITY_POINTS.get(complexity, COMPLEXITY_POINTS["medium"]) + (5 if is_unusual(complexity, hours) else 0)
    gate_points = 5 if gates < FEWEST_GATES else 2 if gates <= 4 else 0
    step_points = 5 if sum(is_vague(step) for step in steps) >= VAGUE_STEPS else 0
    dependency_points = 0 if not dependencies else 2 if dependencies <= 2 else 5
    time_points = 3 if is_pressed(hours, len(steps)) else 0
    weighted = 0.25 * complexity_points + 0.25 * gate_points + 0.20 * step_points + 0.15 * dependency_points + 0.15 * time_points
    return Risk(100 * weighted / HIGHEST_POINTS, complexity_points, gate_points, step_points, dependency_points, time_points)


def risk_of(phase: PhaseFacts) -> Risk:
    """The risk of carrying out this PRP."""
    return score_risk(phase.complexity, phase.hours, len(phase.gates), len(phase.dependencies), phase.steps)
