"""Folders that programs have written to: told from how they were, and removed whatever was done to them."""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    State = dict[str, tuple[int, ...]]


def remove(folder: str) -> None:
    """Remove a folder whatever rights a program has left there; never follows a link. Raises OSError."""
    import shutil  # here: every attempt imports this module, and it brings the compressors

    def make_way(function: object, path: str, error: object) -> None:
        above = os.path.dirname(path)
        for place in (above, path):
            if not os.path.islink(place) and os.path.isdir(place):
                os.chmod(place, 0o700)
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)

    if os.path.islink(folder) or not os.path.isdir(folder):
        os.unlink(folder)
    else:
        shutil.rmtree(folder, onerror=make_way)


def state_of(folder: str) -> State:
    """{path: mode, inode, size and times} of all that is below, without the folder's own .git; of folders the mode alone.

    A program that writes a file cannot set the time at which its inode changed (ctime), so no change goes unseen.
    """
    found: State = {}
    waiting = [""]
    while waiting:
        place = waiting.pop()
        try:
            entries = list(os.scandir(os.path.join(folder, place)))
        except OSError:
            found[place] = ()  # gone, or closed to us
            continue
        for entry in entries:
            path = os.path.join(place, entry.name)
            if path == ".git":
                continue
            seen = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(seen.st_mode):
                found[path] = (seen.st_mode,)
                waiting.append(path)
            else:
                found[path] = (seen.st_mode, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
    return found
