"""Removes what can be made again and nobody has used for long: places where gates were judged, and environments of projects.

Whoever uses one holds a lock on it as long as its process lives, so nothing is removed under anybody.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

from subagents.built_environment import IN_USE
from subagents.clean_checkout import FOLDER, LOCK
from subagents.folders import remove
from subagents.procfs import is_alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PLACE_SECONDS = 24 * 3600.0  # a place costs a checkout to make anew
ENVIRONMENT_SECONDS = 14 * 24 * 3600.0  # an environment minutes, and a download
TIGHT_SECONDS = 600.0  # for both, where space is short
PREVIEW = "merge-preview"  # scratch folders of processes, named after them
SETUP_LOCK = ".lock"


def prune(data: str, *, tight: bool = False, now: float | None = None) -> list[str]:
    """Remove the idle ones below the data directory `data`, sooner where space is `tight`; the folders that went.

    One that cannot be removed stays: the next call tries again. `now` is a time as time.time() has it.
    """
    now = time.time() if now is None else now
    removed = []
    for place in _folders(os.path.join(data, "checkouts"), FOLDER):
        with contextlib.suppress(OSError):
            if _empty_place(place, now - (TIGHT_SECONDS if tight else PLACE_SECONDS)):
                removed.append(place)
    for folder in _folders(os.path.join(data, "environments")):
        with contextlib.suppress(OSError):
            if _remove_environment(folder, now - (TIGHT_SECONDS if tight else ENVIRONMENT_SECONDS)):
                removed.append(folder)
    for folder in _entries(data):
        name, _, pid = os.path.basename(folder).rpartition("-")
        if name == PREVIEW and pid.isdecimal() and not is_alive(int(pid)):  # its process was killed
            with contextlib.suppress(OSError):
                remove(folder)
                removed.append(folder)
    return removed


def _folders(root: str, below: str = "") -> Iterator[str]:
    """The folders in each project's folder of `root`, or in the folder `below` of it."""
    for project in _entries(root):
        yield from _entries(os.path.join(project, below))


def _entries(folder: str) -> list[str]:
    try:
        return sorted(entry.path for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


@contextlib.contextmanager
def _alone(path: str) -> Iterator[bool]:
    """Whether nobody else holds the lock; then it is ours meanwhile."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(lock)


def _empty_place(place: str, before: float) -> bool:
    """Empty a place that was last used before that time. The lock stays: somebody may be about to ask for it."""
    lock = os.path.join(place, LOCK)
    inside = [name for name in os.listdir(place) if name != LOCK]
    if not inside or not os.path.exists(lock) or os.stat(lock).st_mtime > before:
        return False
    with _alone(lock) as free:
        # First what says that the files are as noted, for whoever comes after we were killed.
        for name in sorted(inside, key=lambda name: name != "state") if free else ():
            remove(os.path.join(place, name))
        return free


def _remove_environment(folder: str, before: float) -> bool:
    """Remove an environment, or the rest of one, that was last used before that time."""
    used = os.path.join(folder, IN_USE)
    if os.stat(used if os.path.exists(used) else folder).st_mtime > before:
        return False
    name = os.path.basename(folder)
    with _alone(os.path.join(os.path.dirname(folder), name.partition("-")[0] + SETUP_LOCK)) as nobody_comes, _alone(used) as free:
        if not (nobody_comes and free):
            return False
        remove(folder)
        return True
