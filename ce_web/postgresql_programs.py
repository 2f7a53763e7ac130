"""Dump and load a PostgreSQL database with PostgreSQL's own programs, which know how to do it while others write."""

import os
import shutil
import subprocess
from typing import Any

SECONDS = 6 * 3600.0


class ProgramFailed(Exception):
    """The program is missing or failed; the text is a sentence that says what to do."""


def dump(database: dict[str, Any], target: str) -> None:
    """Write a consistent dump of the database (an entry of DATABASES) into a new file. Raises ProgramFailed."""
    _run("pg_dump", database, "--format=custom", "--no-owner", "--no-privileges", "--file", target)


def load(database: dict[str, Any], source: str) -> None:
    """Replace the tables of the database by those of a dump. Raises ProgramFailed."""
    rules = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--exit-on-error")
    _run("pg_restore", database, *rules, "-d", str(database["NAME"]), source, named=False)


def _run(program: str, database: dict[str, Any], *arguments: str, named: bool = True) -> None:
    path = shutil.which(program)
    if path is None:
        raise ProgramFailed(f"{program} is not installed, so the database cannot be copied: apt install postgresql-client.")
    where = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD"}
    environment = {**os.environ, **{name: str(database[key]) for name, key in where.items() if database.get(key)}}
    whole = [path, *arguments, *([str(database["NAME"])] if named else [])]
    done = subprocess.run(whole, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)  # noqa: S603 -- PostgreSQL's program, as a list
    if done.returncode:
        raise ProgramFailed(f"{program} failed: {done.stderr.decode(errors='replace').strip()[-500:]}")
