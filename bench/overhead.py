#!/usr/bin/env python
"""What the engine itself costs: a chain of 30 and a 1 → 50 → 1 fan of phases without steps, on SQLite and on PostgreSQL.

    python bench/overhead.py [--runs 3] [--parallel 4] [--postgres postgresql://postgres@127.0.0.1:5432/postgres]

A whole installation is started in a scratch folder (`manage.py up --no-web`), the plan is generated and executed by the
ordinary commands, and the times are those that the attempts' own processes wrote: an end is the last act of the
process that kept an attempt (exit.json), a start the first act of the next one (started.json). Before each start the
latest end is what it waited for. Beside it: GNU make on the same graphs, with `true` as every recipe.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GRAPHS = {
    "chain of 30": {str(n): [str(n - 1)] if n > 1 else [] for n in range(1, 31)},
    "1 → 50 → 1": {"1": [], **{f"2.{n}": ["1"] for n in range(1, 51)}, "3": [f"2.{n}" for n in range(1, 51)]},
}


def plan_text(graph: dict[str, list[str]]) -> str:
    parts = ["# Phases that do nothing", ""]
    for key, depends_on in graph.items():
        parts += [
            f"### Phase {key}: Nothing {key}",
            "",
            "**Goal**: Do nothing",
            "**Estimated Hours**: 1",
            "**Complexity**: low",
            f"**Files Modified**: nothing/{key}.txt",
            f"**Dependencies**: {', '.join(f'Phase {name}' for name in depends_on) or 'None'}",
            "",
            "**Validation Gates**:",
            "- [ ] A person looked at it",  # no rule can check it: no process is started, and the plan is accepted
            "",
        ]
    return "\n".join(parts)


class Installation:
    """A scratch installation with its own database, repository and cluster."""

    def __init__(self, folder: Path, database_url: str, parallel: int) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.environment = {
            **os.environ,
            "CE_DATA_DIR": str(self.data),
            "DATABASE_URL": database_url,
            "DJANGO_SETTINGS_MODULE": "ce_web.settings",
            "CE_SLOTS": str(parallel),
            "CE_HOST": f"bench-{uuid.uuid4().hex[:8]}",
            "LOG_LEVEL": "WARNING",
        }
        repository = folder / "repository"
        repository.mkdir(parents=True)
        git = ["git", "-C", str(repository), "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
        subprocess.run([*git[:3], "init", "-q", "-b", "main"], check=True)
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "First"], check=True)
        self.manage("migrate", "-v", "0")
        code = (
            "from batches.projects.add_project import create_project; from batches.accounts.actor import Actor; "
            f"p = create_project(name='bench', repository={str(repository)!r}, actor=Actor.command('bench')); "
            f"p.max_parallel = {parallel}; p.save()"
        )
        self.manage("shell", "-v", "0", "-c", code)
        self.engine = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--no-web"],
            cwd=ROOT,
            env=self.environment,
            stdout=(folder / "up.log").open("wb"),
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 30
        while not (self.data / "ticker.alive").exists():
            if time.monotonic() > deadline:
                raise SystemExit(f"The engine did not start:\n{(folder / 'up.log').read_text()}")
            time.sleep(0.05)

    def manage(self, *arguments: str) -> str:
        done = subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"manage.py {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def stop(self) -> None:
        self.engine.send_signal(signal.SIGTERM)
        self.engine.wait(30)

    def execute(self, graph: dict[str, list[str]]) -> tuple[list[float], float]:
        """(gap in ms before each start but the first, wall seconds from the first start to the last end)."""
        plan = self.folder / f"{uuid.uuid4().hex}.md"
        plan.write_text(plan_text(graph))
        self.manage("batch_gen_prp", str(plan))
        number = json.loads(self.manage("shell", "-v", "0", "-c", "from batches.models import Batch; print(Batch.objects.first().number)"))
        self.manage("batch_exe_prp", "--batch", str(number))
        starts, ends = [], []
        for started in self.data.glob(f"attempts/*/batch-{number}/run-2/*/*/started.json"):
            starts.append(json.loads(started.read_text())["started_at"])
            ends.append(json.loads(started.with_name("exit.json").read_text())["ended_at"])
        if len(starts) != len(graph):
            raise SystemExit(f"{len(starts)} attempts for {len(graph)} phases: something was run twice or not at all.")
        gaps = [1000 * (start - max(end for end in ends if end < start)) for start in sorted(starts)[1:] if min(ends) < start]
        return gaps, max(ends) - min(starts)


def make_seconds(graph: dict[str, list[str]], parallel: int) -> float:
    """Wall seconds of GNU make on the same graph, every recipe `true`."""
    with tempfile.TemporaryDirectory() as folder:
        rules = [f"all: {' '.join(graph)}"] + [f"{key}: {' '.join(needs)}\n\t@true" for key, needs in graph.items()]
        Path(folder, "Makefile").write_text("\n".join([".PHONY: all " + " ".join(graph), *rules, ""]))
        began = time.perf_counter()
        subprocess.run(["make", "-s", f"-j{parallel}", "-C", folder, "all"], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began


def postgres_scratch(base: str) -> tuple[str, str, str]:
    """(address of a new database, its name, address to drop it from)."""
    import psycopg

    name = f"ce_bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(base, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return base.rsplit("/", 1)[0] + "/" + name, name, base


def measure(label: str, database_url: str, runs: int, parallel: int) -> None:
    with tempfile.TemporaryDirectory(prefix="ce-bench-") as folder:
        url = database_url or f"sqlite:///{folder}/data/db.sqlite3"
        installation = Installation(Path(folder), url, parallel)
        try:
            for name, graph in GRAPHS.items():
                gaps: list[float] = []
                walls: list[float] = []
                for _ in range(runs):
                    found, wall = installation.execute(graph)
                    gaps += found
                    walls.append(wall)
                ordered = sorted(gaps)
                p95 = ordered[int(0.95 * (len(ordered) - 1))]
                per_phase = 1000 * statistics.median(walls) / len(graph)
                make_ms = 1000 * statistics.median(make_seconds(graph, parallel) for _ in range(5)) / len(graph)
                print(
                    f"{label:<11} {name:<12} end → next start p50 {statistics.median(gaps):6.1f} ms  p95 {p95:6.1f} ms   "
                    f"whole cost per phase {per_phase:6.1f} ms   GNU make {make_ms:4.1f} ms",
                    flush=True,
                )
        finally:
            installation.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--parallel", type=int, default=4, help="phases at once (default: what a project has)")
    parser.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432/postgres", help="empty: leave PostgreSQL out")
    options = parser.parse_args()
    measure("SQLite", "", options.runs, options.parallel)
    if options.postgres:
        url, name, base = postgres_scratch(options.postgres)
        try:
            measure("PostgreSQL", url, options.runs, options.parallel)
        finally:
            import psycopg

            with psycopg.connect(base, autocommit=True) as connection:
                connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


if __name__ == "__main__":
    main()
