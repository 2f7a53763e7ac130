"""A real repository, and what tests of this room need around it."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from subagents import launcher
from subagents.contract import Role, StepPlan, TaskFiles, TaskSpec, TaskType
from subagents.launcher import Observation
from tests.patience import PATIENCE


def user_git(folder: Path, *arguments: str) -> str:
    """git as the project's owner runs it: with the owner's identity, untouched by our hardening."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
    }
    done = subprocess.run(["git", "-C", str(folder), *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"git {arguments}: {done.stderr}"
    return done.stdout.strip()


def commit_files(folder: Path, files: dict[str, str], message: str = "A change.") -> str:
    """Write and commit `files` as the owner; returns the commit."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    user_git(folder, "add", "--all")
    user_git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return user_git(folder, "rev-parse", "HEAD")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository on branch main with one commit holding src/app.py."""
    folder = tmp_path / "project"
    folder.mkdir()
    user_git(folder, "init", "--quiet", "--initial-branch", "main")
    commit_files(folder, {"src/app.py": "print('hello')\n", "README.md": "# Project\n"}, "First.")
    return folder


class World:
    """A project, and attempts over it the way a host drives them."""

    def __init__(self, project: Path, data: Path) -> None:
        self.project, self.data, self.number = project, data, 0
        self.started: list[str] = []

    def spec(self, **changes: object) -> TaskSpec:
        """The spec of the next attempt of phase 2a, prepared but not launched."""
        self.number += 1
        folder = self.data / f"attempt-{self.number}"
        values: dict[str, object] = {
            "task_id": "phase-2a",
            "type": TaskType.EXECUTE,
            "role": Role.EXECUTOR,
            "prp_id": "PRP-44.2.1",
            "batch_id": 44,
            "run": 1,
            "stage": 2,
            "key": "2a",
            "phase_name": "Core",
            "goal": "Build it",
            "attempt": self.number,
            "token": f"token-{self.number}",
            "repository": str(self.project),
            "base_commit": user_git(self.project, "rev-parse", "HEAD"),
            "attempt_ref": f"refs/ce/attempts/batch-44/2a/{self.number}",
            "checkout": str(folder / "checkout"),
            "attempt_dir": str(folder),
            "created_at": "2026-01-01T00:00:00Z",
            "timeout_seconds": 60.0,
            "heartbeat_seconds": 30.0,
        }
        made = TaskSpec(**{**values, **changes})
        launcher.prepare(made)
        self.started.append(made.attempt_dir)
        return made

    def run(self, spec: TaskSpec, seconds: float = 30) -> Observation:
        """Launch and wait for the end."""
        launcher.launch(spec.attempt_dir)
        return self.ended(spec, seconds)

    def ended(self, spec: TaskSpec, seconds: float = 30) -> Observation:
        """Wait until the wrapper is gone."""
        wait_for(lambda: self.seen(spec).started is not None and not self.seen(spec).held, seconds)
        return self.seen(spec)

    def seen(self, spec: TaskSpec) -> Observation:
        launcher.reap()
        return launcher.observe(spec)

    def files(self, spec: TaskSpec) -> TaskFiles:
        return spec.files

    def log(self, spec: TaskSpec) -> list[dict[str, object]]:
        return [json.loads(line) for line in Path(self.files(spec).log).read_text().splitlines()]

    def transcript(self, spec: TaskSpec) -> list[dict[str, Any]]:
        """The entries; none when the attempt had no agent."""
        path = Path(spec.files.transcript)
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(true: Callable[[], object], seconds: float = 10) -> None:
    """Poll until `true()` holds; fails the test when patience ends."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"did not happen within {seconds * PATIENCE:g} s"
        time.sleep(0.005)


def marked(attempt_dir: str) -> list[int]:
    """Living processes that carry the attempt's marker."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if entry.isdigit() and f"CE_ATTEMPT={attempt_dir}".encode() in file.read().split(b"\0"):
                    found.append(int(entry))
        except OSError:
            continue
    return found


def steps(*scripts: str) -> tuple[StepPlan, ...]:
    return tuple(StepPlan(number, f"Do thing {number}", (script,)) for number, script in enumerate(scripts, start=1))


@pytest.fixture
def another_environment() -> Iterator[None]:
    """For a test that sets variables: a fork server keeps those it was started with, so neither this one nor the next is shared."""
    launcher.fork_server.close()
    yield
    launcher.fork_server.close()


@pytest.fixture
def world(project: Path, tmp_path: Path) -> Iterator[World]:
    made = World(project, tmp_path / "data")
    yield made
    for attempt_dir in made.started:
        launcher.stop(attempt_dir, force=True)
    wait_for(lambda: not any(marked(attempt_dir) for attempt_dir in made.started))
    launcher.reap()
