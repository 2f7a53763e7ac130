#!/usr/bin/env python
"""What others feel of slow clients: 500 half-open requests and 50 slow bodies from one address, beside 8 ordinary visitors.

    python bench/slow_clients.py [--seconds 15] [--worker gthread]

The server is started with the very command of `manage.py up`; --worker takes another worker class of gunicorn, to compare.
Prints the visitors' p50 and p95 in ms, alone and during the attack. Exit status 1 when p95 is above 250 ms during it, or a visitor
is not answered.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
HALF_OPEN, SLOW_BODIES, VISITORS, TARGET_MS = 500, 50, 8, 250.0
GET = b"GET /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


async def visit(port: int, until: float, times: list[float], failed: list[str]) -> None:
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 10)
            writer.write(GET)
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            if not answer.startswith(b"HTTP/1.1 200"):
                failed.append(answer[:40].decode(errors="replace") or "closed")
        except (OSError, TimeoutError) as error:
            failed.append(type(error).__name__)
        times.append((time.monotonic() - began) * 1000)
        await asyncio.sleep(0.1)


async def slowly(port: int, first: bytes, until: float) -> None:
    """A client at another address that sends a byte a second, and comes back whenever it is closed."""
    while time.monotonic() < until:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
            writer.write(first)
            while time.monotonic() < until and not reader.at_eof():
                await asyncio.sleep(1)
                writer.write(b"a")
                await writer.drain()
            writer.close()
        except OSError:
            await asyncio.sleep(0.2)


async def measure(port: int, seconds: float, attack: bool) -> tuple[list[float], list[str]]:
    times: list[float] = []
    failed: list[str] = []
    until = time.monotonic() + seconds
    half = b"GET /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
    body = b"POST /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n"
    attackers = [slowly(port, half, until) for _ in range(HALF_OPEN)] + [slowly(port, body, until) for _ in range(SLOW_BODIES)]
    running = [asyncio.create_task(one) for one in (attackers if attack else ())]
    if not attack:
        for one in attackers:
            one.close()
    await asyncio.sleep(2 if attack else 0)
    await asyncio.gather(*(visit(port, until, times, failed) for _ in range(VISITORS)))
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return times, failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--worker", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ce-bench-") as folder:
        os.environ |= {"CE_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "ce_web.settings", "DATABASE_URL": ""}
        import django

        django.setup()
        from django.core.management import call_command

        from batches.management.commands.up import web_command
        from tests.installation import free_port, wait_for

        call_command("migrate", verbosity=0)
        port = free_port()
        command = list(web_command("127.0.0.1", port))
        if options.worker:
            command[command.index("--worker-class") + 1] = options.worker
        with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as server:
            try:
                from batches.management.commands.up import bind_error

                wait_for(lambda: bind_error("127.0.0.1", port) is not None, 30, "the server listens")
                asyncio.run(measure(port, 3, False))
                worst = 0.0
                for name, attack in (("alone", False), ("with slow clients", True)):
                    times, failed = asyncio.run(measure(port, options.seconds, attack))
                    p95 = statistics.quantiles(times, n=20)[-1]
                    middle = statistics.median(times)
                    print(f"{name}: {len(times)} visits, p50 {middle:.0f} ms, p95 {p95:.0f} ms, {len(failed)} failed {set(failed) or ''}")
                    worst = max(p95, 1e9 if failed else 0)
            finally:
                server.terminate()
    return int(worst > TARGET_MS)


if __name__ == "__main__":
    sys.exit(main())
