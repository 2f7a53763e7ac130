"""The interface of every backend."""

from __future__ import annotations

from subagents.contract import Failure
from subagents.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from subagents.contract import StepPlan, TaskSpec
    from subagents.reporting import Reporter

    class StepHook(Protocol):
        def __call__(self, step: StepPlan) -> None:
            """Called when a step's work is in the checkout; the role commits it."""

    class Backend(Protocol):
        """Carries out a phase's steps in `checkout`. Never commits, judges gates or writes contract files."""

        asks_model: bool  # whether it can also work for the reviewer, the generator and the context updater

        def run(self, spec: TaskSpec, checkout: str, reporter: Reporter, on_step: StepHook) -> AgentOutcome: ...


@record
class AgentOutcome:
    """What a backend reports of its work. `failure` None is only its claim: the gates decide. Unknown figures are None.

    `session`, `retry_at`, `sandbox`, `fault` and `prompt_sha256`, `tools` are those of TaskResult; `answer` has the shape of
    prompting.answer_schema, or is {} when no model was asked.
    """

    failure: Failure | None
    errors: tuple[str, ...] = ()
    steps_completed: int = 0
    tokens_used: int | None = None
    cost_usd: float | None = None
    usage: dict[str, Any] = {}
    session: str = ""
    retry_at: str = ""
    sandbox: str = ""
    fault: str = ""
    answer: dict[str, Any] = {}
    prompt_sha256: str = ""
    tools: dict[str, Any] = {}
