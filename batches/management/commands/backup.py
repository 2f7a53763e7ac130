"""`manage.py backup FILE`: everything that the installation needs to go on elsewhere, in one file."""

import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from batches.engine.backup import make_backup
from batches.management.refusing_command import RefusingCommand


class Command(RefusingCommand):
    help = "Write a backup into one file, while the installation runs: database, commits and references, contract files, logs, key."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", help="the file to write (default: ce-backup-DATE.tar in this folder)")
        parser.add_argument("--without-key", action="store_true", help="leave the secret key out; you keep it yourself")

    def handle(self, *args: Any, **options: Any) -> None:
        target = Path(options["file"] or time.strftime("ce-backup-%Y%m%d-%H%M%S.tar")).resolve()
        if target.exists():
            raise CommandError(f"{target} is there already.")
        for line in make_backup(target, with_key=not options["without_key"]):
            self.stdout.write(line)
