"""`manage.py batch_facts`: write missing facts, or rebuild all of them."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from batches.metrics import facts


class Command(BaseCommand):
    help = "Fill in the facts of ended attempts and runs that lack them (a migration does so by itself); safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rebuild", action="store_true", help="rewrite all of them from attempts, results and gates")

    def handle(self, *args: Any, **options: Any) -> None:
        attempts, runs = facts.rebuild(anew=options["rebuild"])
        self.stdout.write(f"Facts of {attempts} attempts and {runs} runs were written.")
