"""The first program of a sandbox that has the network proxy: it opens the proxy's port there, passes it out, and becomes the command.

A socket belongs to the network in which it was made. So the network proxy, outside, takes connections of a sandbox that has
no network but its own loopback (network_proxy.py).
"""

from __future__ import annotations

import os
import socket
import sys

LINK_FD = 99  # the descriptor that leads to the network proxy: far above those that bwrap opens
HERE = os.path.abspath(__file__)


def become(port: int, argv: list[str]) -> None:
    """Open the port on the sandbox's own loopback, pass it to the network proxy, and run the command. Raises OSError."""
    with socket.socket(fileno=LINK_FD) as link, socket.create_server(("127.0.0.1", port)) as server:
        socket.send_fds(link, [b"port"], [server.fileno()])
    os.execvp(argv[0], argv)  # noqa: S606 -- the command of the step or gate, in its sandbox


if __name__ == "__main__":
    try:
        become(int(sys.argv[1]), sys.argv[2:])
    except FileNotFoundError:
        sys.exit(127)
    except OSError as error:
        sys.stderr.write(f"the command cannot be run with the network proxy: {error}\n")
        sys.exit(126)
