"""Operations that follow one another by themselves: what comes next, and where a batch that stands somewhere begins."""

from dataclasses import dataclass
from enum import StrEnum


class AutopilotStep(StrEnum):
    """The steps of a whole chain, in their order; each is one run."""

    GENERATE = "generate"
    REVIEW_BEFORE = "review_before"
    EXECUTE = "execute"
    REVIEW_AFTER = "review_after"
    UPDATE_CONTEXT = "update_context"


class AutopilotState(StrEnum):
    """`stopped` waits for a person; it goes on where it stands."""

    GOING = "going"
    STOPPED = "stopped"
    FINISHED = "finished"
    CANCELLED = "cancelled"


OPEN_AUTOPILOT_STATES = frozenset({AutopilotState.GOING, AutopilotState.STOPPED})


@dataclass(frozen=True, slots=True)
class OperationsDone:
    """What has been done with a batch so far."""

    generated: bool = False
    review_before_passes: bool = False  # the latest one of the PRPs as they are
    executed: bool = False  # every phase
    review_after_passes: bool = False  # a review since the last execution lets it through


def steps_of(*, whole: bool, review_required: bool) -> tuple[AutopilotStep, ...]:
    """All five for an autopilot; otherwise up to the execution, with the review before it only where the project requires one."""
    if whole:
        return tuple(AutopilotStep)
    review = (AutopilotStep.REVIEW_BEFORE,) if review_required else ()
    return (AutopilotStep.GENERATE, *review, AutopilotStep.EXECUTE)


def step_after(step: AutopilotStep, *, whole: bool, review_required: bool) -> AutopilotStep | None:
    """What follows `step` when it came out well; None at the end of the chain."""
    order = list(AutopilotStep)
    later = [one for one in steps_of(whole=whole, review_required=review_required) if order.index(one) > order.index(step)]
    return later[0] if later else None


def first_step(standing: OperationsDone) -> AutopilotStep:
    """Where an autopilot over a batch that stands so begins: nothing that is done and approved is repeated."""
    if not standing.generated:
        return AutopilotStep.GENERATE
    if not standing.executed:
        return AutopilotStep.EXECUTE if standing.review_before_passes else AutopilotStep.REVIEW_BEFORE
    return AutopilotStep.UPDATE_CONTEXT if standing.review_after_passes else AutopilotStep.REVIEW_AFTER
