"""A history in a few sentences: how much ended, what changed against the period before, and where failures come from.

Each sentence says what the figures say: it is made of the same values. A change is told from LEAST_CHANGE on, and only where
both periods have LEAST_RUNS runs: two runs are no trend.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from batches.core.metrics.types import Headline, History
from batches.core.metrics.values import in_unit, shown
from batches.core.text import words

LEAST_CHANGE = 0.05
LEAST_RUNS = 3
FEW_RUNS = 5  # below so many, figures over time say less than the runs themselves
CHANGES = (("seconds_median", "took", "less time", "more time"), ("cost_per_batch", "cost", "less", "more"))


@dataclass(frozen=True, slots=True)
class Sentence:
    """`section` is the part of the page with its figures; `state` is "succeeded" for better, "failed" for worse."""

    text: str
    section: str = ""
    state: str = ""


def summary(history: History) -> tuple[Sentence, ...]:
    """From one to five sentences, the most important first. Empty where nothing has ended."""
    return tuple(_sentences(history)) if history.runs or history.attempts else ()


def _sentences(history: History) -> Iterator[Sentence]:
    share = history.headline("success_share")
    took = history.headline("seconds_median")
    if history.runs and share.value is not None:
        median = f", with a median of {words.duration(took.value)}" if took.value is not None else ""
        good = round(share.value * history.runs)
        text = f"{words.counted(history.runs, 'batch run')} ended: {good:,} succeeded ({shown(share.value, 'share')}){median}."
        yield Sentence(text, "time")
    for code, verb, less, more in CHANGES:
        one = history.headline(code)
        if _is_told(one, history.runs):
            change = one.change or 0.0
            amount = f"{shown(abs(change), 'share')} {less if change < 0 else more}"
            was = f"{in_unit(one.value, one.unit)}, was {in_unit(one.before, one.unit)}"
            text = f"A batch {verb} {amount} than in the period before ({was})."
            yield Sentence(text, "time" if code == "seconds_median" else "tokens", "succeeded" if change < 0 else "failed")
    yield from _failures(history)
    if history.findings:
        first = history.findings[0]
        yield Sentence(f"What stands out most: {first.title[:1].lower()}{first.title[1:].rstrip('.')}.")


def _is_told(one: Headline, runs: int) -> bool:
    """Whether both periods have a value, enough runs are seen, and the two differ by more than nothing."""
    return one.change is not None and runs >= LEAST_RUNS and abs(one.change) >= LEAST_CHANGE


def _failures(history: History) -> Iterator[Sentence]:
    failed = sum(one.count for one in history.errors)
    if not failed:
        if history.attempts:
            yield Sentence(f"None of {words.counted(history.attempts, 'attempt')} failed.", "errors", "succeeded")
        return
    most = history.errors[0]
    name = most.reason.replace("_", " ")
    text = f"{failed:,} of {words.counted(history.attempts, 'attempt')} failed"
    text += f", all with “{name}”" if most.count == failed else f", {most.count:,} of them with “{name}”"
    worst = max(history.phases, key=lambda one: one.failed, default=None)
    if worst is not None and worst.failed > 1 and worst.failed * 4 >= failed:
        text += f"; {worst.failed:,} at “{worst.kind}”"
    yield Sentence(f"{text}.", "errors")
