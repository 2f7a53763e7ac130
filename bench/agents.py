#!/usr/bin/env python
"""Agents at once: python bench/agents.py [PHASES] [AT_ONCE]. The real SDK and program, a stand-in for their API, a whole installation.

Prints how long an agent takes from its launch to its first request, what it has in memory (PSS: shared pages counted in
shares), and the longest gaps between its heartbeats, which are set to one a second. Nothing else should be running.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import itertools

from tests.commands.driver import Driver
from tests.installation import Installation
from tests.subagents.messages_api import Reply, Turn, bash, messages_api, said, write
from tests.subagents.scenarios import finished

BEAT_SECONDS = 1.0
PHASE = """
### Phase {key}: Part {key}

**Goal**: Do part {key}
**Estimated Hours**: 1
**Complexity**: low
**Files Modified**: part-{key}.txt
**Dependencies**: None
**Implementation Steps**:
1. Write part-{key}.txt

**Validation Gates**:
- [ ] `test -s part-{key}.txt`
"""
ROWS = """
import json
from batches.models import Attempt, Task
attempts = Attempt.objects.filter(task__run__operation="execute", task__kind="phase").order_by("started_at")
print(json.dumps(list(attempts.values("task__name", "outcome", "reason", "directory", "started_at")), default=str))
"""


class Watch(threading.Thread):
    """Looks at heartbeats and memory of all attempts until it is stopped."""

    def __init__(self, made: Installation) -> None:
        super().__init__(daemon=True)
        self.made, self.stopped = made, threading.Event()
        self.beats: dict[str, dict[str, float]] = {}
        self.memory: dict[str, dict[str, int]] = {}

    def run(self) -> None:
        rounds = 0
        while not self.stopped.wait(0.05):
            for path in (self.made.repository / ".ce/orchestration/tasks").glob("*/task-*.hb"):
                with contextlib.suppress(OSError, ValueError, KeyError):
                    beat = json.loads(path.read_text())
                    of = self.beats.setdefault(f"{path.stem} {beat['token']}", {})  # a later attempt has a file of the same name
                    of[beat["last_update"]] = datetime.fromisoformat(beat["last_update"]).timestamp()
            rounds += 1
            if rounds % 20 == 0:
                self._weigh()

    def _weigh(self) -> None:
        sums: dict[str, dict[str, int]] = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if not entry.name.isdigit():
                    continue
                marker = [item for item in (entry / "environ").read_bytes().split(b"\0") if item.startswith(b"CE_ATTEMPT=/")]
                if not marker or not marker[0].startswith(b"CE_ATTEMPT=" + str(self.made.data).encode()):
                    continue
                pss = next(int(line.split()[1]) for line in (entry / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
                name = "program" if (entry / "comm").read_text().strip() == "claude" else "ours"
                of = sums.setdefault(marker[0].decode(), {})
                of[name] = of.get(name, 0) + pss
        for attempt, of in sums.items():
            before = self.memory.get(attempt, {})
            self.memory[attempt] = max(before, of, key=lambda found: sum(found.values()))


def act(turn: Turn, first: dict[str, float]) -> Reply:
    first.setdefault(turn.cwd, time.time())
    key = turn.cwd.rpartition("/")[2].split("-")[4]  # batch-1-run-2-KEY-1
    work = (bash("sleep 5"), write(f"{turn.cwd}/part-{key}.txt", "done\n"))
    return said(work[turn.number] if turn.number < len(work) else finished(steps=(1,)))


def main(phases: int, at_once: int) -> None:
    first: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, messages_api({"bench": lambda turn: act(turn, first)}) as api:
        Path(folder).chmod(0o755)
        settings = {"ANTHROPIC_API_KEY": "fake-bench", "ANTHROPIC_BASE_URL": api.address, "CE_HEARTBEAT_SECONDS": str(int(BEAT_SECONDS))}
        made = Installation(Path(folder, "installation"), **settings)
        watch = Watch(made)
        try:
            made.bootstrap()
            made.start("--no-web")
            driver = Driver(made)
            n = driver.generate("# Agents at once\n\n## Phases\n" + "".join(PHASE.format(key=key) for key in range(1, phases + 1)))
            watch.start()
            began = time.time()
            options = ("--backend", "claude", "--max-parallel", str(at_once))
            done = made.manage("batch_exe_prp", "--batch", str(n), *options, timeout=1800, check=False)
            took = time.time() - began
            attempts = json.loads(made.shell(ROWS))
        finally:
            watch.stopped.set()
            made.remove()
    print(done.stdout.splitlines()[1], f"(wall clock {took:.0f} s, {subprocess.getoutput('nproc')} processors)")
    ended = [f"{row['task__name']}: {row['outcome']} {row['reason']}".strip() for row in attempts]
    assert all(row["outcome"] == "succeeded" for row in attempts) and len(attempts) == phases, ended
    launched = {row["directory"]: datetime.fromisoformat(row["started_at"]).timestamp() for row in attempts}
    waits = [first[at] - launched[directory] for directory in launched for at in first if _same(at, directory)]
    print(f"launch to first request, s: {' '.join(f'{wait:.1f}' for wait in waits)} (median {statistics.median(waits):.1f})")
    gaps = []
    for task, beats in sorted(watch.beats.items()):
        times = sorted(beats.values())
        gaps.append((max((later - sooner for sooner, later in itertools.pairwise(times)), default=0.0), task.split()[0]))
    longest = ", ".join(f"{task} {gap:.2f}" for gap, task in sorted(gaps, reverse=True)[:4])
    print(f"heartbeats every {BEAT_SECONDS:g} s: longest gaps {longest} s")
    whole = [sum(of.values()) / 1024 for of in watch.memory.values()]
    program = [of.get("program", 0) / 1024 for of in watch.memory.values()]
    figures = f"median {statistics.median(whole):.0f} MB, largest {max(whole):.0f} MB"
    print(f"memory of an agent at its most (PSS): {figures}; the program of it {statistics.median(program):.0f} MB")


def _same(checkout: str, directory: str) -> bool:
    """Whether a checkout is that of the attempt in `directory` (…/batch-1/run-2/KEY/1)."""
    return checkout.endswith("-".join(directory.split("/")[-4:]))


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:3])) if len(sys.argv) > 2 else main(int(sys.argv[1]) if len(sys.argv) > 1 else 10, 4)
