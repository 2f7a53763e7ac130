"""Starts an agent's program in the attempt's sandbox: `python -I -S api_proxy_inside.py enter ENTRY.json ARGUMENTS…`.

Outside the sandbox it connects to the API proxy's socket, enters the sandbox and starts itself again. Inside it opens a port
on the sandbox's loopback address, passes it over that socket to the runner, whose API proxy answers on it from then on, and
becomes the agent's program. So the program has no network but its own, reaches its API and nothing else, and gets a password
for that port instead of the key (api_proxy.py).
"""

from __future__ import annotations

import os
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from subagents.sandbox import SandboxPolicy

PASSWORD_BYTES = 256
PASSWORD_FD = 3
HERE = os.path.abspath(__file__)


def entry(level: str, policy: SandboxPolicy, directory: str, proxy: str, program: str) -> dict[str, object]:
    """What `enter` reads as JSON: the sandbox and its policy, the API proxy's socket, the program and its directory."""
    values = {name: getattr(policy, name) for name in policy.__slots__}  # type: ignore[attr-defined]  # records have slots
    return {"level": level, "policy": values, "directory": directory, "proxy": proxy, "program": program}


def enter(path: str, arguments: list[str]) -> None:
    """Enter the sandbox and run `become` in it. Raises OSError, ValueError."""
    import json

    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(HERE))))
    from subagents.processes import PR_SET_PDEATHSIG, SIGKILL, load_prctl
    from subagents.sandbox import SandboxPolicy, confine
    from subagents.unix_sockets import connect_to

    load_prctl()(PR_SET_PDEATHSIG, SIGKILL)  # the SDK does not set it: nothing of the agent may outlive the runner
    with open(path, "rb") as file:
        given = json.load(file)
    proxy = connect_to(given["proxy"])
    os.set_inheritable(proxy.fileno(), True)
    level, port = given["level"], "-"
    if level == "landlock":  # Landlock has no network of its own: the one port that may be reached is opened before
        own = socket.create_server(("127.0.0.1", 0))
        given["policy"]["port"] = own.getsockname()[1]
        os.set_inheritable(own.fileno(), True)
        port = str(own.detach())
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given["policy"].items()}
    inner = [sys.executable, "-I", "-S", HERE, "become", str(proxy.detach()), port, given["program"], *arguments]
    argv, prepare = confine(level, SandboxPolicy(**fields), inner, given["directory"])
    prepare()
    os.execvp(argv[0], argv)  # noqa: S606 -- the command that the project configured, in its sandbox


def become(descriptor: int, made: str, program: str, arguments: list[str]) -> None:
    """Pass our port (the descriptor `made`, or "-" for a new one) to the runner, get the password, run the program. Raises OSError."""
    proxy = socket.socket(fileno=descriptor)
    with socket.create_server(("127.0.0.1", 0)) if made == "-" else socket.socket(fileno=int(made)) as port:
        socket.send_fds(proxy, [b"port"], [port.fileno()])
        os.environ["ANTHROPIC_BASE_URL"] = f"http://127.0.0.1:{port.getsockname()[1]}"
    password = proxy.recv(PASSWORD_BYTES)
    proxy.close()
    if not password:
        raise ConnectionError("the runner is gone")
    read_end, write_end = os.pipe()
    os.write(write_end, password)
    os.close(write_end)
    if read_end != PASSWORD_FD:
        os.dup2(read_end, PASSWORD_FD)
        os.close(read_end)
    os.set_inheritable(PASSWORD_FD, True)
    os.environ["CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR"] = str(PASSWORD_FD)
    os.execv(program, [program, *arguments])  # noqa: S606 -- the command that the project configured, in its sandbox


if __name__ == "__main__":
    try:
        if sys.argv[1] == "enter":
            enter(sys.argv[2], sys.argv[3:])
        else:
            become(int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:])
    except (OSError, ValueError) as error:
        sys.exit(f"the agent's sandbox cannot be entered: {error}")
