"""The steps of an autopilot: which step comes next, and with which step a batch starts."""

from dataclasses import dataclass
from enum import StrEnum


class AutopilotStep(StrEnum):
    """All steps of an autopilot in order; each step is one run."""

    GENERATE = "generate"
    REVIEW_BEFORE = "review_before"
    EXECUTE = "execute"
    REVIEW_AFTER = "review_after"
    UPDATE_CONTEXT = "update_context"


class AutopilotState(StrEnum):
    """`stopped` waits for a person; a resumed autopilot continues with the same step."""

    GOING = "going"
    STOPPED = "stopped"
    FINISHED = "finished"
    CANCELLED = "cancelled"


OPEN_AUTOPILOT_STATES = frozenset({AutopilotState.GOING, AutopilotState.STOPPED})


@dataclass(frozen=True, slots=True)
class OperationsDone:
    """Which operations of a batch are done."""

    generated: bool = False
    review_before_passes: bool = False  # the latest review of the current PRPs
    executed: bool = False  # every phase
    review_after_passes: bool = False  # the latest review since the last execution


def steps_of(*, whole: bool, review_required: bool) -> tuple[AutopilotStep, ...]:
    """All five steps if `whole`. Otherwise up to the execution, with a review before it if the project requires one."""
    if whole:
        return tuple(AutopilotStep)
    review = (AutopilotStep.REVIEW_BEFORE,) if review_required else ()
    return (AutopilotStep.GENERATE, *review, AutopilotStep.EXECUTE)


def step_after(step: AutopilotStep, *, whole: bool, review_required: bool) -> AutopilotStep | None:
    """The step after `step` has succeeded; None after the last one."""
    order = list(AutopilotStep)
    steps = steps_of(whole=whole, review_required=review_required)
    later = [other for other in steps if order.index(other) > order.index(step)]
    return later[0] if later else None


def first_step(done: OperationsDone) -> AutopilotStep:
    """The first step of an autopilot: it repeats nothing that is done and approved."""
    if not done.generated:
        return AutopilotStep.GENERATE
    if not done.executed:
        return AutopilotStep.EXECUTE if done.review_before_passes else AutopilotStep.REVIEW_BEFORE
    return AutopilotStep.UPDATE_CONTEXT if done.review_after_passes else AutopilotStep.REVIEW_AFTER
