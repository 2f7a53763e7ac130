"""Why an attempt failed, in one sentence."""

from collections.abc import Mapping

from batches.core.engine.states import FailureReason

REASONS: Mapping[str, str] = {
    FailureReason.TIMEOUT: "No heartbeat within the limit",
    FailureReason.NEVER_STARTED: "Its process never started",
    FailureReason.CRASHED: "Its process died",
    FailureReason.BAD_RESULT: "Its result could not be read",
    FailureReason.GATE_FAILED: "A validation gate failed",
    FailureReason.MERGE_CONFLICT: "It could not be merged",
    FailureReason.AGENT_ERROR: "The agent reported an error",
    FailureReason.RATE_LIMITED: "The rate limit was reached",
    FailureReason.BUDGET: "The budget was reached",
    FailureReason.NEEDS_AGENT: "It needs an agent",
    FailureReason.MEMORY_LIMIT: "It used more memory than an attempt may",
    FailureReason.SETUP_FAILED: "The project's set-up command failed",
    FailureReason.PROVIDER_FAULT: "The provider could not be used",
    FailureReason.MACHINE_FAULT: "The machine could not do it",
    FailureReason.CANCELLED: "It was cancelled",
    FailureReason.PHASE_TIME_LIMIT: "It ran longer than a phase may",
}


def why(reason: str, message: str) -> str:
    """A failure in one sentence: the engine's message, or the meaning of the reason."""
    return message or REASONS.get(reason, reason.replace("_", " "))
