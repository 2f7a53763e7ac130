"""How the roles that write no code ask a model, where the backend has one: about a checkout that they cannot change."""

from __future__ import annotations

from subagents.backends import get_backend
from subagents.contract import Failure, ResultStatus, TaskResult, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from subagents.backends.base import AgentOutcome
    from subagents.checkout import Checkout
    from subagents.contract import StepPlan, TaskSpec
    from subagents.reporting import Reporter


def ask(spec: TaskSpec, reporter: Reporter, checkout: Checkout, document: str) -> AgentOutcome | None:
    """What the model answers about `document` and the repository at the base commit; None where no model is used or at hand.

    What is missing is said in the log: the role then does without. Raises UnknownBackend, GitError, OSError, ContractError.
    """
    backend = get_backend(spec.backend)
    if not backend.asks_model:
        return None
    checkout.create(spec.base_commit)
    asked = replace(spec, payload={**spec.payload, "document": document})
    outcome = backend.run(asked, checkout.path, reporter, no_step)
    if outcome.failure == Failure.NEEDS_AGENT:
        reporter.note("warning", "needs_agent", "; ".join(outcome.errors))
        return None
    return outcome


def no_step(step: StepPlan) -> None:
    """These roles do no steps."""


def use_of(outcome: AgentOutcome | None) -> dict[str, Any]:
    """The fields of a result that tell what the model used."""
    if outcome is None:
        return {}
    names = ("usage", "tokens_used", "cost_usd", "session", "retry_at", "sandbox", "prompt_sha256")
    return {name: getattr(outcome, name) for name in names}


def failed(spec: TaskSpec, reporter: Reporter, outcome: AgentOutcome) -> TaskResult:
    """The result of a role whose model was asked and failed."""
    failure = outcome.failure or Failure.AGENT_ERROR
    for error in outcome.errors:
        reporter.note("error", str(failure), error)
    return TaskResult(
        task_id=spec.task_id,
        prp_id=spec.prp_id,
        status=ResultStatus.FAILED,
        attempt=spec.attempt,
        token=spec.token,
        failure_reason=failure,
        errors=outcome.errors,
        base_commit=spec.base_commit,
        head_commit=spec.base_commit,
        fault=outcome.fault if failure == Failure.AGENT_ERROR else "",
        **use_of(outcome),
    )
