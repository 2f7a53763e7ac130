"""`manage.py batch_kept --batch N`: list what was not merged, make a branch of an attempt, or make room."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.core.errors import ServiceError
from batches.core.text.words import bytes_words
from batches.management.commands._waiting import find_batch
from batches.repositories.kept_work import clean_up, kept_attempts, measure_checkouts, restore


class Command(BaseCommand):
    help = "List attempts of a batch that were not merged, with their folders; --restore makes a branch, --clean-up removes folders."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, required=True, help="number of the batch")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--restore", type=int, metavar="ID", help="make a branch at what this attempt left (ids are in the list)")
        what.add_argument("--clean-up", action="store_true", help="archive what is not committed, then remove the folders on this host")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 1 when it is refused, or when something had to stay."""
        batch = find_batch(options["batch"])
        actor = Actor.command("batch_kept")
        measure_checkouts(settings.CE_HOST, timezone.now())
        try:
            if options["restore"]:
                attempt = kept_attempts(batch).filter(pk=options["restore"]).first()
                if attempt is None:
                    raise ServiceError(f"Batch {batch.number} keeps no attempt {options['restore']}; the list has the ids.")
                self.stdout.write(f"Restored as the branch {restore(attempt=attempt, actor=actor)}.")
            elif options["clean_up"]:
                done = clean_up(batch=batch, actor=actor)
                self.stdout.write(f"{done.removed} folders removed, {bytes_words(done.bytes)} freed.")
                if done.stays:
                    raise CommandError("Stays: " + "; ".join(done.stays), returncode=1)
            else:
                for one in kept_attempts(batch):
                    folder = "" if one.checkout_removed_at else f"  {bytes_words(one.checkout_bytes)} in {one.checkout}"
                    name = f"{one.task.name}, attempt {one.number} ({one.outcome})"
                    self.stdout.write(f"{one.pk}: {name}  {one.archive_ref or one.ref}{folder}")
        except ServiceError as error:
            raise CommandError(str(error), returncode=1) from error
