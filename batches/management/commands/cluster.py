"""`manage.py cluster`: the task cluster of this host, with its ticker."""

import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone
from django_q.models import Schedule

from batches.checks import ENGINE
from batches.engine import ticker
from batches.engine.data_directory import WrongIdentity, check_identity
from batches.tasks import enqueue_tick
from ce_web import running
from ce_web.cluster import EXIT_REFUSED, STOP_SECONDS, run_cluster
from subagents import cgroups

PATIENCE_SECONDS = STOP_SECONDS + 5  # a cluster whose `manage.py up` was killed is still stopping


class Command(BaseCommand):
    requires_system_checks = [ENGINE]  # the others load all pages into memory, which it shows none of
    help = "Run the task cluster of this host in the foreground. Exit code 75 means: start it again; 78: somebody has to act first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.description = f"{self.help} Usually `manage.py up` runs it."

    def handle(self, *args: Any, **options: Any) -> None:
        if unwritable := running.unwritable(Path(settings.CE_DATA_DIR)):
            raise CommandError(unwritable, returncode=EXIT_REFUSED)
        try:
            check_identity(engine=True)
            with running.hold("cluster", PATIENCE_SECONDS, self.tell_wait):  # its children hold the lock, too, until all are gone
                status = self.run_cluster()
        except WrongIdentity as problem:
            raise CommandError(str(problem), returncode=EXIT_REFUSED) from problem
        except running.Busy as busy:
            raise CommandError(
                f"A cluster already runs on this data directory ({busy.holder}; {settings.CE_DATA_DIR}). Stop it first, or set CE_DATA_DIR."
            ) from busy
        sys.stdout.flush()
        sys.stderr.flush()
        if status:
            os._exit(status)  # do not wait for crashed processes

    def tell_wait(self, holder: str) -> None:
        self.stdout.write(f"Another cluster is on this data directory ({holder}); waiting for its end.")
        self.stdout.flush()

    def run_cluster(self) -> int:
        """Queue the ticker and run the cluster until its end; returns its exit status."""
        report = ticker.startup_report(settings.CE_HOST)
        os.environ[ticker.STARTUP_VARIABLE] = report
        self.stdout.write(report)
        self.stdout.flush()
        os.environ[ticker.MEMORY_VARIABLE] = cgroups.prepare()
        keep_ticking(settings.CE_HOST)
        enqueue_tick()
        return run_cluster()


def keep_ticking(name_of_host: str) -> None:
    """Ensure exactly one schedule that restarts the host's ticker if one of its slices was lost."""
    name = f"tick-{name_of_host}"
    settled = {
        "func": "batches.tasks.ensure_ticker",
        "schedule_type": Schedule.MINUTES,
        "minutes": 1,
        "repeats": -1,
        "cluster": name_of_host,
        "kwargs": "{'q_options': {'save': False}}",
        "next_run": timezone.now(),
    }
    with transaction.atomic():
        first, *surplus = list(Schedule.objects.select_for_update().filter(name=name).order_by("pk")) or [Schedule(name=name)]
        for field, value in settled.items():
            setattr(first, field, value)
        first.save()
        Schedule.objects.filter(pk__in=[schedule.pk for schedule in surplus]).delete()
