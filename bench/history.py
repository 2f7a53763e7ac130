#!/usr/bin/env python
"""How long it takes to read a long history, and to make one up: 10,000 batches with about 100,000 attempts.

    python bench/history.py [--batches 10000] [--database sqlite|postgresql://…/an_empty_database] [--data FOLDER]

Beside it, as peers: one plain SQL aggregate over the same facts (the least that any page would do), and the same
headline figures computed in Python over the raw rows of attempts, as the page did before there were facts. Times are of
the process (CPU) and by the clock; on a machine that does other things too the first is the one to compare.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def timed(name: str, work: Callable[[], object], rounds: int = 5) -> None:
    """Prints the least of some rounds."""
    found = []
    for _ in range(rounds):
        clock, cpu = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - clock, time.process_time() - cpu))
    print(f"{name:<52} {1000 * min(clock for clock, _ in found):7.0f} ms by the clock {1000 * min(cpu for _, cpu in found):7.0f} ms CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=10_000)
    parser.add_argument("--database", default="sqlite")
    parser.add_argument("--data", help="folder of an installation that holds such a history already")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["CE_DATA_DIR"] = options.data or scratch
        if options.database != "sqlite":
            os.environ["DATABASE_URL"] = options.database
        os.environ["DJANGO_SETTINGS_MODULE"] = "ce_web.settings"
        sys.path.insert(0, str(ROOT))
        if not options.data:
            for command in (["migrate", "-v", "0"], ["demo_history", "--batches", str(options.batches)]):
                subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, check=True)
        measure()


def measure() -> None:
    import django

    django.setup()
    from django.db import connection
    from django.utils import timezone

    from batches.core.metrics.types import Filters
    from batches.core.percentile import percentile
    from batches.metrics import history
    from batches.models import Attempt, AttemptFact, RunFact

    now = timezone.now()
    print(f"{RunFact.objects.count()} runs, {AttemptFact.objects.count()} attempts on {connection.vendor}")
    for period in ("all", "90d", "30d"):
        read = history.read_history(Filters(period=period), now)
        filters = Filters(period=period)
        timed(f"read_history, {period}: {read.runs} runs, {read.attempts} attempts", partial(history.read_history, filters, now))
    timed("two batches side by side", lambda: history.read_batches([900_001, 900_002]))

    def plain_sql() -> None:
        with connection.cursor() as cursor:
            sums = "COUNT(*), SUM(tokens), SUM(cost_micros)"
            cursor.execute(f"SELECT day, outcome, reason, {sums} FROM batches_attemptfact GROUP BY day, outcome, reason")
            cursor.fetchall()

    def raw_rows() -> None:
        columns = ("task__run_id", "task__phase__title", "outcome", "reason", "launched_at", "ended_at", "tokens_used", "cost_usd")
        rows = list(Attempt.objects.filter(ended_at__isnull=False).values_list(*columns))
        percentile([(row[5] - row[4]).total_seconds() for row in rows], 0.9)
        sum(row[6] or 0 for row in rows)

    timed("peer: one SQL aggregate by day and outcome", plain_sql)
    timed("peer: a few figures in Python over raw rows", raw_rows, rounds=2)


if __name__ == "__main__":
    main()
