"""What the server looks for in every changed file, without a command: conflict markers, size, what can be parsed.

All of it is bounded. What a bound left out is said, and then the gate is not green.
"""

from __future__ import annotations

import fnmatch
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_FILES = 2_000  # looked at by one gate
MOST_BYTES = 5_000_000  # read of one file
PARSED_ENDINGS = (".py", ".pyi", ".json", ".toml", ".yaml", ".yml")
# Data that is broken on purpose, and text that becomes code only when somebody fills it in.
NOT_PARSED_FOLDERS = frozenset({"fixtures", "testdata", "test_data", "templates", "node_modules"})
JSON_WITH_COMMENTS = ("tsconfig*.json", "jsconfig*.json", ".eslintrc.json", "devcontainer.json")


def find_markers(checkout: str, files: Sequence[str]) -> tuple[list[str], str]:
    """(places of conflict markers that git left, what was not looked at or "").

    The three markers in their order, each at the start of a line: a heading underlined with "=======" is none.
    """
    found, large = [], 0
    looked, left_out = _first(checkout, files)
    for path in looked:
        with open(os.path.join(checkout, path), "rb") as file:
            data = file.read(MOST_BYTES + 1)
        large += len(data) > MOST_BYTES
        line = _marked_line(data)
        if line:
            found.append(f"{path}:{line}: conflict markers")
    if large:
        left_out = "; ".join(part for part in (left_out, f"of {large} files only the first {MOST_BYTES:,} bytes were looked at") if part)
    return found, left_out


def _marked_line(data: bytes) -> int:
    """The line of the first conflict that was left in the text, from 1; 0 for none."""
    if b"<<<<<<< " not in data:
        return 0
    opened, divided = 0, False
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line.startswith(b"<<<<<<< "):
            opened, divided = number, False
        elif opened and line.rstrip(b"\r") == b"=======":
            divided = True
        elif opened and divided and line.startswith(b">>>>>>> "):
            return opened
    return 0


def find_oversized(checkout: str, files: Sequence[str], limit: int) -> tuple[list[str], str]:
    """(files of more than `limit` bytes with their size, what was not looked at or "")."""
    looked, left_out = _first(checkout, files)
    sizes = ((path, os.path.getsize(os.path.join(checkout, path))) for path in looked)
    return [f"{path}: {size:,} bytes; at most {limit:,} are allowed" for path, size in sizes if size > limit], left_out


def parseable(checkout: str, files: Sequence[str], *, yaml: bool) -> tuple[list[str], str]:
    """(the Python, JSON, TOML and YAML files that are to parse, what was not looked at or "").

    JSON with comments by convention, templates and fixtures are not asked to; YAML only where there is a parser (`yaml`).
    """
    wanted = [path for path in files if path.endswith(PARSED_ENDINGS) and _is_source(path)]
    without = [] if yaml else [path for path in wanted if path.endswith((".yaml", ".yml"))]
    looked, left_out = _first(checkout, [path for path in wanted if path not in without])
    if without:
        note = f"{len(without)} YAML files were not parsed: PyYAML is not installed where this runs"
        left_out = f"{left_out}; {note}" if left_out else note
    return looked, left_out


def _is_source(path: str) -> bool:
    *folders, name = path.split("/")
    commented = any(fnmatch.fnmatchcase(name, pattern) for pattern in JSON_WITH_COMMENTS) or ".vscode" in folders
    return not commented and NOT_PARSED_FOLDERS.isdisjoint(folders) and "{{" not in path


def _first(checkout: str, files: Iterable[str]) -> tuple[list[str], str]:
    """(the regular files among them up to the bound, how many were left out as a sentence or "")."""
    present = [path for path in files if _is_regular(os.path.join(checkout, path))]
    left = len(present) - MOST_FILES
    return present[:MOST_FILES], f"{left:,} of {len(present):,} changed files were not looked at" if left > 0 else ""


def _is_regular(path: str) -> bool:
    return os.path.isfile(path) and not os.path.islink(path)
