"""What an attempt left in its folder that is in no commit: archived before the folder goes, as far as that is of a bearable size."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ARCHIVE, KEPT = "left-over.tar.gz", "left-over.kept"  # in the attempt's directory; the second says that the folder stays
MOST_FILES, MOST_BYTES = 2_000, 20 * 1024 * 1024
# What a tool makes again; named in the log, not archived.
CACHES = frozenset(
    {
        *("node_modules", "__pycache__", ".venv", "venv", ".tox", ".nox", "target", ".gradle", ".next", ".cache", ".eggs"),
        *(".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".parcel-cache", ".turbo"),
    }
)


def archive(folder: str, names: Sequence[str], attempt_dir: str) -> str:
    """Put the files `names` of `folder` (a folder ends in a slash) into ARCHIVE of the attempt's directory; a sentence about it.

    Caches are left out. Where it is too much for an archive, KEPT is written and the folder is to stay. Raises OSError.
    """
    kept = [name for name in names if CACHES.isdisjoint(name.strip("/").split("/"))]
    caches = [name for name in names if name not in kept]
    files = [file for name in kept for file in _files(folder, name)]
    size = sum(os.lstat(os.path.join(folder, file)).st_size for file in files[: MOST_FILES + 1])
    words = f"not in the commit: {', '.join(kept[:10])}" + (f" and {len(kept) - 10} more" if len(kept) > 10 else "") if files else ""
    if len(files) > MOST_FILES or size > MOST_BYTES:
        with open(os.path.join(attempt_dir, KEPT), "w", encoding="utf-8") as file:
            file.write(words + "\n")
        return f"{words}; too much for an archive, so the folder {folder} stays"
    if files:
        import tarfile  # here: few attempts leave anything

        with tarfile.open(os.path.join(attempt_dir, ARCHIVE), "w:gz") as made:
            for name in files:
                made.add(os.path.join(folder, name), name, recursive=False)
        words += f"; kept in {os.path.join(attempt_dir, ARCHIVE)}"
    made_again = f"not kept, since it can be made again: {', '.join(caches[:10])}" if caches else ""
    return "; ".join(part for part in (words, made_again) if part)


def _files(folder: str, name: str) -> Iterator[str]:
    """The files and links at or below `name`, caches and repositories left out."""
    if not name.endswith("/"):
        if os.path.islink(os.path.join(folder, name)) or os.path.isfile(os.path.join(folder, name)):
            yield name
        return
    for place, folders, files in os.walk(os.path.join(folder, name)):
        folders[:] = sorted(inside for inside in folders if inside not in CACHES and inside != ".git")
        for file in sorted(files):
            path = os.path.join(place, file)
            if os.path.islink(path) or os.path.isfile(path):
                yield os.path.relpath(path, folder)
