"""Fixtures over real rows, a real repository and real processes."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.cache import cache

from batches.models import Attempt
from batches.projects.add_project import create_project
from subagents import launcher
from tests.batches.world import ACTOR, World


@pytest.fixture(autouse=True)
def polls_are_told_what_is(monkeypatch):
    """Without the rest between two looks at a page that many watch; only what measures it has it."""
    monkeypatch.setattr("batches.pages.batches.live.REST", 0.0)


@pytest.fixture(autouse=True)
def no_test_finds_what_another_has_kept():
    """Counts and fragments of pages, which are kept for a moment: how many queries a page takes depends on them."""
    cache.clear()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git = ["git", "-C", str(folder), "-c", "user.name=A Person", "-c", "user.email=person@localhost"]
    subprocess.run([*git[:3], "init", "-q", "-b", "main"], check=True)
    (folder / "README.md").write_text("A repository for tests.\n")
    subprocess.run([*git, "add", "README.md"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "Start"], check=True)
    return folder


@pytest.fixture
def world(transactional_db, settings, tmp_path: Path, repository: Path) -> Iterator[World]:
    """A project on a repository of its own; whatever still runs at the end is killed."""
    settings.CE_DATA_DIR = tmp_path / "data"
    settings.CE_HEARTBEAT_SECONDS = 0.2
    settings.CE_SANDBOX = "rlimit"  # steps of these tests give signs in files outside; tests/batches/test_sandbox.py has the others
    made = World(repository, create_project(name="Test", repository=str(repository), actor=ACTOR))
    yield made
    for directory in Attempt.objects.live().values_list("directory", flat=True):
        launcher.stop(directory, force=True)
    launcher.reap()
