"""The API key of the agents, as this process was given it: never in a spec, a log, a row, or what an agent's shell sees."""

from __future__ import annotations

import contextlib
import os

KEY_FD, KEY_NAME = "CE_KEY_FD", "ANTHROPIC_API_KEY"
KEY_BYTES = 64 * 1024
PR_SET_DUMPABLE = 4

_taken: str | None = None


def api_key() -> str:
    """The key, "" when there is none: from the descriptor whose number is in CE_KEY_FD, else from ANTHROPIC_API_KEY.

    Both are read once and then closed and forgotten, so that nothing that this process starts inherits them.
    """
    global _taken
    if _taken is None:
        number, given = os.environ.pop(KEY_FD, ""), os.environ.pop(KEY_NAME, "")
        _taken = (_read(int(number)) if number.isascii() and number.isdigit() else "") or given.strip()
    return _taken


def _read(descriptor: int) -> str:
    parts: list[bytes] = []
    with contextlib.suppress(OSError):  # closed already: there is no key
        while len(b"".join(parts)) < KEY_BYTES and (part := os.read(descriptor, KEY_BYTES)):
            parts.append(part)
        os.close(descriptor)
    return b"".join(parts).decode("utf-8", "replace").strip()


def offer(key: str) -> int:
    """A pipe that holds the key, for one process to read once; returns its read end, which nothing inherits by itself.

    Raises ValueError for a key that does not fit into a pipe.
    """
    data = key.encode()
    if len(data) > 4096:
        raise ValueError("a key has at most 4096 bytes")
    read_end, write_end = os.pipe()
    os.write(write_end, data)
    os.close(write_end)
    return read_end


def forbid_reading(forbidden: bool = True) -> None:
    """Whether other processes of our user may read our memory, environment and descriptors in /proc (root may always)."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, int(not forbidden), 0, 0, 0)
