"""Asks a model about an idea: first what it must know of the person, then for the plan. Commits nothing and changes no file."""

from __future__ import annotations

from subagents.backends import get_backend
from subagents.backends.base import AgentOutcome
from subagents.checkout import Checkout
from subagents.contract import Failure, ResultStatus, TaskResult
from subagents.files import dump_json
from subagents.open_repository import attached_repository
from subagents.roles.ask_model import failed, no_step, use_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subagents.contract import TaskSpec
    from subagents.reporting import Reporter

ANSWER_BYTES = 200_000  # a result must be smaller than JSON_BYTES
DOING = {
    "questions": "Reading the repository for what must be asked",
    "plan": "Reading the repository and writing the plan",
    "revision": "Revising the plan",
    "translation": "Translating the document into a plan",
}


def draft(spec: TaskSpec, reporter: Reporter) -> TaskResult:
    """Report what the model answers to `payload["asked_for"]` (a key of prompting.DRAFTS), in its shape there.

    The rest of the payload is what the person gave: "idea", "source", "document", "files", and what the server knows: "commands",
    "history", "answers", "plan", "remark". Raises UnknownBackend, GitError, OSError, ContractError.
    """
    reporter.progress(0, DOING.get(str(spec.payload.get("asked_for")), "Reading the repository"), "draft")
    backend = get_backend(spec.backend)
    if not backend.asks_model:
        return failed(spec, reporter, AgentOutcome(Failure.NEEDS_AGENT, (f"the backend {spec.backend} uses no model",)))
    checkout = Checkout(attached_repository(spec.repository), spec.checkout, f"{spec.attempt_dir}/index", spec.attempt_ref)
    checkout.create(spec.base_commit)
    outcome = backend.run(spec, checkout.path, reporter, no_step)
    if outcome.failure is None and len(dump_json(outcome.answer)) > ANSWER_BYTES:
        outcome = AgentOutcome(Failure.AGENT_ERROR, ("the agent's answer is too large to be a plan",), **use_of(outcome))
    if outcome.failure is not None:
        return failed(spec, reporter, outcome)
    return TaskResult(
        task_id=spec.task_id,
        prp_id=spec.prp_id,
        status=ResultStatus.SUCCESS,
        attempt=spec.attempt,
        token=spec.token,
        base_commit=spec.base_commit,
        head_commit=spec.base_commit,
        report={"answer": outcome.answer},
        **use_of(outcome),
    )
