"""Write all work orders of a batch at once, where no model is asked about them: by the ticker itself, without a process for each.

What an attempt of the generator would do runs no command of anybody: it puts a document that is made from rows on the batch's branch.
So the documents become a chain of commits, one a phase, and the branch is moved to its end once. Rows and files are those that
attempts leave. Whatever is in the way is left to attempts, which say what it is (docs/decisions/work-orders-at-once.md).
"""

import logging
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction

from batches.core.engine.decide import SUCCESS
from batches.core.engine.pricing import BACKENDS_WITHOUT_MODEL
from batches.core.engine.prp import Prp, render_prp
from batches.core.engine.states import Operation, RunEvent, RunState, TaskEvent, TaskState
from batches.engine.attempt_results import DIFF_BYTES, result_row
from batches.engine.snapshots import TickContext
from batches.engine.task_specs import build_spec, place_of
from batches.metrics import facts
from batches.models import Attempt, Batch, Result, Run, Task
from batches.plans.prp_document import prps_of
from batches.projects.secrets import learn_secrets
from batches.repositories.batch_branch import refuse_moved
from batches.repositories.repository import repository_of
from batches.runs.transitions import move_run, move_tasks
from subagents import launcher
from subagents.checkout import Checkout
from subagents.contract import ResultStatus, SubagentError, TaskResult, TaskSpec
from subagents.machine_faults import fault_of
from subagents.redaction import redact
from subagents.reporting import title_of
from subagents.workspace import Repository, branch_ref

logger = logging.getLogger(__name__)

AT_ONCE = 200  # between two looks at the processes
LIVE = (RunState.QUEUED, RunState.RUNNING)
LIFE = (TaskEvent.LAUNCH, TaskEvent.SUCCEED)  # of a task whose attempt needs no process


@dataclass(frozen=True, slots=True)
class Written:
    """A work order on the batch's branch: `commit` follows `base`, or is the same if the document was there."""

    task: Task
    document: Prp
    base: str
    commit: str
    tree: str


def prepare(run: Run, context: TickContext) -> bool:
    """Write the work orders of the run that wait; False where there are none, or attempts have to do it.

    The branch is moved first, then come the files, then the rows. After a kill in between the documents are found on the branch.
    Raises MachineFault and OSError when the machine is at fault, and what the database raises.
    """
    if run.operation != Operation.GENERATE or run.backend not in BACKENDS_WITHOUT_MODEL or context.free_slots <= 0:
        return False
    tasks = waiting(run)
    if not tasks or (run.state == RunState.QUEUED and not _started(run, context)):
        return False
    try:
        written = write(repository_of(run.batch), run, tasks)
        diffs = _diffs(repository_of(run.batch), run, written)
        made = [_attempt_of(run, one, context) for one in written]
        results = [_result_of(repository_of(run.batch), spec, one) for (_, spec), one in zip(made, written, strict=True)]
        for (_, spec), result in zip(made, results, strict=True):
            launcher.publish(spec, result)
    except SubagentError as problem:
        if fault_of(problem, (run.batch.project.repository,)) is not None:
            raise
        logger.warning("batch=%s run=%s: attempts write the work orders: %s", run.batch.number, run.number, problem)
        return False
    with transaction.atomic():
        if not move_tasks([attempt.task for attempt, _ in made], LIFE, now=context.now, cause=context.cause):
            return False  # somebody else has begun: the documents are found on the branch
        attempts = Attempt.objects.bulk_create([attempt for attempt, _ in made])
        rows = [result_row(attempt, spec, result) for attempt, (_, spec), result in zip(attempts, made, results, strict=True)]
        for row, one in zip(rows, written, strict=True):
            row.diff = diffs.get(one.document.path, row.diff)
        Result.objects.bulk_create(rows)
        facts.record_attempts([attempt.pk for attempt in attempts])
        Batch.objects.bump(run.batch_id)
    logger.info("batch=%s run=%s: %d work orders written at once", run.batch.number, run.number, len(written))
    return True


def waiting(run: Run) -> list[Task]:
    """The tasks to write now, in plan order: those that nothing keeps from starting, and no attempt has begun."""
    if run.state not in LIVE or run.cancel_requested or run.paused or run.stop_reason:
        return []
    waiting = Task.objects.filter(run=run, state=TaskState.PENDING, restarts=0, not_before=None, attempts=None, phase__isnull=False)
    tasks = list(waiting.select_related("phase__stage", "stage").order_by("position", "pk")[:AT_ONCE])
    if tasks and Attempt.objects.filter(task__run=run).exclude(outcome=Attempt.Outcome.SUCCEEDED).exists():
        return []
    folder = Path(settings.CE_DATA_DIR) / "attempts" / run.batch.project.slug / os.path.dirname(place_of(run, tasks[0])) if tasks else None
    return [] if folder is not None and folder.is_dir() else tasks  # after a restore, what the folders know is taken up


def _started(run: Run, context: TickContext) -> bool:
    with transaction.atomic():
        if not Run.objects.select_for_update(of=("self",)).filter(pk=run.pk, cancel_requested=False).exists():
            return False
        return move_run(run, RunEvent.START, now=context.now, cause=context.cause)


def write(repository: Repository, run: Run, tasks: Sequence[Task]) -> list[Written]:
    """The work orders as a chain of commits with the batch's branch at its end. Raises SubagentError, OSError."""
    batch = run.batch
    if Attempt.objects.filter(task__run__batch=batch).exists():
        tip = repository.branch_commit(batch.branch)
        refuse_moved(batch, repository, tip)
    else:
        tip = repository.ensure_branch(batch.branch, batch.base_commit)
    repository.refuse_checked_out(batch.branch)
    # Not the time of this round: after a kill the same documents are written again, and found to be there.
    documents = prps_of(batch, [task.phase for task in tasks if task.phase is not None], run.started_at or batch.created_at)
    with tempfile.TemporaryDirectory(prefix="ce-work-orders-") as folder:
        written = list(_commits(Checkout(repository, folder, f"{folder}/index", ""), tip, tasks, documents))
    if written[-1].commit != tip:
        repository.move_ref(branch_ref(batch.branch), written[-1].commit, tip)
    return written


def _commits(checkout: Checkout, tip: str, tasks: Sequence[Task], documents: Sequence[Prp]) -> Iterator[Written]:
    commit, tree = tip, checkout.repository.tree(tip)
    for task, document in zip(tasks, documents, strict=True):
        base, before = commit, tree
        tree = checkout.with_file(base, document.path, render_prp(document).encode("utf-8", "replace"))
        if tree != before:
            message = f"{document.prp_id}: Generate - {title_of(document.title)}\n"
            commit = checkout.repository.make_commit(tree, (base,), message)
        yield Written(task, document, base, commit, tree)


def _diffs(repository: Repository, run: Run, written: Sequence[Written]) -> dict[str, str]:
    """{path: what git shows of its change}; what is not in it is read later, commit by commit."""
    learn_secrets(run.batch.project)
    found = repository.diff(written[0].base, written[-1].commit, DIFF_BYTES)
    pieces = [] if found.truncated else re.split(r"^(?=diff --git )", found.text, flags=re.MULTILINE)
    by_path = {piece.partition("\n")[0].rpartition(" b/")[2]: redact(piece) for piece in pieces}
    return {one.document.path: by_path[one.document.path] for one in written if one.document.path in by_path}


def _attempt_of(run: Run, one: Written, context: TickContext) -> tuple[Attempt, TaskSpec]:
    """The row, not saved yet, of an attempt without a process that has ended, and its spec."""
    place = f"{place_of(run, one.task)}/1"
    slug, now = run.batch.project.slug, context.now
    new = one.commit != one.base
    attempt = Attempt(
        task=one.task,
        number=1,
        token=secrets.token_hex(16),
        host=context.host,
        directory=str(Path(settings.CE_DATA_DIR) / "attempts" / slug / place),
        checkout=str(Path(settings.CE_DATA_DIR) / "checkouts" / slug / place.replace("/", "-")),
        ref=f"refs/ce/attempts/{place}",
        base_commit=one.base,
        launched_at=now,
        launched_clock=context.clock,
        ready_at=run.started_at,
        exited_at=now,
        ended_at=now,
        verdict=SUCCESS,
        outcome=Attempt.Outcome.SUCCEEDED,
        head_commit=one.commit,
        tree=one.tree,
        merge_commit=one.commit if new else "",
        merge_tree=one.tree if new else "",
        phase_limit_seconds=run.phase_limit_seconds,
        silence_seconds=run.silence_seconds,
    )
    spec = build_spec(run, one.task, attempt, one.document)
    attempt.spec = spec.to_json()
    return attempt, spec


def _result_of(repository: Repository, spec: TaskSpec, one: Written) -> TaskResult:
    changes = repository.changes(one.base, one.commit)
    return TaskResult(
        task_id=spec.task_id,
        prp_id=spec.prp_id,
        status=ResultStatus.SUCCESS,
        attempt=spec.attempt,
        token=spec.token,
        files_created=changes.created,
        files_modified=changes.modified,
        commits=(one.commit,) if one.commit != one.base else (),
        prps_generated=(one.document.path,),
        base_commit=one.base,
        head_commit=one.commit,
        tree=one.tree,
    )
