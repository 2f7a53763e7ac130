"""`manage.py batch_facts`: add missing rows of metrics, or rebuild all."""

from typing import Any

from django.core.management.base import CommandParser

from batches.management.refusing_command import RefusingCommand
from batches.metrics import facts


class Command(RefusingCommand):
    help = "Add the missing metrics of ended attempts and runs (migrations do so automatically). Safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rebuild", action="store_true", help="rebuild all of them from attempts, results and gates")

    def handle(self, *args: Any, **options: Any) -> None:
        attempts, runs = facts.rebuild(anew=options["rebuild"])
        self.stdout.write(f"Facts of {attempts} attempts and {runs} runs were written.")
