"""The charting script of the metrics page, served from the installed Python package.

Its URL contains the version, so that browsers may cache it for ever. `python -m ce_web.static_files` writes a compressed copy
(a third of the size) beside it, which WhiteNoise finds. `make run` does so once per installation.
"""

import gzip
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.core.checks import CheckMessage
from django.core.files.storage import FileSystemStorage

COMPRESSED = ".gz"
Messages = list[CheckMessage]


def plotly_source() -> Path:
    """The script's path in the installed package, without importing the package, which takes a second."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("plotly is not installed; it is in requirements.txt")
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"


def compress_plotly() -> None:
    source = plotly_source()
    source.with_name(source.name + COMPRESSED).write_bytes(gzip.compress(source.read_bytes(), mtime=0))


class Scripts(FileSystemStorage):
    """Maps our file names to files of the package."""

    def path(self, name: str) -> str:
        return f"{plotly_source()}{COMPRESSED if name.endswith(COMPRESSED) else ''}"


class PackageFinder(BaseFinder):
    """Finds the script and, if it exists, its compressed copy."""

    def check(self, **kwargs: object) -> Messages:
        return []

    def find(self, path: str, find_all: bool = False, **kwargs: object) -> Any:
        """The file's path or [], or with `find_all` a list of paths, as Django's own finders return."""
        found = [storage.path(name) for name, storage in self.list(None) if name == path]
        return found if find_all else found[0] if found else []

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, Scripts]]:
        storage = Scripts()
        for name in (settings.CE_PLOTLY_NAME, settings.CE_PLOTLY_NAME + COMPRESSED):
            if Path(storage.path(name)).exists():
                yield name, storage


if __name__ == "__main__":
    compress_plotly()
