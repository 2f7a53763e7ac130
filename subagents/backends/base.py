"""What every backend promises."""

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
            """Called when a step's work is in the checkout: the role commits it."""

    class Backend(Protocol):
        """Does a phase's steps in `checkout`. Never commits, never judges gates, never writes contract files."""

        asks_model: bool  # whether it can also answer for the roles that judge and write

        def run(self, spec: TaskSpec, checkout: str, reporter: Reporter, on_step: StepHook) -> AgentOutcome: ...


@record
class AgentOutcome:
    """What a backend says of its own work; `failure` None is only a claim: the gates decide. Unknown figures are None.

    `session`, `retry_at`, `sandbox` and `fault` are those of TaskResult; `answer` has the role's shape (prompting.ANSWERS),
    {} when no model was asked.
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
