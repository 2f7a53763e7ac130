"""Starts, observes and ends the processes of attempts. Nothing else does."""

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
    RESULT,
    SPEC_BYTES,
    ContractError,
    Heartbeat,
    OrchestrationFiles,
    ResultStatus,
    TaskFiles,
    TaskResult,
    TaskSpec,
    TaskType,
    dump_json,
    read_json_file,
    read_report,
    write_atomic,
)
from subagents.credentials import KEY_FD, offer
from subagents.environment import allowed, way_out
from subagents.files import sha256_hex
from subagents.fork_server import AGENTS
from subagents.fork_server_client import ForkServer
from subagents.journal import timestamp
from subagents.left_over import KEPT
from subagents.open_repository import attached_repository
from subagents.procfs import boot_id, name_of, process_start, stat_fields
from subagents.record import record
from subagents.redaction import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

INITS = frozenset({b"systemd", b"init", b"tini", b"dumb-init", b"docker-init", b"catatonit"})  # adopt orphans, besides process 1
WRAPPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wrapper.py")


@record
class Started:
    """The attempt's process; `started_at` is in seconds since the epoch. An attempt that was prevented from starting has pid 0."""

    pid: int
    process_start: str
    boot_id: str
    started_at: float


@record
class Ended:
    """The attempt's end as the wrapper wrote it; `result_sha256` is "" when it could not write a result.

    `machine_fault` is the fault of the machine that prevented that, in words.
    """

    exit_code: int
    ended_at: float
    result_sha256: str
    machine_fault: str = ""


@record
class Observation:
    """What an attempt's files say now. `held`: a live wrapper holds the lock; its end and result are not read then.

    Started, not held and `ended` None: the wrapper was killed; sweep before anything else. Errors are sentences.
    """

    files: TaskFiles
    held: bool
    started: Started | None
    ended: Ended | None
    heartbeat: Heartbeat | None
    heartbeat_error: str | None
    result: TaskResult | None
    result_error: str | None


def prepare(spec: TaskSpec) -> None:
    """Create the attempt's directory and write its spec there and under `.ce/orchestration/`.

    Files that an earlier attempt left there are archived and removed first. Safe to repeat. Raises OSError, ContractError.
    """
    _refuse_missing(spec)
    os.makedirs(spec.attempt_dir, mode=0o700, exist_ok=True)
    os.makedirs(os.path.dirname(spec.checkout), mode=0o700, exist_ok=True)
    data = _put_spec(spec)
    # Not synced: after a power cut the attempt has not started, and its row is written here again.
    write_atomic(os.path.join(spec.attempt_dir, "spec.json"), data, durable=False)


def publish(spec: TaskSpec, result: TaskResult) -> None:
    """Write and archive the contract's files of an attempt that took no process. Safe to repeat. Raises OSError, ContractError.

    Not synced: rows say the same, and follow.
    """
    _refuse_missing(spec)
    _put_spec(spec)
    at, done = timestamp(), f"{', '.join(result.prps_generated) or spec.name}: written at once with the others, without a process"
    beat = Heartbeat(
        task_id=spec.task_id,
        status=str(result.status),
        progress=done,
        tokens_used=None,
        elapsed_seconds=0.0,
        last_update=at,
        last_progress=at,
        step=len(spec.steps),
        total_steps=len(spec.steps),
        cost_usd=None,
        activity="document",
        attempt=spec.attempt,
        token=spec.token,
        activity_since=at,
    )
    write_atomic(spec.files.heartbeat, dump_json(beat.to_json()), durable=False)
    line = {"at": at, "level": "info", "kind": "document", "message": redact(done)}
    write_atomic(spec.files.log, dump_json(line) + b"\n", durable=False)
    write_atomic(spec.files.result, dump_json(result.to_json()), durable=False)
    OrchestrationFiles(spec.repository).archive_task(spec.batch_id, spec.run, spec.name, spec.attempt)


def _refuse_missing(spec: TaskSpec) -> None:
    if not os.path.isdir(spec.repository):  # never create a folder where somebody's repository was
        raise FileNotFoundError(errno.ENOENT, "the repository does not exist", spec.repository)


def _put_spec(spec: TaskSpec) -> bytes:
    """Write the spec under `.ce/orchestration/`, and archive and remove what an earlier attempt left there; returns its bytes."""
    os.makedirs(os.path.dirname(spec.files.spec), exist_ok=True)
    _archive_earlier(OrchestrationFiles(spec.repository), spec)
    data = dump_json(spec.to_json())
    write_atomic(spec.files.spec, data, durable=False)
    return data


def _archive_earlier(orchestration: OrchestrationFiles, spec: TaskSpec) -> None:
    files = spec.files
    run, attempt = orchestration.current_attempt(spec.batch_id, spec.name) or (0, 0)  # not ours or damaged: archived as well
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


def launch(attempt_dir: str, key: str = "", secrets: Sequence[dict[str, Any]] = ()) -> int:
    """Start the attempt's wrapper in its own session and return its pid. Harmless when one runs or ran. Raises OSError.

    Uses the fork server when it is ready, else starts Python: the wrapper is the same. The agent's `key` and the project's
    `secrets` go through a pipe, so they are in no argument, environment or file. Raises ValueError when they are too large.
    """
    descriptor = offer(key, secrets) if key or secrets else None
    try:
        # The first agent starts the fork server for agents, and does not wait for it.
        pid = agent_fork_server.launch(attempt_dir, descriptor) if key else None
        if pid is None:
            pid = fork_server.launch(attempt_dir, descriptor)
        return pid if pid is not None else start(attempt_dir, descriptor).pid
    finally:
        if descriptor is not None:
            os.close(descriptor)


def warm() -> None:
    """Start the fork server for later launches; returns at once."""
    fork_server.warm()


def start(attempt_dir: str, key: int | None = None) -> subprocess.Popen[bytes]:
    """Start the attempt's wrapper as a new Python process, our own child. It gets the descriptor `key`. Raises OSError."""
    given = {} if key is None else {KEY_FD: str(key)}
    with open(os.path.join(attempt_dir, "wrapper.err"), "ab") as errors:
        process = subprocess.Popen(  # noqa: S603 -- our own program, as a list
            [sys.executable, "-I", "-S", WRAPPER, attempt_dir],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            # /proc shows the environment that a process was started with, so the marker must be in it.
            env={**allowed(), **way_out(), **given, "CE_ATTEMPT": attempt_dir},
            pass_fds=() if key is None else (key,),
            cwd="/",
            start_new_session=True,
        )
    _children[process.pid] = process
    return process


_children: dict[int, subprocess.Popen[bytes]] = {}


def reap() -> None:
    """Reap ended wrappers that this process started, so that none stays a zombie."""
    for pid, process in list(_children.items()):
        if process.poll() is not None:
            del _children[pid]


fork_server, agent_fork_server = ForkServer(), ForkServer(AGENTS)


def observe(spec: TaskSpec) -> Observation:
    """Read an attempt's files in one pass: its start, then its lock, then the rest. Never raises for content, only OSError.

    After a free lock, what is read is final: only then are the end and the result read. A start that is read before a
    free lock means that the wrapper is gone. Read after it, it may be the start of a wrapper that took the lock in between.
    """
    files = spec.files
    started = _started(spec.attempt_dir)
    held = is_held(spec.attempt_dir)
    if held and started is None:
        started = _started(spec.attempt_dir)
    heartbeat, heartbeat_error = _heartbeat(files.heartbeat, spec)
    if held:
        return Observation(files, True, started, None, heartbeat, heartbeat_error, None, None)
    ended, spare = _ended(spec.attempt_dir), os.path.join(spec.attempt_dir, RESULT)
    result = spare if os.path.exists(spare) else files.result
    return Observation(files, False, started, ended, heartbeat, heartbeat_error, *_result(result, spec, ended))


def _heartbeat(path: str, spec: TaskSpec) -> tuple[Heartbeat | None, str | None]:
    """The last heartbeat, or why the file that is there is none."""
    try:
        found = read_report(Heartbeat, path, spec)
    except ContractError as error:
        return None, str(error)
    return (found[0], None) if found else (None, None)


def _result(path: str, spec: TaskSpec, ended: Ended | None) -> tuple[TaskResult | None, str | None]:
    """The result, once exit.json confirms it; else why the file that is there is none.

    A wrapper that was killed between writing its two files leaves a result that anybody may have written. It does not
    count, and that is no fault of the agent: the attempt crashed.
    """
    try:
        found = read_report(TaskResult, path, spec)
    except ContractError as error:
        return None, str(error)
    if found is None or ended is None:
        return None, None
    result, data = found
    if ended.result_sha256 != sha256_hex(data):
        return None, f"{os.path.basename(path)}: was changed after the attempt had ended"
    return result, None


def is_held(attempt_dir: str) -> bool:
    """Whether a live wrapper holds the attempt's lock. Neither a reused pid nor a reboot can fake a lock."""
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


def prevent_start(attempt_dir: str) -> bool:
    """Make sure that this attempt never starts; False when it has started already. Raises OSError.

    An empty started.json marks it: an empty file can be created even on a full disk.
    """
    os.makedirs(attempt_dir, mode=0o700, exist_ok=True)
    try:
        os.close(os.open(os.path.join(attempt_dir, "started.json"), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
    except FileExistsError:
        return False
    return True


def pidfd(started: Started | None) -> int | None:
    """A descriptor that becomes readable when the attempt's wrapper ends (the caller closes it); None when there is none to watch."""
    if started is None or started.pid <= 0 or started.boot_id != boot_id():
        return None
    try:
        descriptor = os.pidfd_open(started.pid)
    except OSError:
        return None
    try:
        if process_start(started.pid) == started.process_start:
            return descriptor
    except (OSError, ValueError):
        pass  # it ended after it was opened
    os.close(descriptor)
    return None


def stop(attempt_dir: str, force: bool) -> bool:
    """Ask the attempt to end (TERM to the wrapper, which ends its tree within 5 s) or, with `force`, kill it at once.

    The pid, the start time and the boot must match, so this never hits a stranger. Returns whether there was a live
    wrapper. With `force`, everything that carries the attempt's marker is killed too.
    """
    started = _started(attempt_dir)
    descriptor = pidfd(started)
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
    """Kill the process that holds the attempt's lock: the attempt started it, and it took the lock when the wrapper was killed."""
    path = os.path.join(attempt_dir, "lock")
    try:
        inode = os.stat(path).st_ino
        with open("/proc/locks") as file:
            rows = [line.split() for line in file]
    except OSError:
        return
    # 1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END; the ticker's own check is a READ.
    if not any(row[1:4] == ["FLOCK", "ADVISORY", "WRITE"] and row[5].endswith(f":{inode}") for row in rows):
        return
    for entry in os.listdir("/proc"):  # the process that took it may have passed it to a child
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                if path in (os.readlink(f"/proc/{entry}/fd/{number}") for number in os.listdir(f"/proc/{entry}/fd")):
                    os.kill(int(entry), signal.SIGKILL)


def sweep(attempt_dir: str) -> list[int]:
    """Kill every process whose environment carries this attempt's marker; returns the pids found (empty: nothing is left).

    Also kills processes that dropped their environment: orphans without a terminal that started after the attempt and work
    in its folders. Does not wait for their death: call again until it returns nothing.
    """
    marker = b"CE_ATTEMPT=" + os.fsencode(attempt_dir)
    own, found = os.getpid(), []
    started, folders = _started(attempt_dir), _work_folders(attempt_dir)
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == own:
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                carries = marker in file.read().split(b"\0")
            if not carries and not (started and folders and _is_leftover(entry, started, folders)):
                continue
            os.kill(int(entry), signal.SIGKILL)
        except (OSError, ValueError):
            continue  # it ended meanwhile, or we may not read it
        found.append(int(entry))
    return found


def _work_folders(attempt_dir: str) -> tuple[str, ...]:
    """The folders where the attempt's processes work: its checkout and its directory; () when its spec cannot be read."""
    try:
        spec = read_json_file(os.path.join(attempt_dir, "spec.json"), SPEC_BYTES)
        return (os.path.realpath(spec["checkout"]), os.path.realpath(attempt_dir)) if isinstance(spec, dict) else ()
    except (ContractError, OSError, KeyError, TypeError, ValueError):
        return ()


def _is_leftover(entry: str, started: Started, folders: tuple[str, ...]) -> bool:
    """Whether a process is an orphan of the attempt. A person's shell has a terminal, and a person's program has a parent."""
    if not started.pid or started.boot_id != boot_id():
        return False
    fields = stat_fields(entry)
    if fields[4] != "0" or int(fields[19]) < int(started.process_start):
        return False
    if fields[1] != "1" and name_of(fields[1]) not in INITS:
        return False
    directory = os.readlink(f"/proc/{entry}/cwd").removesuffix(" (deleted)")
    return any(directory == folder or directory.startswith(folder + os.sep) for folder in folders)


def remove_checkout(spec: TaskSpec) -> bool:
    """Remove the checkout of an attempt that has ended in success; returns whether it did.

    All of such a checkout is committed, and the attempt's reference keeps the commits. Any other checkout stays: unmerged
    work is never deleted. Raises OSError, SubagentError.
    """
    for name in ("tmp", "home", "git"):  # TMPDIR and HOME of its commands, and its own git folder
        shutil.rmtree(os.path.join(spec.attempt_dir, name), ignore_errors=True)
    observed = observe(spec)
    if observed.held or observed.result is None or observed.result.status != ResultStatus.SUCCESS or not os.path.isdir(spec.checkout):
        return False
    kept = attached_repository(spec.repository).find_commit(spec.attempt_ref)
    if spec.type != TaskType.STAGE_CHECK and kept != observed.result.head_commit:
        return False
    if os.path.exists(os.path.join(spec.attempt_dir, KEPT)):  # what is in no commit was too much to archive
        return False
    shutil.rmtree(spec.checkout)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(spec.attempt_dir, "index"))
    return True


def _own_file(attempt_dir: str, name: str) -> dict[str, Any] | None:
    try:
        found = read_json_file(os.path.join(attempt_dir, name))
    except ContractError:
        return None  # our own files are always complete, so this one is not ours
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
        return Ended(int(found["exit_code"]), float(found["ended_at"]), str(found["result_sha256"]), str(found.get("machine_fault", "")))
    except (KeyError, TypeError, ValueError):
        return None
