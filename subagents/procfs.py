"""Reads /proc. wrapper.py reads it by itself: it imports nothing before started.json is written."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
ZOMBIE_STATES = ("Z", "X")


def stat_fields(pid: int | str) -> list[str]:
    """The fields of /proc/PID/stat after the command's name (proc(5)): [0] state, [1] parent, [4] terminal, [19] start time.

    Raises OSError when there is no such process.
    """
    with open(f"/proc/{pid}/stat", "rb") as file:
        text = file.read()
    return text[text.rindex(b")") + 2 :].decode("ascii").split()


def process_start(pid: int) -> str:
    """When a process started, in clock ticks since boot. Raises OSError when it is gone."""
    return stat_fields(pid)[19]


def boot_id() -> str:
    """The id of this boot of this machine."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return stat_fields(pid)[0] not in ZOMBIE_STATES
    except (FileNotFoundError, ProcessLookupError):
        return False


def name_of(pid: int | str) -> bytes:
    """The name of a process's command; b"" when it is gone."""
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def children_of(pid: int) -> list[int]:
    """The direct children of a process; empty when it is gone."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ended meanwhile
    return found


def memory_of(pids: Sequence[int], limit: int) -> int:
    """How many bytes of memory processes use together, without what is swapped out; gone ones count nothing.

    Pages that several share are counted once only where the plain sum is over `limit`: that is a hundred times dearer.
    """
    plain = [_resident(pid) for pid in pids]
    if sum(resident for resident, _ in plain) <= limit:
        return sum(resident for resident, _ in plain)
    return sum(_proportional(pid, resident - shared) for pid, (resident, shared) in zip(pids, plain, strict=True))


def _resident(pid: int) -> tuple[int, int]:
    """(resident, of this shared) bytes of a process."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            words = file.read().split()
        return int(words[1]) * PAGE_BYTES, int(words[2]) * PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0, 0


def _proportional(pid: int, own: int) -> int:
    """A process's bytes with its share of what several use; `own` where it may not be asked."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:")), own)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    except OSError:
        return own


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, nearest first."""
    found, level = [], [pid]
    while level:
        level = [child for parent in level for child in children_of(parent)]
        found += level
    return found


def busy_ticks(pids: Sequence[int], session: int) -> tuple[int, bool]:
    """The processor time of those processes of a session and of their ended children, in clock ticks; whether one waits for a disk."""
    ticks, waits = 0, False
    for pid in pids:
        try:
            fields = stat_fields(pid)
        except OSError:
            continue
        if int(fields[3]) != session:
            continue
        ticks += sum(int(field) for field in fields[11:15])
        waits = waits or fields[0] == "D"
    return ticks, waits
