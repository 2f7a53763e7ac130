"""The hosts that an attempt's commands may reach: the runner's side of the network proxy (network_proxy.py).

The sandbox stays without network. The proxy is a process of the attempt outside of it. The first command that may use the
network starts it, and it serves all of them. It ends before the result is sent, so that everything is counted.
"""

from __future__ import annotations

import os
import sys

from subagents.contract import Connection, ContractError, load_json, read_bytes
from subagents.environment import allowed, way_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subagents.contract import TaskSpec

SOCKET_NAME, NOTES = "network", "connections"
LISTENER_FD = 3
PORT = 3128  # of the proxy, on the loopback of each sandbox, where nothing else listens yet
NOTES_BYTES = 1024 * 1024
_URL = f"http://127.0.0.1:{PORT}"
_LOCAL = "localhost,127.0.0.1,::1"
# In both cases: curl reads http_proxy in lower case only, other programs in upper case. Node must be told to read them.
_VARIABLES = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), _URL),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), _LOCAL),
    "NODE_USE_ENV_PROXY": "1",
}
NO_SANDBOX = (
    "the project allows some hosts only (its settings, Allowed hosts), and at the sandbox level rlimit the network cannot be taken away: "
    "install bubblewrap, or clear the list and choose whose commands have the whole network"
)

_started: tuple[int, int, str] | None = None  # (process, the pipe that tells it to end when it is closed, its attempt)


def why_impossible(spec: TaskSpec) -> str:
    """Why the sandbox cannot keep the attempt to the allowed hosts, "" when it can or need not."""
    return NO_SANDBOX if spec.policy.get("hosts") and (spec.sandbox or "rlimit") == "rlimit" else ""


def variables(spec: TaskSpec) -> dict[str, str]:
    """Environment variables of a command that may use the network: this machine's own proxy, or the attempt's."""
    found = way_out()
    if not spec.policy.get("hosts"):
        return found
    return {name: value for name, value in found.items() if not name.upper().endswith("_PROXY")} | _VARIABLES


def proxy_socket(spec: TaskSpec) -> str:
    """The socket of the attempt's network proxy, which the first call starts; "" where all hosts are allowed. Raises OSError."""
    global _started
    if not spec.policy.get("hosts"):
        return ""
    from subagents.unix_sockets import listen_in  # here: most attempts need no socket

    path = os.path.join(spec.attempt_dir, SOCKET_NAME)
    if _started is not None and _started[2] == spec.attempt_dir:
        return path
    listener = listen_in(spec.attempt_dir, SOCKET_NAME)
    read_end, write_end = os.pipe()
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "network_proxy.py")
    actions = [
        (os.POSIX_SPAWN_DUP2, read_end, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, listener.fileno(), LISTENER_FD),
    ]
    argv = [sys.executable, "-I", "-S", script, spec.attempt_dir]
    environment = {**allowed(), **way_out(), "CE_ATTEMPT": spec.attempt_dir}
    pid = os.posix_spawn(sys.executable, argv, environment, file_actions=actions)
    os.close(read_end)
    listener.close()
    _started = (pid, write_end, spec.attempt_dir)
    return path


def end() -> None:
    """Let the network proxy write what it has counted, and end. Does nothing when there is none."""
    global _started
    if _started is not None:
        os.close(_started[1])
        os.waitpid(_started[0], 0)
        _started = None


def connections_of(attempt_dir: str) -> tuple[Connection, ...]:
    """What the attempt's network proxy has counted, the refused ones first; () when there was none. Raises ContractError, OSError."""
    data = read_bytes(os.path.join(attempt_dir, NOTES), NOTES_BYTES)
    rows = load_json(data, NOTES) if data else []
    if not isinstance(rows, list):
        raise ContractError(NOTES, "is not a list")
    found = [Connection.from_json(row, NOTES) for row in rows]
    return tuple(sorted(found, key=lambda row: (not row.refused, row.host, row.port)))
