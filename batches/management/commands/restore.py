"""`manage.py restore FILE`: bring back what `manage.py backup` wrote."""

import contextlib
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from batches.accounts.actor import Actor
from batches.core.errors import ServiceError
from batches.engine.restore import restore_backup
from ce_web import running


class Command(BaseCommand):
    help = "Restore a backup into CE_DATA_DIR and DATABASE_URL, adopt them, and say what will be done again."
    requires_system_checks = ()  # there may be no tables yet
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="what `manage.py backup` wrote")
        parser.add_argument("--replace", action="store_true", help="replace the installation that is in the database now")

    def handle(self, *args: Any, **options: Any) -> None:
        source = Path(options["file"])
        if not source.is_file():
            raise CommandError(f"There is no file {source}.")
        if unwritable := running.unwritable(Path(settings.CE_DATA_DIR)):
            raise CommandError(unwritable)
        try:
            with contextlib.ExitStack() as held:
                for name in ("up", "cluster", "bootstrap"):
                    held.enter_context(running.hold(name))
                for line in restore_backup(source, replace=options["replace"], actor=Actor.command("restore")):
                    self.stdout.write(line)
        except running.Busy as busy:
            raise CommandError(f"CE Web runs on this data directory ({busy.holder}). Stop it first.") from busy
        except ServiceError as problem:
            raise CommandError(str(problem)) from problem
        self.stdout.write("Restored. Start it: manage.py up, or make run.")
