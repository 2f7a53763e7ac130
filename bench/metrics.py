#!/usr/bin/env python
"""How long the pages of the metrics take over 10,000 batches and 100,000 attempts, on SQLite and on PostgreSQL.

    python bench/metrics.py [--batches 10000] [--postgres postgresql://postgres@127.0.0.1:5432]

The history is made up (`manage.py demo_history`) in databases of its own, which are removed. A time is the least of five
requests through the whole of Django, wall clock and CPU of this process; the targets are 0.5 s on PostgreSQL and 1 s on SQLite.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    *("/metrics/?period=all", "/metrics/?period=90d", "/metrics/?period=30d", "/metrics/duration.csv?period=all"),
    *("/metrics/attempts/?period=all", "/compare/?a=900001&b=900002", "/batches/900001/"),
)


def measure(batches: int) -> None:
    """In a process of its own: make the history and print a line for each page."""
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    call_command("migrate", verbosity=0)
    call_command("demo_history", batches=batches)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(get_user_model().objects.create_superuser("bench"))
    for page in PAGES:
        wall, cpu = [], []
        client.get(page)
        for _ in range(5):
            began, used = time.perf_counter(), time.process_time()
            answer = client.get(page)
            wall.append(time.perf_counter() - began)
            cpu.append(time.process_time() - used)
        with CaptureQueriesContext(connection) as queries:
            client.get(page)
        size = len(answer.content) / 1024
        line = f"{min(wall):.3f} s wall, {min(cpu):.3f} s CPU, {len(queries)} queries, {size:.0f} KiB"
        print(f"{page:34} {answer.status_code}  {line}", flush=True)


def run(url: str, batches: int) -> None:
    with tempfile.TemporaryDirectory() as data:
        environment = os.environ | {
            "CE_DATA_DIR": data,
            "DATABASE_URL": url.format(data=data),
            "DJANGO_SETTINGS_MODULE": "ce_web.settings",
            "LOG_LEVEL": "ERROR",
            "PYTHONPATH": str(ROOT),
        }
        subprocess.run([sys.executable, __file__, "--measure", "--batches", str(batches)], env=environment, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=10_000)
    parser.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432", help="a server; empty: SQLite only")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.batches)
        return
    print("== SQLite", flush=True)
    run("sqlite:///{data}/db.sqlite3", options.batches)
    if options.postgres:
        import psycopg

        name = f"ce_bench_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(f"{options.postgres}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
            try:
                print("== PostgreSQL", flush=True)
                run(f"{options.postgres}/{name}", options.batches)
            finally:
                connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


if __name__ == "__main__":
    main()
