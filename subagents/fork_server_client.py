"""The launcher's side of the fork server: asks it for wrappers. When it does not answer, the launcher starts Python instead."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading

from subagents.environment import allowed, way_out
from subagents.fork_server import MARKER_SPACE

FORK_SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fork_server.py")
ANSWER_SECONDS = 2.0


class ForkServer:
    """This process's fork server (fork_server.py, started with `arguments`). When it fails, a launch goes on without it."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._owner, self._ready = 0, False

    @property
    def pid(self) -> int | None:
        """The fork server's process id; None when this process has not started one."""
        return self._process.pid if self._process is not None and self._owner == os.getpid() else None

    def warm(self, seconds: float = 0) -> bool:
        """Start the fork server unless it runs, and wait up to `seconds` for it; returns whether it is ready. Raises OSError."""
        with self._lock:
            process = self._running()
            return process is not None and self._becomes_ready(process, seconds)

    def launch(self, attempt_dir: str, key: int | None = None) -> int | None:
        """The new wrapper's pid, or None when no fork server is ready. `key` is a descriptor that the wrapper gets."""
        with self._lock:
            process = self._running()
            if process is None or self._requests is None:
                return None
            try:
                if not self._becomes_ready(process, 0):
                    return None
                socket.send_fds(self._requests, [os.fsencode(attempt_dir)], [] if key is None else [key])
                return int(self._answer(process, ANSWER_SECONDS))
            except (OSError, ValueError):
                # An attempt starts at most once, so it is safe to start it the other way as well.
                self.close()
                return None

    def _becomes_ready(self, process: subprocess.Popen[bytes], seconds: float) -> bool:
        if not self._ready:
            self._ready = self._answer(process, seconds) == b"ready"
        return self._ready

    def _running(self) -> subprocess.Popen[bytes] | None:
        """This process's own fork server, started when there is none. A fork must not share its parent's."""
        if self._owner != os.getpid():
            if self._requests is not None:
                self._requests.close()  # this fork's copy only
            self._process, self._requests, self._owner = None, None, os.getpid()
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None:
            self._ready = False
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                self._process = subprocess.Popen(  # noqa: S603 -- our own program, as a list
                    [sys.executable, "-I", "-S", FORK_SERVER, *self._arguments],
                    stdin=theirs.fileno(),
                    stdout=subprocess.PIPE,
                    env={**allowed(), **way_out(), "CE_ATTEMPT": MARKER_SPACE},
                    cwd="/",
                    bufsize=0,
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                return None
            finally:
                theirs.close()
            self._requests = ours
        return self._process

    def _answer(self, process: subprocess.Popen[bytes], seconds: float) -> bytes:
        """One line of its output, or b"" when none comes in time. Raises OSError."""
        assert process.stdout is not None
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        return process.stdout.readline().rstrip(b"\n") if poll.poll(seconds * 1000) else b""

    def close(self) -> None:
        """Kill the fork server, if there is one. Its wrappers go on."""
        if self._process is not None:
            self._process.kill()
            for end in (self._requests, self._process.stdout):
                if end is not None:
                    end.close()
            self._process.wait()
        self._process = self._requests = None
