"""A phase whose heading says that it is not to be done, such as “Phase 2: Cache [SKIPPED]”: a person is told, since it would be."""

import re
from collections.abc import Sequence

from batches.core.plans.types import IssueCode, PhaseSpec, PlanIssue

_CALLED_OFF = re.compile(
    r"[\[(]\s*(?P<word>skip(?=\s*[\])])|skipped|cancell?ed|dropped|deferred|postponed|abandoned|won't do|obsolete|superseded|out of scope)"
    r"\b[^\])]*[\])]"
    r"|~~(?P<struck>[^~]+)~~",
    re.IGNORECASE,
)
_HEADING = re.compile(r"[ \t>]*(?:#{1,6}[ \t]|[-*+][ \t]|\*\*|[0-9]+[.)][ \t])")


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
