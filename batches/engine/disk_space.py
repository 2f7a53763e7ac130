"""Free space and inodes of the file systems that a host writes to: of the data directory and of repositories."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Self

from django.conf import settings
from django.db import DatabaseError

from batches.core.engine.states import Waiting
from batches.core.text.words import bytes_words
from batches.models import Host, Project, Run
from subagents.machine_faults import fault_of, mount_point

FREE_INODES = 5_000  # with fewer, nothing starts: a checkout needs one for each file
DATA_DIRECTORY = "the data directory"


@dataclass(frozen=True, slots=True)
class FileSystem:
    """One file system: `what` of ours is on it, its path, what is free; `free_inodes` None: it has no such limit."""

    what: str
    path: str
    free_bytes: int
    free_inodes: int | None = None

    @classmethod
    def of(cls, what: str, path: str) -> Self | None:
        """The file system that holds `path`; None when it cannot be asked."""
        try:
            found = os.statvfs(path)
        except OSError:
            return None
        return cls(what, mount_point(path), found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)

    @property
    def is_low(self) -> bool:
        """Whether too little is free to start anything. Running attempts go on: stopping them would lose work."""
        few = self.free_inodes is not None and self.free_inodes < FREE_INODES
        return bool(settings.CE_FREE_SPACE_BYTES) and (few or self.free_bytes < settings.CE_FREE_SPACE_BYTES)

    @property
    def words(self) -> str:
        """What is free, and where: "1.2 GB free at /srv (the data directory)"."""
        few = self.free_inodes is not None and self.free_inodes < FREE_INODES
        inodes = f" and {self.free_inodes} inodes" if few else ""
        return f"{bytes_words(self.free_bytes)}{inodes} free at {self.path} ({self.what})"

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, object]) -> Self | None:
        """None when the row was written by another version."""
        what, path, free, inodes = (given.get(name) for name in ("what", "path", "free_bytes", "free_inodes"))
        if not isinstance(what, str) or not isinstance(path, str) or not isinstance(free, int):
            return None
        return cls(what, path, free, inodes if isinstance(inodes, int) else None)


def low_file_system(repository: str) -> FileSystem | None:
    """The file system that keeps a run on this repository from starting anything; None when there is room."""
    found = (FileSystem.of(DATA_DIRECTORY, str(settings.CE_DATA_DIR)), FileSystem.of("the repository", repository))
    return next((one for one in found if one is not None and one.is_low), None)


def low_space_words(run: Run) -> str:
    """That nothing starts on this host for want of space, and what to do; "" where there is room, or something else is waited for."""
    low = low_file_system(run.batch.project.repository) if run.is_live and run.waiting_for == Waiting.SLOT else None
    return f"Disk nearly full: {low.words}. Nothing starts; free some space, and the batch goes on by itself." if low else ""


def watched_file_systems() -> list[FileSystem]:
    """The data directory's first, then others that hold repositories of projects, each once."""
    places = [(DATA_DIRECTORY, str(settings.CE_DATA_DIR))]
    places += [(f"the repository of {name}", path) for name, path in Project.objects.values_list("name", "repository")]
    found: dict[str, FileSystem] = {}
    for what, path in places:
        if (one := FileSystem.of(what, path)) is not None:
            found.setdefault(one.path, one)
    return list(found.values())


def reported_file_systems(hosts: Iterable[Host]) -> Iterator[tuple[str, FileSystem]]:
    """(host, file system) as the hosts last reported them; pages read rows, never the disk."""
    for host in hosts:
        listed = host.facts.get("file_systems")
        known = [FileSystem.from_json(one) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        free = host.facts.get("disk_free_bytes")
        if not known and isinstance(free, int):  # an older version reports the data directory alone
            known = [FileSystem(DATA_DIRECTORY, "", free)]
        yield from ((host.name, one) for one in known if one is not None)


# What SQLite and PostgreSQL say where the machine cannot keep what is written.
DATABASE_FAULT = re.compile(
    r"database or disk is full|disk I/O error|unable to open database file|attempt to write a readonly database"
    r"|No space left on device|Disk quota exceeded|could not extend file|Input/output error"
)


def words_of_fault(error: Exception) -> str:
    """The fault of the machine that an error is, for a person; "" when it is none."""
    if isinstance(error, DatabaseError):
        found = DATABASE_FAULT.search(str(error))
        return f"Nothing was changed: the database could not be written ({found[0]}). Try again when there is room." if found else ""
    return str(fault_of(error, (str(settings.CE_DATA_DIR),)) or "")
