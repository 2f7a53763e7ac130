"""A cache shared by all web processes of this host, in JSON files, which unlike pickles cannot run code."""

import json
import time
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.filebased import FileBasedCache

from subagents.files import MACHINE_ERRORS


class JsonFileCache(FileBasedCache):
    """Django's file-based cache with JSON instead of pickles, so that a written file cannot run code in the web process.

    A file has one line with the expiry time, then the value as JSON. A damaged file counts as a miss.
    """

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        try:
            with open(self._key_to_file(key, version), "rb") as file:  # type: ignore[attr-defined]  # not in the stubs
                return default if self._is_expired(file) else json.loads(file.read())
        except (OSError, ValueError):
            return default

    def set(self, key: str, value: Any, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        """Keep a value. On a full or failing disk it is not kept, which costs time and no page. Raises OSError for other faults."""
        try:
            super().set(key, value, timeout, version)
        except OSError as error:
            if error.errno not in MACHINE_ERRORS:
                raise

    def _write_content(self, file: Any, timeout: float | None, value: Any) -> None:
        ends = self.get_backend_timeout(timeout)
        file.write(f"{'never' if ends is None else ends}\n".encode() + json.dumps(value).encode())

    def _is_expired(self, f: Any) -> bool:
        ends = f.readline().decode().strip()
        return ends != "never" and float(ends) < time.time()
