"""Why an attempt failed, in one sentence."""

from collections.abc import Mapping

from batches.core.engine.states import FailureReason

SENTENCES: Mapping[str, str] = {
    FailureReason.TIMEOUT: "No heartbeat for longer than the limit; it was stopped.",
    FailureReason.NEVER_STARTED: "It was launched, but showed no sign of life in time.",
    FailureReason.CRASHED: "Its process ended without a result.",
    FailureReason.BAD_RESULT: "Its result could not be read.",
    FailureReason.GATE_FAILED: "A validation gate failed.",
    FailureReason.MERGE_CONFLICT: "It could not be merged.",
    FailureReason.AGENT_ERROR: "The agent reported an error.",
    FailureReason.RATE_LIMITED: "The rate limit was reached.",
    FailureReason.BUDGET: "The budget was reached.",
    FailureReason.NEEDS_AGENT: "It needs an agent.",
    FailureReason.MEMORY_LIMIT: "It used more memory than an attempt may.",
    FailureReason.SETUP_FAILED: "The project's set-up command failed.",
    FailureReason.PROVIDER_FAULT: "The provider could not be used.",
    FailureReason.MACHINE_FAULT: "The machine could not do it.",
    FailureReason.CANCELLED: "Cancelled.",
    FailureReason.PHASE_TIME_LIMIT: "It ran longer than the time limit of a phase; it was stopped.",
}


def why(reason: str, message: str) -> str:
    """A failure in one sentence: the engine's message, or the meaning of the reason."""
    return message or SENTENCES.get(reason, reason.replace("_", " "))
