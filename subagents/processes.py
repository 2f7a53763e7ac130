"""Runs a program within a time limit and keeps a bounded part of its output.

This does not use subprocess: its import costs an attempt 8 ms, and posix_spawn starts git from a large process without
copying it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import time

from subagents.files import MACHINE_ERRORS, SubagentError
from subagents.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SIGKILL, SIGTERM = 9, 15  # the signal module costs an attempt 2 ms
# SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGXFSZ: we ignore them, or the process that started us does (nohup). A program
# would inherit that, and `yes | head` would not end as it does in a shell.
RESET_SIGNALS = (1, 2, 3, 13, 15, 25)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


class ProgramMissing(SubagentError):
    """A program that we need is not installed or cannot be started."""


@record
class Finished:
    """How a program ended; a negative `exit_code` is a signal. `truncated`: its output reached the limit and it was killed."""

    exit_code: int
    out: bytes
    err: bytes
    truncated: bool
    timed_out: bool


def run(
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    given: bytes = b"",
    limit: int = 64 * 1024 * 1024,
    seconds: float = 120,
) -> Finished:
    """Run `argv` with `given` on its standard input until it ends, but at most for `seconds` and `limit` bytes of output.

    Raises ProgramMissing, and OSError for a fault of the machine.
    """
    read_end, write_end = os.pipe()
    stdin = os.memfd_create("in") if given else os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    stderr = os.memfd_create("err")
    try:
        if given:
            view = memoryview(given)
            while view:
                view = view[os.write(stdin, view) :]
            os.lseek(stdin, 0, os.SEEK_SET)
        actions = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, write_end, 1), (os.POSIX_SPAWN_DUP2, stderr, 2)]
        try:
            pid = os.posix_spawnp(argv[0], list(argv), dict(environment), file_actions=actions)
        except OSError as error:
            if error.errno in MACHINE_ERRORS or error.errno == errno.EAGAIN:
                raise _no_process(error) from None
            raise ProgramMissing(f"{argv[0]} cannot be started: {error.strerror}") from None
        finally:
            os.close(write_end)
        out, truncated, timed_out = _read(read_end, pid, limit, seconds)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.lseek(stderr, 0, os.SEEK_SET)
        return Finished(status, out, os.read(stderr, 64 * 1024), truncated, timed_out)
    finally:
        os.close(read_end)
        os.close(stdin)
        os.close(stderr)


def _no_process(error: OSError) -> OSError:
    """The error of a fork; EAGAIN, which for files means a lock, is one of the machine here: no more processes."""
    return OSError(errno.ENOMEM, error.strerror) if error.errno == errno.EAGAIN else error


def _read(descriptor: int, pid: int, limit: int, seconds: float) -> tuple[bytes, bool, bool]:
    poll, deadline = select.poll(), time.monotonic() + seconds
    poll.register(descriptor, select.POLLIN)
    parts: list[bytes] = []
    size = 0
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            os.kill(pid, SIGKILL)
            return b"".join(parts), False, True
        part = os.read(descriptor, 1 << 16)
        if not part:
            return b"".join(parts), False, False
        parts.append(part)
        size += len(part)
        if size > limit:
            os.kill(pid, SIGKILL)
            return b"".join(parts)[:limit], True, False


def stream(
    argv: Sequence[str],
    environment: Mapping[str, str],
    directory: str,
    on_output: Callable[[bytes], None],
    *,
    seconds: float | None = None,
    prepare: Callable[[], None] | None = None,
) -> tuple[int, bool]:
    """Run `argv` in `directory` in its own process group and pass on its output as it comes; returns (exit code, timed out).

    `prepare` is called in the child before it becomes the program; when it raises OSError, the exit code is 126 and the
    output says why. When the program ends, the rest of its group is killed; the program dies when we die. A negative exit
    code is a signal. Raises FileNotFoundError when the directory is gone, OSError for a fault of the machine.
    """
    if not os.path.isdir(directory):
        raise FileNotFoundError(errno.ENOENT, "the checkout is gone", directory)
    prctl = load_prctl()  # loaded before the fork: it takes too long for the child
    read_end, write_end = os.pipe()
    parent = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        os.close(read_end)
        os.close(write_end)
        raise _no_process(error) from None
    if pid == 0:
        _become(argv, environment, directory, write_end, prctl, parent, prepare)
    os.close(write_end)
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)  # the child does the same; either may come first
    process = os.pidfd_open(pid)
    try:
        timed_out = _follow(read_end, process, on_output, seconds)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, SIGKILL)  # before the wait: the id of the group is not reused while the program is a zombie
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(process)
        os.close(read_end)
    return status, timed_out


def _follow(read_end: int, process: int, on_output: Callable[[bytes], None], seconds: float | None) -> bool:
    """Pass on output until the process has ended, then the rest in the pipe; True when the time ran out first."""
    os.set_blocking(read_end, False)
    poll = select.poll()
    poll.register(read_end, select.POLLIN)
    poll.register(process, select.POLLIN)
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        ready = {descriptor for descriptor, _ in poll.poll(left)}
        if not ready:
            return True
        if read_end in ready and not _pass_on(read_end, on_output, pieces=16):
            poll.unregister(read_end)
        if process in ready:
            _pass_on(read_end, on_output, pieces=64)
            return False


def _pass_on(read_end: int, on_output: Callable[[bytes], None], pieces: int) -> bool:
    """Pass on what is there, at most `pieces` reads, so that a flood cannot hide the deadline; False at the end of the output."""
    for _ in range(pieces):
        try:
            part = os.read(read_end, 1 << 16)
        except BlockingIOError:
            return True
        if not part:
            return False
        on_output(part)
    return True


def _become(
    argv: Sequence[str],
    environment: Mapping[str, str],
    directory: str,
    output: int,
    prctl: Callable[[int, int], int],
    parent: int,
    prepare: Callable[[], None] | None,
) -> None:
    """In the child: become the program, or exit with 127 (not found) or 126 (cannot be run)."""
    import signal  # already loaded by the wrapper

    try:
        os.setpgid(0, 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL)
        for number in RESET_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        if os.getppid() != parent:
            os._exit(125)  # the parent died before the line above took effect
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(directory)
        if prepare is not None:
            try:
                prepare()
            except OSError as error:
                os.write(2, f"the sandbox cannot be entered: {error}\n".encode())
                os._exit(126)
        os.execvpe(argv[0], list(argv), dict(environment))  # noqa: S606 -- as a list: no shell may read it
    except FileNotFoundError:
        os._exit(127)
    finally:
        os._exit(126)


def load_prctl() -> Callable[[int, int], int]:
    """prctl(2) with its first two arguments."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)

    def prctl(option: int, value: int) -> int:
        return int(library.prctl(option, value, 0, 0, 0))

    return prctl
