"""`manage.py prune`: remove what is old and no longer needed; with --dry-run only say so."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from batches.accounts import audit_log
from batches.accounts.actor import Actor
from batches.engine.retention import REFERENCES, bound_rows, drop_references


class Command(BaseCommand):
    help = "Remove ended sessions, old sign-ins, and references of attempts that were merged long ago. Nothing unmerged is removed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would be removed; remove nothing")
        parser.add_argument("--days", type=int, default=REFERENCES.days, help="keep references of runs that ended since then (default: 30)")

    def handle(self, *args: Any, **options: Any) -> None:
        now, dry_run = timezone.now(), options["dry_run"]
        found = bound_rows(now, dry_run=dry_run)
        found += drop_references(now, older=timedelta(days=max(0, options["days"])), dry_run=dry_run)
        verb = "Would remove" if dry_run else "Removed"
        for one in found:
            self.stdout.write(f"{verb} {one.words}.")
        removed = sum(one.count for one in found)
        if removed and not dry_run:
            what = "; ".join(one.words for one in found if one.count)
            audit_log.record(audit_log.Kind.INSTALLATION, Actor.command("prune").cause, f"Removed {what}")
