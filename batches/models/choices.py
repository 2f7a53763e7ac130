"""Choices that several tables share, built from the enums of the core."""

from enum import StrEnum

from django.db import models

from batches.core.gates.project_gates import When
from batches.core.plans.conflicts import ConflictKind
from subagents.backends import BACKENDS


def choices(enum: type[StrEnum]) -> list[tuple[str, str]]:
    """Django choices, (value, label), of an enum of the core."""
    return [(member.value, member.value.replace("_", " ")) for member in enum]


BACKEND_CHOICES = [(name, name) for name in BACKENDS]
CONFLICT_KINDS = [
    (ConflictKind.SAME_STAGE.value, "same stage"),
    (ConflictKind.CROSS_STAGE.value, "unordered across stages"),
    (ConflictKind.ORDERED.value, "ordered"),
]


class Scheduling(models.TextChoices):
    STAGES = "stages", "stage by stage"
    DATAFLOW = "dataflow", "as soon as dependencies are merged"


class Travel(models.TextChoices):
    """Where the branch of a run for a worker host is: the main host sends it, the worker fetches it, works, and sends it home."""

    OUTWARD = "outward", "to be sent by the main host"
    SENT = "sent", "to be fetched by the worker host"
    AWAY = "away", "on the worker host"
    HOMEWARD = "homeward", "to be fetched by the main host"
    LOST = "lost", "to be taken over by the main host"


class OnConflict(models.TextChoices):
    WARN = "warn", "run anyway"
    SERIALIZE = "serialize", "one after the other"
    ABORT = "abort", "do not start"


class GateWhen(models.TextChoices):
    PHASE = When.PHASE, "after every phase"
    STAGE = When.STAGE, "after every stage"


class Effort(models.TextChoices):
    LOW = "low", "low"
    MEDIUM = "medium", "medium"
    HIGH = "high", "high"
    MAX = "max", "as much as it can"


class ForgeKind(models.TextChoices):
    GITHUB = "github", "GitHub"
    GITLAB = "gitlab", "GitLab"
    GITEA = "gitea", "Gitea or Forgejo"


class FinishBy(models.TextChoices):
    MERGE = "merge", "merge into the base branch here"
    PULL_REQUEST = "pull_request", "pull request"


class Network(models.TextChoices):
    NONE = "none", "nothing"
    STEPS = "steps", "steps"
    ALL = "all", "steps and gates"
