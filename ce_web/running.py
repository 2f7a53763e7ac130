"""What runs on this data directory: one cluster at most, one first run at a time, and the address of the web server.

Who holds a lock is told to the next one by the lock's own text. The kernel releases a lock when all its holders have died.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from subagents.procfs import boot_id, process_start

WAIT_SECONDS = 0.1


class Busy(Exception):
    """Another process holds the lock; `holder` is what it wrote about itself, such as "process 4711, since 14:02"."""

    def __init__(self, holder: str) -> None:
        self.holder = holder
        super().__init__(holder)


@dataclass(frozen=True, slots=True)
class Server:
    """Where this installation's web server listens."""

    pid: int
    host: str
    port: int


def unwritable(data: Path) -> str:
    """Why CE Web cannot work in this data directory, in a sentence; "" when it can."""
    probe = data / f".writable.{os.getpid()}"
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        way_out = f"Give it to this user (uid {os.geteuid()}), mount it writable, or set CE_DATA_DIR to another folder."
        return f"CE_DATA_DIR={str(data)!r} cannot be written to ({error.strerror}). {way_out}"
    return ""


@contextlib.contextmanager
def hold(name: str, patience_seconds: float = 0.0, waiting: Callable[[str], None] = lambda holder: None) -> Iterator[None]:
    """Hold the lock `name`.lock of this data directory. Raises Busy when another process still does after the patience.

    `waiting` is called once with the holder when it has to wait.
    """
    descriptor = os.open(Path(settings.CE_DATA_DIR) / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience_seconds
    told = False
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
                if time.monotonic() >= deadline:
                    raise Busy(holder) from None
            if not told:
                waiting(holder)
                told = True
            time.sleep(WAIT_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M')}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def is_held(name: str) -> bool:
    """Whether a live process holds the lock `name` of this data directory."""
    try:
        with hold(name):
            return False
    except Busy:
        return True


def _server_file() -> Path:
    return Path(settings.CE_DATA_DIR) / "server.json"


def note_server(host: str, port: int) -> None:
    """Write down where the web server of this process listens, for commands that print addresses."""
    me = os.getpid()
    noted = {"pid": me, "process_start": process_start(me), "boot": boot_id(), "host": host, "port": port}
    draft = _server_file().with_name(f".server.{me}")
    draft.write_text(json.dumps(noted))
    draft.replace(_server_file())


def forget_server() -> None:
    """Remove the note, if it is of this process."""
    found = running_server()
    if found is not None and found.pid == os.getpid():
        _server_file().unlink(missing_ok=True)


def running_server() -> Server | None:
    """The web server that runs on this data directory; None when none does that is known."""
    try:
        noted = json.loads(_server_file().read_text())
        if noted["boot"] != boot_id() or process_start(int(noted["pid"])) != noted["process_start"]:
            return None
        return Server(int(noted["pid"]), str(noted["host"]), int(noted["port"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
