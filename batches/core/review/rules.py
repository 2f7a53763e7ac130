"""Reviews by rule (docs/review.md): risk score, checks of a PRP, of a batch and of the outcome, verdicts.

The same values always give the same findings in the same order. Questions that need judgement are not answered here and
never count as passed; without a model the reviewer reports that nobody answered them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from batches.core.review.drift import Drift, DriftBand
from batches.core.text.words import counted

COMPLEXITY_POINTS: Mapping[str, int] = {"low": 1, "medium": 3, "high": 5}
USUAL_HOURS: Mapping[str, tuple[float, float]] = {"low": (0, 4), "medium": (2, 8), "high": (6, 16)}
HIGHEST_POINTS = 5.95  # the largest weighted sum: 0.25·10 + 0.25·5 + 0.20·5 + 0.15·5 + 0.15·3
LOW_RISK, MEDIUM_RISK = 15.0, 40.0
FEWEST_WORDS, MOST_WORDS = 3, 100  # a step with fewer or more words is vague
VAGUE_STEPS = 3  # with so many vague steps, the steps as a whole are a risk
FEWEST_GATES = 3
HOURS_FOR_A_STEP = 0.25  # a timeline with fewer hours per step is aggressive
LONGEST_CHAIN = 8  # phases that run one after the other
HOT_FILE = 4  # a file changed by so many phases is reported
LARGE_DIFF = 1000  # changed lines of one phase
TITLE_CHARACTERS = 80


class ReviewTiming(StrEnum):
    """What a review judges: the PRPs before execution, or the resulting code."""

    BEFORE = "before"
    AFTER = "after"


class RiskBand(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


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
    """The outcome of a phase. `state` is that of its last task ("" when never executed); lines are None until a diff is read."""

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


def judge(findings: Iterable[ReviewFinding]) -> Verdict:
    """The verdict for the worst finding: critical is rejected, major needs revision, minor is approved with warnings."""
    present = {finding.severity for finding in findings}
    return next((verdict for severity, verdict in _VERDICT_OF.items() if severity in present), Verdict.APPROVED)


def review_prp(phase: PhaseFacts) -> tuple[ReviewFinding, ...]:
    """The structural rules: what a PRP must say before its phase is executed."""
    findings = [*_about_goal(phase), *_about_steps(phase), *_about_gates(phase), *_about_size(phase)]
    if not phase.steps and not phase.gates:
        text = "There are no steps and no gates."
        advice = "Write the steps, and gates that say when the phase is done."
        findings.append(ReviewFinding(Severity.CRITICAL, "structure", phase.prp_id, text, advice))
    risk = risk_of(phase)
    if risk.band is RiskBand.HIGH:
        text = f"The risk score is {risk.shown} of 100, which is high."
        advice = "Split the phase, or give it more gates and clearer steps, until the score is 40 or less."
        findings.append(ReviewFinding(Severity.MINOR, "risk", phase.prp_id, text, advice))
    return tuple(findings)


def capped(findings: Sequence[ReviewFinding], limit: int = 100) -> tuple[ReviewFinding, ...]:
    """The worst findings, at most `limit`; the last one says how many were left out."""
    if len(findings) <= limit:
        return tuple(findings)
    order = list(Severity)
    kept = sorted(findings, key=lambda finding: order.index(finding.severity))[: limit - 1]
    text = f"{len(findings) - len(kept)} more findings are not listed."
    return (*kept, ReviewFinding(Severity.INFO, "structure", findings[0].place, text, "Fix those that are listed, then review again."))


def _about_goal(phase: PhaseFacts) -> Iterable[ReviewFinding]:
    words = len(phase.goal.split())
    place, advice = f"{phase.prp_id}, Problem", "Say in a sentence what is true when the phase is done."
    if not words:
        yield ReviewFinding(Severity.MAJOR, "goal", place, "There is no goal.", advice)
    elif words < FEWEST_WORDS:
        yield ReviewFinding(Severity.MINOR, "goal", place, f"The goal is {counted(words, 'word')} long.", advice)


def _about_steps(phase: PhaseFacts) -> Iterable[ReviewFinding]:
    if not phase.steps:
        advice = "List what to do, one action per step."
        yield ReviewFinding(Severity.MAJOR, "steps", f"{phase.prp_id}, Steps", "There are no steps.", advice)
    vague = 0
    for number, step in enumerate(phase.steps, start=1):
        if is_vague(step):
            vague += 1
            words = len(step.split())
            advice = "Name what is changed, and where." if words < FEWEST_WORDS else "Split it into steps of one action each."
            text = f"The step is vague: it has {counted(words, 'word')}."
            yield ReviewFinding(Severity.MINOR, "steps", f"{phase.prp_id}, Step {number}", text, advice)
    if vague >= VAGUE_STEPS:
        text = f"{vague} of {len(phase.steps)} steps are vague."
        advice = f"Bring the steps to {FEWEST_WORDS} to {MOST_WORDS} words each."
        yield ReviewFinding(Severity.MAJOR, "steps", f"{phase.prp_id}, Steps", text, advice)


def _about_gates(phase: PhaseFacts) -> Iterable[ReviewFinding]:
    place = f"{phase.prp_id}, Validation Gates"
    advice = "Add gates with a command: `pytest -q`, or (checked: COMMAND)."
    if not phase.gates:
        yield ReviewFinding(Severity.MAJOR, "gates", place, "There are no gates: only a failing step can fail this phase.", advice)
        return
    if len(phase.gates) < FEWEST_GATES:
        verb = "is" if len(phase.gates) == 1 else "are"
        text = f"There {verb} {counted(len(phase.gates), 'gate')}; fewer than {FEWEST_GATES} prove little."
        yield ReviewFinding(Severity.MINOR, "gates", place, text, advice)
    for number, gate in enumerate(phase.gates, start=1):
        if not gate.bound:
            text = f"No rule can check \u201c{gate.text}\u201d; it stays unverified until a person signs it off."
            how = "Say how to check it: (checked: COMMAND)."
            yield ReviewFinding(Severity.MINOR, "gates", f"{phase.prp_id}, Gate {number}", text, how)
    if not any(gate.bound for gate in phase.gates):
        yield ReviewFinding(Severity.MAJOR, "gates", place, "No rule can check any of the gates.", advice)


def _about_size(phase: PhaseFacts) -> Iterable[ReviewFinding]:
    if not phase.files:
        text = "No file is named, so conflicts with other phases cannot be predicted."
        yield ReviewFinding(Severity.MINOR, "files", f"{phase.prp_id}, Files", text, "Name the files that the phase creates or changes.")
    place = f"{phase.prp_id}, Estimated Hours"
    if phase.hours is None:
        yield ReviewFinding(Severity.MINOR, "hours", place, "There is no estimate.", "Give the hours.")
    elif is_unusual(phase.complexity, phase.hours):
        low, high = USUAL_HOURS[phase.complexity]
        text = f"{phase.hours:g} hours are unusual for {phase.complexity} complexity, which takes {low:g} to {high:g}."
        yield ReviewFinding(Severity.MINOR, "hours", place, text, "Correct the hours or the complexity, or split the phase.")
    if is_pressed(phase.hours, len(phase.steps)):
        text = f"{phase.hours:g} hours for {counted(len(phase.steps), 'step')} is an aggressive timeline."
        yield ReviewFinding(Severity.MINOR, "hours", place, text, f"Plan {HOURS_FOR_A_STEP * len(phase.steps):g} hours or more.")


def review_batch(phases: Sequence[PhaseFacts], conflicts: Sequence[ConflictFacts], chain: Sequence[str]) -> tuple[ReviewFinding, ...]:
    """The rules for a batch as a whole. `chain` is the longest chain of phases that wait for each other."""
    findings: list[ReviewFinding] = []
    for conflict in conflicts:
        if conflict.decided or conflict.kind == "ordered":
            continue
        same = conflict.kind == "same_stage"
        when = "at the same time" if same else "at the same time under dataflow scheduling"
        text = f"Phases {', '.join(conflict.phases)} change {conflict.file} {when}, and nobody has made a decision about it."
        advice = "Decide on the batch page: run them anyway, or one after the other."
        findings.append(ReviewFinding(Severity.MAJOR if same else Severity.MINOR, "conflicts", conflict.file, text, advice))
    findings += _about_stages(phases)
    if len(chain) > LONGEST_CHAIN:
        text = f"{len(chain)} phases wait for each other in one chain: {' → '.join(chain)}."
        advice = "Check whether each phase really needs the one before it."
        findings.append(ReviewFinding(Severity.MINOR, "dependencies", "batch", text, advice))
    findings += _about_hot_files(phases)
    findings += _about_names(phases)
    return tuple(findings)


def _about_stages(phases: Sequence[PhaseFacts]) -> Iterable[ReviewFinding]:
    if phases and not any(gate.bound for phase in phases for gate in phase.gates):
        advice = "Give at least the last phase a gate with a command, such as the tests."
        yield ReviewFinding(Severity.MAJOR, "gates", "batch", "No rule can check any gate of the batch.", advice)
        return
    for stage in sorted({phase.stage for phase in phases}):
        members = [phase for phase in phases if phase.stage == stage]
        if len(members) > 1 and not any(gate.bound for phase in members for gate in phase.gates):
            text = f"{len(members)} phases are merged in stage {stage} and no rule can check any of their gates."
            yield ReviewFinding(Severity.MINOR, "gates", f"stage {stage}", text, "Give one of them a gate that runs the tests.")


def _about_hot_files(phases: Sequence[PhaseFacts]) -> Iterable[ReviewFinding]:
    members: dict[str, list[str]] = {}
    for phase in phases:
        for file in dict.fromkeys(phase.files):
            members.setdefault(file, []).append(phase.key)
    for file, keys in members.items():
        if len(keys) >= HOT_FILE:
            text = f"{len(keys)} phases change this file: {', '.join(keys)}."
            yield ReviewFinding(Severity.MINOR, "files", file, text, "Split the file, or give the changes to one phase.")


def review_looks(looks: Iterable[tuple[str, str, bool, str]]) -> tuple[ReviewFinding, ...]:
    """Findings about what phases did to their own judges and to others' work: (place, what, declared, who accepted it or "")."""
    findings = []
    for place, text, declared, accepted_by in looks:
        if declared:
            advice = "Look at the change before you merge the batch."
            findings.append(ReviewFinding(Severity.INFO, "judges", place, f"{text}.", advice))
        elif accepted_by:
            findings.append(ReviewFinding(Severity.MINOR, "judges", place, f"{text}; accepted by {accepted_by}.", "Nothing is left to do."))
        else:
            advice = "Look at the change, then accept the phase on its page with a reason, or retry it."
            findings.append(ReviewFinding(Severity.MAJOR, "judges", place, f"{text}.", advice))
    return tuple(findings)


def _about_names(phases: Sequence[PhaseFacts]) -> Iterable[ReviewFinding]:
    titles: dict[str, list[PhaseFacts]] = {}
    for phase in phases:
        titles.setdefault(" ".join(phase.title.lower().split()), []).append(phase)
        if len(phase.title) > TITLE_CHARACTERS:
            text = f"The title has {len(phase.title)} characters."
            advice = f"Keep titles to {TITLE_CHARACTERS} characters: titles name files and commits."
            yield ReviewFinding(Severity.INFO, "naming", phase.prp_id, text, advice)
    for title, members in titles.items():
        if len(members) > 1:
            ids = ", ".join(phase.prp_id for phase in members)
            shared = f"the title \u201c{members[0].title}\u201d" if title else "no title"
            text = f"{len(members)} phases have {shared}."
            yield ReviewFinding(Severity.MINOR, "naming", ids, text, "Give each phase its own title: titles name files and commits.")


def review_outcome(phase: PhaseFacts, outcome: Outcome) -> tuple[ReviewFinding, ...]:
    """The rules of the review after execution: files, gates, drift and size of the outcome compared with the PRP."""
    if outcome.state != "succeeded":
        fate = {"": "was not executed", "blocked": "is blocked", "cancelled": "was cancelled", "failed": "failed"}
        text = f"The phase {fate.get(outcome.state, f'is {outcome.state}')}{f': {outcome.message}' if outcome.message else '.'}"
        advice = "Execute it, or remove it from the plan; then review again."
        return (ReviewFinding(Severity.MAJOR, "execution", phase.prp_id, text, advice),)
    findings = [*_about_gate_results(phase, outcome.gates)]
    if outcome.drift is not None:
        findings += _about_drift(phase, outcome.drift)
    if outcome.lines_added is not None and outcome.lines_removed is not None:
        lines = outcome.lines_added + outcome.lines_removed
        if lines > LARGE_DIFF:
            text = f"The diff has {lines:,} changed lines."
            findings.append(ReviewFinding(Severity.MINOR, "size", phase.prp_id, text, "Read it in parts; plan smaller phases next time."))
    return tuple(findings)


def _about_gate_results(phase: PhaseFacts, gates: Sequence[GateFact]) -> Iterable[ReviewFinding]:
    for number, gate in enumerate(gates, start=1):
        place = f"{phase.prp_id}, Gate {number}"
        if gate.status == "failed":
            text = f"\u201c{gate.text}\u201d failed on the merged tree."
            yield ReviewFinding(Severity.CRITICAL, "gates", place, text, "Fix what it names, then retry the stage check.")
        elif gate.status != "passed":
            text = f"\u201c{gate.text}\u201d is unverified."
            yield ReviewFinding(Severity.MINOR, "gates", place, text, "Check it yourself: no rule has.")


def review_other_gates(judged: Iterable[tuple[str, str, str]]) -> tuple[ReviewFinding, ...]:
    """Findings after execution about gates that come from the project or the server, given as (place, text, state)."""
    findings = []
    for place, gate, state in judged:
        if state == "failed":
            text = f"\u201c{gate}\u201d failed at its last check."
            advice = "Fix what it names, then retry the phase or its stage check."
            findings.append(ReviewFinding(Severity.CRITICAL, "gates", place, text, advice))
        elif state == "flaky":
            text = f"\u201c{gate}\u201d failed once and passed on its second run."
            findings.append(ReviewFinding(Severity.MINOR, "gates", place, text, "Find out why it sometimes fails."))
    return tuple(findings)


def _about_drift(phase: PhaseFacts, drift: Drift) -> Iterable[ReviewFinding]:
    for file in drift.deleted:
        declared = file not in drift.undeclared
        severity = Severity.INFO if declared else Severity.MAJOR
        text = f"{file} was deleted{'' if declared else ', and the plan does not declare it'}."
        advice = "Check that this was intended." if declared else "Restore it, or declare it in the plan."
        yield ReviewFinding(severity, "files", file, text, advice)
    for file in drift.undeclared:
        if file not in drift.deleted:
            advice = "Check that the change belongs here."
            yield ReviewFinding(Severity.MINOR, "files", file, f"{phase.prp_id} changed {file}, which its plan does not declare.", advice)
    for file in drift.untouched:
        advice = "Check whether something is missing."
        yield ReviewFinding(Severity.MINOR, "files", file, f"{phase.prp_id} declares {file}, but did not change it.", advice)
    severity_of = {DriftBand.ACCEPTABLE: Severity.INFO, DriftBand.CONCERNING: Severity.MINOR, DriftBand.CRITICAL: Severity.MAJOR}
    if drift.band in severity_of:
        advice = "Compare the PRP with the diff and correct whichever is wrong."
        yield ReviewFinding(severity_of[drift.band], "drift", phase.prp_id, f"The drift is {drift.shown} %, which is {drift.band}.", advice)
