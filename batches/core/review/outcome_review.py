"""What a review says of the outcome of a phase: its state, its gates, its drift, what a person should look at. Pure (docs/review.md)."""

from collections.abc import Iterable, Sequence

from batches.core.review.drift import Drift, DriftBand
from batches.core.review.types import GateFact, Outcome, PhaseFacts, ReviewFinding, Severity

LARGE_DIFF = 1000  # changed lines of one phase


def review_looks(looks: Iterable[tuple[str, str, bool, str]]) -> tuple[ReviewFinding, ...]:
    """Findings about phases that changed their judges or others' work: (place, what, declared, accepted by or "")."""
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
