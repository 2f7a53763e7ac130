"""Unix sockets by their folder, however long its path is: a socket's own address holds 107 bytes only."""

from __future__ import annotations

import contextlib
import os
import socket


def listen_in(folder: str, name: str) -> socket.socket:
    """A socket that listens as `name` in `folder`, in place of what was there. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, name))
    listener = socket.socket(socket.AF_UNIX)
    directory = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{directory}/{name}")
    finally:
        os.close(directory)
    listener.listen()
    return listener


def connect_to(path: str) -> socket.socket:
    """A socket that is connected with the one at `path`. Raises OSError."""
    folder, name = os.path.split(path)
    made = socket.socket(socket.AF_UNIX)
    directory = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    try:
        made.connect(f"/proc/self/fd/{directory}/{name}")
    finally:
        os.close(directory)
    return made
