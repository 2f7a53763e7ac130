"""What a plan says is not to be done, such as “Phase 2: Cache [SKIPPED]” or “- [-] Cache it”: a person is told, since it would be."""

import re
from collections.abc import Sequence

from batches.core.plans.labels import Field
from batches.core.plans.types import IssueCode, PhaseSpec, PlanIssue
from batches.core.text.words import counted

_CALLED_OFF = re.compile(
    r"[\[(]\s*(?P<word>skip(?=\s*[\])])|skipped|cancell?ed|dropped|deferred|postponed|abandoned|won't do|obsolete|superseded|out of scope)"
    r"\b[^\])]*[\])]"
    r"|~~(?P<struck>[^~]+)~~",
    re.IGNORECASE,
)
_HEADING = re.compile(r"[ \t>]*(?:#{1,6}[ \t]|[-*+][ \t]|\*\*|[0-9]+[.)][ \t])")

# Boxes that other tools draw: of a step that is called off, put off, or begun.
_MARKED = re.compile(r"[ \t>]*(?:[-*+]|[0-9]{1,9}[.)])[ \t]+\[(?P<mark>[-~/>])\][ \t]")
_ANY_MARKED = re.compile(r"\[[-~/>]\][ \t]")
_MARKS = {"-": "called off", ">": "put off", "~": "begun", "/": "begun"}


def marked_steps(text: str, phases: Sequence[PhaseSpec]) -> tuple[PlanIssue, ...]:
    """A warning for each phase and mark, where steps have a box that says called off, put off or begun."""
    if not _ANY_MARKED.search(text):
        return ()
    lines = text.split("\n")
    found = []
    for phase in phases:
        marked: dict[str, list[int]] = {}
        for step in phase.steps:
            line = lines[step.line - 1] if 0 < step.line <= len(lines) else ""
            if said := _MARKED.match(line[:200]):
                marked.setdefault(said["mark"], []).append(step.line)
        for mark, at in marked.items():
            code = IssueCode.ALREADY_DONE if _MARKS[mark] == "begun" else IssueCode.CALLED_OFF
            them, be = ("it is", "is") if len(at) == 1 else ("they are", "are")
            todo = f"{them} done from the start" if _MARKS[mark] == "begun" else f"{them} done: remove what is not to be"
            message = f"{counted(len(at), 'step')} of Phase {phase.key} {be} marked as {_MARKS[mark]} ([{mark}]). As written {todo}."
            found.append(PlanIssue(at[0], code, message, field=Field.STEPS, phase=phase.key))
    return tuple(found)


def called_off(text: str, phases: Sequence[PhaseSpec]) -> tuple[PlanIssue, ...]:
    """A warning for each phase whose heading says that it is skipped, cancelled, deferred … or is struck through."""
    if not _CALLED_OFF.search(text):
        return ()
    lines = text.split("\n")
    found = []
    for phase in phases:
        line = lines[phase.line - 1] if 0 < phase.line <= len(lines) else ""
        said = _CALLED_OFF.search(line[:1000]) if _HEADING.match(line) else None
        if said is None:
            continue
        what = f"says “{said['word']}”" if said["word"] else "is struck through"
        message = f"The heading of Phase {phase.key} {what}. As written the phase is carried out: remove it if it is not to be."
        found.append(PlanIssue(phase.line, IssueCode.CALLED_OFF, message, phase=phase.key))
    return tuple(found)
