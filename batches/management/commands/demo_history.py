"""`manage.py demo_history`: a made-up history to look at, marked as a demonstration, and its removal."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from batches.metrics import demo


class Command(BaseCommand):
    help = "Make up a history of batches to look at the metrics with. It is marked as a demonstration; --remove takes all of it away."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batches", type=int, default=120, help="how many (default 120)")
        parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same history (default 1)")
        parser.add_argument("--days", type=int, help="how many days it goes back (default: half as many as batches, 30 to 730)")
        parser.add_argument("--remove", action="store_true", help="remove what was made up, and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 2 for a number that is out of range."""
        if options["remove"]:
            self.stdout.write(f"Removed {demo.remove_history()} batches that were made up.")
            return
        if not 1 <= options["batches"] <= 100_000 or (options["days"] is not None and not 1 <= options["days"] <= 3650):
            raise CommandError("--batches is from 1 to 100000, --days from 1 to 3650.", returncode=2)
        began = time.monotonic()
        found = demo.make_history(batches=options["batches"], seed=options["seed"], now=timezone.now(), days=options["days"])
        self.stdout.write(
            f"Made up {found[0]} batches with {found[1]} attempts in {time.monotonic() - began:.1f} s. "
            "Take them away again with: manage.py demo_history --remove"
        )
