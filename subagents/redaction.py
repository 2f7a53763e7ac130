"""Removes secrets from output before it is stored: those that the attempt was given, and what looks like a well-known token.

A secret is also recognised in base64, hexadecimal, per cent and JSON notation, and each line of one by itself; not one that
was encoded otherwise (reversed, in pieces).
"""

from __future__ import annotations

import binascii
import re

from subagents.token_shapes import token_shapes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MASK = "[secret]"
SHORTEST = 8  # a shorter "secret" would mask ordinary words
LINE_BYTES = 1 << 16  # a line is kept back until it ends or is this long
TOKEN = r"A-Za-z0-9_\-"  # noqa: S105 -- characters of a pattern
SHAPES = re.compile(
    rf"""(?<![{TOKEN}])(?:
        sk-[{TOKEN}]{{20,}}                     # Anthropic, OpenAI
      | (?:gh[opsur]|github_pat)_[A-Za-z0-9_]{{20,}}
      | glpat-[{TOKEN}]{{20,}}
      | xox[abprs]-[{TOKEN}]{{10,}}
      | AKIA[0-9A-Z]{{16}}
      | eyJ[{TOKEN}]{{10,}}\.eyJ[{TOKEN}]{{10,}}\.[{TOKEN}]{{10,}}   # a JSON web token
    )""",
    re.VERBOSE,
)
PLAIN = re.compile(rb"[^A-Za-z0-9_\-.+/=~]")  # ends any token

UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

_known: list[str] = []


def know(secret: str) -> None:
    """From now on, mask `secret` in this process and the processes that it forks."""
    for form in forms_of(secret):
        if form not in _known:
            _known.append(form)
    _known.sort(key=len, reverse=True)  # the whole before a part of it


def forms_of(secret: str) -> list[str]:
    """What to look for: the secret, each of its lines, and the usual notations of both. Nothing shorter than SHORTEST."""
    found: dict[str, None] = {}
    for text in (secret, *secret.splitlines()):
        text, data = text.strip(), text.strip().encode("utf-8", "surrogatepass")
        if len(text) < SHORTEST:
            continue
        quoted = "".join(chr(byte) if chr(byte) in UNRESERVED else f"%{byte:02X}" for byte in data)
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        found |= dict.fromkeys((text, quoted, quoted.replace("%20", "+"), escaped, data.hex(), data.hex().upper()))
        for before in range(3):  # base64 differs by what stands before, and its ends by what stands around
            whole = binascii.b2a_base64(b"\0" * before + data, newline=False).decode()
            core = whole[(0, 2, 3)[before] : (before + len(data)) * 8 // 6]
            found |= dict.fromkeys((core, core.replace("+", "-").replace("/", "_")))
    return [form for form in found if len(form) >= SHORTEST]


def redact(text: str) -> str:
    """The text with each secret replaced by a mask."""
    for secret in _known:
        text = text.replace(secret, MASK)
    for _, shape in token_shapes(text):
        text = shape.sub(_masked, text)
    return SHAPES.sub(MASK, text)


def _masked(found: re.Match[str]) -> str:
    """What was found with its secret masked: the group, or all of it."""
    start, end = (place - found.start() for place in found.span(found.lastindex or 0))
    return f"{found[0][:start]}{MASK}{found[0][end:]}"


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
