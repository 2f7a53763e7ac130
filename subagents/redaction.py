"""Removes secrets from output before it is stored: the attempt's key, and anything that looks like a well-known token.

A secret that was encoded (base64, reversed) is not recognised.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MASK = "[secret]"
SHORTEST = 8  # a shorter "secret" would mask ordinary words
LINE_BYTES = 1 << 16  # a line is kept back until it ends or is this long
TOKEN = r"A-Za-z0-9_\-"
SHAPES = re.compile(
    rf"""(?<![{TOKEN}])(?:
        sk-[{TOKEN}]{{20,}}                     # Anthropic, OpenAI
      | (?:gh[opsur]|github_pat)_[A-Za-z0-9_]{{20,}}
      | glpat-[{TOKEN}]{{20,}}
      | xox[abprs]-[{TOKEN}]{{10,}}
      | AKIA[0-9A-Z]{{16}}
      | AIza[{TOKEN}]{{35}}
      | eyJ[{TOKEN}]{{10,}}\.eyJ[{TOKEN}]{{10,}}\.[{TOKEN}]{{10,}}   # a JSON web token
    )""",
    re.VERBOSE,
)
PLAIN = re.compile(rb"[^A-Za-z0-9_\-.+/=~]")  # ends any token

_known: list[str] = []


def know(secret: str) -> None:
    """From now on, mask `secret` in this process and the processes that it forks."""
    if len(secret) >= SHORTEST and secret not in _known:
        _known.append(secret)


def redact(text: str) -> str:
    """The text with each secret replaced by a mask."""
    for secret in _known:
        text = text.replace(secret, MASK)
    return SHAPES.sub(MASK, text)


def redact_value(value: Any) -> Any:
    """Like `redact`, for every text in a value made of lists and dictionaries, keys included."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list | tuple):
        return [redact_value(item) for item in value]
    if isinstance(value, dict):
        return {redact(key) if isinstance(key, str) else key: redact_value(item) for key, item in value.items()}
    return value


class Redacted:
    """Passes on a stream of bytes without secrets, line by line, however the stream was cut into pieces."""

    def __init__(self, pass_on: Callable[[bytes], None]) -> None:
        self._pass_on, self._held = pass_on, b""

    def add(self, data: bytes) -> None:
        held = self._held + data
        end = held.rfind(b"\n") + 1
        if not end and len(held) > LINE_BYTES:
            # No line end: cut where no token can be. Without such a place it is one "word" of 64 KiB.
            places = [match.end() for match in PLAIN.finditer(held, len(held) - LINE_BYTES // 2)]
            end = places[-1] if places else len(held)
        self._held = held[end:]
        if end:
            self._pass_on(_clean(held[:end]))

    def end(self) -> None:
        if self._held:
            self._pass_on(_clean(self._held))
            self._held = b""


def _clean(data: bytes) -> bytes:
    text = data.decode("utf-8", "surrogateescape")
    return redact(text).encode("utf-8", "surrogateescape")
