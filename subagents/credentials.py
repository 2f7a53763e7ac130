"""The agents' API key as this process received it. It is never in a spec, a log, a row or an agent's shell."""

from __future__ import annotations

import contextlib
import os

KEY_FD, KEY_NAME = "CE_KEY_FD", "ANTHROPIC_API_KEY"
KEY_BYTES = 64 * 1024
PR_SET_DUMPABLE = 4

_taken: str | None = None


def api_key() -> str:
    """The key, or "" when there is none: from the descriptor named in CE_KEY_FD, else from ANTHROPIC_API_KEY.

    It is read once. Then the descriptor is closed and the variables are removed, so no child process inherits them.
    """
    global _taken
    if _taken is None:
        number, given = os.environ.pop(KEY_FD, ""), os.environ.pop(KEY_NAME, "")
        _taken = (_read(int(number)) if number.isascii() and number.isdigit() else "") or given.strip()
    return _taken


def _read(descriptor: int) -> str:
    parts: list[bytes] = []
    with contextlib.suppress(OSError):  # already closed: there is no key
        while len(b"".join(parts)) < KEY_BYTES and (part := os.read(descriptor, KEY_BYTES)):
            parts.append(part)
        os.close(descriptor)
    return b"".join(parts).decode("utf-8", "replace").strip()


def offer(key: str) -> int:
    """Write the key into a pipe, for one process to read once; returns its read end, which is not inheritable.

    Raises ValueError for a key of more than 4096 bytes.
    """
    data = key.encode()
    if len(data) > 4096:
        raise ValueError("a key has at most 4096 bytes")
    read_end, write_end = os.pipe()
    os.write(write_end, data)
    os.close(write_end)
    return read_end


def forbid_reading(forbidden: bool = True) -> None:
    """Forbid, or allow, other processes of our user to read our memory, environment and descriptors in /proc. Root always may."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, int(not forbidden), 0, 0, 0)
