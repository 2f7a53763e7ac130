"""A warm parent of wrappers: imports what an attempt needs once, then forks a wrapper for each attempt asked for.

Started by launcher.py as `python -I -S fork_server.py`, one for each process that launches, and gone with it: it ends when
its standard input does. Starting Python and importing costs an attempt some 25 ms of processor time; a fork costs 1.
One for agents (`fork_server.py agents`) has the SDK and the prices loaded as well, which takes two seconds and
70 MB: its forks share them. It ends when nobody has wanted an agent for a while. docs/decisions/lean-attempt.md has the figures.
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
MARKER_ROOM = "_" * 4096  # the launcher starts us with CE_ATTEMPT set to this
REQUEST_BYTES = 8192
AGENTS = "agents"
IDLE_SECONDS = 900.0  # of the one for agents: what it holds in memory is much
ENV_START = 47  # the place of env_start in /proc/self/stat, counted after the command's name
PRELOADED = (
    *("ctypes", "json", "shlex", "traceback"),
    *("subagents.wrapper", "subagents.supervisor", "subagents.gates", "subagents.backends.steps", "subagents.sandbox"),
    *("resource", "subagents.landlock"),
    *("subagents.roles.executor", "subagents.roles.generator", "subagents.roles.stage_check"),
)


def main() -> int:
    """Answer each message on standard input, an attempt's directory, with the id of its new wrapper, until the input ends.

    The message may carry a descriptor: a pipe that holds the attempt's key, which is not read here.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel collects the wrappers' ends
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the process that started us
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
    gc.freeze()  # what is here stays shared with every fork
    with contextlib.suppress(BrokenPipeError, TimeoutError):  # the process that started us was killed meanwhile; nobody asks
        _say("ready")
        while True:
            asked, keys, _, _ = socket.recv_fds(requests, REQUEST_BYTES, 1)
            if not asked:
                break  # the process that started us is gone
            pid = os.fork()
            if pid == 0:
                requests.detach()
                if keys:
                    os.environ[KEY_FD] = str(keys[0])
                _become_wrapper(os.fsdecode(asked))
            for descriptor in keys:
                os.close(descriptor)
            _say(str(pid))
    return 0


def _mark(attempt_dir: str) -> None:
    """Carry the attempt's marker, for commands to inherit and for the host's sweep to find in /proc.

    /proc shows the memory in which the process got its environment, so the marker is written there, over the room
    that the launcher left. Where that is forbidden the wrapper is still known by its pid and the runner dies with it.
    """
    from subagents.procfs import stat_fields

    os.environ["CE_ATTEMPT"] = attempt_dir
    with contextlib.suppress(OSError), open("/proc/self/environ", "rb") as shown:
        room = b"CE_ATTEMPT=" + MARKER_ROOM.encode()
        offset = shown.read().find(room)
        marker = b"CE_ATTEMPT=" + os.fsencode(attempt_dir)
        if offset < 0 or len(marker) >= len(room):
            return
        start = int(stat_fields("self")[ENV_START])
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(start + offset)
            memory.write(marker.ljust(len(room), b"\0"))


def _say(word: str) -> None:
    os.write(1, word.encode() + b"\n")


def _become_wrapper(attempt_dir: str) -> None:
    """In the child: what a wrapper of its own finds when it starts, then the wrapper itself; never returns."""
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
