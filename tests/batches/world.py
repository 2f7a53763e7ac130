"""A small real world for tests of the engine: a git repository, a project on it, and the ticker driven by hand."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from batches.accounts.actor import Actor
from batches.core.engine.execute_options import ExecuteOptions
from batches.engine import execution, generation
from batches.engine.ticker import Ticker, ticker_lock
from batches.models import Attempt, Batch, Project, Run, Task
from batches.plans.versions import import_plan
from tests.patience import PATIENCE

ACTOR = Actor.command("test")
DEADLINE_SECONDS = 150.0 * PATIENCE


def phase(
    key: str, *, needs: str = "None", files: str = "", steps: tuple[str, ...] = (), gates: tuple[str, ...] = (), title: str = ""
) -> str:
    """One phase in the seed's format; each step is a shell command in a fence. With neither steps nor gates it gets a gate that holds."""
    if not steps and not gates:
        gates = ("`test -d .`",)
    lines = [
        f"### Phase {key}: {title or f'Part {key}'}",
        "",
        f"**Goal**: Do part {key}",
        "**Estimated Hours**: 1",
        "**Complexity**: low",
        f"**Files Modified**: {files or f'part-{key}.txt'}",
        f"**Dependencies**: {needs}",
        "",
        "**Implementation Steps**:",
        "",
    ]
    for number, command in enumerate(steps, start=1):
        lines += [f"{number}. Step {number} of {key}", "", "   ```bash", *(f"   {line}" for line in command.split("\n")), "   ```", ""]
    lines += ["**Validation Gates**:", "", *(f"- [ ] {gate}" for gate in gates), ""]
    return "\n".join(lines)


def plan(*phases: str, title: str = "A small plan") -> str:
    return "\n".join([f"# {title}", "", "## Phases", "", *phases])


def writes(key: str, text: str = "done") -> tuple[str, ...]:
    return (f"echo {text} > part-{key}.txt",)


SEED_FLOW = plan(
    phase("1", steps=writes("1"), gates=("`test -f part-1.txt`",)),
    phase("2a", needs="Phase 1", steps=writes("2a"), gates=("`test -f part-1.txt`", "`test -f part-2a.txt`")),
    phase("2b", needs="Phase 1", steps=writes("2b"), gates=("`test -f part-2b.txt`",)),
    phase("3", needs="Phase 2a, Phase 2b", steps=writes("3"), gates=("`test -f part-2a.txt && test -f part-2b.txt`",)),
)


@dataclass
class World:
    """Everything a test needs to start batches and watch them."""

    repository: Path
    project: Project
    ticker: Ticker = field(default_factory=lambda: Ticker("test-host"))

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.repository), "-c", "user.name=A Person", "-c", "user.email=person@localhost", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, name: str, text: str) -> None:
        """A person's commit on the branch that is checked out."""
        target = self.repository / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        self.git("add", name)
        self.git("commit", "-q", "-m", f"Add {name}")

    def generated(self, text: str) -> Batch:
        made = import_plan(text=text, file_name="plan.md", project=self.project, actor=ACTOR)
        batch = generation.generate(plan=made, project=self.project, actor=ACTOR)
        self.finish(batch.runs.get())
        return batch

    def execute(self, batch: Batch, **options: object) -> Run:
        return execution.execute(batch=batch, actor=ACTOR, options=ExecuteOptions(**options))

    def until(self, condition: Callable[[], bool], what: str = "the condition") -> None:
        """Tick until the condition holds; no sleeping, a deadline instead."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        with ticker_lock():
            while not condition():
                assert time.monotonic() < deadline, f"{what} did not come about"
                self.ticker.round()
                self.ticker.wait(0.02)

    def finish(self, run: Run) -> Run:
        """Tick until the run has ended and its report is written."""
        self.until(lambda: Run.objects.filter(pk=run.pk, reported_at__isnull=False).exists(), "the end of the run")
        run.refresh_from_db()
        return run

    def states(self, run: Run) -> dict[str, str]:
        return dict(run.tasks.values_list("name", "state"))

    def task(self, run: Run, name: str) -> Task:
        return run.tasks.get(name=name)

    def attempts(self, run: Run, name: str) -> list[Attempt]:
        return list(Attempt.objects.filter(task__run=run, task__name=name))

    def running(self, run: Run, name: str) -> Attempt:
        """The live attempt of a task, once its process runs."""
        self.until(
            lambda: Attempt.objects.live().filter(task__run=run, task__name=name, pid__isnull=False).exists(), f"phase {name} running"
        )
        return Attempt.objects.live().get(task__run=run, task__name=name)

    def files_on(self, branch: str) -> set[str]:
        return set(self.git("ls-tree", "-r", "--name-only", branch).split("\n"))
