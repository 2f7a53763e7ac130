"""Which rows a request may see. Every manager of a table that belongs to projects keeps to it, so no page can forget to.

Outside a request (the cluster, commands) everything is seen. Invariants over all rows (the next number of a batch, a name that
is taken) ask `_base_manager`, which is not confined, and so do foreign keys.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from django.db import models
from django.db.models import Q

Row = TypeVar("Row", bound=models.Model, covariant=True)


@dataclass(frozen=True, slots=True)
class Sight:
    """The ids of the projects that are seen, and whether plans without a project are."""

    projects: frozenset[int] = frozenset()
    plans_without_project: bool = False


NOTHING = Sight()
_sight: ContextVar[Sight | None] = ContextVar("sight", default=None)

# From a row to its project. Tables of the whole installation are not listed; a test knows all tables.
PATHS = {
    "Project": "pk",
    "ProjectSecret": "project",
    "Membership": "project",
    "Plan": "project",
    "PlanDecision": "plan__project",
    "Idea": "project",
    "IdeaAttempt": "idea__project",
    "Batch": "project",
    "Stage": "batch__project",
    "Phase": "batch__project",
    "LinearIssue": "phase__batch__project",
    "Gate": "phase__batch__project",
    "Conflict": "batch__project",
    "BaseMerge": "batch__project",
    "PullRequest": "batch__project",
    "PullRequestRemark": "pull_request__batch__project",
    "Run": "batch__project",
    "AutopilotRun": "batch__project",
    "Task": "run__batch__project",
    "Attempt": "task__run__batch__project",
    "Result": "attempt__task__run__batch__project",
    "AttemptPrompt": "attempt__task__run__batch__project",
    "DiffComment": "attempt__task__run__batch__project",
    "ViewedFile": "phase__batch__project",
    "Transition": "run__batch__project",
    "PredictedConflict": "run__batch__project",
    "GateCheck": "attempt__task__run__batch__project",
    "SignOff": "attempt__task__run__batch__project",
    "GateOpinion": "gate__phase__batch__project",
    "Verification": "batch__project",
    "Review": "run__batch__project",
    "Finding": "review__run__batch__project",
    "ContextChange": "run__batch__project",
    "AttemptFact": "project",
    "RunFact": "project",
    "StageFact": "run__batch__project",
    "Notification": "run__batch__project",
}


@contextmanager
def seeing(sight: Sight | None) -> Iterator[None]:
    """In this block, and in this thread, only those rows are seen; None: all."""
    before = _sight.set(sight)
    try:
        yield
    finally:
        _sight.reset(before)


def sight_now() -> Sight | None:
    """What the present request sees, for an answer that is written after it; None: all."""
    return _sight.get()


def sight_key() -> str:
    """What tells apart, in the name of something cached, requests that see different projects."""
    sight = _sight.get()
    return "all" if sight is None else f"{sorted(sight.projects)} {sight.plans_without_project}"


def sees_all() -> bool:
    """Whether nothing is left out: outside of a request, and for those who may see every project."""
    return _sight.get() is None


def sees_nothing() -> bool:
    """Whether not a single project, nor a plan without one, may be seen."""
    return _sight.get() == NOTHING


class ConfinedManager(models.Manager[Row]):
    """A manager that leaves out the rows of projects that the present request may not see."""

    def get_queryset(self) -> models.QuerySet[Row]:
        found, sight = super().get_queryset(), _sight.get()
        if sight is None:
            return found
        path = PATHS[self.model.__name__]
        seen = Q(**{f"{path}__in": sight.projects})
        if sight.plans_without_project and self.model.__name__ in ("Plan", "PlanDecision"):
            seen |= Q(**{f"{path}__isnull": True})
        if "__" in path:  # no join, so that select_for_update locks the rows of this table alone
            seen = Q(pk__in=self.model._base_manager.filter(seen).values("pk"))
        return found.filter(seen)
