#!/usr/bin/env python
"""What the judge costs: one phase with one step and three gates, through its whole life.

    python bench/judge.py [--rounds 15] [--files 100] [--empty] [--code OTHER_CHECKOUT]

An attempt is prepared, started by the fork server and waited for, as the engine does it; its branch is merged. Beside it the
peer: the same commands by hand, as a careful person would do it: a `git worktree` for the step, a commit, and a new worktree of
that commit for the gates. With --empty the step changes nothing and there are no gates. With --code the same is measured with the
`subagents` of another checkout in turn, round by round, so that a busy machine slows both alike; the ratio of the medians is
printed.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
STEP = "echo changed > file1; mkdir -p out; echo new > out/new"
GATES = ("test -e out/new", "grep -q changed file1", "test $(ls | wc -l) -gt 3")
IDENTITY = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}


def make_project(folder: Path, files: int) -> Path:
    """A repository on main with one commit of so many files."""
    project = folder / "project"
    project.mkdir()
    script = f"git init -q -b main && for n in $(seq {files}); do echo $n > file$n; done && git add . && git commit -qm First"
    subprocess.run(["sh", "-c", script], cwd=project, env={**os.environ, **IDENTITY}, check=True)
    return project


def by_hand(project: Path, scratch: Path, number: int) -> float:
    """Milliseconds of the same commands in worktrees of git."""
    work, judged = scratch / f"work-{number}", scratch / f"judged-{number}"
    lines = [
        f"git -C {project} worktree add -q --detach {work}",
        f"cd {work}",
        f"bash -euo pipefail -c '{STEP}'",
        "git add --all",
        "git commit -qm Step",
        f"git worktree add -q --detach {judged} HEAD",
        f"cd {judged}",
        *(f"bash -euo pipefail -c '{gate}'" for gate in GATES),
        f"git -C {project} worktree remove --force {work}",
        f"git -C {project} worktree remove --force {judged}",
    ]
    began = time.perf_counter()
    subprocess.run(["sh", "-ec", "\n".join(lines)], env={**os.environ, **IDENTITY}, check=True)
    return (time.perf_counter() - began) * 1000


def serve(project: Path, data: Path, empty: bool) -> None:
    """Run one attempt for each line of standard input; print its milliseconds. Uses the `subagents` of sys.path."""
    from subagents import launcher
    from subagents.contract import GateKind, GateSpec, Role, StepPlan, TaskSpec, TaskType
    from subagents.open_repository import open_repository
    from subagents.sandbox import find_level

    repository = open_repository(project)
    base = repository.branch_commit("main")
    level = find_level("auto", str(data)).level
    launcher.warm()
    sys.stdout.write(level + "\n")
    sys.stdout.flush()
    for number, _ in enumerate(sys.stdin):
        attempt = data / f"attempt-{number}"
        spec = TaskSpec(
            task_id="phase-1",
            type=TaskType.EXECUTE,
            role=Role.EXECUTOR,
            prp_id="PRP-1.1.1",
            batch_id=1,
            run=1,
            stage=1,
            key="1",
            phase_name="Work",
            goal="Work",
            attempt=number,
            token="token",
            repository=str(project),
            base_commit=base,
            attempt_ref=f"refs/ce/attempts/batch-1/{os.getpid()}/{number}",
            checkout=str(data / "checkouts" / str(number)),
            attempt_dir=str(attempt),
            created_at="2026-01-01T00:00:00Z",
            timeout_seconds=60.0,
            steps=(StepPlan(1, "Work", ("true" if empty else STEP,)),),
            gates=tuple(GateSpec(place, text, GateKind.COMMAND, text) for place, text in enumerate(() if empty else GATES, start=1)),
            sandbox=level,
        )
        began = time.perf_counter()
        launcher.prepare(spec)
        launcher.launch(spec.attempt_dir)
        while not (attempt / "exit.json").exists():  # the last act of the attempt's process
            time.sleep(0.001)
        took = (time.perf_counter() - began) * 1000
        launcher.reap()
        done = repository.find_commit(spec.attempt_ref)
        if done is None or "Complete" not in repository.commits(base, done)[-1].subject:
            raise SystemExit(f"the attempt in {attempt} did not succeed")
        shutil.rmtree(spec.checkout, ignore_errors=True)
        sys.stdout.write(json.dumps(took) + "\n")
        sys.stdout.flush()


class Product:
    """The attempts of one checkout's code, in a process of their own."""

    def __init__(self, code: Path, project: Path, data: Path, empty: bool) -> None:
        data.mkdir()
        start = f"import sys; sys.path[:0] = [{str(code)!r}, {str(HERE / 'bench')!r}]; from pathlib import Path; import judge; "
        start += f"judge.serve(Path({str(project)!r}), Path({str(data)!r}), {empty})"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([sys.executable, "-c", start], cwd=code, text=True, **pipes)
        self.level = self._line()
        self.measured: list[float] = []

    def _line(self) -> str:
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline().strip()):
            raise SystemExit("the attempts cannot be started; see above")
        return line

    def once(self) -> float:
        """Run one attempt; its milliseconds."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._line())

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


def row(title: str, values: list[float]) -> str:
    return f"  {title:28}{statistics.median(values):8.1f}  ({min(values):.1f}, {max(values):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--empty", action="store_true")
    parser.add_argument("--code", type=Path, help="another checkout of CE Web to compare with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ce-bench-") as folder:
        scratch = Path(folder)
        project = make_project(scratch, options.files)
        products = {"this checkout": Product(HERE, project, scratch / "data", options.empty)}
        if options.code is not None:
            products["the other checkout"] = Product(options.code.resolve(), project, scratch / "other", options.empty)
        hand: list[float] = []
        for product in products.values():
            product.once()  # the first makes what later ones use again
        for number in range(options.rounds):
            for product in products.values():
                product.measured.append(product.once())
            hand.append(by_hand(project, scratch, number))
        for product in products.values():
            product.end()
        level = products["this checkout"].level
        what = "an empty step, no gate" if options.empty else "one step, three gates"
        print(f"{what}, {options.files} files, at {level}, {options.rounds} rounds, median (min, max) ms:")
        for title, product in products.items():
            print(row(title, product.measured))
        print(row("by hand, no sandbox, no log", hand))
        if options.code is not None:
            ours, theirs = (statistics.median(product.measured) for product in products.values())
            print(f"  {ours / theirs:.2f} times the other checkout")


if __name__ == "__main__":
    main()
