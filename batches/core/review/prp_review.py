"""What a review says of each PRP and of the batch as a whole, by rules on facts. Pure (docs/review.md).

It loads no reader of plans: commands that only show a batch load this module.
"""

from collections.abc import Iterable, Sequence

from batches.core.review.risk import (
    FEWEST_GATES,
    FEWEST_WORDS,
    HOURS_FOR_A_STEP,
    MOST_WORDS,
    USUAL_HOURS,
    VAGUE_STEPS,
    RiskBand,
    is_pressed,
    is_unusual,
    is_vague,
    risk_of,
)
from batches.core.review.types import ConflictFacts, PhaseFacts, ReviewFinding, Severity
from batches.core.text.words import counted

LONGEST_CHAIN = 8  # phases that run one after the other
HOT_FILE = 4  # a file changed by so many phases is reported
TITLE_CHARACTERS = 80


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
