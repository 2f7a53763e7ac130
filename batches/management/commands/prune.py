"""`manage.py prune`: remove what is old and no longer needed; with --dry-run only say so."""

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from batches.accounts import audit_log
from batches.accounts.actor import Actor
from batches.engine.retention import REFERENCES, bound_rows, compress_logs, drop_references, keep_to_size
from batches.management.refusing_command import RefusingCommand


class Command(RefusingCommand):
    help = "Remove ended sessions, old sign-ins, references of attempts merged long ago, logs above a limit; compress old logs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would be removed; remove nothing")
        said = "of runs that ended since then references and plain logs are kept (default: 30)"
        parser.add_argument("--megabytes", type=int, help="keep so many megabytes of logs of each project (default: the project's setting)")
        parser.add_argument("--days", type=int, default=REFERENCES.days, help=said)

    def handle(self, *args: Any, **options: Any) -> None:
        now, dry_run = timezone.now(), options["dry_run"]
        found = bound_rows(now, dry_run=dry_run)
        older = timedelta(days=max(0, options["days"]))
        if (options["megabytes"] or 0) < 0:
            raise CommandError("--megabytes takes 0 or more.")
        found += drop_references(now, older=older, dry_run=dry_run)
        found += keep_to_size(now, megabytes=options["megabytes"], dry_run=dry_run)
        packed = list(compress_logs(now, older=older, dry_run=dry_run))
        verb = "Would remove" if dry_run else "Removed"
        for one in found:
            self.stdout.write(f"{verb} {one.words}.")
        for one in packed:
            self.stdout.write(f"{'Would compress' if dry_run else 'Compressed'} {one.words}.")
        removed = sum(one.count for one in found)
        if removed and not dry_run:
            what = "; ".join(one.words for one in found if one.count)
            audit_log.record(audit_log.Kind.INSTALLATION, Actor.command("prune").cause, f"Removed {what}")
