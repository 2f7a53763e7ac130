"""`manage.py batch_autopilot PLAN.md|--batch N`: generate, review, execute, review and update the context."""

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from batches.accounts.actor import Actor
from batches.core.engine.autopilot_steps import AutopilotState
from batches.core.errors import ServiceError
from batches.engine import autopilot, generation
from batches.management.commands._waiting import find_batch, wait_for_autopilot
from batches.management.commands.batch_exe_prp import add_how, execute_options
from batches.management.commands.batch_gen_prp import analysed, read_plan_file
from batches.management.projects import find_project
from batches.management.refusing_command import RefusingCommand
from batches.models import AutopilotRun, Batch
from batches.plans.versions import import_plan


class Command(RefusingCommand):
    help = "Run all operations for a plan or a batch. Stops if a verdict or a failure needs a person."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("plan", nargs="?", help="a plan document, or - for standard input; generates a new batch")
        what.add_argument("--batch", type=int, help="number of a batch: start at its current state, or resume where the autopilot stopped")
        parser.add_argument("--project", help="name or slug of the project (with a plan, when there are several)")
        parser.add_argument("--leave", action="store_true", help="with --batch: end the autopilot; the current run continues")
        add_how(parser)
        parser.add_argument("--detach", action="store_true", help="do not wait for the end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 1 if it stopped or was ended before everything was done."""
        actor = Actor.command("batch_autopilot")
        if options["leave"] and options["batch"] is None:
            raise CommandError("--leave needs --batch N.", returncode=2)
        if options["batch"] is None:
            autopilot_run = self._from_plan(options, actor)
        else:
            batch = find_batch(options["batch"])
            if options["leave"]:
                self._leave(batch, actor)
                return
            autopilot_run = self._from_batch(batch, options, actor)
        if options["detach"]:
            self.stdout.write(f"Batch {autopilot_run.batch.number} is on autopilot.")
            return
        autopilot_run = wait_for_autopilot(autopilot_run, self.stderr, self.stdout)
        self.stdout.write("")
        if autopilot_run.state == AutopilotState.FINISHED:
            self.stdout.write(f"Autopilot: finished. {autopilot_run.reason}".rstrip())
            return
        self.stdout.write(f"Autopilot: {autopilot_run.state} at {autopilot_run.get_step_display()}. {autopilot_run.reason}")
        if autopilot_run.state == AutopilotState.STOPPED:
            number = autopilot_run.batch.number
            self.stdout.write(f"To resume it: manage.py batch_autopilot --batch {number}, or the button on the batch's page.")
        sys.exit(1)

    def _from_plan(self, options: dict[str, Any], actor: Actor) -> AutopilotRun:
        name, text = read_plan_file(options["plan"])
        project = find_project(options["project"])
        analysed(name, text, self.stderr)
        plan = import_plan(text=text, file_name=name, project=project, actor=actor)
        batch = generation.generate(plan=plan, project=project, actor=actor, then=execute_options(options), full_autopilot=True)
        return batch.autopilot_runs.get()

    def _from_batch(self, batch: Batch, options: dict[str, Any], actor: Actor) -> AutopilotRun:
        autopilot_run = batch.autopilot_runs.open().first()
        if autopilot_run is None:
            return autopilot.start(batch=batch, actor=actor, options=execute_options(options))
        if autopilot_run.state == AutopilotState.STOPPED:
            autopilot.resume(autopilot_run=autopilot_run, actor=actor)
        return autopilot_run

    def _leave(self, batch: Batch, actor: Actor) -> None:
        autopilot_run = batch.autopilot_runs.open().first()
        if autopilot_run is None:
            raise ServiceError(f"Batch {batch.number} is not on autopilot.")
        autopilot.stop(autopilot_run=autopilot_run, actor=actor)
        self.stdout.write(f"Batch {batch.number}: nothing follows by itself any more; what runs goes on.")
