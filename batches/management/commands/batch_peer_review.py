"""`manage.py batch_peer_review --batch N`: review the PRPs before execution, or the code after it."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from batches.accounts.actor import Actor
from batches.core.review.types import ReviewTiming
from batches.management.commands._waiting import exit_code, find_batch, wait_for
from batches.management.refusing_command import RefusingCommand
from batches.models import Review
from batches.review.begin_review import review, usual_moment


class Command(RefusingCommand):
    help = "Review a batch by rules: structure, gates, conflicts and risk before execution; files, gates, drift and size after."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, required=True, help="number of the batch")
        moment = parser.add_mutually_exclusive_group()
        moment.add_argument("--before", action="store_const", const=ReviewTiming.BEFORE, dest="moment", help="review the PRPs")
        moment.add_argument("--after", action="store_const", const=ReviewTiming.AFTER, dest="moment", help="review the code")
        parser.add_argument("--detach", action="store_true", help="do not wait for the end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 1 if the verdict is “needs revision” or “rejected”, or if there is none."""
        batch = find_batch(options["batch"])
        moment = options["moment"] or usual_moment(batch)
        run = review(batch=batch, actor=Actor.command("batch_peer_review"), moment=moment)
        if options["detach"]:
            self.stdout.write(f"Batch {batch.number}, run {run.number} is going on.")
            return
        run = wait_for(run, self.stderr)
        self.stdout.write(run.report)
        sys.exit(exit_code(run) or (0 if Review.objects.get(run=run).passes else 1))
