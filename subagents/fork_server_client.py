"""The launcher's end of its fork server: asks it for wrappers, and does without it when it does not answer."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading

from subagents.environment import allowed
from subagents.fork_server import MARKER_ROOM

FORK_SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fork_server.py")
ANSWER_SECONDS = 2.0


class ForkServer:
    """This process's fork server (fork server.py), which is given `arguments`. Whatever goes wrong with it, a launch does without."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._owner, self._ready = 0, False

    def warm(self) -> None:
        with self._lock:
            self._alive()

    def launch(self, attempt_dir: str, key: int | None = None) -> int | None:
        """The new wrapper's pid, or None when there is no fork server ready to ask. `key`: a descriptor that the wrapper gets."""
        with self._lock:
            process = self._alive()
            if process is None or self._requests is None:
                return None
            try:
                if not self._ready:
                    if self._answer(process, 0) != b"ready":
                        return None
                    self._ready = True
                socket.send_fds(self._requests, [os.fsencode(attempt_dir)], [] if key is None else [key])
                return int(self._answer(process, ANSWER_SECONDS))
            except (OSError, ValueError):
                # An attempt starts at most once, so it is safe to start it the other way as well.
                self._drop()
                return None

    def _alive(self) -> subprocess.Popen[bytes] | None:
        """The fork server of this very process (a fork must not share its parent's), begun when there is none."""
        if self._owner != os.getpid():
            if self._requests is not None:
                self._requests.close()  # this fork's copy only
            self._process, self._requests, self._owner = None, None, os.getpid()
        if self._process is not None and self._process.poll() is not None:
            self._drop()
        if self._process is None:
            self._ready = False
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", FORK_SERVER, *self._arguments],
                    stdin=theirs.fileno(),
                    stdout=subprocess.PIPE,
                    env={**allowed(), "CE_ATTEMPT": MARKER_ROOM},
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
        """One line, or b"" when none comes in time. Raises OSError."""
        assert process.stdout is not None
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        return process.stdout.readline().rstrip(b"\n") if poll.poll(seconds * 1000) else b""

    def _drop(self) -> None:
        if self._process is not None:
            self._process.kill()
            for end in (self._requests, self._process.stdout):
                if end is not None:
                    end.close()
            self._process.wait()
        self._process = self._requests = None
