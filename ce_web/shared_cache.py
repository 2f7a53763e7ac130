"""A cache that all web processes of this host share: files of JSON in the data directory, so that reading one runs nothing."""

import json
import time
from typing import Any

from django.core.cache.backends.filebased import FileBasedCache


class JsonFileCache(FileBasedCache):
    """Django's cache in files without its pickles: whoever may write there could run code in the web process otherwise.

    A file is a line with the moment that it ends, and the value as JSON. One that is damaged counts as none.
    """

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        try:
            with open(self._key_to_file(key, version), "rb") as file:  # type: ignore[attr-defined]  # not in the stubs
                return default if self._is_expired(file) else json.loads(file.read())
        except (OSError, ValueError):
            return default

    def _write_content(self, file: Any, timeout: float | None, value: Any) -> None:
        ends = self.get_backend_timeout(timeout)
        file.write(f"{'never' if ends is None else ends}\n".encode() + json.dumps(value).encode())

    def _is_expired(self, f: Any) -> bool:
        ends = f.readline().decode().strip()
        return ends != "never" and float(ends) < time.time()
