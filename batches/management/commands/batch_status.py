"""`manage.py batch_status --batch N`: show the state of a batch."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from batches.engine import reporting
from batches.management.commands._waiting import find_batch


class Command(BaseCommand):
    requires_system_checks: list[str] = []  # they load all pages, which takes longer than the answer
    help = "Show the state of a batch: stages, phases, what is running, what failed and why."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, required=True, help="number of the batch")
        parser.add_argument("--json", action="store_true", help="as JSON, in the shape of batches/batch-N.result.json")

    def handle(self, *args: Any, **options: Any) -> None:
        batch = find_batch(options["batch"])
        run, result = reporting.status_of(batch)
        if options["json"]:
            self.stdout.write(json.dumps(result, ensure_ascii=False, indent=2))
            return
        self.stdout.write(reporting.status_text(run, result, timezone.now()))
