"""Whether Python commands of a gate ran the code of the checkout: a package of its name from elsewhere says nothing about it.

Two looks, since neither sees all. Every Python that commands find without an environment of the project's tells what it
imports from elsewhere (`environment.LENDER`). Another one, and what cannot be watched, is asked where it would find the names.
"""

from __future__ import annotations

import os
import sys

from subagents.environment import LENT, TOLD_BY_PYTHON
from subagents.files import ContractError, read_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEPTH, FOLDERS = 3, 500  # how far projects in one repository are looked for
PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")
SKIPPED = frozenset(
    {"tests", "test", "testing", "testdata", "fixtures", "examples", "docs", "vendor", "third_party"}
    | {"node_modules", "venv", "env", "build", "dist", "target"}
)
NO_MODULES = frozenset({"setup", "conftest", "noxfile", "tasks", "manage", "versioneer"})
UNWATCHED = frozenset({*sys.stdlib_module_names, *LENT})  # Python and pytest import these for themselves
NAMED = 3
# Prints those of the packages that Python finds outside of the working folder, and where.
WHERE = """import importlib.util, os, sys
top = os.path.realpath(".") + os.sep
for name in sys.argv[1:]:
    spec = importlib.util.find_spec(name)
    place = spec and (spec.origin or next(iter(spec.submodule_search_locations or ()), ""))
    if place and not os.path.realpath(place).startswith(top):
        print(name, "is", place)
"""


def names_of(checkout: str) -> tuple[str, ...]:
    """What Python imports the checkout's code by: packages and modules at its top and in `src`."""
    return tuple(sorted({name for folder in (checkout, os.path.join(checkout, "src")) for name in _names_in(folder)}))


def watched_names(checkout: str) -> tuple[str, ...]:
    """The same, with those of the projects that lie in folders of the checkout; without those that Python and pytest use themselves."""
    found = {*names_of(checkout), *(name for folder in _projects(checkout, DEPTH, [FOLDERS]) for name in _names_in(folder))}
    return tuple(sorted(found - UNWATCHED))


def _names_in(folder: str) -> Iterator[str]:
    """A folder below `src` is a package without `__init__.py`, too: part of one that lies in several places."""
    in_src = os.path.basename(folder) == "src"
    for entry in _entries(folder):
        name, ending = os.path.splitext(entry.name)
        if not name.isidentifier() or name in SKIPPED or name in NO_MODULES:
            continue
        if ending == ".py" or (not ending and entry.is_dir() and (in_src or os.path.isfile(os.path.join(entry.path, "__init__.py")))):
            yield name


def _projects(folder: str, depth: int, left: list[int]) -> Iterator[str]:
    """The folders below that hold a Python project of their own, and their `src`."""
    for entry in _entries(folder):
        left[0] -= 1
        if left[0] < 0 or entry.name.startswith(".") or entry.name in SKIPPED or not entry.is_dir(follow_symlinks=False):
            continue
        if any(os.path.isfile(os.path.join(entry.path, name)) for name in PROJECT_FILES):
            yield entry.path
            yield os.path.join(entry.path, "src")
        if depth > 1:
            yield from _projects(entry.path, depth - 1, left)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def told_by_python(checkout: str, names: Sequence[str], folder: str) -> dict[str, str]:
    """Variables with which Python tells in a file of `folder` what it imports by these names from outside of the checkout."""
    return {TOLD_BY_PYTHON: "\n".join([_file_in(folder), os.path.realpath(checkout), *names])} if names else {}


def imported_elsewhere(folder: str) -> str:
    """What Python told in a file of `folder`, in words; "" for nothing."""
    try:
        told = read_bytes(_file_in(folder), 100_000) or b""
    except ContractError as odd:  # a command that writes there has something to hide
        return str(odd)
    return ", ".join(list(dict.fromkeys(told.decode("utf-8", "replace").split("\n")))[:NAMED]).rstrip(", ")


def _file_in(folder: str) -> str:
    return os.path.join(folder, ".ce-imported-elsewhere")
