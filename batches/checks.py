"""System checks: they refuse settings that would make the engine lose or repeat work."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from batches.engine.sandboxing import sandbox_level
from subagents.sandbox import SandboxUnavailable

ENGINE = "engine"  # the tag of these checks: a process that shows no pages makes only them


@register(ENGINE)
def check_queue(**_: Any) -> list[CheckMessage]:
    """The task queue as the engine needs it (docs/engine.md): tasks commit with the state; none repeats early."""
    cluster = settings.Q_CLUSTER
    found: list[CheckMessage] = []
    if cluster.get("orm") != "default":
        found.append(
            Error(
                "The task queue is not in the database of batches.",
                hint='Set Q_CLUSTER["orm"] = "default": tasks are then queued in the transaction that needs them.',
                id="batches.E001",
            )
        )
    if cluster.get("retry", 0) <= cluster.get("timeout", 0):
        found.append(
            Warning(
                "Q_CLUSTER: retry is not longer than timeout, so a running task would be started a second time.",
                hint="Set retry to at least twice timeout.",
                id="batches.W002",
            )
        )
    if cluster.get("timeout", 0) < settings.CE_SLICE_SECONDS + 10:
        found.append(
            Warning(
                "Q_CLUSTER: timeout leaves less than 10 s for a slice of the ticker to end.",
                hint="Lower CE_SLICE_SECONDS.",
                id="batches.W003",
            )
        )
    return found


@register(ENGINE)
def check_sandbox(**_: Any) -> list[CheckMessage]:
    """A sandbox level that is set by name must be available, so that commands never run at a weaker one."""
    if settings.CE_SANDBOX in ("auto", "rlimit"):
        return []
    try:
        sandbox_level()
    except SandboxUnavailable as error:
        return [Error(str(error), hint="docs/security.md says what each level needs.", id="batches.E004")]
    return []
