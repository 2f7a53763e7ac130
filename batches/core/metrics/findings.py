"""What stands out of a history, by the rules of the framework, with the number behind it and the remedy (docs/metrics.md).

A share stands out when even its lower bound (Wilson's, 99.5 % one-sided) is above what is usual, and only from a least
number of attempts or runs on: a history in which there is nothing but chance has no findings. Two shares are compared by
their difference in standard errors (RARE of them: less than once in 4,000 looks by chance).
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from batches.core.engine.states import FailureReason
from batches.core.percentile import percentile

SURE = 2.576  # standard errors: 99.5 % one-sided
RARE = 3.5
LEAST_ATTEMPTS, LEAST_COUNT = 20, 3  # below these no share of attempts is spoken of
LEAST_PHASES = 8  # runs of a kind of phase, or of a complexity
LEAST_RUNS = 8
SLOW_TIMES, OFF_TIMES = 2.0, 1.5  # as long as others; off the usual ratio of actual to estimate
BANDS = (1, 2, 4, 8)  # estimated hours above which a phase is called long


class RemedyCode(StrEnum):
    """What a person can do about a finding with one click.

    The first group is applied by `remedies.apply_remedy`; the second is a page to go to.
    """

    RAISE_PHASE_LIMIT = "raise_phase_limit"  # project, minutes
    RAISE_SILENCE_LIMIT = "raise_silence_limit"  # project, seconds
    SHARE_CONTEXT = "share_context"  # project
    RETRY_MODEL = "retry_model"  # project, model
    FEWER_AT_ONCE = "fewer_at_once"  # project, phases
    MORE_AT_ONCE = "more_at_once"  # project, phases
    FAIL_UNDECLARED = "fail_undeclared"  # project

    REPLAN = "replan"  # batch: its plan's editor
    SPLIT_PHASE = "split_phase"  # batch, phase: the plan's editor at that phase
    CHECK_HEALTH = "check_health"  # the health page
    CHECK_GATES = "check_gates"  # batch: its gate ledger
    OPEN_SETTINGS = "open_settings"  # project (in params): its page


APPLIED = frozenset(list(RemedyCode)[:7])


@dataclass(frozen=True, slots=True)
class Remedy:
    """`label` is the button's; `project` is the slug that it changes, "" for a page to go to."""

    code: RemedyCode
    label: str
    project: str = ""
    params: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def is_applied(self) -> bool:
        """Whether it changes a setting (a POST); otherwise it is a link."""
        return self.code in APPLIED


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that stands out. `count` of `sample`; `share` is their quotient or the figure that the rule looks at.

    `bound` is what the share is at least (or the ratio, with 99 % confidence or better); `confidence` is a sentence such
    as "3 of 4 timeouts in phases over 4 h". `batches` are numbers of batches to look at.
    """

    code: str
    title: str
    evidence: str
    confidence: str
    count: int
    sample: int
    share: float
    bound: float
    project: str  # slug; "" when it is about all that was looked at
    remedy: Remedy
    batches: tuple[int, ...] = ()


# What the rules look at


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """What of a project's settings a remedy would change."""

    slug: str
    name: str
    phase_limit_seconds: float
    silence_seconds: float
    max_parallel: int
    retry_model: str
    shared_context: bool
    undeclared_fail: bool


@dataclass(frozen=True, slots=True)
class AttemptCount:
    """So many attempts of a project with this outcome and reason, in the later half of the history or not, whose phases are estimated
    at more than BANDS[band - 1] hours (band 0: at less than all of these, or not at all). `batch` is the latest of them.

    `own_limit`, `own_silence`: they were under the time limit, the silence limit that the project has now."""

    project: str
    outcome: str
    reason: str
    late: bool
    band: int
    count: int
    flaky: int  # with a flaky gate
    known_files: int  # whose changed files are known
    undeclared: int  # of these, with a change that the plan does not name
    batch: int
    own_limit: bool = True
    own_silence: bool = True

    def under_limit_of_today(self, reason: str) -> bool:
        """Whether a failure for `reason` would say something of the settings as they are now."""
        if reason == FailureReason.PHASE_TIME_LIMIT:
            return self.own_limit
        return self.own_silence if reason == FailureReason.TIMEOUT else True


@dataclass(frozen=True, slots=True)
class KindSample:
    """Attempts at phases of one kind: seconds and, where there are estimates, seconds for an estimated hour of those that succeeded."""

    kind: str
    seconds: Sequence[float]
    per_hour: Sequence[float]
    attempts: int
    failed: int
    batch: int
    key: str


@dataclass(frozen=True, slots=True)
class RatioSample:
    """Actual ÷ estimate of the attempts of one complexity of a project that succeeded."""

    project: str
    complexity: str
    ratios: Sequence[float]
    batch: int


@dataclass(frozen=True, slots=True)
class RunSample:
    project: str
    batch: int
    seconds: float
    slot_seconds: float
    rate_limit_seconds: float
    tokens_per_phase: float | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """`middle` divides the attempts into halves of about the same number; `baseline` is tokens for a finished phase."""

    projects: Mapping[str, ProjectSettings]
    attempts: Sequence[AttemptCount] = ()
    kinds: Sequence[KindSample] = ()
    ratios: Sequence[RatioSample] = ()
    runs: Sequence[RunSample] = ()
    middle: date | None = None
    baseline: float | None = None


def at_least(count: int, sample: int, errors: float = SURE) -> float:
    """Wilson's lower bound of count ÷ sample; 0 of no sample."""
    if not sample:
        return 0.0
    share, square = count / sample, errors * errors
    middle = share + square / (2 * sample)
    width = errors * math.sqrt(share * (1 - share) / sample + square / (4 * sample * sample))
    return max(0.0, (middle - width) / (1 + square / sample))


def difference(count: int, sample: int, other_count: int, other_sample: int) -> float:
    """By how many standard errors count ÷ sample is above the other share; 0 when either is of nothing."""
    if not sample or not other_sample:
        return 0.0
    pooled = (count + other_count) / (sample + other_sample)
    error = math.sqrt(pooled * (1 - pooled) * (1 / sample + 1 / other_sample))
    return (count / sample - other_count / other_sample) / error if error else 0.0


def find(evidence: Evidence) -> tuple[Finding, ...]:
    """All findings, in the order of the rules. One rule gives at most one finding for a project or a kind of phase."""
    return tuple(finding for rule in RULES for finding in rule(evidence))


# The rules


def _timeouts(evidence: Evidence) -> Iterator[Finding]:
    """Timeouts common, of the attempts under the limits of today -> raise the limit."""
    for project, all_tried in _by_project(evidence):
        settings = evidence.projects[project]
        minutes, seconds = round(settings.phase_limit_seconds / 60), settings.silence_seconds
        cases = (
            (FailureReason.PHASE_TIME_LIMIT, "Phases run into the time limit", f"ran into the limit of {minutes} min for a phase"),
            (FailureReason.TIMEOUT, "Phases fall silent", f"gave no sign of life for {seconds:g} s"),
        )
        for reason, title, what in cases:
            tried = [one for one in all_tried if one.under_limit_of_today(reason)]
            hit = [one for one in tried if one.reason == reason]
            found = _common(hit, tried, 0.01)
            if found:
                where = _long_ones(hit, tried)
                yield _finding(
                    f"{reason}_common", f"{title} in {settings.name}", what, found, project, _limit(reason, settings), hit, where
                )


def _limit(reason: str, settings: ProjectSettings) -> Remedy:
    if reason == FailureReason.PHASE_TIME_LIMIT:
        minutes = -(-round(settings.phase_limit_seconds / 60) * 3 // 30) * 15  # half as much again, in quarters of an hour
        return Remedy(RemedyCode.RAISE_PHASE_LIMIT, f"Raise the limit to {minutes} min", settings.slug, {"minutes": minutes})
    seconds = int(settings.silence_seconds * 2)
    return Remedy(RemedyCode.RAISE_SILENCE_LIMIT, f"Raise the silence limit to {seconds} s", settings.slug, {"seconds": seconds})


def _long_ones(hit: Sequence[AttemptCount], tried: Sequence[AttemptCount]) -> str:
    """ "3 of 4 in phases over 4 h": the most hours above which most of them lie, and by far not as many others; "" without such."""
    all_hit, all_tried = _total(hit), _total(tried)
    for band in range(len(BANDS), 0, -1):
        long_hit, long_tried = (_total(one for one in counts if one.band >= band) for counts in (hit, tried))
        if 2 * long_hit > all_hit and long_hit * all_tried > 1.5 * long_tried * all_hit:
            return f"{long_hit} of {all_hit} in phases over {BANDS[band - 1]} h"
    return ""


def _conflicts(evidence: Evidence) -> Iterator[Finding]:
    """Conflicts common -> plan again."""
    for project, tried in _by_project(evidence):
        hit = [one for one in tried if one.reason == FailureReason.MERGE_CONFLICT]
        found = _common(hit, tried, 0.02)
        if found:
            title = f"Phases collide in {evidence.projects[project].name}"
            remedy = Remedy(RemedyCode.REPLAN, "Plan again, with what collides in one phase", params={"batch": _latest(hit)})
            yield _finding("conflicts_common", title, "could not be merged", found, project, remedy, hit)


def _flaky(evidence: Evidence) -> Iterator[Finding]:
    for project, tried in _by_project(evidence):
        hit = [one for one in tried if one.flaky]
        count, sample = sum(one.flaky for one in hit), _total(tried)
        if count >= LEAST_COUNT and sample >= LEAST_ATTEMPTS and at_least(count, sample) >= 0.02:
            title = f"Gates are flaky in {evidence.projects[project].name}"
            remedy = Remedy(RemedyCode.CHECK_GATES, "Look at the gates", params={"batch": _latest(hit)})
            found = (count, sample, at_least(count, sample))
            yield _finding("flaky_gates", title, "passed a gate only when it was run again", found, project, remedy, hit)


def _undeclared(evidence: Evidence) -> Iterator[Finding]:
    for project, tried in _by_project(evidence):
        settings = evidence.projects[project]
        hit = [one for one in tried if one.undeclared]
        count, sample = sum(one.undeclared for one in hit), sum(one.known_files for one in tried)
        if not settings.undeclared_fail and count >= LEAST_COUNT and sample >= LEAST_ATTEMPTS and at_least(count, sample) >= 0.15:
            title = f"Files are changed that the plans of {settings.name} do not name"
            remedy = Remedy(RemedyCode.FAIL_UNDECLARED, "Refuse such changes", project)
            found = (count, sample, at_least(count, sample))
            yield _finding("undeclared_common", title, "changed a file that its plan does not name", found, project, remedy, hit)


def _rising(evidence: Evidence) -> Iterator[Finding]:
    """A kind of error that is more common in the later half than in the earlier."""
    all_tried = [one for one in evidence.attempts if one.outcome not in ("cancelled", "repaired")]
    for reason in sorted({one.reason for one in all_tried if one.reason} - {FailureReason.CANCELLED}):
        tried = [one for one in all_tried if one.under_limit_of_today(reason)]
        late, early = _halves(tried)
        hit = [one for one in tried if one.reason == reason]
        now, before = _halves(hit)
        errors = difference(now, late, before, early)
        if min(late, early) < LEAST_ATTEMPTS or now < 5 or errors < RARE or now * early < 1.5 * before * late:
            continue
        since = f"since {evidence.middle.isoformat()}" if evidence.middle else "in the later half"
        newest = [one for one in hit if one.late]
        chance = 0.5 * math.erfc(errors / math.sqrt(2))
        yield Finding(
            code=f"{reason}_rising",
            title=f"{_words(reason)} becomes more common",
            evidence=f"{now} of {late} attempts {since} ({now / late:.0%}), {before} of {early} before ({before / early:.0%}).",
            confidence=f"By chance less than once in {_rounded(1 / chance if chance > 1e-9 else 1e9)} looks.",
            count=now,
            sample=late,
            share=now / late,
            bound=at_least(now, late),
            project="",
            remedy=_remedy_of(reason, newest, evidence.projects),
            batches=_batches(newest),
        )


def _remedy_of(reason: str, hit: Sequence[AttemptCount], projects: Mapping[str, ProjectSettings]) -> Remedy:
    """For an error that becomes more common; a setting is that of the project which has most of them."""
    counts: dict[str, int] = defaultdict(int)
    for one in hit:
        counts[one.project] += one.count
    settings = projects[max(sorted(counts), key=lambda name: counts[name])]
    if reason in (FailureReason.PHASE_TIME_LIMIT, FailureReason.TIMEOUT):
        return _limit(reason, settings)
    if reason == FailureReason.RATE_LIMITED and settings.max_parallel > 1:
        return _fewer(settings)
    if reason == FailureReason.MERGE_CONFLICT:
        return Remedy(RemedyCode.REPLAN, "Plan again, with what collides in one phase", params={"batch": _latest(hit)})
    if reason in (FailureReason.GATE_FAILED, FailureReason.AGENT_ERROR, FailureReason.BAD_RESULT) and settings.retry_model != "opus":
        stronger = "opus" if settings.retry_model == "sonnet" else "sonnet"
        return Remedy(RemedyCode.RETRY_MODEL, f"Retry with {stronger} in {settings.name}", settings.slug, {"model": stronger})
    if reason in (FailureReason.BUDGET, FailureReason.NEEDS_AGENT):
        return Remedy(RemedyCode.OPEN_SETTINGS, f"Settings of {settings.name}", params={"project": settings.slug})
    return Remedy(RemedyCode.CHECK_HEALTH, "Look at the health of the installation")


def _fewer(settings: ProjectSettings) -> Remedy:
    phases = max(1, settings.max_parallel // 2)
    return Remedy(RemedyCode.FEWER_AT_ONCE, f"Run {phases} at once instead of {settings.max_parallel}", settings.slug, {"phases": phases})


def _slow_kinds(evidence: Evidence) -> Iterator[Finding]:
    """One kind of phase is slow -> split it: slow for its estimate, if it has one, and longer than most."""
    seconds = sorted(value for kind in evidence.kinds for value in kind.seconds)
    estimated = sum(len(kind.per_hour) for kind in evidence.kinds) >= 0.9 * len(seconds)
    usual = percentile(seconds, 0.5) or 0.0
    values = {kind.kind: kind.per_hour if estimated else kind.seconds for kind in evidence.kinds}
    everything = sorted(value for each in values.values() for value in each)
    for kind in evidence.kinds:
        own = sorted(values[kind.kind])
        if len(own) < LEAST_PHASES or len(everything) - len(own) < 3 * LEAST_PHASES or (percentile(kind.seconds, 0.5) or 0.0) < usual:
            continue
        middle, high = percentile_of_others(everything, own, 0.5), percentile_of_others(everything, own, 0.9)
        times = (percentile(own, 0.5) or 0.0) / middle if middle else 0.0
        count = len(own) - bisect_right(own, high)
        if times >= SLOW_TIMES and at_least(count, len(own)) >= 0.3:
            for_its = " for its estimate" if estimated else ""
            yield Finding(
                code="slow_kind",
                title=f"Phases “{kind.kind}” are slow",
                evidence=f"They take {times:.1f} times as long as others{for_its}, over {len(own)} runs.",
                confidence=f"{count} of {len(own)} took longer than nine of ten others.",
                count=count,
                sample=len(own),
                share=times,
                bound=at_least(count, len(own)),
                project="",
                remedy=Remedy(RemedyCode.SPLIT_PHASE, "Split the phase", params={"batch": kind.batch, "phase": kind.key}),
                batches=(kind.batch,),
            )


def percentile_of_others(values: Sequence[float], own: Sequence[float], share: float) -> float:
    """As metrics.percentile, of `values` without `own`, which are some of them; both sorted. Without making the list of the others."""
    place = share * (len(values) - len(own) - 1)
    low = math.floor(place)
    first = _nth_of_others(values, own, low)
    return first if place == low else first + (_nth_of_others(values, own, low + 1) - first) * (place - low)


def _nth_of_others(values: Sequence[float], own: Sequence[float], number: int) -> float:
    """The smallest value up to which more than `number` of the others lie."""
    low, high = number, len(values) - 1
    while low < high:
        middle = (low + high) // 2
        if bisect_right(values, values[middle]) - bisect_right(own, values[middle]) > number:
            high = middle
        else:
            low = middle + 1
    return values[low]


def _failing_kinds(evidence: Evidence) -> Iterator[Finding]:
    """Where most errors occur: kinds of phases that fail more often than the others."""
    attempts, failed = sum(kind.attempts for kind in evidence.kinds), sum(kind.failed for kind in evidence.kinds)
    for kind in evidence.kinds:
        others, others_failed = attempts - kind.attempts, failed - kind.failed
        errors = difference(kind.failed, kind.attempts, others_failed, others)
        twice = kind.failed * others >= 2 * others_failed * kind.attempts
        if kind.attempts >= LEAST_PHASES and others >= LEAST_ATTEMPTS and kind.failed >= 5 and errors >= RARE and twice:
            share, usual = kind.failed / kind.attempts, others_failed / others
            yield Finding(
                code="failing_kind",
                title=f"Phases “{kind.kind}” often fail",
                evidence=f"{kind.failed} of {kind.attempts} attempts failed ({share:.0%}), of others {usual:.0%}.",
                confidence=f"At least {at_least(kind.failed, kind.attempts):.0%} with 99 % confidence.",
                count=kind.failed,
                sample=kind.attempts,
                share=share,
                bound=at_least(kind.failed, kind.attempts),
                project="",
                remedy=Remedy(RemedyCode.SPLIT_PHASE, "Split the phase", params={"batch": kind.batch, "phase": kind.key}),
                batches=(kind.batch,),
            )


def _estimates(evidence: Evidence) -> Iterator[Finding]:
    """Estimates of one complexity in one project that are off by another factor than all others."""
    everything = sorted(ratio for sample in evidence.ratios for ratio in sample.ratios)
    for sample in evidence.ratios:
        own = sorted(sample.ratios)
        if len(own) < LEAST_PHASES or len(everything) < 2 * len(own):  # usual is what most do
            continue
        usual = percentile_of_others(everything, own, 0.5)
        times = (percentile(own, 0.5) or 0.0) / usual
        low = times >= OFF_TIMES
        count = sum(ratio > usual if low else ratio < usual for ratio in own)
        if (low or times <= 1 / OFF_TIMES) and at_least(count, len(own)) >= 0.55:
            settings = evidence.projects[sample.project]
            word = "low" if low else "high"
            ratio = percentile(own, 0.5) or 0.0
            yield Finding(
                code=f"estimates_{word}",
                title=f"Estimates of {sample.complexity or 'unknown'} complexity are too {word} in {settings.name}",
                evidence=f"Such phases take {ratio:.2g} times their estimate, others {usual:.2g} times.",
                confidence=f"{count} of {len(own)} took {'more' if low else 'less'} of their estimate than others do.",
                count=count,
                sample=len(own),
                share=times,
                bound=at_least(count, len(own)),
                project=sample.project,
                remedy=Remedy(RemedyCode.REPLAN, f"Multiply such hours by {times:.1f}", params={"batch": sample.batch}),
                batches=(sample.batch,),
            )


def _tokens(evidence: Evidence) -> Iterator[Finding]:
    """Tokens high -> shared context."""
    if not evidence.baseline:
        return
    for project, settings in evidence.projects.items():
        used = [run for run in evidence.runs if run.project == project and run.tokens_per_phase is not None]
        mean = sum(run.tokens_per_phase or 0.0 for run in used) / len(used) if used else 0.0
        count = sum((run.tokens_per_phase or 0.0) > evidence.baseline for run in used)
        if len(used) < LEAST_RUNS or mean < 1.15 * evidence.baseline or at_least(count, len(used)) < 0.5:
            continue
        remedy = Remedy(RemedyCode.OPEN_SETTINGS, "Choose a smaller model", params={"project": project})
        if not settings.shared_context:
            remedy = Remedy(RemedyCode.SHARE_CONTEXT, "Turn the shared context on", project)
        yield Finding(
            code="tokens_high",
            title=f"Phases of {settings.name} take more tokens than at first",
            evidence=f"{mean:,.0f} tokens for a finished phase, {evidence.baseline:,.0f} in the first batches.",
            confidence=f"{count} of {len(used)} runs are above that.",
            count=count,
            sample=len(used),
            share=mean / evidence.baseline,
            bound=at_least(count, len(used)),
            project=project,
            remedy=remedy,
            batches=_newest(run.batch for run in used),
        )


def _waits(evidence: Evidence) -> Iterator[Finding]:
    """Runs that spend much of their time waiting for a rate limit, or for a free place."""
    for project, settings in evidence.projects.items():
        runs = [run for run in evidence.runs if run.project == project and run.seconds > 0]
        more = min(256, settings.max_parallel * 2)
        wider = Remedy(RemedyCode.MORE_AT_ONCE, f"Run {more} at once instead of {settings.max_parallel}", project, {"phases": more})
        for code, title, share, usual, waited, remedy in (
            ("rate_limit_waits", "wait for rate limits", 0.10, 0.2, [run.rate_limit_seconds for run in runs], _fewer(settings)),
            ("slot_waits", "wait for a free place", 0.25, 0.3, [run.slot_seconds for run in runs], wider),
        ):
            hit = [run for run, seconds in zip(runs, waited, strict=True) if seconds > share * run.seconds]
            if len(hit) < LEAST_COUNT or len(runs) < LEAST_RUNS or at_least(len(hit), len(runs)) < usual:
                continue
            yield Finding(
                code=code,
                title=f"Runs of {settings.name} {title}",
                evidence=f"{len(hit)} of {len(runs)} runs spent more than {share:.0%} of their time so.",
                confidence=f"At least {at_least(len(hit), len(runs)):.0%} of runs with 99 % confidence.",
                count=len(hit),
                sample=len(runs),
                share=len(hit) / len(runs),
                bound=at_least(len(hit), len(runs)),
                project=project,
                remedy=remedy,
                batches=_newest(run.batch for run in hit),
            )


RULES: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    *(_timeouts, _rising, _conflicts, _slow_kinds, _failing_kinds, _estimates, _tokens, _waits, _flaky, _undeclared),
)


# Words and counts


def _by_project(evidence: Evidence) -> list[tuple[str, list[AttemptCount]]]:
    """The attempts that came to something: not those put off or cancelled."""
    found: dict[str, list[AttemptCount]] = {name: [] for name in evidence.projects}
    for one in evidence.attempts:
        if one.outcome in ("succeeded", "failed"):
            found[one.project].append(one)
    return list(found.items())


def _total(counts: Iterable[AttemptCount]) -> int:
    return sum(one.count for one in counts)


def _halves(counts: Sequence[AttemptCount]) -> tuple[int, int]:
    """(in the later half, in the earlier)"""
    return _total(one for one in counts if one.late), _total(one for one in counts if not one.late)


def _common(hit: Sequence[AttemptCount], tried: Sequence[AttemptCount], usual: float) -> tuple[int, int, float] | None:
    """(count, sample, lower bound) when the share is above what is usual even at its lower bound."""
    count, sample = _total(hit), _total(tried)
    bound = at_least(count, sample)
    return (count, sample, bound) if count >= LEAST_COUNT and sample >= LEAST_ATTEMPTS and bound >= usual else None


def _finding(
    code: str,
    title: str,
    what: str,
    found: tuple[int, int, float],
    project: str,
    remedy: Remedy,
    hit: Sequence[AttemptCount],
    where: str = "",
) -> Finding:
    count, sample, bound = found
    return Finding(
        code=code,
        title=title,
        evidence=f"{count} of {sample} attempts ({count / sample:.0%}) {what}.",
        confidence=f"{where + '; at' if where else 'At'} least {bound:.0%} with 99 % confidence.",
        count=count,
        sample=sample,
        share=count / sample,
        bound=bound,
        project=project,
        remedy=remedy,
        batches=_batches(hit),
    )


def _latest(hit: Iterable[AttemptCount]) -> int:
    return max(one.batch for one in hit)


def _batches(hit: Iterable[AttemptCount]) -> tuple[int, ...]:
    return _newest(one.batch for one in hit)


def _newest(batches: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(batches), reverse=True)[:5])


def _words(reason: str) -> str:
    return f"The failure “{reason.replace('_', ' ')}”"


def _rounded(number: float) -> str:
    """A large number with one digit that counts."""
    size = 10 ** int(math.log10(number))
    return f"{int(number / size) * size:,.0f}"
