"""Chaos as a tool: `make chaos KILLS=500 SEED=7 DATABASE=postgresql://… SANDBOX=bwrap`. Prints a table and what is wrong.

One installation works through batches while its processes are killed at random and at points that have names, stopped for
a while, lose checkouts and, on PostgreSQL, sessions and the server itself. An auditor outside of the engine (checks.py) then
reads rows, repository, folders and the steps' own trail. Ends with 1 when anything is lost, doubled, merged twice, stuck,
left behind, or in a state that it should not be in.
"""

import argparse
import contextlib
import math
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import django

if __name__ == "__main__":
    django.setup()  # what the tests share imports our tables

from tests.chaos.checks import faults
from tests.chaos.dying.apps import POINTS
from tests.chaos.forwarder import Forwarder
from tests.chaos.site import Site, Victim

LAYERS = (5, 5, 5, 5)
# As AUDITED_STEP, from inside of a sandbox that can only read the trail's folder: a pipe takes words all the same, and a file
# that is open for reading can be locked.
STEP_IN_SANDBOX = """\
exec 9<"{audit}/lock-{batch}-{key}"
flock -n 9 || {{ echo "{batch} DOUBLE {key} $CE_ATTEMPT" >"{audit}/pipe"; exit 1; }}
echo "{batch} START {key} $CE_ATTEMPT" >"{audit}/pipe"
sleep {seconds}
mkdir -p parts
echo {key} >"parts/{key}.txt"
echo "{batch} END {key} $CE_ATTEMPT" >"{audit}/pipe\""""
MOST_BATCHES = 300
CLUSTER = ("worker", "pusher", "monitor", "sentinel", "parent", "launcher")
ATTEMPT = ("wrapper", "runner", "shell")
PATIENCE = 120.0  # seconds for a victim, a point or a recovery; longer is stuck
KINDS = {  # what the auditor's words mean
    "lost": ("is not on the branch", "is not the last that was done", "merged 0 times", "without a note"),
    "doubled": ("two copies", "started more than once", "tried again after"),
    "merged twice": ("was merged ",),
    "orphaned": ("left behind", "of nobody", "left running"),
}


class SandboxedSite(Site):
    """An installation whose steps leave their trail from inside of a sandbox."""

    audited_step = STEP_IN_SANDBOX

    def prepare(self) -> None:
        super().prepare()
        pipe = self.audit / "pipe"
        os.mkfifo(pipe)
        pipe.chmod(0o666)  # commands run as another user
        for batch in range(1, MOST_BATCHES):
            for key in range(1, sum(LAYERS) + 1):
                (self.audit / f"lock-{batch}-{key}").touch(0o644)
        self.shell(f"from batches.models import Project; Project.objects.update(tool_paths={str(self.audit)!r})")
        threading.Thread(target=self._collect, args=(os.open(pipe, os.O_RDWR),), daemon=True).start()

    def _collect(self, pipe: int) -> None:
        with os.fdopen(pipe, "rb") as lines:
            for line in lines:
                batch, _, rest = line.decode().partition(" ")
                with (self.audit / f"{batch}.log").open("a") as log:
                    log.write(rest)


@dataclass
class Campaign:
    """The attack on one installation: what was done, and how long it took to recover, in seconds, by kind of attack."""

    site: Site
    chance: random.Random
    forwarder: Forwarder | None
    batches: list[int] = field(default_factory=list)
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    story: list[str] = field(default_factory=list)
    restarted: set[str] = field(default_factory=set)  # checkouts that were taken away
    began: float = field(default_factory=time.monotonic)
    enough: bool = False  # no further attack; what has begun ends, and the audit follows

    def note(self, text: str) -> None:
        self.story.append(f"{time.monotonic() - self.began:7.1f} s  {text}")
        sys.stdout.write(self.story[-1] + "\n")
        sys.stdout.flush()

    def go_on(self, at_once: int = 2) -> bool:
        """Keep work going; True when no run is. A phase whose checkout was taken away is retried, as a person does it."""
        self.site.keep_up()
        live = [number for number in self.batches if not self.site.execution_state(number)]
        for number in [*live, *(number for number in self.batches if self.site.execution_state(number) == "failed")]:
            if said := self.site.stuck(number):
                self.retry(number, said)
                live.append(number)
        if len(live) < at_once:
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):  # as above
                self.site.start_batch(self.site.audited_plan(len(self.batches) + 1, LAYERS, self.chance))
            # As the rows say: a command that was killed may have made one all the same.
            known = len(self.batches)
            self.batches = [number for (number,) in self.site.query("SELECT number FROM batches_batch ORDER BY number")]
            for number in self.batches[known:]:
                self.note(f"batch {number} started")
        return not live

    def retry(self, batch: int, said: str) -> None:
        if not self.restarted or "gone" not in said:
            raise AssertionError(said)
        code = "from batches.engine.retries import retry; from batches.accounts.actor import Actor; from batches.models import Run; "
        code += f"retry(run=Run.objects.get(batch__number={batch:d}, operation='execute'), actor=Actor.command('chaos'))"
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):  # the command met an attack: the next look tries again
            self.site.shell(code)
            self.note(f"batch {batch} retried: {said.splitlines()[-1][:120]}")

    def recovered(self, what: str, since: float, condition: Callable[[], object]) -> None:
        def asked() -> object:
            self.site.keep_up()
            return condition()

        self.site.wait(asked, PATIENCE, f"the installation has recovered from: {what}")
        self.recoveries.setdefault(what, []).append(time.monotonic() - since)

    def ticks_since(self, wall: float) -> bool:
        mark = self.site.data / "ticker.alive"
        return mark.exists() and mark.stat().st_mtime > wall and self.site.ticker() is not None

    def kill(self, role: str) -> None:
        def found() -> Victim | None:
            self.go_on()
            return self.site.victim(role, self.chance)

        victim = self.site.wait(found, PATIENCE, f"there is a {role}")
        assert isinstance(victim, Victim)
        attempt = self.site.agents().get(victim.pids[0], "") if role in ATTEMPT else ""
        since, wall = time.monotonic(), time.time()
        self.site.kill(victim)
        self.note(f"killed {role} {victim.pids[0]}")
        if role in ATTEMPT and not attempt:
            return  # it had just ended by itself
        if role in ATTEMPT:
            ended = f"SELECT count(*) FROM batches_attempt WHERE directory = '{attempt}' AND exited_at IS NOT NULL"
            self.recovered(role, since, lambda: self.query(ended))
        elif role == "web":
            self.recovered(role, since, self.site.answers)
        else:
            self.recovered(role, since, lambda: self.ticks_since(wall))

    def query(self, statement: str) -> int:
        with contextlib.suppress(Exception):  # the database may be away
            return int(self.site.query(statement)[0][0])
        return 0

    def die_at(self, point: str) -> None:
        order = Path(self.site.environment["CE_CHAOS_ORDER"])
        died = order.with_suffix(".died")
        died.unlink(missing_ok=True)
        order.write_text(point)

        def happened() -> bool:
            self.go_on()
            return died.exists()

        self.site.wait(happened, PATIENCE, f"somebody reaches {point}")
        since, wall = time.monotonic(), time.time()
        self.note(f"the ticker died {point}")
        self.recovered(f"ticker {point}", since, lambda: self.ticks_since(wall))

    def stand_still(self, role: str) -> None:
        victim = self.site.victim(role, self.chance)
        if victim is None:
            return
        for pid in victim.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        self.note(f"stopped {role} {victim.pids[0]}")
        time.sleep(self.chance.uniform(1, 6))
        since, wall = time.monotonic(), time.time()
        for pid in victim.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.recovered("stopped for a while", since, lambda: self.ticks_since(wall))

    def take_checkout_away(self) -> None:
        there = [path for path in (self.site.data / "checkouts").glob("*/batch-*") if path.is_dir()]
        if not there:
            return
        folder = self.chance.choice(sorted(there))
        self.restarted.add(str(folder))
        # At once: a step that writes meanwhile would keep half a folder alive, and fail for a reason that says nothing of this.
        taken = folder.rename(self.site.data / f"taken-away-{folder.name}")
        shutil.rmtree(taken, ignore_errors=True)
        self.note(f"took away {folder.name}")

    def drop_sessions(self) -> None:
        import psycopg

        wall, since = time.time(), time.monotonic()
        name = urlsplit(self.site.database_url).path.strip("/")
        server = urlunsplit(urlsplit(self.site.database_url)._replace(path="/postgres"))
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        self.note("dropped every session")
        self.recovered("sessions dropped", since, lambda: self.ticks_since(wall))

    def refuse(self) -> None:
        assert self.forwarder is not None
        self.forwarder.refuse()
        self.note("the database refuses")
        time.sleep(self.chance.uniform(2, 10))
        self.forwarder.accept()
        wall, since = time.time(), time.monotonic()
        self.recovered("database away", since, lambda: self.ticks_since(wall))

    def attacks(self, count: int) -> list[Callable[[], None]]:
        """So many, every kind in turn, each turn shuffled; everything at once in every second turn."""
        order: list[Callable[[], None]] = []
        turn = 0
        while len(order) < count:
            turn += 1
            one: list[Callable[[], None]] = [lambda role=role: self.kill(role) for role in (*CLUSTER, *ATTEMPT, *ATTEMPT, "web")]
            one += [lambda point=point: self.die_at(point) for point in POINTS]
            one += [lambda: self.stand_still("worker"), lambda: self.stand_still("wrapper"), self.take_checkout_away]
            one += [lambda: self.kill("everything")] if turn % 2 else []
            one += [self.drop_sessions, self.refuse] if self.forwarder else []
            order += self.chance.sample(one, len(one))
        return order[:count]

    def run(self, count: int) -> list[str]:
        """Attack so often, let all runs end, stop; what the auditor finds."""
        self.site.start(seconds=PATIENCE)
        for attack in self.attacks(count):
            if self.enough:
                break
            until = time.monotonic() + self.chance.uniform(0.1, 0.8)
            while time.monotonic() < until:
                self.go_on()
                time.sleep(0.05)
            attack()
        self.site.wait(lambda: self.go_on(0), 2 * PATIENCE, "all runs have ended")
        if self.site.stop():
            return [f"`manage.py up` did not stop cleanly: {self.site.log[-2000:]}"]
        self.site.wait(lambda: not self.site.everything(), 10, "nothing is left running")
        return faults(self.site, self.site.dump())

    def table(self, wrong: list[str]) -> str:
        rows = [f"{'attack':<24}{'times':>7}{'p50 s':>8}{'p95 s':>8}{'max s':>8}"]
        for what, seconds in [*sorted(self.recoveries.items()), ("all", [one for some in self.recoveries.values() for one in some])]:
            ordered = sorted(seconds) or [0.0]
            p95 = ordered[math.ceil(0.95 * len(ordered)) - 1]
            rows.append(f"{what:<24}{len(seconds):>7}{statistics.median(ordered):>8.2f}{p95:>8.2f}{ordered[-1]:>8.2f}")
        counts = Counter(next((kind for kind, words in KINDS.items() if any(word in one for word in words)), "wrong end") for one in wrong)
        rows.append(", ".join(f"{kind} {counts[kind]}" for kind in (*KINDS, "stuck", "wrong end")))
        return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--sandbox", default="rlimit")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    sys.stdout.write(f"KILLS={options.kills} SEED={seed} SANDBOX={options.sandbox}\n")
    folder = Path(tempfile.mkdtemp(prefix="ce-chaos-"))
    folder.chmod(0o755)  # commands in the sandbox run as another user
    extra = {"DJANGO_SETTINGS_MODULE": "tests.chaos.dying.settings", "CE_CHAOS_ORDER": str(folder / "order")}
    site = SandboxedSite(folder / "installation", CE_CRASH_RESTARTS="1000", CE_SANDBOX=options.sandbox, **extra)
    forwarder = None
    if site.database_url.startswith("postgres"):
        server = urlsplit(site.database_url)
        forwarder = Forwarder(server.hostname or "127.0.0.1", server.port or 5432)
        who = f"{server.netloc.rpartition('@')[0]}@" if "@" in server.netloc else ""
        site.environment["DATABASE_URL"] = urlunsplit(server._replace(netloc=f"{who}127.0.0.1:{forwarder.port}"))
    campaign = Campaign(site, random.Random(seed), forwarder)
    signal.signal(signal.SIGTERM, lambda *_: setattr(campaign, "enough", True))  # audited all the same; SIGINT ends at once
    wrong: list[str] = []
    try:
        site.prepare()
        wrong = campaign.run(options.kills)
    except (AssertionError, KeyboardInterrupt) as stuck:
        wrong = [f"stuck: {stuck}" if isinstance(stuck, AssertionError) else "interrupted: nothing was audited"]
    finally:
        site.remove()
        shutil.rmtree(folder, ignore_errors=True)
    table = campaign.table([one for one in wrong if not one.startswith("stuck: ")])
    table = table.replace("stuck 0", f"stuck {sum(one.startswith('stuck: ') for one in wrong)}")
    sys.stdout.write("\n".join([table, f"{len(campaign.batches)} batches of {sum(LAYERS)} phases", *wrong, ""]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
