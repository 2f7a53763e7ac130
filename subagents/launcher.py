"""The host's side of an attempt: the only place that starts, watches and ends subagent processes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys

from subagents.contract import (
    JSON_BYTES,
    SPEC_BYTES,
    ContractError,
    Heartbeat,
    OrchestrationFiles,
    ResultStatus,
    TaskResult,
    TaskSpec,
    TaskType,
    check_identity,
    dump_json,
    load_json,
    read_bytes,
    read_json_file,
    write_atomic,
)
from subagents.credentials import KEY_FD, offer
from subagents.environment import allowed
from subagents.files import sha256_hex
from subagents.fork_server import AGENTS
from subagents.fork_server_client import ForkServer
from subagents.left_over import KEPT
from subagents.procfs import boot_id, name_of, process_start, stat_fields
from subagents.record import record
from subagents.workspace import attached_repository

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INITS = frozenset({b"systemd", b"init", b"tini", b"dumb-init", b"docker-init", b"catatonit"})  # who adopts orphans, besides process 1
WRAPPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wrapper.py")


@record
class Started:
    """The attempt's process: `started_at` in seconds since the epoch. A void attempt has pid 0."""

    pid: int
    process_start: str
    boot_id: str
    started_at: float


@record
class Ended:
    """The attempt's end as the wrapper wrote it; `result_sha256` "" when it could not write a result."""

    exit_code: int
    ended_at: float
    result_sha256: str


@record
class Observation:
    """What can be known of an attempt now. `held`: a live wrapper holds the lock.

    Free and `ended` None after `started`: the wrapper was killed; sweep before anything else. Errors are sentences.
    """

    held: bool
    started: Started | None
    ended: Ended | None
    heartbeat: Heartbeat | None
    heartbeat_error: str | None
    result: TaskResult | None
    result_error: str | None


def prepare(spec: TaskSpec) -> None:
    """Make the attempt's directory and write its spec there and to the contract's place.

    What an earlier attempt left under the contract's names is archived first and then removed. Safe to repeat.
    Raises OSError, ContractError.
    """
    if not os.path.isdir(spec.repository):  # never make a folder where somebody's repository was
        raise FileNotFoundError(errno.ENOENT, "the repository does not exist", spec.repository)
    os.makedirs(spec.attempt_dir, mode=0o700, exist_ok=True)
    os.makedirs(os.path.dirname(spec.checkout), mode=0o700, exist_ok=True)
    orchestration = OrchestrationFiles(spec.repository)
    files = orchestration.task(spec.batch_id, spec.name)
    os.makedirs(os.path.dirname(files.spec), exist_ok=True)
    _put_away(orchestration, spec)
    data = dump_json(spec.to_json())
    write_atomic(files.spec, data, durable=False)
    # Not forced to disk: after a power cut it is written anew from the row, for an attempt that has not started.
    write_atomic(os.path.join(spec.attempt_dir, "spec.json"), data, durable=False)


def _put_away(orchestration: OrchestrationFiles, spec: TaskSpec) -> None:
    files = orchestration.task(spec.batch_id, spec.name)
    run, attempt = orchestration.attempt_there(spec.batch_id, spec.name) or (0, 0)  # not ours or damaged: kept all the same
    if (run, attempt) == (spec.run, spec.attempt):
        return
    if any(os.path.lexists(path) for path in files.all()):
        orchestration.archive_task(spec.batch_id, run, spec.name, attempt)
        for path in files.all():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    folder, drafts = os.path.dirname(files.spec), f".{os.path.basename(files.spec).removesuffix('json')}"
    for name in os.listdir(folder):
        if name.startswith(drafts):  # half-written by a wrapper that was killed
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))


def launch(attempt_dir: str, key: str = "") -> int:
    """Start the attempt's wrapper in a session of its own; returns its pid. Harmless when one runs or ran. Raises OSError.

    By a fork of this process's fork server where that is ready, else by starting Python: the same wrapper either way. The
    agent's `key` goes by a pipe: it is in no argument, environment or file.
    """
    descriptor = offer(key) if key else None
    try:
        # The one for agents is begun by the first agent, who does not wait for it.
        pid = _agents.launch(attempt_dir, descriptor) if key else None
        if pid is None:
            pid = _fork_server.launch(attempt_dir, descriptor)
        return pid if pid is not None else start(attempt_dir, descriptor).pid
    finally:
        if descriptor is not None:
            os.close(descriptor)


def warm(*, agents: bool = False) -> None:
    """Have the fork server, or the one for agents, ready for a later launch; returns at once."""
    (_agents if agents else _fork_server).warm()


def start(attempt_dir: str, key: int | None = None) -> subprocess.Popen[bytes]:
    """Start the attempt's wrapper by starting Python, as our own child; `key` is a descriptor that it gets. Raises OSError."""
    given = {} if key is None else {KEY_FD: str(key)}
    with open(os.path.join(attempt_dir, "wrapper.err"), "ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", WRAPPER, attempt_dir],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            # The marker must be there from the start: /proc shows the environment a process was started with.
            env={**allowed(), **given, "CE_ATTEMPT": attempt_dir},
            pass_fds=() if key is None else (key,),
            cwd="/",
            start_new_session=True,
        )
    _children[process.pid] = process
    return process


_children: dict[int, subprocess.Popen[bytes]] = {}


def reap() -> None:
    """Collect the ends of wrappers that this process started, so that none stays a zombie."""
    for pid, process in list(_children.items()):
        if process.poll() is not None:
            del _children[pid]


_fork_server, _agents = ForkServer(), ForkServer(AGENTS)


def observe(attempt_dir: str, spec: TaskSpec) -> Observation:
    """Read the start, then the lock, then the rest. Never raises for content.

    A free lock means that what is read after it is final. A start that is seen before a free lock means that the
    wrapper is gone; seen after it, it may be that of a wrapper which took the lock in between.
    """
    started = _started(attempt_dir)
    held = is_held(attempt_dir)
    if held and started is None:
        started = _started(attempt_dir)
    ended = _ended(attempt_dir)
    files = OrchestrationFiles(spec.repository).task(spec.batch_id, spec.name)
    heartbeat: Heartbeat | None = None
    heartbeat_error: str | None = None
    result: TaskResult | None = None
    result_error: str | None = None
    try:
        if (found := read_json_file(files.heartbeat)) is not None:
            candidate = Heartbeat.from_json(found, os.path.basename(files.heartbeat))
            check_identity(candidate, spec, os.path.basename(files.heartbeat))
            heartbeat = candidate
    except ContractError as error:
        heartbeat_error = str(error)
    try:
        result, result_error = _result(files.result, spec, ended)
    except ContractError as error:
        result_error = str(error)
    return Observation(held, started, ended, heartbeat, heartbeat_error, result, result_error)


def _result(path: str, spec: TaskSpec, ended: Ended | None) -> tuple[TaskResult | None, str | None]:
    """The result, once the wrapper has vouched for it by exit.json; else why there is none although there is a file.

    A wrapper that is killed between its two files leaves a result that anybody may have written: there is none, and no fault of the
    agent's either. The attempt crashed.
    """
    name = os.path.basename(path)
    data = read_bytes(path, JSON_BYTES)
    if data is None:
        return None, None
    result = TaskResult.from_json(load_json(data, name), name)
    check_identity(result, spec, name)
    if ended is None:
        return None, None
    if ended.result_sha256 != sha256_hex(data):
        return None, f"{name}: was changed after the attempt had ended"
    return result, None


def is_held(attempt_dir: str) -> bool:
    """Whether a live wrapper holds the attempt: a lock can be faked neither by a reused pid nor by a reboot."""
    try:
        descriptor = os.open(os.path.join(attempt_dir, "lock"), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def void(attempt_dir: str) -> bool:
    """Make sure that this attempt never starts; False when it has started already. Raises OSError.

    An empty file in the place of its start says so: that can be made on a full disk as well.
    """
    os.makedirs(attempt_dir, mode=0o700, exist_ok=True)
    try:
        os.close(os.open(os.path.join(attempt_dir, "started.json"), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
    except FileExistsError:
        return False
    return True


def pidfd(attempt_dir: str) -> int | None:
    """A descriptor that becomes readable when the attempt's wrapper ends (the caller closes it); None when there is none to watch."""
    started = _started(attempt_dir)
    if started is None:
        return None
    descriptor = _open_process(started)
    return descriptor


def stop(attempt_dir: str, force: bool) -> bool:
    """Ask the attempt to end (TERM to the wrapper, which ends the tree within 5 s) or, with `force`, kill all of it at once.

    Checked against pid, start time and boot, so never a stranger. Returns whether there was a live wrapper.
    With `force` everything that carries the attempt's marker is swept too.
    """
    started = _started(attempt_dir)
    descriptor = _open_process(started) if started else None
    if descriptor is not None and started is not None:
        try:
            if force:
                # The wrapper leads its group and is alive (we hold its pidfd), so the group is ours.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(started.pid, signal.SIGKILL)
            else:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        finally:
            os.close(descriptor)
    if force:
        sweep(attempt_dir)
        _kill_holder(attempt_dir)
    return descriptor is not None


def _kill_holder(attempt_dir: str) -> None:
    """Kill whoever holds the attempt's lock: something that the attempt started and that took it when the wrapper was killed."""
    path = os.path.join(attempt_dir, "lock")
    try:
        inode = os.stat(path).st_ino
        with open("/proc/locks") as file:
            rows = [line.split() for line in file]
    except OSError:
        return
    # 1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END; a look of the host's own is a READ.
    if not any(row[1:4] == ["FLOCK", "ADVISORY", "WRITE"] and row[5].endswith(f":{inode}") for row in rows):
        return
    for entry in os.listdir("/proc"):  # the process that took it may have left it to a child
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                if path in (os.readlink(f"/proc/{entry}/fd/{number}") for number in os.listdir(f"/proc/{entry}/fd")):
                    os.kill(int(entry), signal.SIGKILL)


def sweep(attempt_dir: str) -> list[int]:
    """Kill every process whose environment carries this attempt's marker; returns the pids that were found (none: all clean).

    One that has dropped its environment is known as an orphan without a terminal that began after the attempt and works
    in its checkout. Death by a signal is not awaited: call again until it returns nothing.
    """
    marker = b"CE_ATTEMPT=" + os.fsencode(attempt_dir)
    own, found = os.getpid(), []
    started, places = _started(attempt_dir), _places(attempt_dir)
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == own:
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                carries = marker in file.read().split(b"\0")
            if not carries and not (started and places and _left_behind(entry, started, places)):
                continue
            os.kill(int(entry), signal.SIGKILL)
        except (OSError, ValueError):
            continue  # gone meanwhile, or not ours to see
        found.append(int(entry))
    return found


def _places(attempt_dir: str) -> tuple[str, ...]:
    """Where the attempt's processes work: its checkout and its own directory; nothing when its spec cannot be read."""
    try:
        spec = read_json_file(os.path.join(attempt_dir, "spec.json"), SPEC_BYTES)
        return (os.path.realpath(spec["checkout"]), os.path.realpath(attempt_dir)) if isinstance(spec, dict) else ()
    except (ContractError, OSError, KeyError, TypeError, ValueError):
        return ()


def _left_behind(entry: str, started: Started, places: tuple[str, ...]) -> bool:
    """Whether a process is an orphan that the attempt left. A person's shell has a terminal, a program of theirs a parent."""
    if not started.pid or started.boot_id != boot_id():
        return False
    fields = stat_fields(entry)
    if fields[4] != "0" or int(fields[19]) < int(started.process_start):
        return False
    if fields[1] != "1" and name_of(fields[1]) not in INITS:
        return False
    at = os.readlink(f"/proc/{entry}/cwd").removesuffix(" (deleted)")
    return any(at == place or at.startswith(place + os.sep) for place in places)


def tidy(spec: TaskSpec) -> bool:
    """Remove the checkout of an attempt that succeeded and is over: all of it is committed. Tells whether it did.

    Anything else stays: unmerged work is never deleted, and of a success the commits are kept by the attempt's reference.
    Raises OSError, SubagentError.
    """
    for name in ("tmp", "home", "git"):  # what its commands had as TMPDIR and HOME, and what git was given by it
        shutil.rmtree(os.path.join(spec.attempt_dir, name), ignore_errors=True)
    seen = observe(spec.attempt_dir, spec)
    if seen.held or seen.result is None or seen.result.status != ResultStatus.SUCCESS or not os.path.isdir(spec.checkout):
        return False
    kept = attached_repository(spec.repository).find_commit(spec.attempt_ref)
    if spec.type != TaskType.STAGE_CHECK and kept != seen.result.head_commit:
        return False
    if os.path.exists(os.path.join(spec.attempt_dir, KEPT)):  # what is in no commit was too much to archive
        return False
    shutil.rmtree(spec.checkout)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(spec.attempt_dir, "index"))
    return True


def _open_process(started: Started) -> int | None:
    if started.pid <= 0 or started.boot_id != boot_id():
        return None
    try:
        descriptor = os.pidfd_open(started.pid)
    except OSError:
        return None
    try:
        if process_start(started.pid) == started.process_start:
            return descriptor
    except (OSError, ValueError):
        pass  # it ended between the two looks
    os.close(descriptor)
    return None


def _own_file(attempt_dir: str, name: str) -> dict[str, Any] | None:
    try:
        found = read_json_file(os.path.join(attempt_dir, name))
    except ContractError:
        return None  # our own files are published whole; anything else there is not ours
    return found if isinstance(found, dict) else None


def _started(attempt_dir: str) -> Started | None:
    path = os.path.join(attempt_dir, "started.json")
    with contextlib.suppress(OSError):
        if os.stat(path, follow_symlinks=False).st_size == 0:
            return Started(0, "", "", 0.0)
    found = _own_file(attempt_dir, "started.json")
    if found is None:
        return None
    try:
        return Started(int(found["pid"]), str(found["process_start"]), str(found["boot_id"]), float(found["started_at"]))
    except (KeyError, TypeError, ValueError):
        return None


def _ended(attempt_dir: str) -> Ended | None:
    found = _own_file(attempt_dir, "exit.json")
    if found is None:
        return None
    try:
        return Ended(int(found["exit_code"]), float(found["ended_at"]), str(found["result_sha256"]))
    except (KeyError, TypeError, ValueError):
        return None
