"""Lets a process of the installation kill itself before or after a commit, a rename, a merge, a launch or a note.

The file CE_CHAOS_ORDER names the point. Who comes there first removes the file, says who it was beside it, and dies by SIGKILL.
Only the holder of the ticker's lock obeys: all these points of others are met by killing them at any moment.
"""

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.apps import AppConfig

POINTS = tuple(f"{side} {what}" for what in ("commit", "rename", "merge", "launch", "note") for side in ("before", "after"))


class DyingConfig(AppConfig):
    """Wraps the functions whose beginning and end are such points."""

    name = "tests.chaos.dying"

    def ready(self) -> None:
        if "CE_CHAOS_ORDER" not in os.environ:
            return
        from django.db.backends.base.base import BaseDatabaseWrapper

        from batches.engine import gate_notes, orchestrator
        from subagents import references
        from subagents.workspace import Repository

        _wrap(BaseDatabaseWrapper, "commit", "commit")
        _wrap(os, "rename", "rename")
        _wrap(Repository, "merge", "merge")
        _wrap(orchestrator, "launch", "launch")
        _wrap(gate_notes, "drafted", "note")
        _wrap(references, "_note", "note")


def _wrap(owner: Any, name: str, what: str) -> None:
    inner: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(inner)
    def outer(*arguments: Any, **named: Any) -> Any:
        _at(f"before {what}")
        try:
            return inner(*arguments, **named)
        finally:
            _at(f"after {what}")

    setattr(owner, name, outer)


def _at(point: str) -> None:
    order = Path(os.environ["CE_CHAOS_ORDER"])
    try:
        if order.read_text() != point or not _is_ticker():
            return
        order.unlink()
    except OSError:  # nobody is to die, or another was first
        return
    order.with_suffix(".died").write_text(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGKILL)


def _is_ticker() -> bool:
    inode = (Path(os.environ["CE_DATA_DIR"]) / "ticker.lock").stat().st_ino
    rows = (line.split() for line in Path("/proc/locks").read_text().splitlines())
    return any(row[1] == "FLOCK" and row[4] == str(os.getpid()) and row[5].endswith(f":{inode}") for row in rows)
