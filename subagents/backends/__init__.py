"""The backends by name. An unknown name is an error; no other backend takes its place."""

from __future__ import annotations

from subagents.files import SubagentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subagents.backends.base import Backend

BACKENDS = ("steps", "claude", "command")


class UnknownBackend(SubagentError):
    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"unknown backend {name!r}; installed: {', '.join(BACKENDS)}")


def missing(name: str) -> str:
    """What this host lacks for a backend, and how to install it; "" when nothing is missing. Starts and imports nothing."""
    if name == "claude":
        from subagents.backends import claude

        return claude.missing()
    return ""


def get_backend(name: str) -> Backend:
    """Raises UnknownBackend."""
    if name == "steps":
        from subagents.backends.steps import StepsBackend

        return StepsBackend()
    if name == "claude":
        from subagents.backends.claude import ClaudeBackend

        return ClaudeBackend()
    if name == "command":
        from subagents.backends.command import CommandBackend

        return CommandBackend()
    raise UnknownBackend(name)
