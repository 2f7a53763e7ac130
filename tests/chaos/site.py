"""An installation under attack: its repository, its processes by role, its rows as plain values, its audit trail."""

import contextlib
import hashlib
import json
import os
import random
import sqlite3
import subprocess
from dataclasses import dataclass
from pathlib import Path

from subagents.procfs import children_of
from tests.batches.world import phase, plan
from tests.installation import Installation, wait_for
from tests.patience import PATIENCE

# What a step of an audited phase does. The lock says whether another copy of the same phase is at work right now; the
# shell and all it starts hold it, so it is free only when every process of that copy is gone.
AUDITED_STEP = """\
exec 9>>"{audit}/{batch}-{key}.lock"
flock -n 9 || {{ echo "DOUBLE {key} $CE_ATTEMPT" >>"{audit}/{batch}.log"; exit 1; }}
echo "START {key} $CE_ATTEMPT" >>"{audit}/{batch}.log"
sleep {seconds}
mkdir -p parts
echo {key} >"parts/{key}.txt"
echo "END {key} $CE_ATTEMPT" >>"{audit}/{batch}.log\""""

# Printed by the installation itself: everything that the checks need, as JSON.
DUMP = """
import json
from batches.models import Attempt, Batch, Task, Transition
out = []
for batch in Batch.objects.order_by("number"):
    for run in batch.runs.order_by("number"):
        tasks = []
        for task in run.tasks.order_by("position"):
            attempts = list(task.attempts.order_by("number").values(
                "number", "outcome", "reason", "message", "merge_commit", "head_commit", "ref", "directory", "checkout", "ended_at"))
            moves = list(Transition.objects.filter(task=task).order_by("pk").values_list("event", "from_state", "to_state"))
            tasks.append({"name": task.name, "kind": task.kind, "state": task.state, "reason": task.reason,
                          "message": task.message, "attempts": attempts, "moves": moves})
        runs = list(Transition.objects.filter(run=run, task=None).order_by("pk").values_list("event", "from_state", "to_state"))
        out.append({"batch": batch.number, "branch": batch.branch, "run": run.number, "operation": run.operation,
                    "state": run.state, "reported": run.reported_at is not None, "moves": runs, "tasks": tasks})
print(json.dumps(out, default=str))
"""


@dataclass(frozen=True, slots=True)
class Victim:
    """A process to be killed: what it is, and its ids (several when all die at once)."""

    role: str
    pids: tuple[int, ...]


class Site(Installation):
    """An installation with a project on a repository of a user, who has uncommitted work in it."""

    audited_step = AUDITED_STEP

    def prepare(self) -> None:
        """First run, the user's repository, the project; nothing is started."""
        self.bootstrap("--no-sample")
        self.audit = self.directory / "audit"
        self.audit.mkdir()
        self.user_repository = self.directory / "repository"
        self.user_repository.mkdir()
        self.git("init", "-q", "-b", "main")
        (self.user_repository / "README.md").write_text("A repository of somebody's.\n")
        self.git("add", "README.md")
        self.git("commit", "-q", "-m", "Start")
        (self.user_repository / "README.md").write_text("Half done.\n")
        (self.user_repository / "draft.txt").write_text("Not added.\n")
        self.git("status", "--porcelain")  # the index's times are settled by this
        self.shell(
            "from batches.projects.add_project import create_project; from batches.accounts.actor import Actor; "
            f"create_project(name='Chaos', repository={str(self.user_repository)!r}, actor=Actor.command('chaos'))"
        )
        self.user_state = self.state_of_user()

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.user_repository), "-c", "user.name=A Person", "-c", "user.email=person@localhost"]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def state_of_user(self) -> tuple[str, ...]:
        """What no run may ever change: branch, commits of it, index, files."""
        index = hashlib.sha256((self.user_repository / ".git" / "index").read_bytes()).hexdigest()
        head = (self.user_repository / ".git" / "HEAD").read_text()
        dirty = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(self.user_repository), "status", "--porcelain"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return (head, self.git("rev-parse", "main"), index, dirty)

    # Work

    def audited_plan(
        self, batch: int, layers: tuple[int, ...], chance: random.Random, seconds: tuple[float, float] = (0.8, 1.6)
    ) -> str:
        """A plan of layers of phases; each phase of a layer waits for one or two of the layer before."""
        phases, before = [], ()
        number = 0
        for size in layers:
            keys = []
            for _ in range(size):
                number += 1
                needs = chance.sample(before, min(len(before), chance.randint(1, 2)))
                script = self.audited_step.format(audit=self.audit, batch=batch, key=number, seconds=f"{chance.uniform(*seconds):.2f}")
                keys.append(str(number))
                phases.append(
                    phase(
                        str(number),
                        needs=", ".join(f"Phase {key}" for key in needs) or "None",
                        files=f"parts/{number}.txt",
                        steps=(script,),
                    )
                )
            before = tuple(keys)
        return plan(*phases, title=f"Audited work {batch}")

    def start_batch(self, text: str, options: str = "max_parallel=8") -> int:
        """Generate a batch of the plan and let its execution follow; returns its number."""
        code = (
            "from batches.core.engine.execute_options import ExecuteOptions; from batches.engine.generation import generate; "
            "from batches.plans.versions import import_plan; from batches.accounts.actor import Actor; from batches.models import Project; "
            f"actor = Actor.command('chaos'); made = import_plan(text={text!r}, file_name='plan.md', "
            "project=Project.objects.get(), actor=actor); "
            "print(generate(plan=made, project=Project.objects.get(), actor=actor, "
            f"then=ExecuteOptions({options})).number)"
        )
        return int(self.shell(code))

    # Rows

    def query(self, statement: str) -> list[tuple]:
        """Rows of the installation's database, read from outside."""
        if not self._server:
            with contextlib.closing(sqlite3.connect(self.data / "db.sqlite3", timeout=20)) as connection:
                return connection.execute(statement).fetchall()
        import psycopg

        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(statement).fetchall()

    def execution_state(self, batch: int) -> str:
        """The state of the batch's execute run once its report is written; "" before."""
        found = self.query(
            "SELECT r.state FROM batches_run r JOIN batches_batch b ON b.id = r.batch_id "
            f"WHERE b.number = {batch:d} AND r.operation = 'execute' AND r.reported_at IS NOT NULL"
        )
        return found[0][0] if found else ""

    def stuck(self, batch: int) -> str:
        """A run of the batch that ended without success and what failed in it, in words; "" when there is none."""
        found = self.query(
            "SELECT r.id, r.operation, r.state FROM batches_run r JOIN batches_batch b ON b.id = r.batch_id "
            f"WHERE b.number = {batch:d} AND r.state IN ('failed', 'cancelled')"
        )
        lines = []
        for pk, operation, state in found:
            lines.append(f"{operation} run of batch {batch}: {state}")
            moves = self.query(
                "SELECT k.name, t.event, t.reason, t.message FROM batches_transition t JOIN batches_task k ON k.id = t.task_id "
                f"WHERE t.run_id = {pk:d} AND t.event IN ('fail', 'retry') ORDER BY t.id"
            )
            lines += [f"  {' '.join(map(str, row))}" for row in moves]
        return "\n".join(lines)

    def dump(self) -> list[dict]:
        """All runs with their tasks, attempts and moves."""
        return json.loads(self.shell(DUMP))

    # Processes

    def agents(self) -> dict[int, str]:
        """Every process of an attempt of this installation: {process id: the attempt's directory}."""
        marker = b"CE_ATTEMPT=" + os.fsencode(self.data) + b"/"
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    for item in (entry / "environ").read_bytes().split(b"\0"):
                        if item.startswith(marker):
                            found[int(entry.name)] = os.fsdecode(item.partition(b"=")[2])
        return found

    def everything(self) -> dict[int, str]:
        return {**self.processes(), **self.agents()}

    def cluster_member(self, role: str) -> int | None:
        """A process of the cluster by what it is; None while it is not complete."""
        try:
            parent = int((self.data / "cluster.pid").read_text())
            if parent not in self.supervised("cluster"):
                return None
            if role == "parent":
                return parent
            (sentinel,) = children_of(parent)
            if role == "sentinel":
                return sentinel
            first, second, third, monitor, pusher = sorted(children_of(sentinel))
        except (OSError, ValueError):
            return None
        ticker = self.ticker()
        workers = {"worker": ticker if ticker in (first, second, third) else first, "monitor": monitor, "pusher": pusher}
        return workers[role]

    def ticker(self) -> int | None:
        """The process that holds the ticker's lock."""
        try:
            inode = (self.data / "ticker.lock").stat().st_ino
        except FileNotFoundError:
            return None
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
                return int(fields[4])
        return None

    def agent_member(self, role: str, chance: random.Random) -> int | None:
        """A wrapper, a runner, or the shell that a runner has started; None when there is none.

        Of an attempt that follows few others: the pause before each next one is twice as long.
        """
        agents = self.agents()
        parents = {}
        for pid in agents:
            with contextlib.suppress(OSError):
                parents[pid] = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        wrappers = {pid for pid, parent in parents.items() if agents.get(parent) != agents[pid] and parent != pid}
        leaders = {pid for pid in wrappers if _is_session_leader(pid)}
        runners = {pid for pid, parent in parents.items() if parent in leaders}
        shells = {pid for pid, parent in parents.items() if parent in runners and "bash" in _command(pid)}
        found = sorted({"wrapper": leaders, "runner": runners, "shell": shells}[role])
        tries = {pid: int(agents[pid].rpartition("/")[2]) for pid in found}
        return chance.choice([pid for pid in found if tries[pid] == min(tries.values())]) if found else None

    def victim(self, role: str, chance: random.Random) -> Victim | None:
        """Somebody of this role who is alive now, or None."""
        if role in ("wrapper", "runner", "shell"):
            pid = self.agent_member(role, chance)
        elif role == "web":
            found = self.supervised("web")
            pid = chance.choice(found) if found else None
        elif role == "launcher":
            pid = self.process.pid if self.process is not None else None
        elif role == "everything":
            pids = tuple(self.everything())
            return Victim(role, pids) if pids else None
        else:
            pid = self.cluster_member(role)
        return None if pid is None else Victim(role, (pid,))

    def kill(self, victim: Victim) -> None:
        """SIGKILL; a launcher that is gone is started again, as systemd would do it."""
        for pid in victim.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        if victim.role in ("launcher", "everything") and self.process is not None:
            self.process.wait(10 * PATIENCE)
            self.keep_up()

    def keep_up(self) -> None:
        """Start `manage.py up` when it is not running: it leaves as long as the port of one that was killed is not free."""
        if self.process is None or self.process.poll() is not None:
            self.launch()

    def remove(self) -> None:
        """As the installation's, and whatever is left of its attempts."""

        def none_left() -> bool:
            left = self.agents()
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            return not left

        super().kill_everything()
        wait_for(none_left, 20, "every process of an attempt is gone")
        super().remove()


def _is_session_leader(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
