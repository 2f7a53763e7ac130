"""System checks: what would make the engine lose or repeat work is refused before it starts."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from batches.engine.sandboxing import sandbox_level
from subagents.sandbox import SandboxUnavailable


@register()
def check_queue(**_: Any) -> list[CheckMessage]:
    """The queue as engine.md §1 needs it: rows that commit with the state change, tasks that are repeated late or never."""
    cluster = settings.Q_CLUSTER
    found: list[CheckMessage] = []
    if cluster.get("orm") != "default":
        found.append(
            Error(
                "The task queue is not in the database of the batches.",
                hint='Set Q_CLUSTER["orm"] = "default": a task is then enqueued in the transaction that needs it.',
                id="batches.E001",
            )
        )
    if cluster.get("retry", 0) <= cluster.get("timeout", 0):
        found.append(
            Warning(
                "Q_CLUSTER: retry is not longer than timeout, so a task that still runs is started a second time.",
                hint="Set retry to at least twice timeout.",
                id="batches.W002",
            )
        )
    if cluster.get("timeout", 0) < settings.CE_SLICE_SECONDS + 10:
        found.append(
            Warning(
                "Q_CLUSTER: timeout leaves a slice of the ticker less than 10 s to end.",
                hint="Lower CE_SLICE_SECONDS.",
                id="batches.W003",
            )
        )
    return found


@register()
def check_sandbox(**_: Any) -> list[CheckMessage]:
    """A level that was asked for by name must hold: commands never run at a weaker one in silence."""
    if settings.CE_SANDBOX in ("auto", "rlimit"):
        return []
    try:
        sandbox_level()
    except SandboxUnavailable as error:
        return [Error(str(error), hint="docs/security.md says what each level needs.", id="batches.E004")]
    return []
