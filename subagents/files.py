"""Reads files that strangers may have written, and writes files that others read meanwhile.

Writes are complete or do not happen. Reads follow no links, do not wait on pipes, and stop at a limit.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

JSON_BYTES = 256 * 1024  # a larger heartbeat or result is refused
SPEC_BYTES = 8 * 1024 * 1024  # we write specs ourselves; a phase may quote a long plan
NESTED = 400  # levels; with more, some reader or writer of JSON gives up
LARGEST_INTEGER = 2**53  # what every JSON reader and a database column agree on
# Errors of the machine and not of what was asked of it (machine_faults.py): they pass, and nobody's work is to blame.
MACHINE_ERRORS = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EUCLEAN, errno.ESTALE),
        *(errno.ENFILE, errno.EMFILE, errno.ENOMEM, errno.ENOBUFS, errno.ENOLCK, errno.EREMOTEIO),
    }
)


class SubagentError(Exception):
    """The base of every error that `subagents` raises on purpose."""


class ContractError(SubagentError):
    """A contract file is not valid. `path` names the file and the field, `reason` says what is wrong."""

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}")


def clean_text(text: str) -> str:
    """The text with NUL and lone surrogates replaced by U+FFFD: no database or page accepts them.

    A file name whose bytes are no UTF-8 comes out as these bytes would when they are read as text.
    """
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    for way in ("strict", "surrogateescape", "surrogatepass"):
        with contextlib.suppress(UnicodeEncodeError):
            data = text.encode("utf-8", way)
            return text if way == "strict" else data.decode("utf-8", "replace")
    return text


def dump_json(value: Any) -> bytes:
    """One line of strict JSON in UTF-8."""
    import json  # imported late: the wrapper publishes its start first

    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(", ", ": "))
    return text.encode() if text.isascii() else clean_text(text).encode()


def load_json(data: bytes, path: str) -> Any:
    """Decode strict JSON (UTF-8, no NaN, no infinities, no extreme nesting) and clean its strings. Raises ContractError."""
    import json

    try:
        found = json.loads(data.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite, parse_int=_bounded)
        # Only escapes can make what is to be cleaned: JSON has no bare NUL, and UTF-8 no lone surrogate.
        return _cleaned(found) if b"\\u" in data else _not_too_deep(found)
    except RecursionError:
        raise ContractError(path, "is nested too deeply") from None
    except OverflowError:
        raise ContractError(path, "holds a number beyond 2^53") from None
    except ValueError as error:  # also UnicodeDecodeError and JSONDecodeError
        raise ContractError(path, f"is not JSON: {str(error)[:200]}") from None


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def _bounded(text: str) -> int:
    value = int(text)
    if abs(value) > LARGEST_INTEGER:
        raise OverflowError
    return value


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): _cleaned(item) for key, item in value.items()}
    return value


def _not_too_deep(value: Any, left: int = NESTED) -> Any:
    """The value itself. Raises RecursionError where it is nested deeper than `left`."""
    if not left:
        raise RecursionError
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(item, (dict, list)):
            _not_too_deep(item, left - 1)
    return value


def read_bytes(path: str, limit: int) -> bytes | None:
    """The content of a regular file of at most `limit` bytes; None when there is no file. Raises ContractError for anything else.

    An error of the machine (MACHINE_ERRORS) says nothing about the file and is raised as it is. Does not follow a link in the
    last part of the path, does not wait (FIFO), reads no more than the limit (sparse file).
    """
    name = os.path.basename(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise ContractError(name, "is a symbolic link, which is not followed") from None
        if error.errno in MACHINE_ERRORS:
            raise
        raise ContractError(name, f"cannot be opened: {error.strerror}") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ContractError(name, "is not a regular file")
        if found.st_size > limit:
            raise ContractError(name, f"is larger than {limit} bytes")
        parts, left = [], limit + 1
        while left > 0 and (part := os.read(descriptor, min(left, 1 << 20))):
            parts.append(part)
            left -= len(part)
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        raise ContractError(name, f"cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if left <= 0:
        raise ContractError(name, f"is larger than {limit} bytes")
    return b"".join(parts)


def read_json_file(path: str, limit: int = JSON_BYTES) -> Any | None:
    """The strict JSON in a regular file; None when there is no file. Raises ContractError for anything else."""
    data = read_bytes(path, limit)
    return None if data is None else load_json(data, os.path.basename(path))


def open_regular(path: str) -> int | None:
    """A descriptor to read a regular file; None for anything else. Does not follow a link in the last part of the path or wait."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def read_tail(path: str, limit: int) -> tuple[int, str]:
    """(size in bytes, the last whole lines within `limit` bytes) of a regular file; (0, "") for anything else.

    For logs: invalid UTF-8, and what no database accepts, is replaced. Does not follow a link or wait.
    """
    descriptor = open_regular(path)
    if descriptor is None:
        return 0, ""
    try:
        size = os.fstat(descriptor).st_size
        start = max(0, size - limit)
        data = os.pread(descriptor, limit, start)
    finally:
        os.close(descriptor)
    if start:
        data = data[data.find(b"\n") + 1 :]
    return size, clean_text(data.decode("utf-8", "replace"))


def write_atomic(path: str, data: bytes, *, durable: bool = True, mode: int = 0o644) -> None:
    """Write `data` to `path` completely or not at all; with `durable` it also survives a power cut. Raises OSError."""
    draft = _draft(path, data, durable, mode)
    try:
        os.replace(draft, path)
    except OSError:
        os.unlink(draft)
        raise
    if durable:
        sync_directory(os.path.dirname(path))


def publish_once(path: str, data: bytes, *, mode: int = 0o644) -> bool:
    """Write `data` to `path` unless something is there (link(2)); returns whether it was written. Raises OSError.

    Not synced: the file is about a process, and a power cut ends the process too.
    """
    draft = _draft(path, data, False, mode)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(draft)
    return True


def sync_directory(path: str) -> None:
    """Sync a directory, so that the names in it survive a power cut."""
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _draft(path: str, data: bytes, durable: bool, mode: int) -> str:
    draft = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        if durable:
            os.fsync(descriptor)
    except OSError:
        os.unlink(draft)
        raise
    finally:
        os.close(descriptor)
    return draft


def sha256_hex(data: bytes) -> str:
    """The SHA-256 of `data`."""
    try:
        # hashlib loads OpenSSL, 8 ms. From Python 3.12 on this module is called _sha2.
        from _sha256 import sha256  # type: ignore[import-not-found]  # CPython's own, in no stub
    except ImportError:
        from hashlib import sha256
    return str(sha256(data).hexdigest())
