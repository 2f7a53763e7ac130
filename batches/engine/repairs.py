"""Rounds of repair, before anybody is asked (docs/agents.md): after a failed gate the agent gets the gate's output and works on;
after a merge conflict it gets both sides in one tree, and joins them."""

from django.db import transaction

from batches.accounts.actor import Actor
from batches.accounts.roles import EXECUTE_BATCH
from batches.core.engine.execute_options import checked_repairs
from batches.engine.pause_and_cancel import change_live_run
from batches.models import Attempt, Run, Task

# What the agent is told before the gates' output.
ASK_FOR_REPAIR = (
    "This is a repair. The work of that attempt is in your checkout; it is not lost and not to be done anew. "
    "Find out why the gates below refuse it, and change what makes them fail."
)

ASK_TO_JOIN = (
    "This is a merge conflict. Your work of that attempt is in your checkout, together with what was merged meanwhile. Git could not join "
    "them in these files: {files}. In them, lines from <<<<<<< to ======= are what was merged, and lines from there to >>>>>>> are your "
    "work. Keep what both sides are for, and leave none of these marks. All gates are judged again.\n\n"
    "What was merged is the work of these phases:\n{others}"
)
OTHERS = 10  # phases that are named


def base_of_repair(task: Task) -> str:
    """The commit that a round of repair has as its base: that of the round before, whose work it goes on with.

    "" for no repair, and for one of a merge conflict, which begins at the tip that could not be merged with.
    """
    if not task.repairs:
        return ""
    last = task.attempts.order_by("-number").first()
    return "" if last is None or last.merge_conflicts else last.base_commit


def ask_to_join(last: Attempt) -> str:
    """What the agent is told of a merge conflict: the files, and the goals of the phases on the other side."""
    merged = Attempt.objects.filter(task__run__batch=last.task.run.batch_id, task__run__operation=last.task.run.operation)
    merged = merged.exclude(merge_commit="").exclude(task=last.task_id).filter(merge_commit__isnull=False)
    lines = []
    for attempt in merged.select_related("task__phase").prefetch_related("result").order_by("-pk"):
        result, phase = getattr(attempt, "result", None), attempt.task.phase
        touched = {*result.files_created, *result.files_modified, *result.files_deleted} if result is not None else set()
        if phase is not None and touched & set(last.merge_conflicts or ()):
            lines.append(f"- Phase {phase.key}, {phase.title}: {phase.goal[:1000]}")
    return ASK_TO_JOIN.format(files=", ".join(last.merge_conflicts or ()), others="\n".join(lines[:OTHERS]) or "- (not of this batch)")


def repair_words(run: Run, task: Task) -> str:
    """Which round of repair the task's next attempt is: "Repair 1 of 2 after gate 3"."""
    words = f"Repair {task.repairs} of {max(run.repairs, task.repairs)}"
    sent = task.attempts.filter(outcome=Attempt.Outcome.REPAIRED).order_by("-number").first()
    if sent is None:
        return words
    if sent.merge_conflicts:
        return f"{words} after a merge conflict"
    checks = sent.gate_checks.order_by("pk").values_list("status", flat=True)
    failed = [str(place) for place, status in enumerate(checks, start=1) if status == "failed"]
    gates = f" after gate{'s' if len(failed) > 1 else ''} {', '.join(failed)}" if failed else ""
    return (words + gates)[:200]


def set_repairs(*, run: Run, rounds: int | None, actor: Actor) -> None:
    """Choose how often a phase of a live run may be repaired; 0: never. Raises ServiceError, PermissionDenied."""
    actor.require(EXECUTE_BATCH, run.batch.project)
    with transaction.atomic():
        change_live_run(run, repairs=checked_repairs(rounds))
