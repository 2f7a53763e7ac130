"""`manage.py batch_conflict --batch N --phase K`: show a merge conflict, take a resolution, or drop the phase."""

from typing import Any

from django.core.management.base import CommandParser

from batches.accounts.actor import Actor
from batches.core.errors import ServiceError
from batches.engine import retries
from batches.engine.conflict_resolutions import ConflictView, conflict_of, drop_phase
from batches.engine.execution_plan import find_phase
from batches.management.commands._waiting import find_batch
from batches.management.refusing_command import RefusingCommand
from batches.models import Task


class Command(RefusingCommand):
    help = "Show the merge conflict of a phase and the commands to resolve it; --take merges a resolution, --drop drops the phase."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, required=True, help="number of the batch")
        parser.add_argument("--phase", required=True, help="key of the phase")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--take", metavar="BRANCH", help="a branch or commit with the resolution, to be judged and then merged")
        what.add_argument("--drop", action="store_true", help="drop the phase; its commits are kept under an archive reference")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 1 if it is refused, 2 for an unknown phase."""
        batch = find_batch(options["batch"])
        actor = Actor.command("batch_conflict")
        phase = find_phase(list(batch.phases.all()), options["phase"])
        tasks = Task.objects.newest_of(batch, None).filter(phase=phase).select_related("run__batch__project")
        task = tasks.last()
        if task is None:
            raise ServiceError(f"Phase {phase.key} has not been carried out yet.")
        if options["take"]:
            retries.take_resolution(task=task, commit=options["take"], actor=actor)
            self.stdout.write(f"Taken. Its gates are judged, then it is merged: manage.py batch_status --batch {batch.number}")
        elif options["drop"]:
            self.stdout.write(f"Dropped. Its work is kept as {drop_phase(task=task, actor=actor)}.")
        else:
            self._show(conflict_of(task))

    def _show(self, view: ConflictView) -> None:
        number, key = view.task.run.batch.number, view.task.name
        self.stdout.write(f"Phase {key}, attempt {view.attempt.number}, collides with {view.task.run.batch.branch} at:")
        for side in view.files:
            self.stdout.write(f"  {side.path}")
        self.stdout.write("\nResolve it:\n  " + "\n  ".join(view.commands))
        self.stdout.write(f"  manage.py batch_conflict --batch {number} --phase {key} --take {view.resolution_branch}")
        self.stdout.write(f"Or try again on top: manage.py batch_exe_prp --batch {number} --retry-phase {key}")
