"""Reads that chain, and the one place where a state is written."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol, Self

from django.db import models, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce

from batches.core.chain import OPEN_CHAIN_STATES, ChainState
from batches.core.states import (
    ENDED_RUN_STATES,
    LIVE_RUN_STATES,
    RETRYABLE_TASK_STATES,
    Event,
    Operation,
    RunEvent,
    RunState,
    TaskState,
    next_run_state,
    next_state,
)

if TYPE_CHECKING:
    from batches.models import Attempt, Batch, Chain, Plan, Run

# The filters of the list page over a batch's latest run.
VIEWS = {
    "all": Q(),
    "running": Q(run_state__in=sorted(LIVE_RUN_STATES)),
    "failed": Q(run_state=RunState.FAILED),
    "done": Q(run_state=RunState.SUCCEEDED) & ~Q(operation=Operation.GENERATE),
    "ready": Q(run_state__isnull=True) | Q(run_state=RunState.SUCCEEDED, operation=Operation.GENERATE),
    "cancelled": Q(run_state=RunState.CANCELLED),
}


class PlanQuerySet(models.QuerySet["Plan"]):
    """Plans come in series of versions; the first version stands for its series."""

    def series_of(self, plan: "Plan") -> Self:
        """All versions of the plan's series."""
        return self.filter(Q(pk=plan.series_id) | Q(first_version=plan.series_id))

    def latest_versions(self) -> Self:
        """Of each series the newest version."""
        series = Coalesce(OuterRef("first_version"), OuterRef("pk"))
        newer = self.model.objects.filter(first_version=series, version__gt=OuterRef("version"))
        return self.filter(~Exists(newer))


class BatchQuerySet(models.QuerySet["Batch"]):
    """A batch's state is that of its latest run; nobody stores it."""

    def with_state(self) -> Self:
        """Annotate of the latest run `operation` and, named `run_…`, id, state, paused, stop_reason, started_at, ended_at."""
        from batches.models import Run

        latest = Run.objects.shown().filter(batch=OuterRef("pk")).order_by("-number")
        return self.annotate(
            run_id=Subquery(latest.values("pk")[:1]),
            operation=Subquery(latest.values("operation")[:1]),
            run_state=Subquery(latest.values("state")[:1]),
            run_paused=Subquery(latest.values("paused")[:1]),
            run_stop_reason=Subquery(latest.values("stop_reason")[:1]),
            run_started_at=Subquery(latest.values("started_at")[:1]),
            run_ended_at=Subquery(latest.values("ended_at")[:1]),
        )

    def in_view(self, view: str) -> Self:
        """Only the batches of one filter of the list page (see VIEWS); needs `with_state`."""
        return self.filter(VIEWS[view])

    def view_counts(self) -> dict[str, int]:
        """How many batches each filter of the list page holds."""
        return self.with_state().aggregate(**{name: Count("pk", filter=condition) for name, condition in VIEWS.items()})

    def search(self, text: str) -> Self:
        """Batches whose number is, or whose title or project's name holds, `text`."""
        words = text.strip()
        if not words:
            return self
        found = Q(title__icontains=words) | Q(project__name__icontains=words)
        number = words.removeprefix("#")
        if number.isascii() and number.isdigit() and len(number) < 10:
            found |= Q(number=int(number))
        return self.filter(found)

    def phase_counts(self) -> dict[int, dict[str, int]]:
        """{batch id: {task state, or "planned": phases}} by the newest execute task of each phase. One query."""
        from batches.models import Phase, Task

        newest = Task.objects.filter(phase=OuterRef("pk"), run__operation=Operation.EXECUTE).order_by("-run__number")
        rows = (
            Phase.objects.filter(batch__in=[batch.pk for batch in self])
            .order_by()
            .annotate(now=Subquery(newest.values("state")[:1]))
            .values_list("batch_id", "now")
            .annotate(phases=Count("pk"))
        )
        counts: dict[int, dict[str, int]] = {}
        for batch_id, state, phases in rows:
            counts.setdefault(batch_id, {})[state or "planned"] = phases
        return counts

    def spent(self) -> dict[int, dict[str, object]]:
        """{batch id: {"tokens", "cost"}} over all attempts; None where no attempt said. One query."""
        from batches.models import Attempt

        rows = (
            Attempt.objects.filter(task__run__batch__in=[batch.pk for batch in self])
            .order_by()
            .values("task__run__batch_id")
            .annotate(tokens=Sum("tokens_used"), cost=Sum("cost_usd"))
        )
        return {row["task__run__batch_id"]: row for row in rows}

    def bump(self, batch_id: int) -> None:
        """Raise the version, in the caller's transaction, so that pages that watch the batch ask for more."""
        self.filter(pk=batch_id).update(version=F("version") + 1)


class RunQuerySet(models.QuerySet["Run"]):
    def live(self) -> Self:
        """Runs that are queued or running."""
        return self.filter(state__in=LIVE_RUN_STATES)

    def ended(self) -> Self:
        return self.filter(state__in=ENDED_RUN_STATES)

    def shown(self) -> Self:
        """The runs that say where a batch stands: what only looks at it or writes about it counts until it is over.

        Annotates `followed`: whether another is about to follow it by itself.
        """
        from batches.models import Chain

        going = Chain.objects.filter(run=OuterRef("pk"), state=ChainState.GOING)
        over = Q(reported_at__isnull=False, followed=False)
        looks = Q(operation__in=[Operation.REVIEW, Operation.UPDATE_CONTEXT])
        return self.annotate(followed=Exists(going)).exclude(over & looks)

    def executions(self) -> Self:
        return self.filter(operation=Operation.EXECUTE)

    def with_progress(self) -> Self:
        """Annotate `total`, `done`, `failed`, `active` and `blocked`: numbers of the run's tasks."""
        counts = {
            "total": Q(),
            "done": Q(tasks__state=TaskState.SUCCEEDED),
            "failed": Q(tasks__state=TaskState.FAILED),
            "blocked": Q(tasks__state=TaskState.BLOCKED),
            "active": Q(tasks__state__in=[TaskState.LAUNCHING, TaskState.RUNNING]),
        }
        return self.annotate(**{name: Count("tasks", filter=condition) for name, condition in counts.items()})

    def apply(self, run: "Run", event: RunEvent, *, now: datetime, cause: str, message: str = "") -> bool:
        """Move `run` along the table, unless someone moved it first.

        Returns False when the row is no longer in the state we read; the caller then does nothing.
        Raises TransitionRefused when the table has no such move.
        """
        from batches.models import Batch, RunFact, StageFact, Transition

        before = RunState(run.state)
        target = next_run_state(before, event)
        stamps: dict[str, object] = {"ended_at": now if target in ENDED_RUN_STATES else None}
        if event is RunEvent.START:
            stamps["started_at"] = now
        if event is RunEvent.REOPEN:
            stamps |= {"reported_at": None, "cancel_requested": False, "cancel_cause": "", "paused": False}
            stamps |= {"stop_reason": "", "stop_message": "", "parallel_limit": None, "rate_limits": 0}
        with transaction.atomic():
            moved = self.filter(pk=run.pk, state=before).update(state=target, **stamps)
            if moved:
                Transition.objects.create(run=run, event=event, from_state=before, to_state=target, cause=cause, message=message, at=now)
                if event is RunEvent.REOPEN:  # it has not ended after all
                    RunFact.objects.filter(run=run.pk).delete()
                    StageFact.objects.filter(run=run.pk).delete()
                Batch.objects.bump(run.batch_id)
        if moved:
            run.state = target
            for name, value in stamps.items():
                setattr(run, name, value)
        return bool(moved)


class ChainQuerySet(models.QuerySet["Chain"]):
    def going(self) -> Self:
        return self.filter(state=ChainState.GOING)

    def open(self) -> Self:
        """Chains that go on, or wait for a person."""
        return self.filter(state__in=OPEN_CHAIN_STATES)

    def move(self, chain: "Chain", target: ChainState, *, now: datetime, cause: str, reason: str = "", **fields: object) -> bool:
        """Move an open chain, unless someone moved it first; `fields` are written in the same UPDATE.

        Returns False when the row is no longer in the state we read; the caller then does nothing.
        """
        from batches.models import Batch

        fields |= {"reason": reason, "moved_at": now, "moved_cause": cause}
        with transaction.atomic():
            moved = self.open().filter(pk=chain.pk, state=chain.state).update(state=target, **fields)
            if moved:
                Batch.objects.bump(chain.batch_id)
        if moved:
            chain.state = target
            for name, value in fields.items():
                setattr(chain, name, value)
        return bool(moved)


class Movable(Protocol):
    """A task's row, whole or as the few columns that decisions need."""

    pk: int
    run_id: int
    state: str


class TaskQuerySet(models.QuerySet["Task"]):
    def newest_of(self, batch: "Batch", run: "Run | None") -> Self:
        """Tasks of the batch's execute runs (a later run's last), or of `run` when that is another operation not yet done."""
        executed = self.filter(run__batch=batch, run__operation=Operation.EXECUTE)
        if run is not None and run.operation != Operation.EXECUTE and run.state != RunState.SUCCEEDED:
            executed = self.filter(run=run)
        return executed.order_by("run__number", "position")

    def resumable(self) -> Self:
        """Tasks that Resume tries again: what failed, was cancelled or blocked, but for what a person dropped and what waits for that."""
        rows = self.filter(state__in=RETRYABLE_TASK_STATES)
        dropped = self.model.objects.filter(run=OuterRef("run"), name=OuterRef("blocked_by")).exclude(dropped_ref="")
        return rows.filter(dropped_ref="").exclude(Exists(dropped))

    def apply(
        self,
        task: "Movable",
        event: Event,
        *,
        now: datetime,
        cause: str,
        attempt: "Attempt | None" = None,
        reason: str = "",
        message: str = "",
        bump: bool = True,
        **fields: object,
    ) -> bool:
        """Move `task` along the table, unless someone moved it first; `fields` are written in the same UPDATE.

        With `bump` off the caller raises the batch's version itself, once for many moves.

        Returns False when the row is no longer in the state we read; the caller then does nothing.
        Raises TransitionRefused when the table has no such move (a bug or a stale button, never retried).
        """
        from batches.models import Batch, Transition

        before = TaskState(task.state)
        target = next_state(before, event)
        fields |= {"reason": reason, "message": message, "changed_at": now}
        with transaction.atomic(savepoint=False):
            moved = self.filter(pk=task.pk, state=before).update(state=target, **fields)
            if moved:
                Transition.objects.create(
                    run_id=task.run_id,
                    task_id=task.pk,
                    attempt=attempt,
                    event=event,
                    from_state=before,
                    to_state=target,
                    cause=cause,
                    reason=reason,
                    message=message,
                    at=now,
                )
                if bump:
                    Batch.objects.filter(runs=task.run_id).update(version=F("version") + 1)
        if moved:
            task.state = target
            for name, value in fields.items():
                setattr(task, name, value)
        return bool(moved)


class AttemptQuerySet(models.QuerySet["Attempt"]):
    def live(self) -> Self:
        """Attempts that have not been settled yet."""
        return self.filter(ended_at__isnull=True)

    def spent(self) -> Decimal:
        """US dollars of the ended ones; one that started and whose cost is unknown counts as what it had reserved."""
        ended = self.filter(ended_at__isnull=False)
        unknown = ended.filter(cost_usd=None, started_at__isnull=False)
        known = ended.aggregate(total=Sum("cost_usd"))["total"] or Decimal(0)
        return known + (unknown.aggregate(total=Sum("reserved_usd"))["total"] or Decimal(0))

    def late_and_stuck(self, batch: "Batch", run: "Run", now: datetime, share: float, idle_seconds: float) -> tuple[list[int], list[int]]:
        """Live attempts (ids) without a sign of life for more than `share` of the run's silence limit; and others whose agent
        has done nothing for more than `idle_seconds`, however often they say that they live. One query."""
        since, idle_since = now - timedelta(seconds=share * run.silence_seconds), now - timedelta(seconds=idle_seconds)
        silent = Q(last_beat_at__lt=since) | Q(last_beat_at__isnull=True, launched_at__lt=since)
        found = self.live().filter(silent | Q(last_progress_at__lt=idle_since), task__run=run, task__run__batch=batch).order_by("pk")
        late, stuck = [], []
        for pk, seen in found.values_list("pk", Coalesce("last_beat_at", "launched_at")):
            (late if seen < since else stuck).append(pk)
        return late, stuck
