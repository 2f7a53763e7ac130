"""`manage.py batch_kept --batch N`: list kept work that was not merged, restore it as a branch, or free disk space."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from batches.accounts.actor import Actor
from batches.core.errors import ServiceError
from batches.core.text.words import bytes_words
from batches.management.commands._waiting import find_batch
from batches.management.refusing_command import RefusingCommand
from batches.repositories.batch_branch import restore_branch
from batches.repositories.kept_work import clean_up, kept_attempts, measure_checkouts, restore


class Command(RefusingCommand):
    help = "List unmerged attempts of a batch with their checkouts. --restore creates a branch, --clean-up removes checkouts."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, required=True, help="number of the batch")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--restore", type=int, metavar="ID", help="create a branch with the work of this attempt (see the list for ids)")
        what.add_argument("--restore-branch", action="store_true", help="put the batch's branch back where it was before it was lost")
        what.add_argument("--clean-up", action="store_true", help="archive uncommitted work, then remove the checkouts on this host")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 1 if it is refused or if a checkout could not be removed."""
        batch = find_batch(options["batch"])
        actor = Actor.command("batch_kept")
        measure_checkouts(settings.CE_HOST, timezone.now())
        if options["restore_branch"]:
            commit = restore_branch(batch=batch, actor=actor)
            self.stdout.write(f"{batch.branch} is at {commit[:12]} again.")
        elif options["restore"]:
            attempt = kept_attempts(batch).filter(pk=options["restore"]).first()
            if attempt is None:
                raise ServiceError(f"Batch {batch.number} has no kept attempt {options['restore']}; see the list for ids.")
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
