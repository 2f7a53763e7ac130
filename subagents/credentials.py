"""The secrets that this process was given: the agents' API key, and those of the project. They are in no spec, log, row or file.

They come through a pipe that is read once: /proc shows neither arguments nor an environment with them.
"""

from __future__ import annotations

import contextlib
import os

from subagents.environment import for_sandbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

BEARER = "Bearer "  # before a token that is sent as such, not as an API key
SUBSCRIPTION = "sk-ant-oat"  # how the token of a Claude subscription begins
SUBSCRIPTION_BETA = "oauth-2025-04-20"  # what the API must be told to take such a token
KEY_FD, KEY_NAME = "CE_KEY_FD", "ANTHROPIC_API_KEY"
MOST_BYTES = 48 * 1024  # of all together: a pipe holds 64 KiB before anybody reads
USES = ("setup", "steps", "gates", "agent", "servers")  # what a secret of the project may be given to
PR_SET_DUMPABLE = 4

_taken: dict[str, Any] | None = None


def api_key() -> str:
    """The key, or "" when there is none: from the descriptor named in CE_KEY_FD, else from ANTHROPIC_API_KEY.

    It is read once. Then the descriptor is closed and the variables are removed, so no child process inherits them.
    """
    return str(_given()["key"])


def signed(key: str, headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers with the key: as an API key, as a Bearer token, or as the token of a subscription, of which the API must be told."""
    token = key.removeprefix(BEARER)
    if token == key:
        return [("X-Api-Key", key), *headers]
    if not token.startswith(SUBSCRIPTION):
        return [("Authorization", key), *headers]
    betas = [value for name, value in headers if name.lower() == "anthropic-beta"]
    rest = [header for header in headers if header[0].lower() != "anthropic-beta"]
    return [("Authorization", key), ("anthropic-beta", ",".join([*betas, SUBSCRIPTION_BETA])), *rest]


def secrets_for(use: str) -> dict[str, str]:
    """{name: value} of the project's secrets for one of USES: environment variables of the commands."""
    return for_sandbox({secret["name"]: secret["value"] for secret in _given()["secrets"] if use in secret["uses"]})


def all_secrets() -> list[str]:
    """Every value that must not be told: the key, and the project's secrets whatever they are for."""
    given = _given()
    key = given["key"].removeprefix(BEARER)
    return [value for value in (key, *(secret["value"] for secret in given["secrets"])) if value]


def offer(key: str, secrets: Sequence[dict[str, Any]] = ()) -> int:
    """Write the key and the secrets ({name, value, uses}) into a pipe, for one process to read once; returns its read end.

    It is not inheritable. Raises ValueError for more than MOST_BYTES.
    """
    import json  # here: most attempts are given nothing

    data = json.dumps({"key": key, "secrets": list(secrets)}).encode()
    if len(data) > MOST_BYTES:
        raise ValueError(f"the secrets of a project have at most {MOST_BYTES} bytes together")
    read_end, write_end = os.pipe()
    os.write(write_end, data)
    os.close(write_end)
    return read_end


def forbid_reading(forbidden: bool = True) -> None:
    """Forbid, or allow, other processes of our user to read our memory, environment and descriptors in /proc. Root always may."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, int(not forbidden), 0, 0, 0)


def _given() -> dict[str, Any]:
    global _taken
    if _taken is None:
        number, key = os.environ.pop(KEY_FD, ""), os.environ.pop(KEY_NAME, "")
        text = _read(int(number)) if number.isascii() and number.isdigit() else ""
        _taken = {"key": key.strip(), "secrets": []}
        if text:
            import json

            _taken = json.loads(text)
    return _taken


def _read(descriptor: int) -> str:
    parts: list[bytes] = []
    with contextlib.suppress(OSError):  # already closed: there is nothing
        while part := os.read(descriptor, MOST_BYTES):
            parts.append(part)
        os.close(descriptor)
    return b"".join(parts).decode()
