"""The roles by task type. A role turns a spec into a result."""

from __future__ import annotations

from subagents.contract import TaskType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from subagents.contract import TaskResult, TaskSpec
    from subagents.reporting import Reporter


def get_role(task_type: TaskType) -> Callable[[TaskSpec, Reporter], TaskResult]:
    """The function that carries out a task of this type."""
    match task_type:
        case TaskType.EXECUTE:
            from subagents.roles.executor import execute

            return execute
        case TaskType.STAGE_CHECK:
            from subagents.roles.stage_check import check_stage

            return check_stage
        case TaskType.VERIFY:
            from subagents.roles.verifier import verify

            return verify
        case TaskType.GENERATE:
            from subagents.roles.generator import generate

            return generate
        case TaskType.DRAFT:
            from subagents.roles.drafter import draft

            return draft
        case TaskType.REVIEW:
            from subagents.roles.reviewer import review

            return review
        case TaskType.UPDATE_CONTEXT:
            from subagents.roles.context_updater import update_context

            return update_context
