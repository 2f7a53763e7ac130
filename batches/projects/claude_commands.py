"""The framework's commands in the repository of a project: what the button on its page does (docs/claude-code.md)."""

from pathlib import Path

from django.conf import settings

from batches.accounts.actor import Actor
from batches.accounts.roles import MERGE_BATCH
from batches.core.errors import ServiceError
from batches.models import Project
from batches.repositories import claude_commands
from batches.repositories.repository import checked_repository
from subagents.contract import SubagentError


def change_claude_commands(*, project: Project, actor: Actor, remove: bool = False) -> claude_commands.CommandsChange:
    """Install, renew or remove the commands on the project's base branch. Raises ServiceError, PermissionDenied."""
    actor.require(MERGE_BATCH, project)
    scratch = str(Path(settings.CE_DATA_DIR) / "merges")
    try:
        repository = checked_repository(project)
    except SubagentError as problem:
        raise ServiceError(str(problem)) from problem
    return (claude_commands.remove if remove else claude_commands.install)(repository, project.base_branch, scratch)
