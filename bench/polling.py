#!/usr/bin/env python
"""What live pages cost the server: 500 phases, 100 clients that poll every 2 s for 60 s, while 2 changes a second happen.

    python bench/polling.py [--seconds 60] [--clients 100] [--phases 500] [--only sqlite] [--postgres postgresql://postgres@127.0.0.1:5432/postgres]

gunicorn is started with the very command of `manage.py up`; the clients are sockets of this process, each with a
connection of its own that is kept, and send what a browser sends: the version that their page shows. A change is what the
ticker writes when an attempt tells of its progress: the attempt's row and the batch's version. Beside it: the first view of
the batch's page, its time and its size. Exit status 1 when a target is missed: p95 10 ms, p99 150 ms, no error; first
view 60 ms and 30 kB.
"""

import argparse
import asyncio
import contextlib
import math
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
P95_MS, P99_MS, FIRST_VIEW_MS, PAGE_BYTES = 10.0, 150.0, 60.0, 30_000
VERSION = re.compile(rb'name="v" value="([^"]+)"')
VIEWS = 20
OPENING_SECONDS = 10.0  # in which the clients open the page, before anything is measured
WARM_UP_ROUNDS = 15


def build_rows(phases: int) -> str:
    """The batch and a person in the database of this process's settings; returns the session's key."""
    from django.contrib.sessions.backends.db import SessionStore
    from django.core.management import call_command
    from django.test import Client

    from tests.batches import builders

    call_command("migrate", verbosity=0)
    builders.wide_batch(phases)
    client = Client()
    client.force_login(builders.make_user())
    assert SessionStore(client.cookies["sessionid"].value).exists(client.cookies["sessionid"].value)
    return str(client.cookies["sessionid"].value)


async def change(seconds: float, a_second: float) -> int:
    """Tell of progress in one running attempt after the other; returns how often. Django runs in a thread of its own."""
    from django.db import transaction
    from django.utils import timezone

    from batches.models import Attempt, Batch

    def read() -> list[int]:
        return list(Attempt.objects.live().values_list("pk", flat=True))

    def once(number: int) -> None:
        with transaction.atomic():
            now = timezone.now()
            Attempt.objects.filter(pk=live[number % len(live)]).update(
                progress=f"Step 3 of 5: change {number}", tokens_used=1000 + number, last_beat_at=now, last_progress_at=now
            )
            Batch.objects.bump(Batch.objects.latest("number").pk)

    live = await asyncio.to_thread(read)
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        began = time.monotonic()
        await asyncio.to_thread(once, number)
        number += 1
        await asyncio.sleep(max(0.0, 1 / a_second - (time.monotonic() - began)))
    return number


class Client:
    """A browser's tab as far as the server sees it: one kept connection, and the version that the page shows."""

    def __init__(self, port: int, session: str) -> None:
        self.port, self.session = port, session
        self.version = ""
        self.times: list[float] = []
        self.bytes: list[int] = []
        self.statuses: list[int] = []
        self.errors: list[str] = []
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, *, htmx: bool = False) -> tuple[int, bytes]:
        """Status and body. Connects again when the server has closed the connection meanwhile, as browsers do."""
        extra = "HX-Request: true\r\n" if htmx else ""
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nCookie: sessionid={self.session}\r\n{extra}\r\n".encode()
        for kept in (self.streams is not None, False):
            if self.streams is None:
                self.streams = await asyncio.open_connection("127.0.0.1", self.port, limit=2**22)
            reader, writer = self.streams
            try:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
            except (OSError, asyncio.IncompleteReadError):
                self.close()
                if not kept:
                    raise
                continue
            status = int(head[9:12])
            length = re.search(rb"(?i)content-length: (\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
            if re.search(rb"(?i)connection: close", head):
                self.close()
            return status, body
        raise ConnectionError("closed twice")

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
        self.streams = None

    async def open(self, page: str, offset: float) -> None:
        await asyncio.sleep(offset)
        _, body = await self.get(page)
        self.version = _version(body)

    async def poll_for(self, progress: str, interval: float, until: float, offset: float) -> None:
        await asyncio.sleep(offset)
        while time.monotonic() < until:
            due = time.monotonic() + interval
            began = time.perf_counter()
            try:
                status, body = await self.get(f"{progress}?v={self.version}", htmx=True)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.errors.append(repr(error))
            else:
                self.times.append(1000 * (time.perf_counter() - began))
                self.bytes.append(len(body))
                self.statuses.append(status)
                if status not in (200, 204):
                    self.errors.append(f"status {status}")
                self.version = _version(body) or self.version
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        self.close()


async def warm_up(port: int, session: str, page: str) -> None:
    """Ask until every worker has imported and compiled what it needs: their first answers say nothing about the others."""
    for _ in range(WARM_UP_ROUNDS):
        clients = [Client(port, session) for _ in range(4)]
        await asyncio.gather(*(one.get(page) for one in clients))
        for one in clients:
            one.close()


def _version(body: bytes) -> str:
    found = VERSION.search(body)
    return found[1].decode() if found else ""


def quantile(values: list[float], share: float) -> float:
    """The smallest value that at least that share does not exceed; nan when there is none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan


async def measure(port: int, session: str, number: int, options: argparse.Namespace) -> bool:
    page, progress = f"/batches/{number}/", f"/batches/{number}/progress/"
    await warm_up(port, session, page)
    first = Client(port, session)
    views, size = [], 0
    for _ in range(VIEWS):
        await asyncio.to_thread(_bump)
        began = time.perf_counter()
        status, body = await first.get(page)
        views.append(1000 * (time.perf_counter() - began))
        size = len(body)
        assert status == 200, (status, body[:200])
    first.close()
    view = quantile(views, 0.5)
    clients = [Client(port, session) for _ in range(options.clients)]
    await asyncio.gather(*(one.open(page, OPENING_SECONDS * place / len(clients)) for place, one in enumerate(clients)))
    until = time.monotonic() + options.seconds
    polls = (one.poll_for(progress, 2.0, until, 2.0 * place / len(clients)) for place, one in enumerate(clients))
    changes, *_ = await asyncio.gather(change(options.seconds, 2.0), *polls)
    times = [value for one in clients for value in one.times]
    sizes = [value for one in clients for value in one.bytes]
    statuses = [value for one in clients for value in one.statuses]
    errors = [value for one in clients for value in one.errors]
    p50, p95, p99 = (quantile(times, share) for share in (0.5, 0.95, 0.99))
    held = p95 <= P95_MS and p99 <= P99_MS and not errors and view <= FIRST_VIEW_MS and size <= PAGE_BYTES
    print(f"  first view    p50 {view:.0f} ms (highest {max(views):.0f}) after a change each time, {size / 1000:.0f} kB")
    print(
        f"  polls         p50 {p50:.1f} ms, p95 {p95:.1f}, p99 {p99:.1f}, highest {max(times, default=math.nan):.0f}; {len(errors)} errors"
    )
    print(
        f"                {len(times)} polls, {changes} changes, {statuses.count(204)} answers without news; "
        f"{statistics.fmean(sizes):.0f} bytes a poll, {statistics.fmean([s for s in sizes if s] or [0]):.0f} with news"
    )
    for error in sorted(set(errors))[:5]:
        print(f"  error         {error} ({errors.count(error)} times)")
    wanted = f"p95 {P95_MS:.0f} ms, p99 {P99_MS:.0f} ms, 0 errors, first view {FIRST_VIEW_MS:.0f} ms, {PAGE_BYTES // 1000} kB"
    print(f"  {'held' if held else 'MISSED'}: {wanted}")
    return held


def _bump() -> None:
    from batches.models import Batch

    Batch.objects.bump(Batch.objects.latest("number").pk)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_child(options: argparse.Namespace) -> int:
    """One database: in a process of its own, since Django is set up once."""
    sys.path.insert(0, str(ROOT))
    import django

    django.setup()
    from batches.management.commands.up import web_command

    session, port = build_rows(options.phases), free_port()
    web = subprocess.Popen(web_command("127.0.0.1", port), cwd=ROOT)
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if time.monotonic() > deadline:
                raise TimeoutError("gunicorn does not listen")
            time.sleep(0.1)
        return 0 if asyncio.run(measure(port, session, 1, options)) else 1
    finally:
        web.terminate()
        web.wait(20)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--phases", type=int, default=500)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    parser.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432/postgres")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return run_child(options)
    missed = 0
    for kind in ("sqlite", "postgresql"):
        if options.only in (None, kind):
            print(
                f"{kind}: {options.phases} phases, {options.clients} clients, every 2 s for {options.seconds:g} s, 2 changes a second",
                flush=True,
            )
            with tempfile.TemporaryDirectory() as data, database(kind, Path(data), options.postgres) as url:
                own = {"CE_DATA_DIR": data, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "ce_web.settings", "LOG_LEVEL": "ERROR"}
                missed |= subprocess.run([sys.executable, __file__, "--child", *sys.argv[1:]], env=os.environ | own, check=False).returncode
    return missed


@contextlib.contextmanager
def database(kind: str, folder: Path, postgres: str):
    """The address of an empty database that is gone afterwards."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'db.sqlite3'}"
        return
    import psycopg

    name = f"ce_bench_{uuid.uuid4().hex[:10]}"
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{postgres.rpartition('/')[0]}/{name}"
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


if __name__ == "__main__":
    sys.exit(main())
