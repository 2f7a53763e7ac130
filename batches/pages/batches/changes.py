"""The changes of a batch: of each phase, compared with what the plan declares, and all files of all phases in one diff with a tree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from batches.core.engine.states import Operation, TaskKind, TaskState
from batches.core.gates.success import VERIFIED, PhaseSuccess, Success
from batches.core.review.declared_changes import FileRow, compare_files
from batches.core.text.diff import UnifiedDiff
from batches.engine.diff_comments import comments_of
from batches.engine.running_diffs import running_diff, watch
from batches.metrics.successes import read_successes
from batches.models import Attempt, Batch, DiffComment, Phase, Result, Task, ViewedFile
from batches.pages.batches.batch import find_batch, may_execute, tab_head
from batches.pages.batches.diffs import OPEN_LINES, ShownDiff, ShownFile, diff_address, diff_mode, own_query, remember_mode, shown_diff

FILES_SHOWN = 200
TREE_FILES = 600  # more are not shown at once: a phase is chosen then


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
        for task in Task.objects.filter(run__batch=batch, run__operation=Operation.EXECUTE, kind=TaskKind.PHASE)
        .select_related("run")
        .order_by("run__number")
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


@dataclass
class Folder:
    """A folder of the tree; `name` is its path from the folder above, which holds more than this one."""

    name: str = ""
    folders: list["Folder"] = field(default_factory=list)
    files: list[tuple[str, ShownFile]] = field(default_factory=list)


def tree_of(files: Iterable[ShownFile]) -> Folder:
    """The files by folder, each with its name in there; a folder that holds nothing but a folder is one line with it."""
    known = {"": Folder()}

    def folder(path: str) -> Folder:
        if path not in known:
            known[path] = Folder(path.rpartition("/")[2])
            folder(path.rpartition("/")[0]).folders.append(known[path])
        return known[path]

    for one in files:
        path, _, name = one.file.name.rpartition("/")
        folder(path).files.append((name, one))

    def short(one: Folder) -> Folder:
        one.folders = [short(inner) for inner in one.folders]
        if one.name and not one.files and len(one.folders) == 1:
            return Folder(f"{one.name}/{one.folders[0].name}", one.folders[0].folders, one.folders[0].files)
        return one

    return short(known[""])


def read_diffs(request: HttpRequest, number: int, phases: Sequence[PhaseChanges], said: Sequence[DiffComment]) -> tuple[ShownDiff, bool]:
    """(changes of these phases by path, with what this person has viewed; whether that is all)."""
    viewed = set(ViewedFile.objects.filter(user=request.user.pk, phase__batch__number=number).values_list("phase", "digest"))
    mode, files, all_shown, room = diff_mode(request), list[ShownFile](), True, OPEN_LINES
    for one in phases:
        if one.attempt is None:
            continue
        if len(files) >= TREE_FILES:
            all_shown = False
            break
        address, text = "", ""
        if one.result is not None:
            address = diff_address(number, one.attempt.pk)
            text = Result.objects.values_list("diff", flat=True).get(pk=one.result.pk) or ""
        elif one.attempt.ended_at is None:
            watch(one.attempt.pk)
            text = now.text if (now := running_diff(one.attempt)) is not None else ""
        comments = [comment for comment in said if comment.attempt_id == one.attempt.pk]
        found = shown_diff(text, mode, "", address, room=room, comments=comments).files
        room -= sum(len(file.file.lines) for file in found if file.open)
        all_shown = len(found) <= TREE_FILES - len(files)
        for file in found[: TREE_FILES - len(files)]:
            digest = file.file.digest
            seen = (one.phase.pk, digest) in viewed
            opened = file.open and not seen
            files.append(replace(file, key=one.phase.key, attempt=one.attempt.pk, digest=digest, viewed=seen, open=opened))
    files.sort(key=lambda file: (file.file.name.split("/"), file.key))
    return ShownDiff(UnifiedDiff(tuple(file.file for file in files), 0), tuple(files), mode, own_query(request)), all_shown


@require_safe
def changes(request: HttpRequest, number: int) -> HttpResponse:
    """Changed files by phase, and their diff: of all phases, or with ?phase= of one."""
    batch = find_batch(number)
    phases = read_changes(batch)
    total = {name: sum(one.counts[name] for one in phases) for name in ("created", "modified", "deleted", "undeclared")}
    wanted = request.GET.get("phase", "")
    chosen = next((one for one in phases if one.phase.key == wanted), None)
    said = list(DiffComment.objects.filter(attempt__in=[one.attempt.pk for one in phases if one.attempt]))
    shown = phases if chosen is None else [chosen]
    diff, all_shown = read_diffs(request, number, shown, said)
    comments = comments_of(batch)
    open_ones = [(one, own) for one in phases if (own := [note for note in comments if note.attempt.task.phase_id == one.phase.pk])]
    context = {
        "batch": batch,
        **tab_head(request, batch),
        "phases": phases,
        "total": total,
        "chosen": chosen,
        "diff": diff,
        "tree": tree_of(diff.files),
        "all_shown": all_shown,
        "viewed": sum(one.viewed for one in diff.files),
        "commented": [one for one in shown if one.attempt],
        "said": open_ones,
        "sendable": any(one.task.state == TaskState.SUCCEEDED and one.task.run.backend != "steps" for one, _ in open_ones if one.task),
        "executes": may_execute(request, batch.project),
        "files_shown": FILES_SHOWN,
    }
    return remember_mode(request, render(request, "batches/changes.html", context))
