"""The words of a review: findings, severity, verdict, and the facts that they are judged by (docs/review.md)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from batches.core.review.drift import Drift


class ReviewTiming(StrEnum):
    """What a review judges: the PRPs before execution, or the resulting code."""

    BEFORE = "before"
    AFTER = "after"


class Severity(StrEnum):
    CRITICAL = "critical"  # rejected
    MAJOR = "major"  # needs revision
    MINOR = "minor"  # approved with warnings
    INFO = "info"


class Verdict(StrEnum):
    APPROVED = "approved"
    WARNINGS = "approved_with_warnings"
    REVISION = "needs_revision"
    REJECTED = "rejected"


PASSING_VERDICTS = frozenset({Verdict.APPROVED, Verdict.WARNINGS})
_VERDICT_OF = {Severity.CRITICAL: Verdict.REJECTED, Severity.MAJOR: Verdict.REVISION, Severity.MINOR: Verdict.WARNINGS}


@dataclass(frozen=True, slots=True)
class ReviewFinding:
    """A finding of a review. `place` says where (part of a PRP, file, batch), `suggestion` what to do about it."""

    severity: Severity
    category: str
    place: str
    message: str
    suggestion: str

    def to_json(self) -> dict[str, str]:
        return {
            "severity": str(self.severity),
            "category": self.category,
            "place": self.place,
            "message": self.message,
            "suggestion": self.suggestion,
        }


@dataclass(frozen=True, slots=True)
class GateFact:
    """A gate of a phase: its text, whether a rule can check it, and its result ("" before the first check)."""

    text: str
    bound: bool
    status: str = ""


@dataclass(frozen=True, slots=True)
class PhaseFacts:
    """The parts of a PRP that the rules look at."""

    key: str
    prp_id: str
    title: str
    goal: str
    complexity: str
    hours: float | None
    steps: tuple[str, ...]
    gates: tuple[GateFact, ...]
    files: tuple[str, ...]
    dependencies: tuple[str, ...]
    stage: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a phase. `state` is its last task's ("" if never executed); lines are None without a diff."""

    state: str
    message: str = ""
    drift: Drift | None = None
    lines_added: int | None = None
    lines_removed: int | None = None
    gates: tuple[GateFact, ...] = ()


@dataclass(frozen=True, slots=True)
class ConflictFacts:
    file: str
    phases: tuple[str, ...]
    kind: str
    decided: bool


def judge(findings: Iterable[ReviewFinding]) -> Verdict:
    """The verdict by the worst finding: critical: rejected; major: needs revision; minor: approved with warnings."""
    present = {finding.severity for finding in findings}
    return next((verdict for severity, verdict in _VERDICT_OF.items() if severity in present), Verdict.APPROVED)


def capped(findings: Sequence[ReviewFinding], limit: int = 100) -> tuple[ReviewFinding, ...]:
    """The worst findings, at most `limit`; the last one says how many were left out."""
    if len(findings) <= limit:
        return tuple(findings)
    order = list(Severity)
    kept = sorted(findings, key=lambda finding: order.index(finding.severity))[: limit - 1]
    text = f"{len(findings) - len(kept)} more findings are not listed."
    return (*kept, ReviewFinding(Severity.INFO, "structure", findings[0].place, text, "Fix those that are listed, then review again."))
