"""What one attempt costs: python bench/attempt.py [ROUNDS]. Prints medians in ms; nothing else should be running."""

import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from subagents import launcher
from subagents.contract import Role, StepPlan, TaskSpec, TaskType
from subagents.open_repository import open_repository
from subagents.workspace import Merged, Repository


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder, "project")
        project.mkdir()
        identity = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
        script = "git init -q -b main && for n in $(seq 100); do echo $n > file$n; done && git add . && git commit -qm First"
        subprocess.run(["sh", "-c", script], cwd=project, env={**os.environ, **identity}, check=True)
        repository = open_repository(project)
        base = repository.branch_commit("main")
        repository.ensure_branch("ce/batch-1", base)
        one = (StepPlan(1, "Nothing", ("true",)),)
        for title, start in (("by starting Python", launcher.start), ("by the fork server", launcher.launch)):
            launcher.warm()
            time.sleep(0.5)
            measure(Path(folder), repository, rounds, start, f"{title}, empty phase", ())
            measure(Path(folder), repository, rounds, start, f"{title}, one step `true` in 100 files", one)


Starter = Callable[[str], object]


def measure(folder: Path, repository: Repository, rounds: int, start: Starter, title: str, steps: tuple[StepPlan, ...]) -> None:
    base = repository.branch_commit("ce/batch-1")
    figures: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], object]) -> object:
        began = time.perf_counter()
        result = work()
        figures.setdefault(name, []).append((time.perf_counter() - began) * 1000)
        return result

    for number in range(rounds):
        attempt_dir = folder / f"{title.replace(chr(32), chr(45))}-{number}"
        spec = spec_of(repository, base, attempt_dir, number, steps)
        timed("prepare", lambda spec=spec: launcher.prepare(spec))
        began = time.perf_counter()
        start(spec.attempt_dir)
        figures.setdefault("launch returns", []).append((time.perf_counter() - began) * 1000)
        while not os.path.exists(attempt_dir / "started.json"):
            time.sleep(0.0002)
        figures.setdefault("start to started.json", []).append((time.perf_counter() - began) * 1000)
        descriptor = launcher.pidfd(launcher.observe(spec).started)
        if descriptor is not None:
            select.select([descriptor], [], [])
            os.close(descriptor)
        figures.setdefault("whole life", []).append((time.perf_counter() - began) * 1000)
        launcher.reap()
        seen = timed("observe", lambda spec=spec: launcher.observe(spec))
        assert isinstance(seen, launcher.Observation) and seen.result is not None and not seen.result.failure_reason, seen
        head = seen.result.head_commit
        merged = timed("merge", lambda head=head: repository.merge("ce/batch-1", head, "Merge"))
        assert isinstance(merged, Merged)
        base = merged.commit
    sys.stdout.write(f"{title}, {rounds} rounds, median (min, max) ms:\n")
    for name, values in figures.items():
        sys.stdout.write(f"  {name:24}{statistics.median(values):8.1f}  ({min(values):.1f}, {max(values):.1f})\n")


def spec_of(repository: Repository, base: str, attempt_dir: Path, number: int, steps: tuple[StepPlan, ...]) -> TaskSpec:
    return TaskSpec(
        task_id="phase-1",
        type=TaskType.EXECUTE,
        role=Role.EXECUTOR,
        prp_id="PRP-1.1.1",
        batch_id=1,
        run=1,
        stage=1,
        key="1",
        phase_name="Empty",
        goal="Nothing",
        attempt=number,
        token="token",
        repository=repository.path,
        base_commit=base,
        attempt_ref=f"refs/ce/attempts/batch-1/{os.getpid()}/{time.monotonic_ns()}",
        checkout=str(attempt_dir / "checkout"),
        attempt_dir=str(attempt_dir),
        created_at="2026-01-01T00:00:00Z",
        timeout_seconds=60.0,
        steps=steps,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
