"""The changes of each phase of a batch, compared with what the plan declares."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from batches.core.engine.states import Operation, TaskKind, TaskState
from batches.core.gates.success import VERIFIED, PhaseSuccess, Success
from batches.core.review.declared_changes import FileRow, compare_files
from batches.metrics.successes import read_successes
from batches.models import Attempt, Batch, Phase, Result, Task
from batches.pages.batches.detail import find_batch, may_execute, tab_head
from batches.pages.batches.diffs import ShownDiff, diff_address, diff_mode, own_query, remember_mode, shown_diff

FILES_SHOWN = 200


@dataclass(frozen=True, slots=True)
class PhaseChanges:
    """A phase, its newest attempt, and the files that git shows as changed (so far, if it still runs)."""

    phase: Phase
    task: Task | None
    attempt: Attempt | None
    result: Result | None
    rows: tuple[FileRow, ...]
    behind: PhaseSuccess = VERIFIED  # the success of a phase that succeeded

    @property
    def state(self) -> str:
        """Its task's, with the kinds of success told apart."""
        if self.task is None:
            return "planned"
        succeeded = self.task.state == TaskState.SUCCEEDED and self.behind.kind != Success.VERIFIED
        return self.behind.kind if succeeded else self.task.state

    @property
    def looks(self) -> tuple[tuple[str, bool], ...]:
        """(what a person should look at, whether the plan declares it) of its newest attempt."""
        return tuple((look["text"], look["declared"]) for look in self.result.looks) if self.result else ()

    @property
    def counts(self) -> dict[str, int]:
        """{"created", "modified", "deleted", "untouched", "undeclared": files}."""
        counts = dict.fromkeys(("created", "modified", "deleted", "untouched", "undeclared"), 0)
        for row in self.rows:
            counts[row.what] += 1
            counts["undeclared"] += not row.declared
        return counts


def files_of(phase: Phase, result: Result | None) -> tuple[FileRow, ...]:
    """The phase's declared files compared with the files that the attempt changed."""
    if result is None:
        return ()
    return compare_files(phase.files, result.files_created, result.files_modified, result.files_deleted)


def files_so_far(phase: Phase, attempt: Attempt | None) -> tuple[FileRow, ...]:
    """The same for a running attempt, from the host's check within the last minute; empty before the first check."""
    if attempt is None or attempt.ended_at is not None or attempt.work_files is None:
        return ()
    seen = attempt.work_files
    return compare_files(phase.files, seen["created"], seen["modified"], seen["deleted"])


def read_changes(batch: Batch) -> list[PhaseChanges]:
    """Every phase in the plan's order, with its newest execution. Six queries."""
    tasks = {
        task.phase_id: task
        for task in Task.objects.filter(run__batch=batch, run__operation=Operation.EXECUTE, kind=TaskKind.PHASE).order_by("run__number")
    }
    attempts = {
        attempt.task_id: attempt
        for attempt in Attempt.objects.filter(task__in=[task.pk for task in tasks.values()])
        .select_related("result")
        .defer("spec", "heartbeat", "log_tail", "result__diff", "result__data")
        .order_by("number")
    }
    found = []
    successes = read_successes([batch.pk])
    for phase in batch.phases.select_related("stage"):
        task = tasks.get(phase.pk)
        attempt = attempts.get(task.pk) if task else None
        result = getattr(attempt, "result", None) if attempt else None
        rows = files_of(phase, result) or files_so_far(phase, attempt)
        behind = successes.get(task.pk, VERIFIED) if task else VERIFIED
        found.append(PhaseChanges(phase, task, attempt, result, rows, behind))
    return found


@require_safe
def changes(request: HttpRequest, number: int) -> HttpResponse:
    """Changed files by phase; with ?phase= also the diff of a phase."""
    batch = find_batch(number)
    phases = read_changes(batch)
    total = {name: sum(one.counts[name] for one in phases) for name in ("created", "modified", "deleted", "undeclared")}
    wanted = request.GET.get("phase", "")
    chosen = next((one for one in phases if one.phase.key == wanted), None)
    diff: ShownDiff | None = None
    if chosen is not None and chosen.result is not None:
        text = Result.objects.values_list("diff", flat=True).get(pk=chosen.result.pk) or ""
        diff = shown_diff(text, diff_mode(request), own_query(request), diff_address(number, chosen.result.attempt_id))
    context = {
        "batch": batch,
        **tab_head(request, batch),
        "phases": phases,
        "total": total,
        "chosen": chosen,
        "diff": diff,
        "executes": may_execute(request, batch.project),
        "files_shown": FILES_SHOWN,
    }
    return remember_mode(request, render(request, "batches/changes.html", context))
