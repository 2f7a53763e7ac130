"""What is behind a phase that succeeded: somebody checked it, nobody could, or nothing came of it. Values in, values out."""

from collections.abc import Iterable
from enum import StrEnum

from batches.core.text.words import counted
from subagents.contract import GateOrigin, GateStatus


class Success(StrEnum):
    """The three colours of success; only the first is green."""

    VERIFIED = "verified"
    NOT_VERIFIED = "not_verified"
    CHANGED_NOTHING = "changed_nothing"


def success_of(
    checks: Iterable[tuple[str, str]], *, signed_off: bool = False, declares: bool, changed: int | None, accepted: bool = False
) -> Success:
    """Which success an execution of a phase is.

    `checks` are (origin, status) of its gates as they were judged, `signed_off`: a person vouched for a gate that no rule
    can check, `declares`: the plan names files, `changed` how many of these it changed (None: not known), `accepted`: a
    person said that nothing had to change. Of checks that are not the plan's own, those of the project count where the
    phase has none; the server's own say nothing about the work.
    """
    if declares and changed == 0 and not accepted:
        return Success.CHANGED_NOTHING
    judged = list(checks)
    own = [status for origin, status in judged if origin == GateOrigin.PLAN]
    own = own or [status for origin, status in judged if origin == GateOrigin.PROJECT]
    if signed_off or any(status != GateStatus.UNVERIFIED for status in own):
        return Success.VERIFIED
    return Success.NOT_VERIFIED


def success_words(kinds: Iterable[Success]) -> str:
    """What is to be said of a run beside "succeeded": "2 phases not verified, 1 phase changed nothing"; "" when all is green."""
    found = list(kinds)
    said = []
    for kind, words in ((Success.NOT_VERIFIED, "not verified"), (Success.CHANGED_NOTHING, "changed nothing")):
        number = found.count(kind)
        if number:
            said.append(f"{counted(number, 'phase')} {words}")
    return ", ".join(said)
