"""Appends lines to a file of ours, and goes on when the machine fails it: a log is not worth an attempt."""

from __future__ import annotations

import errno
import os
import stat

from subagents.files import MACHINE_ERRORS


class Appended:
    """A regular file that is only added to. `lost` counts the bytes that a fault of the machine (a full disk) kept out."""

    def __init__(self, path: str) -> None:
        """Raises OSError, also when `path` is not a regular file."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o644)
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", path)
        self.lost, self._cut = 0, False  # the latter: the last line that was written is cut off

    def append(self, data: bytes) -> None:
        """Add whole lines. After a loss, whoever calls says so in `data`. Raises OSError, but not for a fault of the machine."""
        view = memoryview(b"\n" + data if self._cut else data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
                self._cut = bool(view)
            self.lost = 0
        except OSError as error:
            if error.errno not in MACHINE_ERRORS:
                raise
            self.lost += len(view)
