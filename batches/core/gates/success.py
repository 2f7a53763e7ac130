"""What is behind a phase that succeeded: somebody checked it, nobody could, or nothing came of it. Values in, values out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from batches.core.text.words import counted
from subagents.contract import GateOrigin, GateStatus


class Success(StrEnum):
    """What is behind a success. Only the first is green by itself; of the last, a named person said so."""

    VERIFIED = "verified"
    NOT_VERIFIED = "not_verified"
    CHANGED_NOTHING = "changed_nothing"
    NEEDS_LOOK = "needs_look"
    ACCEPTED = "accepted_by_person"


WORDS = {
    Success.NEEDS_LOOK: ("needs a look", "need a look"),
    Success.CHANGED_NOTHING: ("changed nothing", "changed nothing"),
    Success.NOT_VERIFIED: ("not verified", "not verified"),
}
SHORT = {kind: words for kind, (words, _) in WORDS.items()} | {Success.ACCEPTED: "accepted"}  # where "succeeded" needs no saying
OPEN = tuple(WORDS)  # those that a person may accept, the gravest first


@dataclass(frozen=True, slots=True)
class PhaseSuccess:
    """What is behind the success of a phase: the kind, who accepted it and when, and what a person should look at."""

    kind: Success = Success.VERIFIED
    of: Success = Success.VERIFIED  # what it is without a person's word
    accepted_by: str = ""
    looks: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What a pill says where it is more than the kind's own word."""
        return f"succeeded, accepted by {self.accepted_by}" if self.accepted_by else ""


VERIFIED = PhaseSuccess()


def success_of(
    checks: Iterable[tuple[str, str]],
    *,
    signed_off: bool = False,
    declares: bool,
    changed: int | None,
    looks: bool = False,
    accepted: bool = False,
) -> Success:
    """Which success an execution of a phase is.

    `checks` are (origin, status) of its gates as they were judged, `signed_off`: a person vouched for a gate that no rule
    can check, `declares`: the plan names files, `changed` how many of these it changed (None: not known), `looks`: there is
    something that a person should look at, `accepted`: a person has accepted the phase as it is. Of checks that are not the
    plan's own, those of the project count where the phase has none; the server's own say nothing about the work.
    """
    kind = _unaccepted(list(checks), signed_off, nothing=declares and changed == 0, looks=looks)
    return Success.ACCEPTED if accepted and kind in OPEN else kind


def _unaccepted(checks: Sequence[tuple[str, str]], signed_off: bool, *, nothing: bool, looks: bool) -> Success:
    if looks:
        return Success.NEEDS_LOOK
    if nothing:
        return Success.CHANGED_NOTHING
    own = [status for origin, status in checks if origin == GateOrigin.PLAN]
    own = own or [status for origin, status in checks if origin == GateOrigin.PROJECT]
    if signed_off or any(status != GateStatus.UNVERIFIED for status in own):
        return Success.VERIFIED
    return Success.NOT_VERIFIED


def success_words(kinds: Iterable[Success]) -> str:
    """What is to be said of a run beside "succeeded": "1 phase needs a look, 2 phases not verified"; "" when nothing is open."""
    found = list(kinds)
    counts = ((words, found.count(kind)) for kind, words in WORDS.items())
    return ", ".join(f"{counted(number, 'phase')} {one if number == 1 else many}" for (one, many), number in counts if number)


def accepted_words(kinds: Iterable[Success]) -> str:
    """How many phases stand by a person's word: "1 phase accepted by a person"; "" for none."""
    number = sum(kind == Success.ACCEPTED for kind in kinds)
    return f"{counted(number, 'phase')} accepted by a person" if number else ""
