"""`manage.py adopt`: go on with a copied, moved or restored data directory."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from batches.accounts.actor import Actor
from batches.engine.data_directory import WrongIdentity, adopt
from batches.management.refusing_command import RefusingCommand
from ce_web import running


class Command(RefusingCommand):
    help = "Make this data directory the one that drives the runs of its database: after a restore, a move, or the loss of a host."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--repositories", action="store_true", help="take over the projects' repositories from another installation")
        parser.add_argument("--new-key", action="store_true", help="accept another secret key; stored secrets must be entered again")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with running.hold("cluster"):
                said = adopt(actor=Actor.command("adopt"), repositories=options["repositories"], new_key=options["new_key"])
        except running.Busy as busy:
            raise CommandError(f"A cluster runs on this data directory ({busy.holder}). Stop it first.") from busy
        except WrongIdentity as problem:
            raise CommandError(str(problem)) from problem
        for line in said:
            self.stdout.write(line)
