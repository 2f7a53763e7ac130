"""`manage.py batch_merge --batch N`: merge a batch's branch into its base branch."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from batches.accounts.actor import Actor
from batches.core.text.words import counted
from batches.engine import execution
from batches.management.commands._waiting import exit_code, find_batch, wait_for
from batches.management.refusing_command import RefusingCommand
from batches.repositories.merges import MergePreview, bring_in_base, merge_batch, preview_merge


class Command(RefusingCommand):
    help = "Merge a batch's branch into its base branch; a clean checkout of that branch is updated. Refuses unsafe merges."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, required=True, help="number of the batch")
        way = parser.add_mutually_exclusive_group()
        way.add_argument("--ff", action="store_true", help="fast-forward the base branch (the default)")
        way.add_argument("--no-ff", action="store_true", help="create a merge commit")
        way.add_argument("--bring-in", action="store_true", help="only merge new commits of the base branch into the batch's branch")
        way.add_argument("--judge", action="store_true", help="only judge the batch's gates again, on the current branch")
        parser.add_argument("--dry-run", action="store_true", help="show what would be merged; change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """If it is refused, exit code 1 with the reason and what to do."""
        batch = find_batch(options["batch"])
        actor = Actor.command("batch_merge")
        if options["bring_in"] and not options["dry_run"]:
            bring_in_base(batch=batch, actor=actor)
            self.stdout.write(f"{batch.branch} holds what {batch.base_branch} has.")
            self.stdout.write(f"Judge its gates on that: ce merge {batch.number} --judge")
            return
        if options["judge"] and not options["dry_run"]:
            run = wait_for(execution.judge_again(batch=batch, actor=actor), self.stderr)
            self.stdout.write(run.report)
            if exit_code(run):
                raise CommandError("The gates did not pass; nothing was merged.", returncode=1)
            return
        preview = preview_merge(batch)
        self._show(batch.branch, batch.base_branch, preview)
        if options["dry_run"]:
            if preview.refusal:
                raise CommandError(preview.refusal, returncode=1)
            return
        merge = merge_batch(batch=batch, actor=actor, fast_forward=not options["no_ff"])
        self.stdout.write(f"Merged: {merge.base_branch} is at {merge.to_commit[:12]} now.")

    def _show(self, branch: str, base: str, preview: MergePreview) -> None:
        files = preview.changes
        counts = (("created", files.created), ("modified", files.modified), ("deleted", files.deleted))
        said = ", ".join(f"{len(paths)} {word}" for word, paths in counts)
        self.stdout.write(f"{branch} into {base}: {counted(len(preview.commits), 'commit')}; files: {said}.")
        for path in files.deleted:
            self.stdout.write(f"  deleted: {path}")
        if preview.undone:
            self.stdout.write(f"  not done, so not part of it: phases {', '.join(preview.undone)}")
