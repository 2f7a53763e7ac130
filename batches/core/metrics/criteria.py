"""The success criteria of the framework as a checklist, computed each time it is shown (docs/metrics.md).

That a team is confident cannot be measured; it is left to the team.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from batches.core.text.words import counted

BATCHES_IN_A_ROW = 10
MEAN_SECONDS = 3 * 3600.0
TOKENS_BELOW = 0.40
BY_HAND_BELOW = 0.01


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """One ended run, as the criteria look at it; `by_hand` of its `phases` had a conflict that a person resolved.

    `baseline`: it is one of the runs that later ones are compared with.
    """

    day: date
    baseline: bool
    critical: bool
    seconds: float
    tokens: int | None
    phases: int
    by_hand: int


@dataclass(frozen=True, slots=True)
class Saving:
    """Tokens for a phase that succeeded: later runs against the first `baseline_runs` that used tokens."""

    baseline: float | None  # None: there are too few runs for one
    baseline_runs: int
    now: float | None
    now_runs: int
    cache_saved: float | None  # share of the input's cost, all roles and models

    @property
    def saved(self) -> float | None:
        """Share below the baseline; negative: above it."""
        return 1 - self.now / self.baseline if self.now is not None and self.baseline else None


@dataclass(frozen=True, slots=True)
class Criterion:
    """One line of the checklist. `unit` as for headlines; `met` is None while too little is known to say.

    `value` is to be at least (`at_least`) or below `target`. `since` is the day from which on it has been met without a
    break; `samples` what it rests on, named by `basis`.
    """

    code: str
    text: str
    unit: str
    value: float | None
    target: float
    at_least: bool
    met: bool | None
    since: date | None
    samples: int
    basis: str

    @property
    def rests_on(self) -> str:
        """What it was computed from: "1 run", "12 runs after the baseline"."""
        return counted(self.samples, self.basis.replace("runs", "run").replace("phases", "phase"), self.basis)


def success_criteria(runs: Sequence[RunOutcome], saving: Saving) -> tuple[Criterion, ...]:
    """The checklist over `runs`, oldest first; `saving` compares the runs after the baseline with it."""
    return (
        _in_a_row(runs),
        _duration(runs),
        _tokens(runs, saving),
        _by_hand(runs),
    )


def _in_a_row(runs: Sequence[RunOutcome]) -> Criterion:
    streak, since = 0, None
    for run in runs:
        streak = 0 if run.critical else streak + 1
        since = run.day if streak == BATCHES_IN_A_ROW else since
    met = streak >= BATCHES_IN_A_ROW
    known = met if met or any(run.critical for run in runs[-BATCHES_IN_A_ROW:]) else None
    return Criterion(
        code="no_critical_failure",
        text=f"{BATCHES_IN_A_ROW} batches in a row without a critical failure",
        unit="count",
        value=streak if runs else None,
        target=BATCHES_IN_A_ROW,
        at_least=True,
        met=known,
        since=since if met else None,
        samples=len(runs),
        basis="runs",
    )


def _duration(runs: Sequence[RunOutcome]) -> Criterion:
    value, since = _running(runs, lambda run: (run.seconds, 1), lambda mean: mean < MEAN_SECONDS)
    return Criterion(
        code="mean_duration",
        text="A batch takes less than 3 hours on average",
        unit="seconds",
        value=value,
        target=MEAN_SECONDS,
        at_least=False,
        met=None if value is None else since is not None,
        since=since,
        samples=len(runs),
        basis="runs",
    )


def _tokens(runs: Sequence[RunOutcome], saving: Saving) -> Criterion:
    since, wanted = None, (saving.baseline or 0.0) * (1 - TOKENS_BELOW)
    if saving.saved is not None:
        later = [run for run in runs if not run.baseline and run.tokens is not None and run.phases]
        _, since = _running(later, lambda run: (float(run.tokens or 0), run.phases), lambda mean: mean <= wanted)
    return Criterion(
        code="tokens_below_baseline",
        text="A finished phase takes 40 % fewer tokens than in the first 10 batches",
        unit="share",
        value=saving.saved,
        target=TOKENS_BELOW,
        at_least=True,
        met=None if saving.saved is None else since is not None,
        since=since,
        samples=saving.baseline_runs if saving.baseline is None else saving.now_runs,
        basis="runs of the baseline" if saving.baseline is None else "runs after the baseline",
    )


def _by_hand(runs: Sequence[RunOutcome]) -> Criterion:
    value, since = _running(runs, lambda run: (run.by_hand, run.phases), lambda share: share < BY_HAND_BELOW)
    return Criterion(
        code="resolved_by_hand",
        text="Less than 1 % of phases need a conflict resolved by hand",
        unit="share",
        value=value,
        target=BY_HAND_BELOW,
        at_least=False,
        met=None if value is None else since is not None,
        since=since,
        samples=sum(run.phases for run in runs),
        basis="phases",
    )


def _running(
    runs: Sequence[RunOutcome], parts: Callable[[RunOutcome], tuple[float, int]], good: Callable[[float], bool]
) -> tuple[float | None, date | None]:
    """(sum ÷ count over all runs, the day since which it has been good as of each run); None where nothing counts, or it is not good."""
    total, count, since = 0.0, 0, None
    for run in runs:
        amount, many = parts(run)
        total, count = total + amount, count + many
        if count:
            since = (since or run.day) if good(total / count) else None
    return (total / count if count else None), since
