"""`manage.py demo_history`: create or remove made-up demonstration data for the metrics."""

import time
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from batches.management.refusing_command import RefusingCommand
from batches.metrics import demo


class Command(RefusingCommand):
    help = "Create made-up batches to try the metrics page. They are marked as a demonstration; --remove deletes them all."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batches", type=int, default=120, help="how many batches (default 120)")
        parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same history (default 1)")
        parser.add_argument("--days", type=int, help="how many days it goes back (default: half as many as batches, 30 to 730)")
        parser.add_argument("--remove", action="store_true", help="delete the made-up data and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 2 for a number out of range."""
        if options["remove"]:
            self.stdout.write(f"Removed {demo.remove_history()} made-up batches.")
            return
        if not 1 <= options["batches"] <= 100_000 or (options["days"] is not None and not 1 <= options["days"] <= 3650):
            raise CommandError("--batches must be from 1 to 100000, --days from 1 to 3650.", returncode=2)
        began = time.monotonic()
        found = demo.make_history(batches=options["batches"], seed=options["seed"], now=timezone.now(), days=options["days"])
        self.stdout.write(
            f"Created {found[0]} made-up batches with {found[1]} attempts in {time.monotonic() - began:.1f} s. "
            "Remove them with: manage.py demo_history --remove"
        )
