"""`manage.py verify --batch N`: judge all recorded gates of a batch once more, and print what differs."""

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from batches.accounts.actor import Actor
from batches.core.gates.verification import report_text
from batches.engine.verifications import ask_verification
from batches.management.commands._waiting import find_batch, wait_for_verification
from batches.management.refusing_command import RefusingCommand


class Command(RefusingCommand):
    help = "Judge all recorded gates of a batch again, on fresh checkouts of their commits, and compare ledger, git notes and file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, required=True, help="number of the batch")
        parser.add_argument("--json", action="store_true", help="print one JSON document, as in batches/batch-N.verify.json")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 0 only when everything agrees."""
        batch = find_batch(options["batch"])
        found = wait_for_verification(ask_verification(batch=batch, actor=Actor.command("verify")), self.stderr)
        if found.result is None:
            raise CommandError(found.problem, returncode=1)
        document = found.result
        self.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) if options["json"] else report_text(document))
        if found.problem:
            self.stderr.write(found.problem)
        if not found.agrees:
            raise SystemExit(1)
