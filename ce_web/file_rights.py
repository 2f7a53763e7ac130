"""Files of an installation are for the user that it runs as alone (docs/security.md, Files at rest).

A session's key, a token's hash or a log that another user of the machine may read is that user's way in.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

PRIVATE_UMASK = 0o077
OTHERS = 0o077
# A directory with one of these is a data directory of CE Web, so its rights are ours to set right.
MARKS = ("secret_key", "db.sqlite3", "sandbox.json", "cluster.pid", "ticker.lock")


def keep_private() -> None:
    """What this process and its children create is for this user alone. Called first in every entry point."""
    os.umask(PRIVATE_UMASK)


def close_directory(data: Path) -> str:
    """Take other users' rights from the data directory and what lies directly in it; deeper, the directory itself is the fence.

    Returns a line that says what was open, "" as a rule. A directory that belongs to somebody else, or evidently not to CE Web
    alone, is not changed: raises ImproperlyConfigured with the command.
    """
    if not data.is_dir():
        return ""
    found = data.stat()
    names = set(os.listdir(data))
    mixed = found.st_mode & stat.S_ISVTX or (names and names.isdisjoint(MARKS))
    _refuse_foreign(data, found)
    if found.st_mode & OTHERS and mixed:
        what = f"CE_DATA_DIR={str(data)!r} is open to other users (mode {_mode(found)}) and holds other things than CE Web's."
        way_out = "" if found.st_mode & stat.S_ISVTX else f", or, if only CE Web uses it: chmod go= {data}"
        raise ImproperlyConfigured(f"{what} Choose a folder of its own{way_out}")
    # A secret key that was open is refused by who reads it: it may be known, and only a person can tell.
    return _said([data, *(data / name for name in sorted(names - {"secret_key"}))])


def close_database(database: dict[str, Any]) -> str:
    """As close_directory, for the files of a SQLite database, wherever it is. `database`: its entry of DATABASES."""
    if database["ENGINE"] != "django.db.backends.sqlite3" or str(database["NAME"]) == ":memory:":
        return ""
    files = [Path(f"{database['NAME']}{ending}").resolve() for ending in ("", "-wal", "-shm", "-journal")]
    there = [path for path in files if path.is_file()]
    for path in there:
        _refuse_foreign(path, path.stat())
    return _said(there)


def _refuse_foreign(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise ImproperlyConfigured(
            f"{path} belongs to another user (uid {found.st_uid}), who can read what is kept there. "
            f"Run CE Web as that user, or: chown -R {os.geteuid()} {path} && chmod -R go= {path}"
        )


def _said(paths: Sequence[Path]) -> str:
    closed = [words for path in paths if (words := _close(path))]
    return f"CE Web: other users of this machine could read {', '.join(closed)}; now they cannot.\n" if closed else ""


def _close(path: Path) -> str:
    """The path with the mode that it had, if others had rights; "" otherwise."""
    try:
        found = path.stat(follow_symlinks=False)
    except OSError:
        return ""  # a draft of another process, gone meanwhile
    ours = found.st_uid == os.geteuid() and (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode))
    if not ours or not found.st_mode & OTHERS:
        return ""
    try:
        path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
    except OSError as error:
        raise ImproperlyConfigured(f"{path} is open to other users (mode {_mode(found)}; {error.strerror}): chmod go= {path}") from error
    return f"{path} (mode {_mode(found)})"


def _mode(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):03o}"
