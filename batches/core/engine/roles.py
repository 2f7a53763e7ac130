"""The subagent role and the task type of each operation."""

from batches.core.engine.states import Operation
from subagents.contract import Role, TaskType

ROLES = {
    Operation.GENERATE: (Role.GENERATOR, TaskType.GENERATE),
    Operation.EXECUTE: (Role.EXECUTOR, TaskType.EXECUTE),
    Operation.REVIEW: (Role.REVIEWER, TaskType.REVIEW),
    Operation.UPDATE_CONTEXT: (Role.CONTEXT_UPDATER, TaskType.UPDATE_CONTEXT),
}
