"""The heads of HTTP messages as the two proxies of an attempt read and write them."""

from __future__ import annotations

HEAD_BYTES = 64 * 1024


class NotHttp(Exception):
    """What was read is no head of an HTTP message."""


def read_head(data: bytes) -> tuple[str, list[tuple[str, str]]]:
    """The first line and the headers of `data`, which ends with an empty line. Raises NotHttp."""
    first, *lines = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    if len(first.split()) < 2:
        raise NotHttp
    pairs = [line.partition(":") for line in lines]
    return first, [(name, value.strip()) for name, _, value in pairs]


def value_of(headers: list[tuple[str, str]], wanted: str) -> str:
    """The value of a header, named in lower case; "" when it is not there."""
    return next((value for name, value in headers if name.lower() == wanted), "")


def closing_head(line: str, headers: list[tuple[str, str]]) -> bytes:
    """A message head that closes the connection after the answer."""
    lines = [line, *(f"{name}: {value}" for name, value in headers), "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")
