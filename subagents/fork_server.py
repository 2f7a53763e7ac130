"""The fork server: imports once what an attempt needs, then forks a wrapper for each attempt.

The launcher starts it as `python -I -S fork_server.py`, one per launching process. It ends when its standard input is
closed, so it ends with the launcher. Starting Python and importing costs an attempt about 25 ms of processor time; a fork
costs 1 ms. A second fork server for agents (`fork_server.py agents`) also loads the SDK and the price table, which takes
two seconds and 70 MB; its forks share them. It ends after a while without requests. docs/decisions/lean-attempt.md has the
figures.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import socket
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MARKER_SPACE = "_" * 4096  # the launcher starts the fork server with CE_ATTEMPT set to this
REQUEST_BYTES = 8192
AGENTS = "agents"
IDLE_SECONDS = 900.0  # the one for agents ends after this time without a request: it holds much memory
ENV_START = 47  # the index of env_start in /proc/self/stat, counted after the command's name
PRELOADED = (
    *("ctypes", "difflib", "json", "shlex", "shutil", "traceback"),
    *("subagents.wrapper", "subagents.supervisor", "subagents.gates", "subagents.backends.steps", "subagents.sandbox"),
    *("resource", "subagents.landlock"),
    *("subagents.roles.executor", "subagents.roles.generator", "subagents.roles.stage_check"),
)


def main() -> int:
    """Fork a wrapper for each attempt directory read from standard input and print its pid, until the input ends.

    A message may carry a descriptor: a pipe with the attempt's key. It is not read here.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so the kernel reaps the wrappers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the process that started this one
    sys.path.append(ROOT)
    for name in PRELOADED:
        importlib.import_module(name)
    from subagents.credentials import KEY_FD

    requests = socket.socket(fileno=0)
    if sys.argv[1:] == [AGENTS]:
        from subagents.backends.claude import preload

        preload()
        requests.settimeout(IDLE_SECONDS)
    gc.collect()
    gc.freeze()  # so that forks share these pages
    with contextlib.suppress(BrokenPipeError, TimeoutError):  # the launcher was killed, or nobody asks
        _print("ready")
        while True:
            asked, keys, _, _ = socket.recv_fds(requests, REQUEST_BYTES, 1)
            if not asked:
                break  # the launcher is gone
            pid = os.fork()
            if pid == 0:
                requests.detach()
                if keys:
                    os.environ[KEY_FD] = str(keys[0])
                _become_wrapper(os.fsdecode(asked))
            for descriptor in keys:
                os.close(descriptor)
            _print(str(pid))
    return 0


def _mark(attempt_dir: str) -> None:
    """Set the attempt's marker: commands inherit it, and the launcher's sweep finds it in /proc.

    /proc shows the memory that held the environment at the start, so the marker is written there, over the space that
    the launcher left for it. Where that is forbidden, the wrapper is still known by its pid and the runner dies with it.
    """
    from subagents.procfs import stat_fields

    os.environ["CE_ATTEMPT"] = attempt_dir
    with contextlib.suppress(OSError), open("/proc/self/environ", "rb") as shown:
        space = b"CE_ATTEMPT=" + MARKER_SPACE.encode()
        offset = shown.read().find(space)
        marker = b"CE_ATTEMPT=" + os.fsencode(attempt_dir)
        if offset < 0 or len(marker) >= len(space):
            return
        start = int(stat_fields("self")[ENV_START])
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(start + offset)
            memory.write(marker.ljust(len(space), b"\0"))


def _print(word: str) -> None:
    os.write(1, word.encode() + b"\n")


def _become_wrapper(attempt_dir: str) -> None:
    """In the child: set up what a newly started wrapper would find, then run the wrapper. Never returns."""
    from subagents.wrapper import main as wrap

    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        errors = os.open(os.path.join(attempt_dir, "wrapper.err"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        for descriptor, number in ((nothing, 0), (nothing, 1), (errors, 2)):
            os.dup2(descriptor, number)
        _mark(attempt_dir)
        code = wrap(attempt_dir)
    except BaseException:  # noqa: BLE001 -- a fork's outermost frame: nothing may reach the loop above
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
