"""`manage.py batch_update_context --batch N`: propose context changes as one diff to accept or reject."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from batches.accounts.actor import Actor
from batches.management.commands._waiting import exit_code, find_batch, wait_for
from batches.management.refusing_command import RefusingCommand
from batches.models import ContextChange
from batches.review.begin_context_update import update_context


class Command(RefusingCommand):
    help = "Propose updates of PRPs, CLAUDE.md and memory files after an execution, on ce/context-N."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, required=True, help="number of the batch")
        parser.add_argument("--detach", action="store_true", help="do not wait for the end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 1 if there is no proposal."""
        batch = find_batch(options["batch"])
        run = update_context(batch=batch, actor=Actor.command("batch_update_context"))
        if options["detach"]:
            self.stdout.write(f"Batch {batch.number}, run {run.number} is going on.")
            return
        run = wait_for(run, self.stderr)
        self.stdout.write(run.report)
        sys.exit(exit_code(run) or (0 if ContextChange.objects.get(run=run).decision else 1))
