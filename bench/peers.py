#!/usr/bin/env python
"""The same graphs of tasks by CE Web, by GNU make, by a script that a person would write, and by three task queues.

    python bench/peers.py [--graphs chain fan layers ragged] [--runs 2] [--engines make hand ce luigi celery prefect]
                          [--peers PYTHON]

A task sleeps for its duration in a process of its own. *hand* is what it takes on a repository without CE Web: make, and for
each task a git worktree, the sleep, a commit, a merge under a lock. So *hand* is the peer to compare with; the others keep no
work. `--peers` is an interpreter that has luigi, celery, redis and prefect; Celery needs a Redis at 127.0.0.1:6379
(databases 5 to 7 are emptied). Printed are medians: from the last end that a task waited for to its start, the whole time, and
that time by the least that is possible with so many slots.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import textwrap
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from overhead import Installation

SLOTS = 8
SECONDS = 600


@dataclass(frozen=True)
class Task:
    """A task of a graph; `seconds` it sleeps."""

    name: str
    needs: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Times:
    """When a task began and ended, in seconds since the epoch."""

    name: str
    began: float
    ended: float


Graph = list[Task]
Engine = Callable[[Graph, Path], list[Times]]


def layers(count: int, width: int, share: float) -> Graph:
    """Layers of tasks; each waits for some of the layer before, `share` of them on average. The same graph every time."""
    chance, tasks = random.Random(7), []
    before: list[str] = []
    for layer in range(count):
        names = [f"l{layer}x{place}" for place in range(width)]
        for name in names:
            needs = tuple(one for one in before if chance.random() < share) or tuple(before[:1])
            tasks.append(Task(name, needs, round(chance.uniform(0.05, 0.5), 3)))
        before = names
    return tasks


def ragged(groups: int) -> Graph:
    """Chains of unequal length and pace, side by side: who waits for whole stages waits for the slowest of each."""
    tasks = []
    for group in range(groups):
        before: tuple[str, ...] = ()
        for step in range(8):
            name = f"g{group}x{step}"
            tasks.append(Task(name, before, 0.6 if step == group % 8 else 0.08))
            before = (name,)
    return tasks


GRAPHS: dict[str, Graph] = {
    "chain": [Task(f"c{n}", (f"c{n - 1}",) if n else ()) for n in range(30)],
    "fan": [Task("first"), *(Task(f"f{n}", ("first",)) for n in range(50)), Task("last", tuple(f"f{n}" for n in range(50)))],
    "layers": layers(10, 10, 0.3),
    "ragged": ragged(12),
}
TASK = """#!/bin/bash
began=$EPOCHREALTIME; sleep $2; echo "$1 $began $EPOCHREALTIME" >> $TIMES
"""
BY_HAND = """#!/bin/bash
set -e
began=$EPOCHREALTIME; place=$REPOSITORY-$1
flock $REPOSITORY.lock git -C $REPOSITORY worktree add -q --detach $place main
cd $place; sleep $2; echo $1 > part-$1; git add --all; git commit -qm $1; commit=$(git rev-parse HEAD)
flock $REPOSITORY.lock git -C $REPOSITORY merge -q --no-ff --no-edit $commit
flock $REPOSITORY.lock git -C $REPOSITORY worktree remove --force $place
echo "$1 $began $EPOCHREALTIME" >> $TIMES
"""
LUIGI = """
import json, os, pathlib, subprocess, tempfile, luigi
graph, done = json.loads(os.environ["GRAPH"]), pathlib.Path(tempfile.mkdtemp(dir="."))
class Job(luigi.Task):
    name = luigi.Parameter()
    def requires(self): return [Job(need) for need in graph[self.name][0]]
    def output(self): return luigi.LocalTarget(str(done / self.name))
    def run(self):
        subprocess.run([os.environ["TASK"], self.name, str(graph[self.name][1])], check=True)
        (done / self.name).touch()
luigi.build([Job(name) for name in graph], workers=SLOTS, local_scheduler=True, log_level="ERROR")
"""
CELERY_APP = """
import json, os, subprocess, redis
from celery import Celery
app = Celery("celery_app", broker="redis://127.0.0.1:6379/5", backend="redis://127.0.0.1:6379/6")
app.conf.update(worker_prefetch_multiplier=1, task_acks_late=True, broker_connection_retry_on_startup=True)
graph, state = json.loads(os.environ["GRAPH"]), redis.Redis(port=6379, db=7)
after = {name: [other for other, (needs, _) in graph.items() if name in needs] for name in graph}
@app.task(ignore_result=True)
def job(name):
    subprocess.run([os.environ["TASK"], name, str(graph[name][1])], check=True)
    if state.sadd("done", name):
        for other in after[name]:
            if state.hincrby("left", other, -1) == 0:
                job.delay(other)
"""
CELERY = """
import subprocess, sys, time
from celery_app import app, graph, job, state
for number in (5, 6, 7):
    type(state)(port=6379, db=number).flushdb()
worker = subprocess.Popen([sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-c", "SLOTS", "-l", "ERROR"])
while not app.control.ping(timeout=0.5): pass
for name, (needs, _) in graph.items(): state.hset("left", name, len(needs))
for name, (needs, _) in graph.items():
    if not needs: job.delay(name)
while state.scard("done") < len(graph): time.sleep(0.005)
worker.terminate(); worker.wait()
"""
PREFECT = """
import json, os, subprocess
from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner
graph = json.loads(os.environ["GRAPH"])
@task
def job(name): subprocess.run([os.environ["TASK"], name, str(graph[name][1])], check=True)
@flow(task_runner=ThreadPoolTaskRunner(max_workers=SLOTS))
def plan():
    made = {}
    for name, (needs, _) in graph.items():
        made[name] = job.with_options(name=name).submit(name, wait_for=[made[need] for need in needs])
    for one in made.values(): one.wait()
plan()
"""


def run(command: list[str], folder: Path, graph: Graph, **environment: str) -> list[Times]:
    """Run an engine in a folder of its own; what its tasks wrote. Raises CalledProcessError, TimeoutExpired."""
    times = folder / "times"
    told = {"GRAPH": json.dumps({task.name: (task.needs, task.seconds) for task in graph}), "TIMES": str(times)}
    with (folder / "output").open("ab") as output:
        subprocess.run(
            command, cwd=folder, env={**os.environ, **told, **environment}, stdout=output, stderr=output, timeout=SECONDS, check=True
        )
    rows = (line.split() for line in times.read_text().splitlines())
    return [Times(name, float(began), float(ended)) for name, began, ended in rows]


def script(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text.replace("SLOTS", str(SLOTS)))
    path.chmod(0o755)
    return str(path)


def by_make(graph: Graph, folder: Path, task: str = TASK, **environment: str) -> list[Times]:
    program = script(folder, "task", task)
    rules = [f"{one.name}: {' '.join(one.needs)}\n\t@{program} {one.name} {one.seconds}" for one in graph]
    everything = " ".join(one.name for one in graph)
    (folder / "Makefile").write_text("\n".join([f"all: {everything}", f".PHONY: all {everything}", *rules, ""]))
    return run(["make", "-s", f"-j{SLOTS}", "all"], folder, graph, **environment)


def by_hand(graph: Graph, folder: Path) -> list[Times]:
    repository = folder / "repository"
    names = {f"GIT_{who}_{what}": "bench@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", "init", "-q", "-b", "main", str(repository)], check=True)
    subprocess.run(["git", "-C", str(repository), "commit", "-q", "--allow-empty", "-m", "First"], check=True, env={**os.environ, **names})
    return by_make(graph, folder, BY_HAND, REPOSITORY=str(repository), **names)


def by_python(python: str, text: str) -> Engine:
    """An engine that a script of `python` is."""

    def engine(graph: Graph, folder: Path) -> list[Times]:
        script(folder, "celery_app.py", CELERY_APP)
        settings = {"PREFECT_HOME": str(folder), "PREFECT_LOGGING_LEVEL": "ERROR", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        return run([python, script(folder, "engine.py", text)], folder, graph, TASK=script(folder, "task", TASK), **settings)

    return engine


def plan_text(graph: Graph) -> str:
    """The graph as a plan; its phases have the numbers of the tasks."""
    number = {task.name: place for place, task in enumerate(graph, start=1)}
    parts = ["# A graph of tasks", ""]
    for task in graph:
        steps = f"**Implementation Steps**:\n1. Wait\n\n   ```bash\n   sleep {task.seconds}\n   ```\n"
        parts.append(
            textwrap.dedent(f"""\
            ### Phase {number[task.name]}: Part {number[task.name]}

            **Goal**: Wait
            **Estimated Hours**: 1
            **Complexity**: low
            **Files Modified**: parts/{number[task.name]}.txt
            **Dependencies**: {", ".join(f"Phase {number[need]}" for need in task.needs) or "None"}
            """)
        )
        parts.append(steps if task.seconds else "**Validation Gates**:\n- [ ] A person looked at it\n")
    return "\n".join(parts)


def by_ce(installation: Installation) -> Engine:
    """CE Web, in an installation that runs; the times are what its attempts' own processes wrote."""

    def engine(graph: Graph, folder: Path) -> list[Times]:
        plan = folder / f"{uuid.uuid4().hex}.md"
        plan.write_text(plan_text(graph))
        installation.manage("batch_gen_prp", str(plan))
        number = int(installation.manage("shell", "-v", "0", "-c", "from batches.models import Batch; print(Batch.objects.first().number)"))
        installation.manage("batch_exe_prp", "--batch", str(number), "--scheduling", "dataflow")
        found = []
        for place, task in enumerate(graph, start=1):
            for started in installation.data.glob(f"attempts/*/batch-{number}/run-2/{place}/*/started.json"):
                ended = json.loads(started.with_name("exit.json").read_text())["ended_at"]
                found.append(Times(task.name, json.loads(started.read_text())["started_at"], ended))
        return found

    return engine


def bound(graph: Graph) -> float:
    """The least seconds that the graph takes: its longest chain, or all its work over the slots."""
    ends: dict[str, float] = {}
    for task in graph:
        ends[task.name] = task.seconds + max((ends[need] for need in task.needs), default=0.0)
    return max(*ends.values(), sum(task.seconds for task in graph) / SLOTS)


def figures(graph: Graph, times: list[Times]) -> tuple[float, float]:
    """(median milliseconds from the last end that a task waited for to its start, seconds of the whole)."""
    known = {one.name: one for one in times}
    if len(times) != len(graph) or len(known) != len(graph):
        raise SystemExit(f"{len(times)} tasks ran, of {len(graph)}: something ran twice or not at all.")
    waits = [1000 * (known[task.name].began - max(known[need].ended for need in task.needs)) for task in graph if task.needs]
    return statistics.median(waits), max(one.ended for one in times) - min(one.began for one in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", nargs="+", choices=GRAPHS, default=list(GRAPHS))
    parser.add_argument("--engines", nargs="+", default=["make", "hand", "ce"])
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--peers", default=sys.executable, help="an interpreter with luigi, celery, redis and prefect")
    options = parser.parse_args()
    engines: dict[str, Engine] = {"make": by_make, "hand": by_hand}
    engines |= {name: by_python(options.peers, text) for name, text in (("luigi", LUIGI), ("celery", CELERY), ("prefect", PREFECT))}
    with tempfile.TemporaryDirectory(prefix="ce-peers-") as scratch:
        installation = None
        if "ce" in options.engines:
            installation = Installation(Path(scratch, "ce"), f"sqlite:///{scratch}/ce/data/db.sqlite3", SLOTS)
            engines["ce"] = by_ce(installation)
        try:
            for name in options.graphs:
                graph, least = GRAPHS[name], bound(GRAPHS[name])
                for engine in options.engines:
                    found = []
                    for _ in range(options.runs):
                        found.append(figures(graph, engines[engine](graph, Path(tempfile.mkdtemp(dir=scratch)))))
                    wait, whole = (statistics.median(column) for column in zip(*found, strict=True))
                    ratio = f"{whole / least:5.2f} × the least" if least else f"{1000 * whole / len(graph):6.1f} ms a task"
                    load = os.getloadavg()[0]
                    print(f"{name:7} {engine:8} step {wait:7.1f} ms   whole {whole:6.2f} s   {ratio}   load {load:.1f}", flush=True)
        finally:
            if installation is not None:
                installation.stop()


if __name__ == "__main__":
    main()
